import type { Ms } from "../../model/index.ts";

/**
 * How long an endpoint is idle before the next request, in bins whose edges grow by a quarter: pauses counted and their sum in seconds.
 * Fades by pauses, not by time: a tenant who comes once a day is not forgotten sooner than one who comes every minute.
 */
export type Pauses = { readonly count: readonly number[]; readonly seconds: readonly number[] };
export const noPauses: Pauses = { count: [], seconds: [] };

const GROWTH = 1.25;
const BINS = 68;
/** Lower edges in seconds: 0, 1, 1.25, … to some six weeks. */
const EDGES: readonly number[] = Array.from({ length: BINS }, (_, bin) => (bin === 0 ? 0 : GROWTH ** (bin - 1)));
/** Pauses after which one counts half. */
const HALF_LIFE = 200;
/** Before pauses were seen: so many, with no length likelier than another between these (each doubling alike). */
const PRIOR = { count: 3, leastSeconds: 5, mostSeconds: 600_000 } as const;
const GRAIN = 1e4;

const PRIOR_BINS = EDGES.map((edge, bin) => bin > 0 && edge >= PRIOR.leastSeconds && edge <= PRIOR.mostSeconds);
const PRIOR_EACH = PRIOR.count / PRIOR_BINS.filter(Boolean).length;

/** Takes in a pause that has ended with a request. */
export function learnPause(pauses: Pauses, lengthMs: Ms): Pauses {
  const seconds = Math.max(0, lengthMs / 1000);
  const own = EDGES.findLastIndex((edge) => edge <= seconds);
  const keep = 0.5 ** (1 / HALF_LIFE);
  const faded = (values: readonly number[], added: number) =>
    EDGES.map((_, bin) => Math.round(((values[bin] ?? 0) * keep + (bin === own ? added : 0)) * GRAIN) / GRAIN);
  return { count: faded(pauses.count, 1), seconds: faded(pauses.seconds, seconds) };
}

/**
 * The idle time after which zero is cheapest, by the pauses seen: waiting `t` costs every pause up to `t` of replica time, and each longer one
 * `wakeMs` as well, the price of a wake-up in replica time. null: never, what a wake-up costs is more than all that is saved.
 */
export function cheapestIdleMs(pauses: Pauses, wakeMs: Ms): Ms | null {
  const count = (bin: number) => (pauses.count[bin] ?? 0) + (PRIOR_BINS[bin] ? PRIOR_EACH : 0);
  const seconds = (bin: number) =>
    (pauses.seconds[bin] ?? 0) + (PRIOR_BINS[bin] ? (PRIOR_EACH * (EDGES[bin] as number) * (1 + GROWTH)) / 2 : 0);
  let longer = 0;
  for (let bin = 0; bin < BINS; bin++) longer += count(bin);
  let [waited, best, bestCost]: [number, number | null, number] = [0, null, Number.POSITIVE_INFINITY];
  for (let bin = 0; bin < BINS; bin++) {
    const edge = EDGES[bin] as number;
    const cost = waited + longer * (edge + wakeMs / 1000);
    if (longer > 1e-6 && cost < bestCost) [best, bestCost] = [edge, cost];
    waited += seconds(bin);
    longer -= count(bin);
  }
  return waited < bestCost ? null : (best as number) * 1000;
}
