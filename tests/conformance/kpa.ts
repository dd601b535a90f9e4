import {
  type Active,
  activatorCount,
  applyScale,
  type BucketWindow,
  bucketWindow,
  currentMax,
  type DeciderSpec,
  initialScale,
  KPA_DEFAULTS,
  type KpaConfig,
  linearAverage,
  maxTimeWindow,
  maxWindow,
  parseAnnotations,
  type Reachability,
  record,
  recordMax,
  recordMaxAt,
  resizeWindow,
  resolveSettings,
  resolveTarget,
  roundDown,
  type ScalingMetric,
  sampleSize,
  scale,
  smoothingCoefficient,
  startDecider,
  weightedAverage,
} from "../../src/policy/dialects/kpa/index.ts";
import { type Fields, Near, type Runner } from "./expect.ts";

const NOW_MS = 2_000_000_000_000;
const EBC_TOLERANCE = 1;
const get = <T>(input: Fields, field: string): T => input[field] as T;
/** Off by as much as the case allows; exact where it says nothing. */
const near = (value: number, expected: Fields): number | Near =>
  expected["tolerance"] === undefined ? value : new Near(value, get<number>(expected, "tolerance"));
const numeric = (text: string | null | undefined): number | undefined => (text === null || text === undefined ? undefined : Number(text));

interface SpecCase {
  readonly scalingMetric: ScalingMetric | "";
  readonly targetValue: number;
  readonly totalValue: number;
  readonly targetBurstCapacity: number;
  readonly activatorCapacity: number;
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  readonly panicThreshold: number;
  readonly stableWindowSeconds: number;
  readonly scaleDownDelaySeconds?: number;
  readonly activationScale?: number;
  readonly reachable: boolean;
}

const specOf = (spec: SpecCase): DeciderSpec => ({
  scalingMetric: spec.scalingMetric === "rps" ? "rps" : "concurrency",
  target: spec.targetValue,
  total: spec.totalValue,
  targetBurstCapacity: spec.targetBurstCapacity,
  activatorCapacity: spec.activatorCapacity,
  maxScaleUpRate: spec.maxScaleUpRate,
  maxScaleDownRate: spec.maxScaleDownRate,
  panicThreshold: spec.panicThreshold,
  stableWindowMs: spec.stableWindowSeconds * 1000,
  scaleDownDelayMs: (spec.scaleDownDelaySeconds ?? 0) * 1000,
  activationScale: spec.activationScale ?? 0,
  reachable: spec.reachable,
});

interface StepCase {
  readonly at: number;
  readonly stable: number;
  readonly panic: number;
  readonly ready: number;
  readonly specUpdate?: SpecCase | null;
  readonly prep?: { readonly panicStartedSecondsAgo: number; readonly maxPanicPods: number } | null;
  readonly metricError?: boolean;
  readonly podCountError?: boolean;
}

function scaleSequence(input: Fields, expected: Fields): Fields {
  let spec = specOf(get(input, "spec"));
  let state = startDecider(spec, 0, get(input, "initialReadyPods"));
  const wanted = get<readonly Fields[]>(expected, "steps");
  const steps = get<readonly StepCase[]>(input, "steps").map((step, index) => {
    const nowMs = step.at * 1000;
    if (step.specUpdate) spec = specOf(step.specUpdate);
    if (step.prep) {
      state = { ...state, panicMs: nowMs - step.prep.panicStartedSecondsAgo * 1000, maxPanicPods: step.prep.maxPanicPods };
    }
    const next = scale(state, spec, {
      nowMs,
      readyPods: step.podCountError ? null : step.ready,
      averages: step.metricError ? null : { stable: step.stable, panic: step.panic },
    });
    state = next.state;
    const { result } = next;
    const actual: Fields = {
      valid: result.valid,
      desired: result.valid ? result.desired : 0,
      ebc: new Near(result.valid ? result.excessBurstCapacity : 0, EBC_TOLERANCE),
      panicStartedAtSeconds: state.panicMs === null ? null : state.panicMs / 1000,
      maxPanicPods: state.maxPanicPods,
    };
    // A step's fields that are not expected are not checked.
    return Object.fromEntries(Object.keys(wanted[index] ?? {}).map((field) => [field, actual[field]]));
  });
  return { steps };
}

type WindowOperation =
  | { readonly op: "record"; readonly at: number; readonly value: number }
  | { readonly op: "average"; readonly at: number }
  | ({ readonly op: "resize"; readonly at?: number } & Fields);

/** The one number of a resize besides its time, in seconds. */
const newWindowMs = ({ op: _, at: __, ...rest }: Fields): number =>
  (Object.values(rest).find((value) => typeof value === "number") as number) * 1000;

function windowAverages(average: (window: BucketWindow, nowMs: number) => number): Runner {
  return (input, expected) => {
    let window = bucketWindow(get<number>(input, "windowSeconds") * 1000, get<number>(input, "granularitySeconds") * 1000);
    let lastMs = 0;
    const averages: (number | Near)[] = [];
    for (const operation of get<readonly WindowOperation[]>(input, "operations")) {
      const atMs = operation.at === undefined ? lastMs : operation.at * 1000;
      lastMs = atMs;
      if (operation.op === "record") window = record(window, atMs, operation.value);
      else if (operation.op === "resize") window = resizeWindow(window, newWindowMs(operation), atMs);
      else averages.push(near(average(window, atMs), expected));
    }
    return { averages, tolerance: expected["tolerance"] };
  };
}

interface PaCase {
  readonly active: "True" | "False" | "Unknown" | "none";
  readonly ageSeconds: number | null;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly reachability: "Reachable" | "Unreachable" | "Unknown";
  readonly scaleTargetInitialized: boolean | null;
}
interface ConfigCase {
  readonly enableScaleToZero: boolean;
  readonly scaleToZeroGracePeriodSeconds: number;
  readonly stableWindowSeconds: number;
  readonly scaleToZeroPodRetentionSeconds: number;
  readonly allowZeroInitialScale: boolean;
  readonly initialScale?: number;
  readonly progressDeadlineSeconds: number;
  readonly targetBurstCapacity: number;
}

const REACHABILITY: Readonly<Record<PaCase["reachability"], Reachability>> = {
  Reachable: "Reachable",
  Unreachable: "Unreachable",
  Unknown: "",
};

function applyCase(input: Fields): Fields {
  const pa = get<PaCase>(input, "pa");
  const given = get<ConfigCase>(input, "config");
  const config: KpaConfig = {
    ...KPA_DEFAULTS,
    enableScaleToZero: given.enableScaleToZero,
    scaleToZeroGracePeriodMs: given.scaleToZeroGracePeriodSeconds * 1000,
    stableWindowMs: given.stableWindowSeconds * 1000,
    scaleToZeroPodRetentionMs: given.scaleToZeroPodRetentionSeconds * 1000,
    allowZeroInitialScale: given.allowZeroInitialScale,
    initialScale: given.initialScale ?? KPA_DEFAULTS.initialScale,
    progressDeadlineMs: given.progressDeadlineSeconds * 1000,
    targetBurstCapacity: given.targetBurstCapacity,
    minScale: get(input, "minScale"),
    maxScale: get(input, "maxScale"),
  };
  const { values } = parseAnnotations(pa.annotations ?? {});
  const settings = resolveSettings(values, { containerConcurrency: 0, reachability: REACHABILITY[pa.reachability] }, config);
  const sks = get<{ mode: "Serve" | "Proxy"; inProxyForSeconds: number | null }>(input, "sks");
  const probed = get<string>(input, "activatorProbe");
  const active: Active = pa.active === "none" ? null : { status: pa.active, sinceMs: NOW_MS - (pa.ageSeconds ?? 0) * 1000 };
  const applied = applyScale(
    {
      nowMs: NOW_MS,
      desired: get(input, "desiredScale"),
      current: get(input, "currentReplicas"),
      active,
      initialized: pa.scaleTargetInitialized ?? false,
      path: { mode: sks.mode, proxySinceMs: sks.inProxyForSeconds === null ? null : NOW_MS - sks.inProxyForSeconds * 1000 },
      probe() {
        if (probed === "must-not-be-called") throw new Error("the activator was asked");
        return probed === "ok";
      },
    },
    settings,
  );
  return {
    desired: applied.desired,
    patched: applied.apply,
    requeues: applied.requeueMs === null ? 0 : 1,
    asyncProbes: applied.asyncProbe ? 1 : 0,
  };
}

export const KPA_RUNNERS: Readonly<Record<string, Runner>> = {
  "scale-sequence": scaleSequence,
  "apply-scale": applyCase,
  "start-state": (input) => {
    const pods = get<boolean>(input, "podCountError") ? null : get<number>(input, "readyPods");
    const { panicMs, maxPanicPods } = startDecider({ scaleDownDelayMs: 0 }, NOW_MS, pods);
    return { inPanic: panicMs !== null, maxPanicPods };
  },
  "resolve-target": (input) => ({
    ...resolveTarget(
      {
        metric: get<ScalingMetric>(input, "metric"),
        containerConcurrency: get(input, "containerConcurrency"),
        target: numeric(get(input, "targetAnnotation")),
        utilizationPercentage: numeric(get(input, "targetUtilizationAnnotation")),
      },
      get(input, "config"),
    ),
  }),
  "num-activators": (input) => ({
    activators: activatorCount(
      {
        total: get(input, "totalValue"),
        targetBurstCapacity: get(input, "targetBurstCapacity"),
        activatorCapacity: get(input, "activatorCapacity"),
      },
      get(input, "readyPods"),
    ),
  }),
  "initial-scale": (input) => ({
    initialScale: initialScale(numeric(get(input, "annotation")), {
      initialScale: get(input, "clusterInitialScale"),
      allowZeroInitialScale: get(input, "allowZeroInitialScale"),
    }),
  }),
  "sample-size": (input) => ({ sampleSize: sampleSize(get(input, "population")) }),
  "window-max": (input) => {
    let window = maxWindow(get(input, "size"));
    const current = get<readonly { index: number; value: number }[]>(input, "records").map(({ index, value }) => {
      window = recordMax(window, index, value);
      return currentMax(window);
    });
    return { current };
  },
  "time-window-max": (input) => {
    const granularityMs = get<number>(input, "granularitySeconds") * 1000;
    let window = maxTimeWindow(get<number>(input, "windowSeconds") * 1000, granularityMs);
    for (const { at, value } of get<readonly { at: number; value: number }[]>(input, "records")) {
      window = recordMaxAt(window, granularityMs, at * 1000, value);
    }
    return { current: currentMax(window) };
  },
  "bucket-average": windowAverages(linearAverage),
  "weighted-bucket-average": windowAverages(weightedAverage),
  "smoothing-coefficient": (input, expected) => ({
    coefficient: near(smoothingCoefficient(get(input, "buckets")), expected),
    tolerance: expected["tolerance"],
  }),
  "round-digits": (input) => ({ value: roundDown(get(input, "value"), get(input, "digits")) }),
};
