import { createQuota, type EndpointView, type Metrics, type Point, type Runner, startRunner } from "../controller/index.ts";
import type { AutoscalerStatus, History } from "../history/index.ts";
import { type Clock, type Endpoint, type Log, type Ms, messageOf, type Series, TidegateError } from "../model/index.ts";
import type { Platform, PlatformStatus } from "../platforms/index.ts";
import { createPolicy } from "../policy/index.ts";
import { type Collector, createCollector, type ReadPage } from "../signals/index.ts";
import { agreementOf, type Said } from "./agreement.ts";
import type { Theirs } from "./documents.ts";
import { type Recompute, recompute } from "./recompute.ts";
import type { Agreement } from "./words.ts";

export interface WatchOptions {
  readonly name: string;
  /** Who sets the count, such as `HorizontalPodAutoscaler llm`. */
  readonly title: string;
  readonly ours: Endpoint;
  readonly theirs: Theirs;
  readonly platform: Platform;
  readonly readPage?: ReadPage;
  readonly history: History;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** One endpoint whose count somebody else sets. */
export interface Watch {
  readonly name: string;
  /** The other has said something of itself. */
  said(status: AutoscalerStatus): void;
  view(): WatchView;
  points(sinceMs: Ms): readonly Point[];
  healthy(): boolean;
  close(): Promise<void>;
}

export interface WatchView {
  readonly name: string;
  readonly title: string;
  readonly atMs: Ms;
  readonly endpoint: EndpointView;
  /** What the other says of itself; null: nothing, as of a list of URLs. */
  readonly autoscaler: AutoscalerStatus | null;
  /** What `slo` would set now, given the other's fleet; null: before its first decision. */
  readonly ours: { readonly replicas: number; readonly reason: string } | null;
  /** null: the other's rules cannot be followed, `why` says it. */
  readonly agreement: Agreement | null;
  readonly why: string | null;
  /** Why nothing can be decided; null: something can. */
  readonly blind: string | null;
}

/** Named in no policy's needs, and wanted by the report. */
const trafficNames = new Set(["finished", "running", "waiting", "prompt_tokens", "gen_tokens", "prefix_hits"]);
const keptHistograms = new Set(["ttft", "tpot", "itl"]);
const keptSaid = 2_000;

/**
 * The controller's own loop on somebody else's fleet: it observes, decides and records as it would, and changes nothing. What is observed
 * is observed once: the other's rules are followed on the same readings.
 */
export function startWatch(options: WatchOptions): Watch {
  const { name, title, ours, theirs, history, clock, metrics } = options;
  const policy = createPolicy(ours);
  const rules: Recompute | null = theirs.endpoint === null ? null : recompute(theirs.endpoint, history);
  const theirNeeds = theirs.endpoint === null ? [] : createPolicy(theirs.endpoint).needs;
  const needs = [...policy.needs, ...theirNeeds];
  const ofReplicas = new Set([...trafficNames, ...needs.filter(({ per }) => per !== "endpoint").map((need) => need.name)]);
  const isKept = ({ name: signal, subject, latest }: Series) =>
    subject.kind === "endpoint"
      ? typeof latest?.value !== "object" || keptHistograms.has(signal)
      : subject.kind !== "replica" || ofReplicas.has(signal);

  let seen: PlatformStatus | null = null;
  /** Set while the platform's last answer is not one. */
  let isOld = true;
  let series: readonly Series[] = [];
  let newest: AutoscalerStatus | null = null;
  let recorded = "";
  let broken: string | null = null;
  /** What the other stated, or, where it states nothing, the counts that were found. */
  const stated: Said[] = [];
  const state = (replicas: number | null) => {
    if (stated.at(-1)?.replicas === replicas) return;
    stated.push({ atMs: clock.now(), replicas });
    if (stated.length > keptSaid) stated.splice(0, stated.length - keptSaid);
  };
  const waiting: { readonly atMs: Ms; readonly status: AutoscalerStatus }[] = [];

  const platform = readOnly(options.platform, (status) => {
    isOld = status === null;
    if (status !== null) seen = status;
  });
  const collector = tapped(
    createCollector(ours, { clock, log: options.log, needs, ...(options.readPage === undefined ? {} : { readPage: options.readPage }) }),
    (read) => {
      series = read.filter(isKept);
      return series;
    },
  );
  const tried = (what: () => void) => {
    try {
      what();
      broken = null;
    } catch (error) {
      broken = messageOf(error);
    }
  };
  function flush(): void {
    for (let one = waiting[0]; one !== undefined; one = waiting[0]) {
      history.append(name, [{ kind: "autoscaler", atMs: one.atMs, ...one.status }]);
      waiting.shift();
    }
  }
  const runner: Runner = startRunner({
    ...{ endpoint: ours, policy, platform, collector, doors: [], history, clock, metrics, log: options.log, quota: createQuota(() => {}) },
    onLook() {
      const nowMs = clock.now();
      if (newest === null && seen !== null && !isOld) state(Object.values(seen.pools).reduce((sum, { wanted }) => sum + wanted, 0));
      tried(() => {
        flush();
        if (rules !== null && seen !== null && !isOld) rules.look(nowMs, seen, series);
      });
    },
  });

  function blindness(nowMs: Ms): string | null {
    if (broken !== null) return broken;
    const trouble = runner.view().trouble[0];
    if (trouble !== undefined) return trouble.text;
    if (seen === null) return "the cluster was not seen yet";
    if (!seen.replicas.some(({ state }) => state === "ready")) return null;
    const running = series.find((one) => one.name === "running" && one.subject.kind === "endpoint");
    const latest = running?.latest ?? null;
    if (latest !== null && nowMs - latest.atMs <= ours.staleAfterMs) return null;
    const code = running?.fault?.code;
    const since =
      latest === null ? "no reading of the engines yet" : `no reading of the engines for ${Math.round((nowMs - latest.atMs) / 1000)} s`;
    return code === undefined ? since : `${since} (${code})`;
  }

  return {
    name,
    said(status) {
      newest = status;
      const text = JSON.stringify(status);
      if (text === recorded) return;
      recorded = text;
      const atMs = clock.now();
      state(status.desired);
      waiting.push({ atMs, status });
    },
    view() {
      const nowMs = clock.now();
      const endpoint = runner.view();
      const decision = endpoint.decisions[0];
      const slackMs = rules === null ? 0 : intervalOf(rules.decided);
      return {
        ...{ name, title, atMs: nowMs, endpoint, autoscaler: newest },
        ours: decision === undefined ? null : { replicas: decision.to, reason: decision.reason },
        agreement: rules === null ? null : agreementOf(rules.decided, stated, slackMs),
        why: theirs.why ?? (theirs.unseen.length === 0 ? null : `cannot read ${theirs.unseen.join(", ")}`),
        blind: blindness(nowMs),
      };
    },
    points: (sinceMs) => runner.points(sinceMs),
    healthy: () => runner.healthy(),
    async close() {
      await runner.stop("leave");
      tried(() => {
        flush();
        rules?.save(clock.now());
      });
    },
  };
}

/** The usual time between two of them; HPA's own where there is nothing to tell from. */
export function intervalOf(decided: readonly { readonly atMs: Ms }[]): Ms {
  const gaps = decided.slice(1).map(({ atMs }, at) => atMs - (decided[at] as { atMs: Ms }).atMs);
  return gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 15_000;
}

/** What is seen of it is told; whatever would change it is refused. */
function readOnly(platform: Platform, onStatus: (status: PlatformStatus | null) => void): Platform {
  return {
    kind: platform.kind,
    acts: true,
    async status() {
      try {
        const status = await platform.status();
        onStatus(status);
        return status;
      } catch (error) {
        onStatus(null);
        throw error;
      }
    },
    scale: () => Promise.reject(new TidegateError("platform/refused", "tidegate shadow only watches: it changes no count")),
    drained() {},
    onChange: (listener) => platform.onChange(listener),
    close: () => platform.close("leave"),
  };
}

const tapped = (collector: Collector, through: (series: readonly Series[]) => readonly Series[]): Collector => ({
  targets: (replicas) => collector.targets(replicas),
  collect: (nowMs) => through(collector.collect(nowMs)),
  close: () => collector.close(),
});
