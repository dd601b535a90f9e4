import type { Ms, SignalName } from "../model/index.ts";

/** Bucket bounds in seconds of vLLM's own page (V1 engine, 0.10 to 0.28), which limit how well a quantile can be read from it. */
const timeToFirst = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560];
const perToken = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
const perRequest = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];
const boundsOf = { ttft: timeToFirst, tpot: perToken, e2e: perRequest, queue_time: perRequest } as const satisfies Partial<
  Record<SignalName, readonly number[]>
>;

export type PageHistogram = keyof typeof boundsOf;
export const PAGE_HISTOGRAMS = Object.keys(boundsOf) as readonly PageHistogram[];

/** The latency histograms of one engine's page, since it started. */
export interface PageHistograms {
  observe(name: PageHistogram, valueMs: Ms): void;
  /** Counts are cumulative, the last one (+Inf) being all. */
  read(name: PageHistogram): { readonly bounds: readonly number[]; readonly counts: readonly number[]; readonly sum: number };
}

export function createPageHistograms(): PageHistograms {
  const of = (name: PageHistogram) => ({ counts: new Float64Array(boundsOf[name].length + 1), sum: 0 });
  const all = { ttft: of("ttft"), tpot: of("tpot"), e2e: of("e2e"), queue_time: of("queue_time") };
  return {
    observe(name, valueMs) {
      const seconds = valueMs / 1000;
      const bounds: readonly number[] = boundsOf[name];
      let at = 0;
      while (at < bounds.length && seconds > (bounds[at] as number)) at++;
      const one = all[name];
      one.counts[at]! += 1;
      one.sum += seconds;
    },
    read(name) {
      let below = 0;
      return { bounds: boundsOf[name], counts: Array.from(all[name].counts, (count) => (below += count)), sum: all[name].sum };
    },
  };
}
