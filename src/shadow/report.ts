import type { EngineProfile } from "../engine/index.ts";
import { type Entry, type History, recordedTraffic } from "../history/index.ts";
import { readerOf } from "../manifests/index.ts";
import { type Endpoint, formatDuration, isSignalName, type Ms, messageOf, type Objective, TidegateError } from "../model/index.ts";
import { type Distribution, type Estimate, type FigureName, isMet } from "../simulator/index.ts";
import type { RecordedStretch } from "../traces/index.ts";
import { agreementOf, type Said, wantedBy } from "./agreement.ts";
import { type Simulated, simulateBeside } from "./counterfactual.ts";
import { type Measured, measure } from "./measured.ts";
import { intervalOf } from "./watch.ts";
import type { Agreement } from "./words.ts";

/** A figure that was both measured and simulated. */
export interface Check {
  readonly what: string;
  readonly unit: "hours" | "replicas" | "ms" | "share";
  /** A range where only that is known. */
  readonly measured: number | { readonly least: number; readonly most: number };
  readonly simulated: Estimate;
  readonly isNear: boolean;
}

/** What one endpoint's autoscaler did, what `slo` would have done, and what the difference costs. */
export interface ShadowReport {
  readonly name: string;
  readonly namespace: string;
  readonly model: string;
  /** Who sets the count. */
  readonly by: string;
  readonly objective: Objective;
  readonly pricePerReplicaHour: number;
  readonly gpusPerReplica: number;
  readonly bounds: { readonly min: number; readonly max: number };
  readonly measured: Measured;
  readonly traffic: {
    readonly requests: number;
    readonly promptTokens: number;
    readonly outputTokens: number;
    readonly from: "gateway" | "engines";
  };
  /** What arrived, in at most 300 stretches of equal length. */
  readonly demand: readonly { readonly atMs: Ms; readonly requestsPerSecond: number }[];
  /** Of the moments at which `slo` said something, given their fleet, how many it wanted more and fewer at. */
  readonly beside: { readonly more: number; readonly fewer: number; readonly same: number };
  /** null: `rulesWhy`. */
  readonly agreement: Agreement | null;
  /** Why the other's rules are not followed or not simulated; null: they are. */
  readonly rulesWhy: string | null;
  /** null: `simulatedWhy`. */
  readonly simulated: Simulated | null;
  readonly simulatedWhy: string | null;
  readonly checks: readonly Check[];
  /** Why what was seen is too little to go by; empty: it is enough. */
  readonly tooLittle: readonly string[];
  readonly verdict: string;
}

export interface ShadowReportOptions {
  readonly history: History;
  /** null: all. */
  readonly endpoint: string | null;
  readonly fromMs?: Ms;
  readonly toMs?: Ms;
  /** In place of what was recorded. */
  readonly objective?: Partial<Objective>;
  readonly pricePerReplicaHour?: number;
  /** @throws TidegateError `engine/profile` where nothing tells */
  readonly profileOf: (endpoint: Endpoint) => EngineProfile;
  /** Where too few were measured; undefined: what the policy assumes, with a usual spread. */
  readonly coldStart?: Distribution;
  /** 0: nothing is simulated. */
  readonly seeds: number;
  readonly onProgress?: (endpoint: string, share: number) => void;
}

const enough = { ms: 3_600_000, requests: 500 } as const;
const usualSigma = 0.25;

/** Reports of all that was watched. @throws TidegateError `usage` where nothing was */
export async function shadowReport(options: ShadowReportOptions): Promise<readonly ShadowReport[]> {
  const { history } = options;
  const recorded = history.endpoints();
  const names = recorded.filter((name) => !name.includes("@"));
  if (options.endpoint !== null && !names.includes(options.endpoint))
    throw new TidegateError(
      "usage",
      `no endpoint ${JSON.stringify(options.endpoint)} in ${history.file}; it holds ${names.join(", ") || "none"}`,
    );
  const reports: ShadowReport[] = [];
  for (const name of names) {
    if (options.endpoint !== null && name !== options.endpoint) continue;
    const report = await reportOf(name, recorded.find((other) => other.startsWith(`${name}@`)) ?? null, options);
    if (report !== null) reports.push(report);
  }
  if (reports.length === 0)
    throw new TidegateError("usage", `${history.file} holds no decision of an endpoint yet; let tidegate shadow run for a while first`);
  return reports;
}

async function reportOf(name: string, rulesName: string | null, options: ShadowReportOptions): Promise<ShadowReport | null> {
  const { history } = options;
  const range = {
    ...(options.fromMs === undefined ? {} : { fromMs: options.fromMs }),
    ...(options.toMs === undefined ? {} : { toMs: options.toMs }),
  };
  const entries = () => history.entries(name, range);
  const recorded = endpointOf(history, name);
  const [pool] = recorded?.pools ?? [];
  if (recorded === null || pool === undefined) return null;
  const price = options.pricePerReplicaHour ?? pool.pricePerReplicaHour;
  const ours: Endpoint = {
    ...recorded,
    objective: { ...recorded.objective, ...options.objective },
    pools: recorded.pools.map((one) => ({ ...one, pricePerReplicaHour: price })),
  };
  const measured = measure(entries(), ours.objective, { gpus: pool.gpusPerReplica, price });
  if (measured === null) return null;
  const stretches = [...recordedTraffic(entries)];
  const traffic = trafficOf(stretches, hasLedger(entries()));
  const rules = rulesName === null ? null : endpointOf(history, rulesName);
  const recomputed = rulesName === null ? [] : decisionsOf(history.entries(rulesName, range));
  // Who states nothing is taken by what was found.
  const stated: readonly Said[] =
    measured.stated.length > 0
      ? measured.stated.map(({ atMs, status }) => ({ atMs, replicas: status.desired }))
      : measured.fleet.map(({ atMs, wanted }) => ({ atMs, replicas: wanted }));
  const agreement = rules === null ? null : agreementOf(recomputed, stated, intervalOf(recomputed));
  const blindTo = rules === null ? [] : unsimulated(rules);
  const rulesWhy =
    rules === null
      ? "their rules were not followed: they were not understood, or none were stated"
      : blindTo.length > 0
        ? `their rules follow ${blindTo.join(", ")}, which no engine model has: their recorded counts stand for them`
        : null;
  const theirs: Endpoint | null =
    rules === null || blindTo.length > 0
      ? null
      : { ...rules, objective: ours.objective, pools: rules.pools.map((one) => ({ ...one, pricePerReplicaHour: price })) };
  let simulated: Simulated | null = null;
  let simulatedWhy: string | null = null;
  if (options.seeds === 0) simulatedWhy = "nothing was asked to be simulated";
  else if (traffic.requests === 0) simulatedWhy = "no request was counted, so there is no demand to simulate";
  else if (ours.pools.length > 1) simulatedWhy = "endpoints of several pools are not simulated yet";
  else {
    try {
      const medianMs = ours.policy.kind === "slo" ? ours.policy.spec.coldStartMs : 60_000;
      simulated = await simulateBeside({
        ...{ ours, theirs, measured, stretches, profile: options.profileOf(ours), seeds: options.seeds },
        coldStart: options.coldStart ?? { medianMs, sigma: usualSigma },
        onProgress: (share) => options.onProgress?.(name, share),
      });
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      simulatedWhy = messageOf(error);
    }
  }
  const checks = simulated === null ? [] : checksOf(measured, simulated);
  const report = {
    ...{ name, namespace: ours.namespace, model: ours.model, objective: ours.objective, pricePerReplicaHour: price },
    by: measured.stated.at(-1)?.status.by ?? "somebody else",
    gpusPerReplica: pool.gpusPerReplica,
    bounds: { min: pool.min, max: pool.max },
    ...{ measured, traffic, agreement, rulesWhy, simulated, simulatedWhy, checks },
    beside: besideOf(measured),
    demand: demandOf(stretches, measured),
    tooLittle: littleOf(measured, traffic.requests),
  };
  return { ...report, verdict: verdictOf(report) };
}

/** As it was when last begun. */
function endpointOf(history: History, name: string): Endpoint | null {
  const start = history.latest(name, "start", 1)[0] ?? history.latest(name, "snapshot", 1)[0];
  return start !== undefined && "endpoint" in start ? start.endpoint : null;
}

function decisionsOf(entries: Iterable<Entry>): readonly Said[] {
  const said: Said[] = [];
  for (const entry of entries) if (entry.kind === "decision") said.push(wantedBy(entry));
  return said;
}

function hasLedger(entries: Iterable<Entry>): boolean {
  for (const entry of entries) if (entry.kind === "decision" && entry.observation.slots !== null) return true;
  return false;
}

function trafficOf(stretches: readonly RecordedStretch[], ledger: boolean): ShadowReport["traffic"] {
  const tokens = (of: "promptTokens" | "outputTokens") =>
    stretches.reduce((sum, { requests, [of]: sizes }) => sum + requests * (sizes.kind === "mean" ? sizes.tokens : 0), 0);
  return {
    requests: stretches.reduce((sum, { requests }) => sum + requests, 0),
    promptTokens: Math.round(tokens("promptTokens")),
    outputTokens: Math.round(tokens("outputTokens")),
    from: ledger ? "gateway" : "engines",
  };
}

function demandOf(stretches: readonly RecordedStretch[], { fromMs, toMs }: Measured): ShadowReport["demand"] {
  const stepMs = Math.max(10_000, Math.ceil((toMs - fromMs) / 300 / 1000) * 1000);
  const sums = new Array<number>(Math.max(1, Math.ceil((toMs - fromMs) / stepMs))).fill(0);
  for (const { atMs, requests } of stretches) {
    const at = Math.min(sums.length - 1, Math.max(0, Math.floor((atMs - fromMs) / stepMs)));
    sums[at] = (sums[at] as number) + requests;
  }
  return sums.map((requests, at) => {
    const lengthMs = Math.max(1, Math.min(stepMs, toMs - fromMs - at * stepMs));
    return { atMs: fromMs + at * stepMs, requestsPerSecond: (requests * 1000) / lengthMs };
  });
}

/** Metrics that only the real world has. */
function unsimulated({ policy, metrics }: Endpoint): readonly string[] {
  if (!("manifest" in policy)) return [];
  const { rules } = readerOf(policy.kind).intent(policy.manifest, null).intent;
  return [...new Set(rules.map(({ signal }) => signal).filter((signal) => !isSignalName(metrics[signal] ?? signal)))];
}

function besideOf({ ours, fleet, toMs }: Measured): ShadowReport["beside"] {
  const total = { more: 0, fewer: 0, same: 0 };
  const moments = [...new Set([...ours.map(({ atMs }) => atMs), ...fleet.map(({ atMs }) => atMs)])].sort((a, b) => a - b);
  moments.forEach((atMs, at) => {
    const wanted = fleet.findLast((one) => one.atMs <= atMs)?.wanted;
    const replicas = ours.findLast((one) => one.atMs <= atMs)?.replicas ?? null;
    if (wanted === undefined || replicas === null) return;
    const lengthMs = (moments[at + 1] ?? toMs) - atMs;
    total[replicas > wanted ? "more" : replicas < wanted ? "fewer" : "same"] += lengthMs;
  });
  const all = total.more + total.fewer + total.same;
  return all === 0 ? total : { more: total.more / all, fewer: total.fewer / all, same: total.same / all };
}

function checksOf(measured: Measured, { contenders }: Simulated): readonly Check[] {
  const [recorded, rules] = (["recorded", "rules"] as const).map((wanted) => contenders.find(({ name }) => name === wanted));
  const checks: Check[] = [];
  const within = (a: number, b: number, share: number) => Math.abs(a - b) <= share * Math.max(a, b);
  const add = (
    what: string,
    unit: Check["unit"],
    value: number | null | undefined,
    simulated: Estimate | undefined,
    share: number,
    least = 0,
  ) => {
    if (value === null || value === undefined || simulated === undefined || simulated.mean === null) return;
    const isNear = within(value, simulated.mean, share) || Math.abs(value - simulated.mean) <= least;
    checks.push({ what, unit, measured: value, simulated, isNear });
  };
  const of = (name: FigureName) => recorded?.figures[name];
  add("GPU-hours of the recorded counts", "hours", measured.gpuHours, of("gpuHours"), 0.1);
  add("ready replicas of the recorded counts, on average", "replicas", measured.readyMean, of("readyMean"), 0.1, 0.25);
  add("time to first token, p50", "ms", measured.ttft?.p50Ms, of("ttftP50Ms"), 0.4, 20);
  add("time to first token, p95", "ms", measured.ttft?.p95Ms, of("ttftP95Ms"), 0.4, 50);
  add("time per output token, p50", "ms", measured.tpot?.p50Ms, of("tpotP50Ms"), 0.3, 3);
  add("time per output token, p95", "ms", measured.tpot?.p95Ms, of("tpotP95Ms"), 0.3, 5);
  const share = of("attainment");
  if (measured.attainment !== null && share !== undefined && share.mean !== null) {
    const { least, most } = measured.attainment;
    checks.push({
      what: "requests within the objective",
      unit: "share",
      measured: measured.attainment,
      simulated: share,
      isNear: share.mean >= least - 0.02 && share.mean <= most + 0.02,
    });
  }
  add("GPU-hours of their rules", "hours", measured.gpuHours, rules?.figures.gpuHours, 0.1);
  add("ready replicas of their rules, on average", "replicas", measured.readyMean, rules?.figures.readyMean, 0.1, 0.25);
  add("changes of the count by their rules", "replicas", measured.ups + measured.downs, rules?.figures.scaleEvents, 0.3, 2);
  return checks;
}

function littleOf(measured: Measured, requests: number): readonly string[] {
  const lengthMs = measured.toMs - measured.fromMs;
  return [
    ...(lengthMs < enough.ms
      ? [`only ${formatDuration(Math.round(lengthMs / 1000) * 1000)} were watched; a day shows a day's course, a week its weekend`]
      : []),
    ...(requests < enough.requests ? [`only ${requests} requests were counted`] : []),
    ...(measured.ups + measured.downs === 0 ? ["the count never changed, so nothing shows how they scale"] : []),
  ];
}

const estimated = ({ mean, halfWidth }: Estimate, digits: number, factor = 1, unit = "") =>
  mean === null
    ? "–"
    : `${(factor * mean).toFixed(digits)}${halfWidth === null ? "" : ` ± ${(factor * halfWidth).toFixed(digits)}`}${unit}`;

function verdictOf({ simulated, simulatedWhy, checks, tooLittle, by, objective }: Omit<ShadowReport, "verdict">): string {
  const little = tooLittle.length === 0 ? "" : `Too little was seen to go by: ${tooLittle.join("; ")}. `;
  if (simulated === null) return `${little}What slo would have cost is not known: ${simulatedWhy}.`;
  const [theirs, slo] = (["recorded", "slo"] as const).map((wanted) => simulated.contenders.find(({ name }) => name === wanted)?.figures);
  const saved = simulated.difference.gpuHours.mean ?? 0;
  const base = theirs?.gpuHours.mean ?? 0;
  const isClear = simulated.difference.gpuHours.halfWidth === null || Math.abs(saved) > simulated.difference.gpuHours.halfWidth;
  const change = base === 0 ? "" : ` (${Math.abs((100 * saved) / base).toFixed(0)} % ${saved < 0 ? "less" : "more"})`;
  const cost = isClear
    ? `In the simulator, slo takes ${estimated(slo?.gpuHours as Estimate, 2)} GPU-hours where the counts of ${by} take ${estimated(theirs?.gpuHours as Estimate, 2)}${change}: ${estimated(simulated.difference.cost, 2)} in money`
    : `In the simulator, slo and the counts of ${by} cost the same within the luck of the seeds (${estimated(simulated.difference.gpuHours, 2)} GPU-hours)`;
  const reach = `${estimated(slo?.attainment as Estimate, 2, 100, " %")} of requests within the objective against ${estimated(theirs?.attainment as Estimate, 2, 100, " %")}`;
  const [weMeet, theyMeet] = [slo, theirs].map((figures) => isMet(figures?.attainment.mean ?? null, objective.attainment));
  const met =
    weMeet && theyMeet
      ? "both meet the objective"
      : weMeet
        ? "slo meets the objective and they miss it"
        : theyMeet
          ? "slo misses the objective and they meet it"
          : "both miss the objective";
  return `${little}${cost}, with ${reach}: ${met} of ${Number((100 * objective.attainment).toFixed(2))} %. ${trustOf(checks)}`;
}

/** How far the figures may be relied upon: those of cost, and those of latency. */
function trustOf(checks: readonly Check[]): string {
  const far = (units: readonly Check["unit"][]) =>
    checks.filter(({ unit, isNear }) => !isNear && units.includes(unit)).map(({ what }) => what);
  const [cost, latency] = [far(["hours", "replicas"]), far(["ms", "share"])];
  const all = [...cost, ...latency];
  if (all.length === 0) return `The simulation of what they did is near what was measured (${checks.length} of ${checks.length} checks).`;
  const off = `the simulation of what they did is off what was measured in ${all.length} of ${checks.length} checks (${all.join("; ")})`;
  if (cost.length === 0) return `Rely on the cost, and not yet on the share within the objective: ${off}.`;
  return `Do not rely on it yet: ${off}.`;
}
