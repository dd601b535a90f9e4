import type { StepSeries } from "./step-series.ts";

/** Series by key, as a handle or a replica keeps them between two reports. */
export type MetricsStore = Readonly<Record<string, StepSeries>>;

/** Adds one value for each key; a point that comes late goes where it belongs. */
export function addPoint(store: MetricsStore, atS: number, values: Readonly<Record<string, number>>): MetricsStore {
  const added = Object.entries(values).map(([key, value]) => {
    const points = store[key] ?? [];
    const after = points.findLastIndex((point) => point.atS <= atS) + 1;
    return [key, points.toSpliced(after, 0, { atS, value })] as const;
  });
  return { ...store, ...Object.fromEntries(added) };
}

/** Keeps the points after `startS`; a key that has had none since then is forgotten. */
export function pruneBefore(store: MetricsStore, startS: number): MetricsStore {
  return Object.fromEntries(
    Object.entries(store).flatMap(([key, points]) => {
      const last = points.at(-1);
      return last === undefined || last.atS < startS ? [] : [[key, points.filter((point) => point.atS > startS)]];
    }),
  );
}

/** The mean of all points of the keys, and how many keys have any; null of none. */
export function averageOf(
  store: MetricsStore,
  keys: readonly string[],
): { readonly average: number | null; readonly keysWithData: number } {
  const found = keys.flatMap((key) => (store[key] === undefined || store[key].length === 0 ? [] : [store[key]]));
  const values = found.flat().map((point) => point.value);
  if (values.length === 0) return { average: null, keysWithData: 0 };
  return { average: values.reduce((sum, value) => sum + value, 0) / values.length, keysWithData: found.length };
}
