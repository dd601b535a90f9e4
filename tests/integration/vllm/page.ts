import { parseExposition } from "../../../src/engine/index.ts";

export interface Family {
  readonly type: string;
  /** Each series once, as its labels in order, without the one for the bucket bound. */
  readonly series: readonly string[];
  /** Texts of a histogram's bounds, in order. */
  readonly bounds: readonly string[];
}

/** A page's families by name. Of those in `namesOnly` the series are told by the names of their labels alone. */
export function families(page: string, namesOnly: ReadonlySet<string> = new Set()): Readonly<Record<string, Family>> {
  const samples = parseExposition(page);
  const found: Record<string, Family> = {};
  for (const [, name = "", type = ""] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const parts = type === "histogram" ? [`${name}_bucket`] : type === "summary" ? [`${name}_count`] : [name];
    const series = new Set<string>();
    const bounds = new Set<string>();
    for (const { labels } of parts.flatMap((part) => samples.get(part) ?? [])) {
      const { le, ...others } = labels;
      if (le !== undefined) bounds.add(le);
      const told = Object.entries(others).map(([label, value]) => (namesOnly.has(name) ? label : `${label}=${value}`));
      series.add(told.sort().join(" "));
    }
    found[name] = { type, series: [...series].sort(), bounds: [...bounds] };
  }
  return found;
}

/** Values of the samples that `wanted` names, by series. */
export function values(page: string, wanted: RegExp): Readonly<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [name, samples] of parseExposition(page, (one) => wanted.test(one))) {
    for (const { labels, value } of samples) {
      const told = Object.entries(labels).map(([label, text]) => `${label}=${text}`);
      found[`${name}{${told.sort().join(" ")}}`] = value;
    }
  }
  return found;
}

/** What was added between two pages, series of 0 left out. */
export function added(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([series, value]) => [series, value - (before[series] ?? 0)] as const)
      .filter(([, value]) => value !== 0)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
