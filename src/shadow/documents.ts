import { parseConfigDocuments } from "../config/index.ts";
import { importManifest, readerFor } from "../manifests/index.ts";
import { type Endpoint, isSignalName, messageOf, type SignalName } from "../model/index.ts";
import type { Autoscaler, FoundEngine, Terms } from "./words.ts";

/** One endpoint under two policies: ours, and the other's rules read from its object. */
export interface Pair {
  readonly ours: Endpoint;
  readonly theirs: Theirs;
}

/** `endpoint` null: the object's rules cannot be followed, and why. `unseen`: metrics that it follows and nothing here can read. */
export type Theirs =
  | { readonly endpoint: Endpoint; readonly unseen: readonly string[]; readonly why: null }
  | { readonly endpoint: null; readonly unseen: readonly string[]; readonly why: string };

/** Under which name the other's recomputed decisions are recorded. */
export const theirName = (name: string, kind: string): string => `${name}@${kind}`;

/**
 * The Endpoint that an autoscaler's target comes to. Both never act (`dryRun`).
 * @throws TidegateError `config/invalid` of terms that mean nothing
 */
export function pairOf(name: string, found: Autoscaler, engine: FoundEngine, terms: Terms): Pair {
  const rules = rulesOf(found);
  const prometheus =
    terms.prometheusUrl === undefined || rules.queries.length === 0
      ? {}
      : { prometheus: { url: terms.prometheusUrl, queries: rules.queries } };
  const shared = {
    model: engine.model,
    engine: {
      kind: engine.kind,
      metricsPath: engine.metricsPath,
      ...(terms.gpuMetrics === undefined ? {} : { gpuMetrics: terms.gpuMetrics }),
    },
    platform: {
      kind: "kubernetes",
      target: found.target,
      namespace: found.namespace,
      ...(terms.port === undefined ? {} : { port: terms.port }),
    },
    objective: {
      ...(terms.attainment === undefined ? {} : { attainment: terms.attainment }),
      ...(terms.timeToFirstToken === undefined ? {} : { timeToFirstToken: terms.timeToFirstToken }),
      ...(terms.timePerOutputToken === undefined ? {} : { timePerOutputToken: terms.timePerOutputToken }),
    },
    dryRun: true,
    metrics: rules.metrics,
    ...prometheus,
  };
  const endpoint = (policy: unknown, min: number, max: number): Endpoint => {
    const price = { perReplicaHour: terms.pricePerReplicaHour ?? engine.gpusPerReplica };
    const pool = { name: "default", gpusPerReplica: engine.gpusPerReplica, price, min, max };
    const spec = { ...shared, pools: [{ ...pool, ...(terms.gpu === undefined ? {} : { gpu: terms.gpu }) }], policy };
    const document = {
      apiVersion: "tidegate.dev/v1alpha1",
      kind: "Endpoint",
      metadata: { name: dnsName(name), namespace: found.namespace },
      spec,
    };
    const { endpoints } = parseConfigDocuments([document], { env: {}, name: `${found.title} in ${found.namespace}` });
    return endpoints[0] as Endpoint;
  };
  const slo = { kind: "slo", ...(terms.coldStart === undefined ? {} : { coldStart: terms.coldStart }) };
  const ours = { ...endpoint(slo, terms.min ?? found.min, terms.max ?? found.max), name };
  const queried = new Set(prometheus.prometheus?.queries.map(({ signal }) => signal));
  const isRead = (metric: string) => {
    const signal = rules.metrics[metric] ?? metric;
    return queried.has(metric) || (isSignalName(signal) && (terms.gpuMetrics !== undefined || !isOfGpu(signal)));
  };
  const unseen = rules.follows.filter((metric) => !isRead(metric));
  if (rules.policy === null) return { ours, theirs: { endpoint: null, unseen, why: rules.why } };
  try {
    const theirs = endpoint(rules.policy, found.min, found.max);
    return { ours, theirs: { endpoint: { ...theirs, name: theirName(name, theirs.policy.kind) }, unseen, why: null } };
  } catch (error) {
    return { ours, theirs: { endpoint: null, unseen, why: messageOf(error) } };
  }
}

interface Rules {
  readonly policy: unknown;
  readonly why: string;
  readonly metrics: Readonly<Record<string, string>>;
  readonly queries: readonly { readonly signal: string; readonly query: string }[];
  /** Metrics that it follows, by its own names. */
  readonly follows: readonly string[];
}

const isOfGpu = (signal: SignalName) => signal.startsWith("gpu_") || signal.endsWith("_active");

/** What stands in an imported document that matters here. */
interface ImportedSpec {
  readonly spec: {
    readonly metrics?: Readonly<Record<string, string>>;
    readonly prometheus?: { readonly queries: readonly { readonly signal: string; readonly query: string }[] };
    readonly policy: unknown;
  };
}

function rulesOf({ document }: Autoscaler): Rules {
  const none = { policy: null, metrics: {}, queries: [], follows: [] };
  const reader = readerFor(document);
  if (reader === undefined) return { ...none, why: "no reader knows this object" };
  const imported = importManifest(reader, document);
  if ("issues" in imported) return { ...none, why: imported.issues.map(({ path, message }) => `${path} ${message}`).join("; ") };
  const { spec } = imported.document as ImportedSpec;
  const read = reader.read(document);
  const metrics = spec.metrics ?? {};
  const rules = "issues" in read ? [] : reader.intent(read.manifest, read.target).intent.rules;
  const follows = [...new Set(rules.map(({ signal }) => signal))];
  return { policy: spec.policy, why: "", metrics, queries: spec.prometheus?.queries ?? [], follows };
}

/** What a config accepts as a name; what is recorded goes by the full one. */
const dnsName = (name: string) =>
  name
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 63)
    .replace(/-+$/, "") || "endpoint";
