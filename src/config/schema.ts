import { z } from "zod";
import { MANIFEST_KINDS } from "../manifests/index.ts";
import { CLASS_ORDERS, DIALECT_KINDS } from "../model/index.ts";
import { DEFAULTS } from "./defaults.ts";
import { bytes, duration, durationOrNever, portRange, share } from "./units.ts";

export const API_VERSION = "tidegate.dev/v1alpha1";

const text = z.string().min(1, { error: "is empty; write something" });
const count = z.int().min(0, { error: "is below 0; use 0 or more" });
const positive = z.int().min(1, { error: "is below 1; use 1 or more" });
const properShare = share.refine((value) => value > 0 && value < 1, { error: "is not between 0 and 1; write for example 0.99 or 99%" });
const stepShare = share.refine((value) => value > 0, { error: "is not above 0; write for example 0.5 or 50%" });
const longDuration = duration.refine((ms) => ms > 0, { error: "is no time at all; write for example 30s" });
const httpUrl = z.string().refine((value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol), {
  error: "is not an http(s) URL; write for example http://127.0.0.1:8000",
});
const dnsName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, {
  error: "is not a name as in DNS; use lower-case letters, digits and dashes, at most 63, such as llama-3-8b",
});

const SECRET_SHAPE = "is not where a secret comes from; write { env: NAME } or { file: PATH }";

/** Kept out of the config itself: read from the environment or a file when the config is read. Exactly one of the two. */
export const secretSchema = z
  .strictObject(
    {
      env: z
        .string()
        .regex(/^[A-Za-z_]\w*$/, { error: "is not the name of an environment variable; write for example PROMETHEUS_TOKEN" })
        .optional(),
      file: text.optional(),
    },
    { error: ({ input, code }) => (code === "invalid_type" && input !== undefined ? SECRET_SHAPE : undefined) },
  )
  .refine((secret) => (secret.env === undefined) !== (secret.file === undefined), { error: SECRET_SHAPE })
  .meta({ id: "Secret", description: "where a secret comes from: { env: NAME } or { file: PATH }, one of the two" });

const objectReference = z.strictObject({
  apiVersion: text.describe("such as apps/v1"),
  kind: text.describe("such as Deployment"),
  name: text,
  part: text.optional().describe("what of it is counted: a worker group, component or role; only where the kind has several"),
});
const target = objectReference
  .optional()
  .describe("the object that a HorizontalPodAutoscaler, ScaledObject or similar document names in scaleTargetRef");

const path = z.string().regex(/^\//, { error: "does not begin with a slash; write for example /health" });
const pathOrUrl = z.string().regex(/^(\/|https?:\/\/)/, { error: "is neither a path nor a URL; write for example /metrics" });
const engineAnswers = {
  healthPath: path.optional().describe("GET answers 2xx once the engine serves; each kind has its own default"),
  metricsPath: pathOrUrl.nullable().optional().describe("the engine's Prometheus page; null: none"),
  gpuMetrics: pathOrUrl.nullable().optional().describe("a DCGM exporter's page: a full URL, or a path on the replica; null: none"),
};

const emulated = z.strictObject({
  kind: z.literal("emulated"),
  profile: text
    .prefault(DEFAULTS.emulated.profile)
    .describe("which model's speed to imitate: 8B, 70B, MODEL/GPU/TP, or a file that `tidegate calibrate` wrote"),
  gpu: text.optional().describe("which GPU's speed to imitate; the profile's own where it is not said"),
  coldStart: duration.prefault(DEFAULTS.emulated.coldStart).describe("from start to ready"),
  coldStartSigma: z.number().min(0, { error: "is below 0; use 0 or more" }).optional().describe("spread of the cold start"),
  maxNumSeqs: positive.optional().describe("most requests batched at once"),
  maxNumBatchedTokens: positive.optional().describe("token budget of one step"),
  kvTokens: positive.optional().describe("tokens that fit into the KV cache"),
  maxModelLen: positive.optional().describe("longest prompt and output together, in tokens"),
  seed: count.prefault(DEFAULTS.emulated.seed).describe("each replica's seed is this number followed by its index"),
  ...engineAnswers,
});
const engine = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: z.enum(["vllm", "sglang", "tgi", "trtllm", "triton", "nim", "llamacpp", "ollama", "lmdeploy", "other"]),
      ...engineAnswers,
    }),
    emulated,
  ])
  .describe("the inference server in a replica");

const process = z.strictObject({
  kind: z.literal("process"),
  target,
  command: z
    .union([z.string(), z.array(z.string())], {
      error: ({ input }) =>
        input === undefined ? undefined : "must be a command line or a list of words; put numbers and booleans in quotes",
    })
    .optional()
    .describe(
      "starts one replica; {port}, {host}, {id}, {index}, {pool}, {model}, {tidegate}, {speed} and {epoch} are filled in. " +
        "May be left out for an emulated engine",
    ),
  env: z
    .record(
      z.string(),
      z.union([z.string(), secretSchema], {
        error: ({ input }) =>
          input === undefined ? undefined : "must be text, { env: NAME } or { file: PATH }; put numbers and booleans in quotes",
      }),
    )
    .prefault({})
    .describe("added to Tidegate's own environment"),
  cwd: text.optional().describe("the folder that replicas run in; Tidegate's own where it is not said"),
  host: text.prefault(DEFAULTS.process.host).describe("the address that replicas listen on"),
  ports: portRange.nullable().default(null).describe("ports to choose from; null: any free one"),
  startTimeout: longDuration.prefault(DEFAULTS.process.startTimeout).describe("a replica not ready by then counts as failed"),
  drainTimeout: duration.prefault(DEFAULTS.process.drainTimeout).describe("longest wait for requests in flight before SIGTERM"),
  terminateGrace: duration.prefault(DEFAULTS.process.terminateGrace).describe("from SIGTERM to SIGKILL"),
  restartBackoff: z
    .strictObject({
      initial: longDuration.prefault(DEFAULTS.process.restartBackoff.initial).describe("before a failed replica is started again; doubles"),
      max: longDuration.prefault(DEFAULTS.process.restartBackoff.max).describe("never longer than this"),
    })
    .prefault({}),
});
const fixed = z.strictObject({
  kind: z.literal("static"),
  target,
  urls: z.array(httpUrl).min(1, { error: "is empty; name at least one replica's URL" }).describe("replicas that somebody else runs"),
});
const kubernetes = z.strictObject({
  kind: z.literal("kubernetes"),
  target,
  targets: z.record(z.string(), objectReference).prefault({}).describe("the object of each pool, where there are several"),
  namespace: text.optional().describe("of the objects; the endpoint's own where it is not said"),
  kubeconfig: text.optional().describe("a file; without it $KUBECONFIG, ~/.kube/config, or the service account of the pod"),
  context: text.optional().describe("of the kubeconfig; its current one where it is not said"),
  port: z
    .union([z.int().min(1).max(65535), text], {
      error: ({ input }) => (input === undefined ? undefined : "must be a port's number or name"),
    })
    .optional()
    .describe("where a replica answers; without it the port named http, else the first that a container states"),
  drainTimeout: duration.prefault(DEFAULTS.kubernetes.drainTimeout).describe("longest wait for requests in flight before a pod is let go"),
});
const platform = z.discriminatedUnion("kind", [process, fixed, kubernetes]).describe("what holds replicas and changes their number");

const price = z.strictObject({
  perReplicaHour: z
    .number()
    .min(0, { error: "is below 0; use 0 or more" })
    .default(DEFAULTS.price.perReplicaHour)
    .describe("of one replica with all its GPUs, in your currency"),
});

const bounds = {
  min: count.optional().describe(`fewest replicas; 0 lets the endpoint scale to zero. Default ${DEFAULTS.replicas.min}`),
  max: positive.optional().describe("most replicas: the ceiling of cost, without a default on purpose"),
  standby: count.default(DEFAULTS.replicas.standby).describe("replicas kept asleep, where the platform can"),
};
const replicas = z.strictObject(bounds);
const pool = z.strictObject({
  name: dnsName,
  role: z.enum(["serve", "prefill", "decode"]).default(DEFAULTS.pool.role),
  gpu: z.string().default(DEFAULTS.pool.gpu).describe("GPU type, such as a100-80g"),
  gpusPerReplica: count.default(DEFAULTS.pool.gpusPerReplica),
  spot: z.boolean().default(DEFAULTS.pool.spot).describe("may be taken away by the cloud"),
  price: price.prefault({}),
  ...bounds,
});

const prometheus = z.strictObject({
  url: httpUrl.describe("the server's base URL"),
  timeout: longDuration.prefault(DEFAULTS.prometheus.timeout).describe("of one query"),
  auth: z
    .strictObject({ bearerToken: secretSchema.optional(), username: text.optional(), password: secretSchema.optional() })
    .nullable()
    .default(null)
    .describe("bearerToken, or username with password; null: none"),
  tls: z
    .strictObject({
      caFile: text.nullable().default(null).describe("certificates to trust; null: the system's"),
      certFile: text.nullable().default(null).describe("our certificate, with keyFile"),
      keyFile: text.nullable().default(null),
      insecureSkipVerify: z.boolean().default(DEFAULTS.prometheus.insecureSkipVerify),
    })
    .prefault({}),
  queries: z.array(
    z.strictObject({
      signal: text.describe("one of our signals, or a name of your own for rules and manifests to use"),
      query: text.describe("PromQL that gives one value, or one for each replica"),
      replicaLabel: text.nullable().default(null).describe("the label that names the replica; null: one value for the endpoint"),
    }),
  ),
});

const signals = z.strictObject({
  scrapeInterval: longDuration.prefault(DEFAULTS.signals.scrapeInterval).describe("replicas' pages are read this often"),
  staleAfter: longDuration.prefault(DEFAULTS.signals.staleAfter).describe("a reading older than this counts as missing"),
});
const gateway = z.strictObject({
  maxHeld: count.default(DEFAULTS.gateway.maxHeld).describe("requests held while no replica is ready; one more is rejected"),
  holdTimeout: duration.prefault(DEFAULTS.gateway.holdTimeout).describe("longest time a request is held"),
  upstreamTimeout: longDuration
    .prefault(DEFAULTS.gateway.upstreamTimeout)
    .describe("longest silence of a replica; a request queued in its engine is silent too"),
  maxBody: bytes.prefault(DEFAULTS.gateway.maxBody).describe("largest request body"),
  attempts: positive.default(DEFAULTS.gateway.attempts).describe("at all, on different replicas, while no byte of the answer has come"),
  order: z
    .enum(["late-last", "fifo"])
    .default(DEFAULTS.gateway.order)
    .describe("who goes first where no replica has room: those that can still meet their time to first token, or who came first"),
  perReplica: z
    .strictObject({
      requests: positive.describe("in flight at once"),
      promptTokens: positive.describe("of streamed requests given and not yet prefilled"),
      promptTokensPerSecond: positive
        .nullable()
        .default(null)
        .describe("how fast a replica prefills, so that a prompt which takes too long counts as late in time; null: not known"),
    })
    .nullable()
    .default(null)
    .describe(
      "what one replica is given at most, over all gateways; the rest waits at the gateway. null: as the slo policy advises, else no bound",
    ),
  oldestEvery: positive
    .default(DEFAULTS.gateway.oldestEvery)
    .describe("of requests that waited at the gateway, one in so many is the one that has waited longest: nobody starves"),
  classes: z
    .record(text, z.enum(CLASS_ORDERS))
    .default({})
    .describe("by class (header x-tidegate-class): first or last among those on time, or fifo: never counts as late"),
});
const objective = z
  .strictObject({
    attainment: properShare.prefault(DEFAULTS.objective.attainment).describe("share of requests that meet both bounds"),
    timeToFirstToken: longDuration.prefault(DEFAULTS.objective.timeToFirstToken),
    timePerOutputToken: longDuration.prefault(DEFAULTS.objective.timePerOutputToken).describe("mean over a request's tokens"),
  })
  .prefault({})
  .describe("what users should experience");

/** A number, a duration for signals in seconds, or a percentage: read by the signal's unit where the rule is resolved. */
const level = z.union([z.number(), z.string()], {
  error: ({ input }) => (input === undefined ? undefined : "must be a number, or a duration or percentage in quotes"),
});
const rule = z
  .strictObject({
    signal: text.optional().describe("the signal that target or ceiling speaks of"),
    target: level.optional().describe("mean per ready replica to aim for, as HPA's AverageValue"),
    ceiling: level.optional().describe("the endpoint's signal should stay under this; may only raise the count"),
    maxStep: stepShare
      .optional()
      .describe(`most that a ceiling raises at a time, of the count. Default ${DEFAULTS.policy.ceiling.maxStep}`),
    saturation: z
      .strictObject({
        throughput: text.default(DEFAULTS.policy.saturation.throughput),
        below: properShare.prefault(DEFAULTS.policy.saturation.below).describe("of the best throughput seen per replica"),
        waiting: z
          .number()
          .gt(0, { error: "is not above 0; use 1 or more" })
          .default(DEFAULTS.policy.saturation.waiting)
          .describe("requests waiting per replica"),
        step: stepShare.prefault(DEFAULTS.policy.saturation.step).describe("raises by so much of the count"),
      })
      .optional()
      .describe("throughput stopped growing while requests wait"),
  })
  .describe("exactly one of: signal with target, signal with ceiling, saturation");

const scalingPolicies = z
  .array(
    z.strictObject({
      type: z.enum(["Pods", "Percent"]),
      value: positive,
      periodSeconds: z.int().min(1, { error: "is below 1; use 1 to 1800" }).max(1800, { error: "is above 1800; use 1 to 1800" }),
    }),
  )
  .min(1, { error: "is empty; leave it out for the default" });
const stabilization = z.int().min(0, { error: "is below 0; use 0 to 3600" }).max(3600, { error: "is above 3600; use 0 to 3600" });
const direction = (defaults: (typeof DEFAULTS.behavior)["scaleUp" | "scaleDown"]) =>
  z
    .strictObject({
      stabilizationWindowSeconds: stabilization.default(defaults.stabilizationWindowSeconds),
      selectPolicy: z.enum(["Max", "Min", "Disabled"]).default(DEFAULTS.behavior.selectPolicy),
      policies: scalingPolicies.default(defaults.policies.map((policy) => ({ ...policy }))),
    })
    .prefault({});

const announcedEvent = z
  .strictObject({
    name: text.optional(),
    cron: text.optional().describe("minute, hour, day of month, month, day of week: when it begins, again and again"),
    at: text.optional().describe("when it begins, once: 2026-12-01T09:00, local time in timezone unless it ends in an offset or Z"),
    timezone: text.prefault(DEFAULTS.policy.schedule.timezone).describe("IANA name, such as Europe/Berlin"),
    for: longDuration,
    replicas: positive.optional().describe("at least so many, of each role where pools have roles"),
    times: z
      .number()
      .gt(0, { error: "is not above 0; write for example 3" })
      .optional()
      .describe("so many times the load that there was before"),
  })
  .describe("one of cron and at, and one of replicas and times");

const policy = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("static"),
      replicas: z
        .union([count, z.record(z.string(), count)], {
          error: ({ input }) => (input === undefined ? undefined : "must be a count, or a count for each pool"),
        })
        .describe("a count, or one for each pool by name"),
    }),
    z.strictObject({
      kind: z.literal("signals"),
      rules: z.array(rule).min(1, { error: "is empty; give at least one rule, such as { signal: gpu_utilization, target: 75 }" }),
      tolerance: share
        .refine((value) => value >= 0 && value < 1, { error: "is not in [0, 1); write for example 0.1 or 10%" })
        .prefault(DEFAULTS.policy.signals.tolerance)
        .describe("relative deviation that changes nothing"),
      interval: longDuration.prefault(DEFAULTS.policy.signals.interval),
      behavior: z
        .strictObject({ scaleUp: direction(DEFAULTS.behavior.scaleUp), scaleDown: direction(DEFAULTS.behavior.scaleDown) })
        .prefault({})
        .describe("in HorizontalPodAutoscaler's words, with its defaults"),
      zeroAfter: durationOrNever.prefault(DEFAULTS.policy.signals.zeroAfter).describe("idle for so long goes to zero where min is 0"),
    }),
    z.strictObject({
      kind: z.literal("slo"),
      interval: longDuration.prefault(DEFAULTS.policy.slo.interval),
      coldStart: longDuration.prefault(DEFAULTS.policy.slo.coldStart).describe("assumed until the first one is measured"),
      zeroAfter: longDuration.prefault(DEFAULTS.policy.slo.zeroAfter).describe("idle for so long goes to zero where min is 0"),
      wakeUpPenalty: z
        .number()
        .refine((value) => value >= 0, { error: "is below 0; write GPU-minutes, for example 2.5" })
        .nullable()
        .default(DEFAULTS.policy.slo.wakeUpPenalty)
        .describe("GPU-minutes that one wake-up from zero is worth avoiding; the idle time is then learned, in place of zeroAfter"),
      schedule: z.array(announcedEvent).prefault([]).describe("what is known to come: it is prepared for one cold start ahead"),
    }),
    z.strictObject({
      kind: z.enum(DIALECT_KINDS),
      manifest: z
        .record(z.string(), z.unknown())
        .describe("that system's own document or parameters, as data; `tidegate import FILE` writes it for you"),
    }),
  ])
  .describe(
    "how the count is decided; where it is left out, by the manifest (HorizontalPodAutoscaler, ScaledObject, …) that names platform.target",
  );

const metadata = z.strictObject({
  name: dnsName,
  namespace: dnsName.default(DEFAULTS.namespace),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

export const endpointSchema = z
  .strictObject({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal("Endpoint"),
    metadata,
    spec: z.strictObject({
      model: text.describe("the value of `model` in requests that lead here"),
      engine,
      platform,
      replicas: replicas.optional().describe("bounds of the count; may be left out where a manifest gives them"),
      price: price.optional(),
      pools: z.array(pool).min(1, { error: "is empty; name at least one pool" }).optional().describe("in place of replicas and price"),
      objective,
      policy: policy.optional(),
      metrics: z.record(z.string(), text).prefault({}).describe("what a manifest calls a metric: the signal of ours that it is"),
      prometheus: prometheus.optional().describe("signals read from a Prometheus server"),
      signals: signals.prefault({}),
      gateway: gateway.prefault({}),
      dryRun: z.boolean().default(DEFAULTS.dryRun).describe("decide and record, but do not act"),
    }),
  })
  .meta({ title: "Endpoint", description: "one model behind one door" });

export const fleetSchema = z
  .strictObject({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal("Fleet"),
    metadata,
    spec: z.strictObject({
      gpus: z
        .union([positive, z.record(text, count)], {
          error: ({ input }) => (input === undefined ? undefined : "must be a number of GPUs, or one for each GPU type"),
        })
        .describe("GPUs that all endpoints together may take: a number, or one for each GPU type as the pools name it"),
      priorities: z.record(dnsName, z.int()).prefault({}).describe("by endpoint; who is not named has 0, the larger is served first"),
    }),
  })
  .meta({ title: "Fleet", description: "several endpoints under one budget of GPUs" });
export type FleetDocument = z.output<typeof fleetSchema>;

export type EndpointDocument = z.output<typeof endpointSchema>;
export type EndpointSpecDocument = EndpointDocument["spec"];
export type SecretReference = z.output<typeof secretSchema>;

/** Only its outline: the manifest itself is checked by `manifests`. */
const manifestOutline = z
  .looseObject({
    apiVersion: z.string(),
    kind: z.enum(MANIFEST_KINDS),
    metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
    spec: z.looseObject({}),
  })
  .meta({ title: "Manifest", description: "another autoscaler's document, as in its own API" });

/** JSON Schema (draft 2020-12) of one document of a config file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(z.union([endpointSchema, fleetSchema, manifestOutline]), { io: "input" });
  return { ...withoutSafeIntegers(schema), title: "Tidegate config" };
}

/** Zod states an integer's machine limits, which tell a writer nothing. */
function withoutSafeIntegers(value: object): Record<string, unknown> {
  return JSON.parse(
    JSON.stringify(value, (key, inner: unknown) =>
      (key === "maximum" || key === "minimum") && typeof inner === "number" && Math.abs(inner) === Number.MAX_SAFE_INTEGER
        ? undefined
        : inner,
    ),
  ) as Record<string, unknown>;
}
