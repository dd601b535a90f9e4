import { createMetrics, type Metrics } from "../controller/index.ts";
import type { History } from "../history/index.ts";
import { type Clock, type Endpoint, type Log, type Ms, messageOf, TidegateError } from "../model/index.ts";
import { createPlatform, type KubernetesApi, kubernetesPlatform, type PlatformStatus } from "../platforms/index.ts";
import type { ReadPage } from "../signals/index.ts";
import { followAutoscalers } from "./autoscalers.ts";
import { pairOf, type Theirs, theirName } from "./documents.ts";
import { pageReader, probe } from "./probe.ts";
import { startWatch, type Watch, type WatchView } from "./watch.ts";
import type { Autoscaler, FoundEngine, Skipped, Terms, Via } from "./words.ts";

/** A thing that is left as it was: asked again after so long. */
const laterMs: Ms = 30_000;
const neverMs: Ms = 600_000;

export interface Shadow {
  view(): ShadowView;
  readonly metrics: Metrics;
  /** Whether all that is watched was seen a moment ago. */
  healthy(): boolean;
  close(): Promise<void>;
}

export interface ShadowView {
  readonly startedAtMs: Ms;
  readonly atMs: Ms;
  readonly watched: readonly WatchView[];
  readonly skipped: readonly Skipped[];
  /** Why the list of autoscalers may be old; null: it is not. */
  readonly trouble: string | null;
}

interface Common {
  readonly history: History;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ClusterOptions extends Common {
  readonly api: KubernetesApi;
  /** null: the whole cluster. */
  readonly namespaces: readonly string[] | null;
  readonly terms: Terms;
  /** null: whatever works. */
  readonly via: Via | null;
  /** For tests. */
  readonly readDirectly?: ReadPage;
}

interface Candidate {
  autoscaler: Autoscaler;
  watch: Watch | null;
  skipped: string | null;
  /** When it is looked at again, where it is not watched. */
  dueMs: Ms;
  busy: boolean;
}

/**
 * Watches every HorizontalPodAutoscaler and ScaledObject whose pods are inference engines. Reads only.
 * @throws KubernetesError naming the right that is missing to list them
 */
export async function shadowCluster(options: ClusterOptions): Promise<Shadow> {
  const { api, clock, log, history } = options;
  const metrics = createMetrics();
  const startedAtMs = clock.now();
  const candidates = new Map<string, Candidate>();
  const closers: Promise<void>[] = [];
  let closed = false;
  const many = options.namespaces === null || options.namespaces.length > 1;
  const keyOf = ({ kind, namespace, name }: Autoscaler) => `${kind} ${namespace}/${name}`;

  function nameOf(autoscaler: Autoscaler): string {
    const { kind, namespace, name } = autoscaler;
    const twin = [...candidates.values()].some(
      (one) => one.autoscaler.kind !== kind && one.autoscaler.namespace === namespace && one.autoscaler.name === name,
    );
    return `${many ? `${namespace}/` : ""}${name}${twin && kind === "HorizontalPodAutoscaler" ? ".hpa" : ""}`;
  }

  const autoscalers = followAutoscalers({
    ...{ api, clock, log, namespaces: options.namespaces },
    onChange: () => {
      if (!closed) reconcile();
    },
  });

  function end(candidate: Candidate): void {
    if (candidate.watch !== null) closers.push(candidate.watch.close());
    candidate.watch = null;
  }

  function reconcile(): void {
    const all = autoscalers.all();
    const there = new Set(all.map(keyOf));
    for (const [key, candidate] of candidates) {
      if (there.has(key)) continue;
      log("info", `${candidate.autoscaler.title} in ${candidate.autoscaler.namespace} is gone`);
      end(candidate);
      candidates.delete(key);
    }
    for (const autoscaler of all) {
      const known = candidates.get(keyOf(autoscaler));
      if (known === undefined) {
        candidates.set(keyOf(autoscaler), { autoscaler, watch: null, skipped: null, dueMs: Number.NEGATIVE_INFINITY, busy: false });
        continue;
      }
      const isOther = known.autoscaler.version !== autoscaler.version;
      known.autoscaler = autoscaler;
      if (isOther) {
        log("info", `${autoscaler.title} in ${autoscaler.namespace} has changed: watched anew`);
        end(known);
        known.dueMs = Number.NEGATIVE_INFINITY;
      }
      known.watch?.said(autoscaler.status);
    }
    for (const candidate of candidates.values()) {
      if (candidate.watch === null && !candidate.busy && clock.now() >= candidate.dueMs) void begin(candidate);
    }
  }

  async function begin(candidate: Candidate): Promise<void> {
    candidate.busy = true;
    const { autoscaler } = candidate;
    try {
      const found = await probe(autoscaler, {
        ...{ api, log, via: options.via, port: options.terms.port },
        ...(options.readDirectly === undefined ? {} : { readDirectly: options.readDirectly }),
      });
      if (closed || candidate.autoscaler.version !== autoscaler.version) return;
      if (found.kind !== "engine") {
        candidate.skipped = found.reason;
        candidate.dueMs = clock.now() + (found.kind === "later" ? laterMs : neverMs);
        return;
      }
      candidate.watch = await watchOf(autoscaler, found.engine);
      candidate.skipped = null;
      candidate.watch.said(candidate.autoscaler.status);
      if (closed || !candidates.has(keyOf(autoscaler))) end(candidate);
    } catch (error) {
      candidate.skipped = messageOf(error);
      candidate.dueMs = clock.now() + laterMs;
    } finally {
      candidate.busy = false;
    }
  }

  async function watchOf(autoscaler: Autoscaler, engine: FoundEngine): Promise<Watch> {
    const name = nameOf(autoscaler);
    const pair = pairOf(name, autoscaler, engine, options.terms);
    // What it says of other writers is for those who would write.
    const quiet: Log = (level, message, fields) => log(level === "warn" ? "info" : level, message, fields);
    const platform = await kubernetesPlatform(pair.ours, { stateFolder: "", clock, log: quiet, mayAct: () => false, cluster: api });
    let pods: PlatformStatus["replicas"] = [];
    const looked = {
      ...platform,
      async status() {
        const status = await platform.status();
        pods = status.replicas;
        return status;
      },
    };
    const podAt = (host: string) => pods.find(({ url }) => url !== null && new URL(url).host === host)?.id ?? null;
    log("info", `${autoscaler.title} in ${autoscaler.namespace} is watched: ${engine.kind} serves ${engine.model}`);
    return startWatch({
      ...{ name, title: autoscaler.title, ...pair, platform: looked, history, metrics, clock, log },
      readPage: pageReader(api, autoscaler.namespace, engine.via, podAt, options.readDirectly),
    });
  }

  try {
    await autoscalers.first;
  } catch (error) {
    autoscalers.close();
    throw error;
  }
  let cancel = () => {};
  const again = () => {
    cancel = clock.after(1_000, () => {
      reconcile();
      again();
    });
  };
  again();

  const watches = () => [...candidates.values()].flatMap(({ watch }) => watch ?? []);
  return {
    metrics,
    view: () => ({
      ...{ startedAtMs, atMs: clock.now(), trouble: autoscalers.trouble() },
      watched: watches().map((watch) => watch.view()),
      skipped: [...candidates.values()].flatMap(({ autoscaler: { title, namespace }, watch, skipped }) =>
        watch !== null || skipped === null ? [] : [{ title, namespace, reason: skipped }],
      ),
    }),
    healthy: () => autoscalers.trouble() === null && watches().every((watch) => watch.healthy()),
    async close() {
      closed = true;
      cancel();
      autoscalers.close();
      for (const candidate of candidates.values()) end(candidate);
      await Promise.allSettled(closers);
    },
  };
}

export interface FilesOptions extends Common {
  /** Each with the policy of whoever sets its count; `slo` where nobody's is known. */
  readonly endpoints: readonly Endpoint[];
  /** The same endpoint under our own policy. */
  readonly oursOf: (endpoint: Endpoint) => Endpoint;
  readonly stateFolder: string;
}

/** Watches the endpoints of a config, whatever their platform: none of them is changed. */
export async function shadowFiles(options: FilesOptions): Promise<Shadow> {
  const { clock, log, history } = options;
  const metrics = createMetrics();
  const startedAtMs = clock.now();
  const watches: Watch[] = [];
  const close = async () => void (await Promise.allSettled(watches.map((watch) => watch.close())));
  try {
    for (const endpoint of options.endpoints) {
      if (endpoint.platform.kind === "process")
        throw new TidegateError(
          "usage",
          `endpoint ${endpoint.name} has platform process: its replicas are children of the tidegate that runs it. Shadow watches kubernetes and static; use \`tidegate controller --dry-run\` for this one`,
        );
      const ours: Endpoint = { ...options.oursOf(endpoint), dryRun: true };
      const platform = await createPlatform(ours, { stateFolder: options.stateFolder, clock, log, mayAct: () => false });
      const theirs: Theirs =
        endpoint.policy.kind === "slo"
          ? { endpoint: null, unseen: [], why: "the config states no rules but ours" }
          : { endpoint: { ...endpoint, name: theirName(endpoint.name, endpoint.policy.kind), dryRun: true }, unseen: [], why: null };
      const title = endpoint.policy.kind === "slo" ? "somebody else" : endpoint.policy.kind;
      watches.push(startWatch({ name: endpoint.name, title, ours, theirs, platform, history, metrics, clock, log }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    metrics,
    view: () => ({ startedAtMs, atMs: clock.now(), watched: watches.map((watch) => watch.view()), skipped: [], trouble: null }),
    healthy: () => watches.every((watch) => watch.healthy()),
    close,
  };
}
