import type { Ms } from "../../../model/index.ts";

/** What differs between releases of Kubernetes, as data. */
export interface HpaFeatures {
  /** `minReplicas: 0` is valid, and an HPA wakes what it put to sleep itself. */
  readonly HPAScaleToZero: boolean;
  /** `behavior.*.tolerance` counts. */
  readonly HPAConfigurableTolerance: boolean;
  /** A pod-level request replaces the sum of its containers'. */
  readonly PodLevelResources: boolean;
  /** Succeeded pods are ignored like Failed ones. */
  readonly ignoreSucceededPods: boolean;
  /** A pod that lacks the named container fails the whole ContainerResource metric, rather than being a pod without sample. */
  readonly missingContainerFails: boolean;
  /** What lets a count of zero be computed with: the ScaledToZero condition (from 1.36), or `minReplicas: 0` alone. */
  readonly zeroBy: "condition" | "minReplicas";
}

const newest: HpaFeatures = {
  HPAScaleToZero: true,
  HPAConfigurableTolerance: true,
  PodLevelResources: true,
  ignoreSucceededPods: true,
  missingContainerFails: false,
  zeroBy: "condition",
};

/** With every feature gate at its default in that release. */
export const HPA_VERSIONS = {
  "1.28": {
    HPAScaleToZero: false,
    HPAConfigurableTolerance: false,
    PodLevelResources: false,
    ignoreSucceededPods: false,
    missingContainerFails: true,
    zeroBy: "minReplicas",
  },
  "1.35": { ...newest, HPAScaleToZero: false, zeroBy: "minReplicas" },
  "1.36": { ...newest, HPAScaleToZero: false },
  "1.37": newest,
} as const satisfies Readonly<Record<string, HpaFeatures>>;
export type HpaVersion = keyof typeof HPA_VERSIONS;
export const HPA_NEWEST: HpaVersion = "1.37";

/** Flags of kube-controller-manager. */
export interface ControllerSettings {
  readonly syncPeriodMs: Ms;
  readonly downscaleStabilizationMs: Ms;
  /** Both directions, unless a rule sets its own. */
  readonly tolerance: number;
  readonly cpuInitializationPeriodMs: Ms;
  readonly initialReadinessDelayMs: Ms;
}

export const CONTROLLER_DEFAULTS: ControllerSettings = {
  syncPeriodMs: 15_000,
  downscaleStabilizationMs: 300_000,
  tolerance: 0.1,
  cpuInitializationPeriodMs: 300_000,
  initialReadinessDelayMs: 30_000,
};
