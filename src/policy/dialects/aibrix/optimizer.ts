/**
 * What one GPU type does: `tputs[o][i]` requests per second within the objective, at about `indexes[0][o]` output and `indexes[1][i]`
 * input tokens; 0 where it cannot hold the objective. As AIBrix's profiler writes it.
 */
export interface Profile {
  /** The pool (by name or GPU type) that it speaks of. */
  readonly gpu: string;
  /** Of one replica, in any unit that all profiles share. */
  readonly cost: number;
  readonly tputs: readonly (readonly number[])[];
  readonly indexes: readonly [readonly number[], readonly number[]];
}

/** Requests of about one size. */
export interface Load {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly ratePerSecond: number;
}

/** Where on a profile's axis a size is: the nearest mark in powers of two; beyond the ends, the end. */
export function markOf(marks: readonly number[], value: number): number {
  let best = 0;
  const distance = (at: number) => Math.abs(Math.log2(Math.max(marks[at] as number, 1)) - Math.log2(Math.max(value, 1)));
  for (let at = 1; at < marks.length; at++) if (distance(at) < distance(best)) best = at;
  return best;
}

/** Loads that fall on the same cell of the profiles are one; each cell goes to one GPU type as a whole. */
function cellsOf(
  profile: Profile,
  loads: readonly Load[],
): readonly { readonly output: number; readonly input: number; readonly rate: number }[] {
  const [outputs, inputs] = profile.indexes;
  const cells = new Map<string, { readonly output: number; readonly input: number; rate: number }>();
  for (const { inputTokens, outputTokens, ratePerSecond } of loads) {
    const [output, input] = [markOf(outputs, outputTokens), markOf(inputs, inputTokens)];
    const known = cells.get(`${output}/${input}`);
    if (known === undefined) cells.set(`${output}/${input}`, { output, input, rate: ratePerSecond });
    else known.rate += ratePerSecond;
  }
  return [...cells.values()];
}

/**
 * Replicas of each profile that carry all loads at the least cost: every cell is given to one GPU type, and a type needs as many
 * replicas as its share of them, rounded up. Exact, by depth first with the cheapest fractional rest as bound.
 * Source of the programme: Mélange, as AIBrix's GPU optimizer runs it, with one slice for each cell.
 * @returns null where some load is beyond every type
 */
export function cheapestMix(profiles: readonly Profile[], loads: readonly Load[]): readonly number[] | null {
  const [first] = profiles;
  if (first === undefined) return null;
  /** Replicas of each type that one cell would keep busy. */
  const demands = cellsOf(first, loads)
    .map(({ output, input, rate }) =>
      profiles.map(({ tputs }) => {
        const perReplica = tputs[output]?.[input] ?? 0;
        return perReplica > 0 ? rate / perReplica : Number.POSITIVE_INFINITY;
      }),
    )
    .toSorted((a, b) => cheapest(profiles, b) - cheapest(profiles, a));
  if (demands.some((demand) => demand.every((replicas) => replicas === Number.POSITIVE_INFINITY))) return null;
  const rest = demands.map((_, at) => demands.slice(at).reduce((sum, demand) => sum + cheapest(profiles, demand), 0));

  let best: { readonly cost: number; readonly counts: readonly number[] } | null = null;
  const busy = profiles.map(() => 0);
  const costOf = (counts: readonly number[]) => counts.reduce((sum, count, type) => sum + count * (profiles[type] as Profile).cost, 0);
  const assign = (at: number): void => {
    const demand = demands[at];
    if (demand === undefined) {
      const counts = busy.map(whole);
      const cost = costOf(counts);
      if (best === null || cost < best.cost - EPSILON) best = { cost, counts };
      return;
    }
    // What is spent already has room for some of the rest, so only the fractional cost is a bound.
    const spent = busy.reduce((sum, replicas, type) => sum + replicas * (profiles[type] as Profile).cost, 0);
    if (best !== null && spent + (rest[at] as number) >= best.cost - EPSILON) return;
    for (const type of order(profiles, demand)) {
      const replicas = demand[type] as number;
      if (replicas === Number.POSITIVE_INFINITY) break;
      busy[type] = (busy[type] as number) + replicas;
      assign(at + 1);
      busy[type] = (busy[type] as number) - replicas;
    }
  };
  assign(0);
  return (best as { readonly counts: readonly number[] } | null)?.counts ?? null;
}

const EPSILON = 1e-9;
/** Rounded up, but for what floating point added. */
const whole = (replicas: number): number => Math.max(0, Math.ceil(replicas - EPSILON));
const cheapest = (profiles: readonly Profile[], demand: readonly number[]): number =>
  Math.min(...demand.map((replicas, type) => replicas * (profiles[type] as Profile).cost));
const order = (profiles: readonly Profile[], demand: readonly number[]): readonly number[] =>
  profiles
    .map((_, type) => type)
    .toSorted((a, b) => (demand[a] as number) * (profiles[a] as Profile).cost - (demand[b] as number) * (profiles[b] as Profile).cost);
