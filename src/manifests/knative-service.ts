import { z } from "zod";
import { objectMeta, objectOf } from "./kubernetes-object.ts";

/** The pod's own fields; what they hold means nothing to an autoscaler. */
const POD_SPEC = [
  "activeDeadlineSeconds",
  "affinity",
  "automountServiceAccountToken",
  "containers",
  "dnsConfig",
  "dnsPolicy",
  "enableServiceLinks",
  "hostAliases",
  "hostIPC",
  "hostNetwork",
  "hostPID",
  "hostname",
  "imagePullSecrets",
  "initContainers",
  "nodeName",
  "nodeSelector",
  "preemptionPolicy",
  "priority",
  "priorityClassName",
  "resourceClaims",
  "restartPolicy",
  "runtimeClassName",
  "schedulerName",
  "securityContext",
  "serviceAccountName",
  "shareProcessNamespace",
  "subdomain",
  "terminationGracePeriodSeconds",
  "tolerations",
  "topologySpreadConstraints",
  "volumes",
] as const;
const anything = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, z.unknown().optional()]));

const containerConcurrency = z.int().min(0).max(1000, "is more than a revision may be given (1000); 0 is no limit").optional();

const revisionSpec = z.strictObject({
  ...anything(POD_SPEC),
  containerConcurrency,
  timeoutSeconds: z.int().optional(),
  responseStartTimeoutSeconds: z.int().optional(),
  idleTimeoutSeconds: z.int().optional(),
});

const traffic = z.strictObject({
  tag: z.string().optional(),
  revisionName: z.string().optional(),
  configurationName: z.string().optional(),
  latestRevision: z.boolean().optional(),
  percent: z.int().optional(),
  url: z.unknown().optional(),
});

/** Kinds of `serving.knative.dev/v1`. */
export const serviceSchema = objectOf(
  z.strictObject({
    template: z.strictObject({ metadata: objectMeta.default({}), spec: revisionSpec.default({}) }),
    traffic: z.array(traffic).optional(),
  }),
);
export const revisionSchema = objectOf(revisionSpec);

/** `autoscaling.internal.knative.dev/v1alpha1`, one for each revision. */
export const podAutoscalerSchema = objectOf(
  z.strictObject({
    containerConcurrency,
    scaleTargetRef: z.strictObject({ apiVersion: z.string().default(""), kind: z.string(), name: z.string() }),
    reachability: z.enum(["", "Reachable", "Unreachable"]).default(""),
    protocolType: z.string().optional(),
  }),
);

/** What a component of an InferenceService may hold besides its model. */
const COMPONENT = [
  "autoScaling",
  "batcher",
  "canaryTrafficPercent",
  "deploymentStrategy",
  "labels",
  "logger",
  "timeout",
  "workerSpec",
] as const;
const MODELS = [
  "model",
  "huggingface",
  "lightgbm",
  "onnx",
  "paddle",
  "pmml",
  "pytorch",
  "sklearn",
  "tensorflow",
  "triton",
  "xgboost",
] as const;

const predictor = z.strictObject({
  ...anything([...POD_SPEC, ...COMPONENT, ...MODELS]),
  annotations: z.record(z.string(), z.string()).optional(),
  minReplicas: z.int().min(0).optional(),
  maxReplicas: z.int().min(0).optional(),
  scaleTarget: z.int().min(1).optional(),
  scaleMetric: z.enum(["cpu", "memory", "concurrency", "rps"]).optional(),
  scaleMetricType: z.enum(["Utilization", "AverageValue"]).optional(),
  containerConcurrency,
});

/** `serving.kserve.io/v1beta1`. */
export const inferenceServiceSchema = objectOf(
  z.strictObject({ predictor, transformer: z.unknown().optional(), explainer: z.unknown().optional() }),
);

/** The cluster's own settings, `config-autoscaler` in namespace knative-serving. */
export const configMapSchema = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ConfigMap"),
  metadata: objectMeta,
  data: z.record(z.string(), z.string()).default({}),
  binaryData: z.unknown().optional(),
  immutable: z.boolean().optional(),
});

/** Several documents as one, as `kubectl get -o yaml` prints them. */
export const listSchema = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("List"),
  metadata: z.unknown().optional(),
  items: z.array(z.unknown()),
});
