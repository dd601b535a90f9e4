import type { Ms, Slot } from "../../../model/index.ts";
import type { Load } from "./optimizer.ts";

/** How far the optimizer looks back. */
export const WINDOW_MS = 240_000;
/** Fewer requests of a size in the window are noise. */
const LEAST_REQUESTS = 10;

/** What arrived in one step, by kind of request (class and prompt-length band). JSON. */
export type LoadStep = {
  readonly atMs: Ms;
  readonly spanMs: Ms;
  readonly kinds: Readonly<
    Record<string, { readonly arrivals: number; readonly inputTokens: number; readonly ended: number; readonly outputTokens: number }>
  >;
};

/** Adds the slots since the last look, and forgets what has left the window. */
export function addSlots(steps: readonly LoadStep[], slots: readonly Slot[], atMs: Ms, spanMs: Ms): readonly LoadStep[] {
  const kinds: Record<string, LoadStep["kinds"][string]> = {};
  for (const slot of slots) {
    const kind = `${slot.class}/${slot.promptBand}`;
    const known = kinds[kind] ?? { arrivals: 0, inputTokens: 0, ended: 0, outputTokens: 0 };
    kinds[kind] = {
      arrivals: known.arrivals + slot.arrivals,
      inputTokens: known.inputTokens + slot.promptTokens,
      ended: known.ended + slot.completed + slot.failed + slot.cancelled,
      outputTokens: known.outputTokens + slot.outputTokens,
    };
  }
  return [...steps.filter((step) => step.atMs > atMs - WINDOW_MS), { atMs, spanMs, kinds }];
}

export interface WindowLoad {
  /** Requests that arrived in the window at all. */
  readonly requests: number;
  readonly ratePerSecond: number;
  readonly loads: readonly Load[];
}

/**
 * The loads of the window: the rate is that of the window or of the last step, whichever is larger, and is shared out by how many
 * requests of each kind came. AIBrix finds kinds by clustering single requests; here a class and band of prompt lengths is one.
 */
export function windowLoad(steps: readonly LoadStep[]): WindowLoad {
  const sums = new Map<string, { arrivals: number; inputTokens: number; ended: number; outputTokens: number }>();
  for (const { kinds } of steps) {
    for (const [kind, step] of Object.entries(kinds)) {
      const sum = sums.get(kind) ?? { arrivals: 0, inputTokens: 0, ended: 0, outputTokens: 0 };
      for (const field of ["arrivals", "inputTokens", "ended", "outputTokens"] as const) sum[field] += step[field];
      sums.set(kind, sum);
    }
  }
  const arrivalsOf = (list: readonly LoadStep[]) =>
    list.reduce((total, { kinds }) => total + Object.values(kinds).reduce((sum, { arrivals }) => sum + arrivals, 0), 0);
  const rateOf = (list: readonly LoadStep[]) =>
    (1000 * arrivalsOf(list)) /
    Math.max(
      1,
      list.reduce((sum, { spanMs }) => sum + spanMs, 0),
    );
  const ratePerSecond = Math.max(rateOf(steps), rateOf(steps.slice(-1)));
  // Of a kind of which none has ended yet the output is not known.
  const kinds = [...sums].filter(([, { arrivals, ended }]) => arrivals >= LEAST_REQUESTS && ended > 0);
  const counted = kinds.reduce((sum, [, { arrivals }]) => sum + arrivals, 0);
  const loads = kinds
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { arrivals, inputTokens, ended, outputTokens }]) => ({
      inputTokens: inputTokens / arrivals,
      outputTokens: outputTokens / ended,
      ratePerSecond: (ratePerSecond * arrivals) / counted,
    }));
  return { requests: arrivalsOf(steps), ratePerSecond, loads };
}
