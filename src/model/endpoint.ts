import type { Pool } from "./replica.ts";
import type { Json, Ms } from "./time.ts";

export type EngineKind =
  | "vllm"
  | "sglang"
  | "tgi"
  | "trtllm"
  | "triton"
  | "nim"
  | "llamacpp"
  | "ollama"
  | "lmdeploy"
  | "emulated"
  | "other";

/** Share of requests whose time to first token and mean time per output token are both under their bounds. */
export interface Objective {
  /** In (0, 1). */
  readonly attainment: number;
  readonly timeToFirstTokenMs: Ms;
  readonly timePerOutputTokenMs: Ms;
}

/** Where a real or emulated engine answers; paths are joined to the replica's URL. */
export interface EngineSpec {
  readonly kind: EngineKind;
  /** GET answers 2xx once the engine serves. */
  readonly healthPath: string;
  /** Prometheus text page of the engine; null: none. */
  readonly metricsPath: string | null;
  /** A DCGM exporter's page: a full URL, or a path on the replica; null: none. */
  readonly gpuMetrics: string | null;
}

/** Local child processes. `{port}`, `{host}`, `{id}`, `{index}` and `{model}` in `command` and `env` are filled in per replica. */
export interface ProcessPlatformSpec {
  readonly kind: "process";
  readonly target: Target | null;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | null;
  readonly host: string;
  /** First and last port to try; null: any free port. */
  readonly ports: readonly [number, number] | null;
  /** A replica not ready by then counts as failed. */
  readonly startTimeoutMs: Ms;
  /** Longest wait for requests in flight before SIGTERM. */
  readonly drainTimeoutMs: Ms;
  /** From SIGTERM to SIGKILL. */
  readonly terminateGraceMs: Ms;
  /** First delay before a failed replica is started again; doubles up to `maxMs`. */
  readonly restartBackoff: { readonly initialMs: Ms; readonly maxMs: Ms };
}

/** Replicas that somebody else runs: routed to and watched; their number is only recommended. */
export interface StaticPlatformSpec {
  readonly kind: "static";
  readonly target: Target | null;
  readonly urls: readonly string[];
}

/** Objects with a scale subresource in a Kubernetes cluster. */
export interface KubernetesPlatformSpec {
  readonly kind: "kubernetes";
  /** Of an endpoint with one pool. */
  readonly target: Target | null;
  /** By pool, where there are several. */
  readonly targets: Readonly<Record<string, Target>>;
  /** null: the endpoint's own. */
  readonly namespace: string | null;
  /** null: as kubectl finds it, or the pod's service account. */
  readonly kubeconfig: string | null;
  /** Of the kubeconfig; null: its current one. */
  readonly context: string | null;
  /** Where a replica answers: a number, or the name of a container's port; null: the port named `http`, else the first. */
  readonly port: number | string | null;
  /** Longest wait for requests in flight before a pod is let go. */
  readonly drainTimeoutMs: Ms;
}
export type PlatformSpec = ProcessPlatformSpec | StaticPlatformSpec | KubernetesPlatformSpec;

/** The object that a manifest's scaleTargetRef names. */
export interface Target {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** What of it is counted, where it counts several things: a RayCluster's worker group, a component, a role. */
  readonly part?: string | undefined;
}

/** Other systems' ways of deciding; one folder each in `policy/dialects`. */
export const DIALECT_KINDS = [
  "hpa",
  "keda",
  "kpa",
  "ray-serve",
  "aws",
  "azure",
  "gcp",
  "aibrix",
  "llm-d",
  "dynamo",
  "sageserve",
  "skyserve",
  "chiron",
  "kthena",
] as const;
export type DialectKind = (typeof DIALECT_KINDS)[number];

/**
 * What another autoscaler's file says, after validation and defaulting, as JSON in that system's own words. For a Kubernetes
 * object its name, namespace, annotations and spec; for other files `spec` is the file's content.
 */
export interface Manifest {
  readonly name: string;
  readonly namespace: string;
  /** Annotations that mean something to the dialect. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: { readonly [key: string]: Json | undefined };
}

export type PolicySpec =
  | { readonly kind: "static"; readonly replicas: Readonly<Record<string, number>> }
  | { readonly kind: DialectKind; readonly manifest: Manifest }
  | { readonly kind: "signals"; readonly spec: SignalsPolicySpec }
  | { readonly kind: "slo"; readonly spec: SloPolicySpec };

/** HPA's behavior of one direction, defaulted. */
export interface ScalingRules {
  readonly stabilizationWindowMs: Ms;
  readonly selectPolicy: "Max" | "Min" | "Disabled";
  readonly policies: readonly { readonly type: "Pods" | "Percent"; readonly value: number; readonly periodMs: Ms }[];
}

/**
 * Rules over signals, combined as in HPA (the largest wins):
 * - `target`: replicas × mean over ready replicas / value, as HPA's AverageValue.
 * - `ceiling`: the endpoint's signal should stay under `value`; may only raise the count, by at most `maxStep` of itself at a time.
 * - `saturation`: tokens per second that stopped growing (under `below` of the best seen per replica) while at least `waiting`
 *   requests per replica wait: raises by one `step` of the count.
 */
export type SignalRule =
  | { readonly kind: "target"; readonly signal: string; readonly value: number }
  | { readonly kind: "ceiling"; readonly signal: string; readonly value: number; readonly maxStep: number }
  | { readonly kind: "saturation"; readonly throughput: string; readonly below: number; readonly waiting: number; readonly step: number };

export interface SignalsPolicySpec {
  readonly rules: readonly SignalRule[];
  readonly tolerance: number;
  readonly intervalMs: Ms;
  readonly scaleUp: ScalingRules;
  readonly scaleDown: ScalingRules;
  /** Idle for so long (no arrivals, nothing in flight) goes to zero where `min` is 0; null: never. */
  readonly zeroAfterMs: Ms | null;
}

/** A time from which, for `forMs`, there shall be so many replicas at least, or `times` the load there was. One of `cron` and `atMs`. */
export interface AnnouncedEvent {
  readonly name: string;
  /** Minute, hour, day of month, month, day of week, in `timeZone` (an IANA name). */
  readonly cron: string | null;
  readonly atMs: Ms | null;
  readonly timeZone: string;
  readonly forMs: Ms;
  readonly replicas: number | null;
  readonly times: number | null;
}

/** Every knob has a default that is meant to stay. */
export interface SloPolicySpec {
  readonly intervalMs: Ms;
  /** Cold start assumed until the first one is measured. */
  readonly coldStartMs: Ms;
  /** Idle for so long goes to zero where `min` is 0. */
  readonly zeroAfterMs: Ms;
  /** What waking up from zero is worth avoiding, in GPU time: the idle time is then learned from pauses; null: `zeroAfterMs` it is. */
  readonly wakeUpPenaltyGpuMs: Ms | null;
  /** What is known to come. */
  readonly schedule: readonly AnnouncedEvent[];
}

/** Series read from a Prometheus server: `query` gives one value (per endpoint) or one per value of `replicaLabel`. */
export interface PrometheusQuery {
  readonly signal: string;
  readonly query: string;
  readonly replicaLabel: string | null;
}
export interface PrometheusSpec {
  readonly url: string;
  readonly timeoutMs: Ms;
  readonly bearerToken: string | null;
  readonly basic: { readonly username: string; readonly password: string } | null;
  readonly tls: {
    readonly caFile: string | null;
    readonly certFile: string | null;
    readonly keyFile: string | null;
    readonly insecureSkipVerify: boolean;
  };
  readonly queries: readonly PrometheusQuery[];
}

/** One model behind one door, as the config says it, every default filled in. Names are unique within a process. */
export interface Endpoint {
  readonly name: string;
  readonly namespace: string;
  readonly model: string;
  readonly engine: EngineSpec;
  readonly platform: PlatformSpec;
  readonly pools: readonly Pool[];
  readonly objective: Objective;
  readonly policy: PolicySpec;
  /** A manifest's metric name → our signal's name. */
  readonly metrics: Readonly<Record<string, string>>;
  readonly prometheus: PrometheusSpec | null;
  /** Pages of replicas are read this often; a sample older than `staleAfterMs` is stale. */
  readonly scrapeEveryMs: Ms;
  readonly staleAfterMs: Ms;
  readonly gateway: DoorLimits;
  /** Decide and record, but do not act. */
  readonly dryRun: boolean;
}

/** Several endpoints under one budget of GPUs. */
export interface Fleet {
  readonly name: string;
  /** In all, or by GPU type as the pools name it; a type that is not named has no budget. */
  readonly gpus: number | Readonly<Record<string, number>>;
  /** By endpoint; who is not named has 0. The larger is served first. */
  readonly priorities: Readonly<Record<string, number>>;
}

/** What the gateway may do with requests of an endpoint. */
export interface DoorLimits {
  /** Requests held while no replica is ready; one more is rejected (503, retry-after). */
  readonly maxHeld: number;
  readonly holdTimeoutMs: Ms;
  /** Longest silence of a replica before and within an answer. */
  readonly upstreamTimeoutMs: Ms;
  /** Largest request body in bytes. */
  readonly maxBodyBytes: number;
  /** Attempts at all, on different replicas, while no byte of the answer has come. */
  readonly attempts: number;
  /** Absent in what was recorded before there was a bound: none. */
  readonly order?: DoorOrder | undefined;
}

/** Who goes first, and how much each replica is given, where requests come faster than they are served. */
export interface DoorOrder {
  /**
   * - `late-last`: requests that can still meet their bound on time to first token, then those that cannot, each by arrival. Where no bound
   *   is known there is no choice: each goes to a replica as it arrives, and waits in its engine.
   * - `fifo`: by arrival; the policy's advice on the bound is not followed.
   */
  readonly kind: "late-last" | "fifo";
  /** Per replica over all gateways; null: as the policy advises (`Decision.door`). */
  readonly perReplica: DoorBound | null;
  /** Of those that go, one in so many is the one that has waited longest. 1: strictly by arrival. */
  readonly oldestEvery: number;
  /** A class that is not named is of the plain ones in the middle. */
  readonly classes: Readonly<Record<string, ClassOrder>>;
}

/** `first` and `last` among those on time; `fifo`: never counts as late, so that it goes by arrival alone. */
export const CLASS_ORDERS = ["first", "last", "fifo"] as const;
export type ClassOrder = (typeof CLASS_ORDERS)[number];

/** What one replica may be given before a request waits at the door instead. */
export interface DoorBound {
  readonly maxInFlight: number;
  /** Of prompts given and not yet prefilled: one more goes while they are fewer. Counts streamed requests, of which the first token shows. */
  readonly maxPromptTokens: number;
  /** At which a replica prefills; null: not known, a prompt's own prefill is then not reckoned with. */
  readonly promptTokensPerSecond: number | null;
}
