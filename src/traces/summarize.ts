import type { Ms } from "../model/index.ts";
import type { TraceRequest } from "./trace.ts";

export interface TokenSummary {
  readonly total: number;
  readonly mean: number;
  /** Exact. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface TraceSummary {
  readonly requests: number;
  /** From 0 to the last arrival. */
  readonly durationMs: Ms;
  readonly firstArrivalMs: Ms;
  /** Requests per second from the first arrival to the last; null for fewer than two. */
  readonly meanRps: number | null;
  /** Largest count in an aligned bin of that width, per second of the whole bin. */
  readonly peakRps: { readonly second: number; readonly minute: number; readonly tenMinutes: number };
  /** Standard deviation of the gaps between arrivals over their mean; a Poisson process has 1. Null for fewer than three requests. */
  readonly gapCv: number | null;
  /** Index of dispersion: variance of per-minute counts over their mean; a Poisson process has 1. Null for less than two minutes. */
  readonly idcMinute: number | null;
  readonly prompt: TokenSummary;
  readonly output: TokenSummary;
  readonly clients: number;
  readonly classes: number;
  readonly sessions: number;
  /** Prefix-hit tokens over prompt tokens; null when the trace does not say. */
  readonly prefixHitRatio: number | null;
}

/** Counts of whole numbers, so that quantiles of a long trace are exact in little memory. */
class Counts {
  readonly #counts = new Map<number, number>();
  #total = 0;
  #sum = 0;

  add(value: number): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
    this.#total++;
    this.#sum += value;
  }

  summary(): TokenSummary {
    const sorted = [...this.#counts].sort(([a], [b]) => a - b);
    /** Linear between the two nearest ranks. */
    const quantile = (q: number) => {
      if (this.#total === 0) return 0;
      const rank = q * (this.#total - 1);
      const at = (wanted: number) => {
        let seen = 0;
        for (const [value, count] of sorted) {
          seen += count;
          if (seen > wanted) return value;
        }
        return sorted.at(-1)![0];
      };
      const low = at(Math.floor(rank));
      return low + (at(Math.ceil(rank)) - low) * (rank - Math.floor(rank));
    };
    return {
      total: this.#sum,
      mean: this.#total === 0 ? 0 : this.#sum / this.#total,
      p50: quantile(0.5),
      p90: quantile(0.9),
      p99: quantile(0.99),
      max: sorted.at(-1)?.[0] ?? 0,
    };
  }
}

/** The busiest of aligned bins as sorted arrivals pass. */
class PeakBin {
  readonly #widthMs: Ms;
  #bin = -1;
  #count = 0;
  #peak = 0;
  constructor(widthMs: Ms) {
    this.#widthMs = widthMs;
  }
  add(arrivalMs: Ms): void {
    const bin = Math.floor(arrivalMs / this.#widthMs);
    if (bin !== this.#bin) {
      this.#bin = bin;
      this.#count = 0;
    }
    this.#count++;
    if (this.#count > this.#peak) this.#peak = this.#count;
  }
  perSecond(): number {
    return (this.#peak * 1000) / this.#widthMs;
  }
}

/** Gathers a summary as rows pass; memory does not grow with the trace (but for its distinct sizes, clients and sessions). */
export class TraceSummarizer {
  #requests = 0;
  #firstMs = 0;
  #lastMs = 0;
  #gapMean = 0;
  #gapM2 = 0;
  readonly #second = new PeakBin(1000);
  readonly #minute = new PeakBin(60_000);
  readonly #tenMinutes = new PeakBin(600_000);
  readonly #perMinute: number[] = [];
  readonly #prompt = new Counts();
  readonly #output = new Counts();
  readonly #clients = new Set<string>();
  readonly #classes = new Set<string>();
  readonly #sessions = new Set<string>();
  #hits: number | null = null;

  add(row: TraceRequest): void {
    if (this.#requests === 0) this.#firstMs = row.arrivalMs;
    else {
      const gap = row.arrivalMs - this.#lastMs;
      const delta = gap - this.#gapMean;
      this.#gapMean += delta / this.#requests;
      this.#gapM2 += delta * (gap - this.#gapMean);
    }
    this.#requests++;
    this.#lastMs = row.arrivalMs;
    this.#second.add(row.arrivalMs);
    this.#minute.add(row.arrivalMs);
    this.#tenMinutes.add(row.arrivalMs);
    const minute = Math.floor(row.arrivalMs / 60_000);
    while (this.#perMinute.length <= minute) this.#perMinute.push(0);
    this.#perMinute[minute]!++;
    this.#prompt.add(row.promptTokens);
    this.#output.add(row.outputTokens);
    if (row.client !== undefined) this.#clients.add(row.client);
    if (row.class !== undefined) this.#classes.add(row.class);
    if (row.sessionId !== undefined) this.#sessions.add(row.sessionId);
    if (row.prefixHitTokens !== undefined) this.#hits = (this.#hits ?? 0) + row.prefixHitTokens;
  }

  summary(): TraceSummary {
    const prompt = this.#prompt.summary();
    const spanMs = this.#lastMs - this.#firstMs;
    const gaps = this.#requests - 1;
    return {
      requests: this.#requests,
      durationMs: this.#lastMs,
      firstArrivalMs: this.#firstMs,
      meanRps: spanMs > 0 ? (this.#requests * 1000) / spanMs : null,
      peakRps: { second: this.#second.perSecond(), minute: this.#minute.perSecond(), tenMinutes: this.#tenMinutes.perSecond() },
      gapCv: gaps >= 2 && this.#gapMean > 0 ? Math.sqrt(this.#gapM2 / gaps) / this.#gapMean : null,
      idcMinute: dispersion(this.#perMinute),
      prompt,
      output: this.#output.summary(),
      clients: this.#clients.size,
      classes: this.#classes.size,
      sessions: this.#sessions.size,
      prefixHitRatio: this.#hits === null ? null : this.#hits / prompt.total,
    };
  }
}

function dispersion(counts: readonly number[]): number | null {
  if (counts.length < 2) return null;
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length / mean;
}

export function summarize(trace: Iterable<TraceRequest>): TraceSummary {
  const summarizer = new TraceSummarizer();
  for (const row of trace) summarizer.add(row);
  return summarizer.summary();
}
