import type { Ending, Finished } from "../ledger/index.ts";
import type { Ms } from "../model/index.ts";
import type { FleetState } from "./fleet.ts";
import { LogHistogram } from "./log-histogram.ts";
import type { Figures, Latencies, LatencySummary, Minutes } from "./result.ts";

const minuteMs: Ms = 60_000;
const hourMs: Ms = 3_600_000;

/** What is counted between two boundaries. */
class Stretch {
  arrived = 0;
  completed = 0;
  failed = 0;
  cancelled = 0;
  rejected = 0;
  promptTokens = 0;
  outputTokens = 0;
  within = 0;
  held = 0;
  retries = 0;
  gpuMs = 0;
  cost = 0;
  readyMs = 0;
  scaleUps = 0;
  scaleDowns = 0;
  reversals = 0;
  readonly ttft = new LogHistogram();
  readonly tpot = new LogHistogram();
  readonly e2e = new LogHistogram();

  add(other: Stretch): void {
    for (const key of additive) this[key] += other[key];
    for (const key of ["ttft", "tpot", "e2e"] as const) this[key].merge(other[key]);
  }
}
const additive = [
  "arrived",
  "completed",
  "failed",
  "cancelled",
  "rejected",
  "promptTokens",
  "outputTokens",
  "within",
  "held",
  "retries",
  "gpuMs",
  "cost",
  "readyMs",
  "scaleUps",
  "scaleDowns",
  "reversals",
] as const satisfies readonly (keyof Stretch)[];

/** One row of `Minutes`; replicas as time-weighted sums. */
interface Minute {
  arrivals: number;
  promptTokens: number;
  outputTokens: number;
  ended: number;
  within: number;
  watchedMs: Ms;
  wantedMs: number;
  startingMs: number;
  readyMs: number;
  drainingMs: number;
  standbyMs: number;
  queue: number;
}
const emptyMinute = (): Minute => ({
  arrivals: 0,
  promptTokens: 0,
  outputTokens: 0,
  ended: 0,
  within: 0,
  watchedMs: 0,
  wantedMs: 0,
  startingMs: 0,
  readyMs: 0,
  drainingMs: 0,
  standbyMs: 0,
  queue: 0,
});

export interface RecorderSettings {
  readonly warmupMs: Ms;
  readonly splitMs: Ms | null;
  readonly reversalMs: Ms;
  /** Share of requests that should meet the objective. */
  readonly attainment: number;
}

/** Adds up what happens. Requests count where they arrived, money where it was spent; nothing after `end` is counted. */
export class Recorder {
  private readonly settings: RecorderSettings;
  /** Before the warm-up is over, before the split, after it. */
  private readonly stretches = [new Stretch(), new Stretch(), new Stretch()] as const;
  private readonly minutes: Minute[] = [];
  private state: FleetState = { wanted: 0, starting: 0, ready: 0, draining: 0, standby: 0, gpus: 0, costPerHour: 0 };
  private accruedMs: Ms = 0;
  private readonly lastChange = new Map<string, { readonly atMs: Ms; readonly isUp: boolean }>();
  /** When figures end; Infinity while nobody knows. */
  endMs: Ms = Number.POSITIVE_INFINITY;
  decisions = 0;

  constructor(settings: RecorderSettings) {
    this.settings = settings;
  }

  private at(ms: Ms): Stretch {
    const { warmupMs, splitMs } = this.settings;
    return this.stretches[ms < warmupMs ? 0 : splitMs === null || ms < splitMs ? 1 : 2];
  }

  private minute(ms: Ms): Minute {
    const at = Math.floor(ms / minuteMs);
    while (this.minutes.length <= at) this.minutes.push(emptyMinute());
    return this.minutes[at] as Minute;
  }

  arrived(atMs: Ms, promptTokens: number, outputTokens: number): void {
    const stretch = this.at(atMs);
    stretch.arrived++;
    stretch.promptTokens += promptTokens;
    const minute = this.minute(atMs);
    minute.arrivals++;
    minute.promptTokens += promptTokens;
    minute.outputTokens += outputTokens;
  }

  held(arrivedMs: Ms): void {
    this.at(arrivedMs).held++;
  }

  retried(arrivedMs: Ms): void {
    this.at(arrivedMs).retries++;
  }

  ended(arrivedMs: Ms, ending: Ending, finished: Finished, outputTokens: number): void {
    const stretch = this.at(arrivedMs);
    stretch[ending]++;
    stretch.outputTokens += outputTokens;
    if (finished.ttftMs !== null) stretch.ttft.add(finished.ttftMs);
    if (ending === "cancelled") return;
    const minute = this.minute(arrivedMs);
    minute.ended++;
    if (ending !== "completed") return;
    stretch.e2e.add(finished.e2eMs);
    if (finished.tpotMs !== null) stretch.tpot.add(finished.tpotMs);
    if (!finished.withinObjective) return;
    stretch.within++;
    minute.within++;
  }

  /** The fleet has been as it was up to now. To be called at every boundary of a minute and of a stretch. */
  accrue(nowMs: Ms): void {
    const toMs = Math.min(nowMs, this.endMs);
    const elapsedMs = toMs - this.accruedMs;
    if (elapsedMs <= 0) return;
    const { state } = this;
    const stretch = this.at(this.accruedMs);
    stretch.gpuMs += state.gpus * elapsedMs;
    stretch.cost += (state.costPerHour * elapsedMs) / hourMs;
    stretch.readyMs += state.ready * elapsedMs;
    const minute = this.minute(this.accruedMs);
    minute.watchedMs += elapsedMs;
    minute.wantedMs += state.wanted * elapsedMs;
    minute.startingMs += state.starting * elapsedMs;
    minute.readyMs += state.ready * elapsedMs;
    minute.drainingMs += state.draining * elapsedMs;
    minute.standbyMs += state.standby * elapsedMs;
    this.accruedMs = toMs;
  }

  become(state: FleetState): void {
    this.state = state;
  }

  queued(nowMs: Ms, queue: number): void {
    if (nowMs > 0 && nowMs <= this.endMs) this.minute(nowMs - minuteMs).queue = queue;
  }

  scaled(nowMs: Ms, pool: string, from: number, to: number): void {
    if (from === to || nowMs > this.endMs) return;
    const stretch = this.at(nowMs);
    const isUp = to > from;
    if (isUp) stretch.scaleUps++;
    else stretch.scaleDowns++;
    const last = this.lastChange.get(pool);
    if (last !== undefined && last.isUp !== isUp && nowMs - last.atMs < this.settings.reversalMs) stretch.reversals++;
    this.lastChange.set(pool, { atMs: nowMs, isUp });
  }

  whole(): Figures {
    return this.figures(this.sum(), this.settings.warmupMs);
  }

  /** Of what is reported, so far. */
  soFar(): { readonly judged: number; readonly within: number; readonly gpuHours: number } {
    const [, before, after] = this.stretches;
    const counted = this.settings.splitMs === null ? [before, after] : [after];
    const sum = (of: (stretch: Stretch) => number) => counted.reduce((total, stretch) => total + of(stretch), 0);
    return {
      judged: sum(({ completed, failed, rejected }) => completed + failed + rejected),
      within: sum(({ within }) => within),
      gpuHours: sum(({ gpuMs }) => gpuMs) / hourMs,
    };
  }

  latencies(): Latencies {
    const { ttft, tpot, e2e } = this.settings.splitMs === null ? this.sum() : this.stretches[2];
    return { ttft, tpot, e2e };
  }

  private sum(): Stretch {
    const sum = new Stretch();
    sum.add(this.stretches[1]);
    sum.add(this.stretches[2]);
    return sum;
  }

  afterSplit(): Figures | null {
    return this.settings.splitMs === null ? null : this.figures(this.stretches[2], this.settings.splitMs);
  }

  private figures(of: Stretch, fromMs: Ms): Figures {
    const { completed, failed, cancelled, rejected, arrived } = of;
    const judged = completed + failed + rejected;
    const toMs = this.accruedMs;
    return {
      fromMs,
      toMs,
      requests: { arrived, completed, failed, cancelled, rejected, open: arrived - completed - failed - cancelled - rejected },
      promptTokens: of.promptTokens,
      outputTokens: of.outputTokens,
      withinObjective: of.within,
      attainment: judged === 0 ? null : of.within / judged,
      ttft: summaryOf(of.ttft),
      tpot: summaryOf(of.tpot),
      e2e: summaryOf(of.e2e),
      held: of.held,
      retries: of.retries,
      gpuHours: of.gpuMs / hourMs,
      cost: of.cost,
      readyMean: toMs > fromMs ? of.readyMs / (toMs - fromMs) : 0,
      scaleUps: of.scaleUps,
      scaleDowns: of.scaleDowns,
      reversals: of.reversals,
      violationMinutes: this.minutes.filter(
        ({ ended, within }, at) => at * minuteMs >= fromMs && ended > 0 && within / ended < this.settings.attainment,
      ).length,
    };
  }

  minuteColumns(): Minutes {
    const mean = (of: (minute: Minute) => number) =>
      this.minutes.map((minute) => (minute.watchedMs === 0 ? 0 : of(minute) / minute.watchedMs));
    return {
      atMs: this.minutes.map((_, at) => at * minuteMs),
      arrivals: this.minutes.map((minute) => minute.arrivals),
      promptTokens: this.minutes.map((minute) => minute.promptTokens),
      outputTokens: this.minutes.map((minute) => minute.outputTokens),
      wanted: mean((minute) => minute.wantedMs),
      starting: mean((minute) => minute.startingMs),
      ready: mean((minute) => minute.readyMs),
      draining: mean((minute) => minute.drainingMs),
      standby: mean((minute) => minute.standbyMs),
      queue: this.minutes.map((minute) => minute.queue),
      attainment: this.minutes.map(({ ended, within }) => (ended === 0 ? null : within / ended)),
    };
  }
}

export function summaryOf(of: LogHistogram): LatencySummary {
  return {
    count: of.count,
    meanMs: of.mean,
    p50Ms: of.quantile(0.5),
    p95Ms: of.quantile(0.95),
    p99Ms: of.quantile(0.99),
    maxMs: of.count === 0 ? null : of.max,
  };
}
