/** One kind of instance of a model: a pool. */
export interface InstanceKind {
  readonly name: string;
  readonly current: number;
  /** Input tokens per second that the plan counts on. */
  readonly tokensPerSecond: number;
  readonly gpuCost: number;
  readonly startupCost: number;
  readonly min: number;
  readonly max: number;
}

/** A whole number of instances that is not one too many by a rounding error. */
const wholeUp = (value: number) => Math.max(0, Math.ceil(value - 1e-9));

/**
 * The integer programme for one model in one region: changes δ of the counts that carry the demand at the least
 * Σ δ·gpuCost + max(δ, 0)·startupCost, each count inside its bounds. Where even all maxima do not carry it they are the answer.
 *
 * Exact: counts of all kinds but one are tried, the last follows from what is left; branches that cannot become cheaper are cut.
 * Source: SageServe's simulator, long_term_allocation.py. Its programme covers models and regions too, but links them by nothing.
 */
export function planInstances(kinds: readonly InstanceKind[], demand: number): Readonly<Record<string, number>> {
  const usable = kinds.filter(({ tokensPerSecond, max }) => tokensPerSecond > 0 && max > 0);
  const rest = Object.fromEntries(kinds.filter((kind) => !usable.includes(kind)).map(({ name, current }) => [name, current]));
  const most = usable.reduce((sum, { tokensPerSecond, max }) => sum + tokensPerSecond * max, 0);
  if (most < demand) return { ...rest, ...Object.fromEntries(usable.map(({ name, max }) => [name, max])) };
  // The most capable last: it fills what is left with the fewest instances.
  const order = usable.toSorted((a, b) => a.tokensPerSecond - b.tokensPerSecond || (a.name < b.name ? -1 : 1));
  const costOf = (kind: InstanceKind, count: number) => {
    const change = count - kind.current;
    return change * kind.gpuCost + Math.max(0, change) * kind.startupCost;
  };
  /** Least that the kinds from `at` on can cost at all. */
  const floors = order.map((_, at) => order.slice(at).reduce((sum, kind) => sum + costOf(kind, kind.min), 0));
  let best: { readonly cost: number; readonly counts: readonly number[] } | null = null;
  const counts: number[] = [];
  const place = (at: number, left: number, cost: number): void => {
    const kind = order[at];
    if (kind === undefined) {
      if (left <= 1e-9 && (best === null || cost < best.cost - 1e-9)) best = { cost, counts: [...counts] };
      return;
    }
    if (best !== null && cost + (floors[at] as number) >= best.cost - 1e-9) return;
    const enough = wholeUp(left / kind.tokensPerSecond);
    const first = at === order.length - 1 ? Math.min(kind.max, Math.max(kind.min, enough)) : kind.min;
    const last = Math.min(kind.max, Math.max(kind.min, enough));
    for (let count = first; count <= last; count++) {
      counts.push(count);
      place(at + 1, left - count * kind.tokensPerSecond, cost + costOf(kind, count));
      counts.pop();
    }
  };
  place(0, demand, 0);
  const found = (best as { readonly counts: readonly number[] } | null)?.counts ?? order.map(({ max }) => max);
  return { ...rest, ...Object.fromEntries(order.map(({ name }, at) => [name, found[at] as number])) };
}
