import { randomStreams, type Uniform } from "../../traces/index.ts";
import { cmaEs } from "./cma-es.ts";
import { sobol } from "./sobol.ts";

export interface SearchOptions<Value> {
  /** Known points in the unit cube, such as the present settings; at least one. They are tried first. */
  readonly starts: readonly (readonly number[])[];
  /** Most points tried. */
  readonly budget: number;
  readonly seed: number;
  /** Values in the order of the points; called with many at once so that they can be worked out side by side. */
  evaluate(points: readonly (readonly number[])[]): Promise<readonly Value[]>;
  /** A strict order. It alone steers the search: a point that breaks a constraint is worse than all that keep it. */
  isBetter(a: Value, b: Value): boolean;
}

export interface Tried<Value> {
  readonly point: readonly number[];
  readonly value: Value;
}

/** Share of the budget that is spread over the whole cube before the search closes in. */
const SPREAD = 0.35;
/** Points of the spread that are worked out side by side; in between, whoever watches sees how far it is. */
const BATCH = 8;
const FIRST_SIGMA = 0.18;
const LEAST_SIGMA = 0.004;

/**
 * Of one dimension the gaps beside the best are halved. Else Sobol's points all over the cube, then CMA-ES around the best of them, begun anew around the best so far when its steps have become small.
 * The same options give the same points.
 * @returns all that was tried, in the order in which it was
 */
export async function search<Value>(options: SearchOptions<Value>): Promise<readonly Tried<Value>[]> {
  const { starts, budget, seed, isBetter } = options;
  const dimensions = (starts[0] as readonly number[]).length;
  const tried: Tried<Value>[] = [];
  const attempt = async (points: readonly (readonly number[])[]): Promise<readonly Tried<Value>[]> => {
    const taken = points.slice(0, budget - tried.length);
    const values = await options.evaluate(taken);
    const fresh = taken.map((point, at) => ({ point, value: values[at] as Value }));
    tried.push(...fresh);
    return fresh;
  };
  const order = (a: Tried<Value>, b: Tried<Value>) => (isBetter(a.value, b.value) ? -1 : isBetter(b.value, a.value) ? 1 : 0);
  const best = () => tried.reduce((a, b) => (isBetter(b.value, a.value) ? b : a));

  if (dimensions === 1) {
    await attempt(starts);
    // One number alone: halve the gaps on both sides of the best.
    while (tried.length < budget) {
      const places = tried.map(({ point }) => point[0] as number);
      const at = best().point[0] as number;
      const under = Math.max(0, ...places.filter((place) => place < at));
      const over = Math.min(1, ...places.filter((place) => place > at));
      await attempt([[(at + under) / 2], [(at + over) / 2]]);
    }
    return tried;
  }
  const [spread, drawn] = randomStreams(seed, 2) as [Uniform, Uniform];
  const wide = Math.max(2 * dimensions, Math.round(SPREAD * budget)) - starts.length;
  const first = [...starts, ...sobol(Math.max(0, wide), dimensions, spread)];
  for (let at = 0; at < first.length && tried.length < budget; at += BATCH) await attempt(first.slice(at, at + BATCH));
  while (tried.length < budget) {
    const strategy = cmaEs(best().point, FIRST_SIGMA, drawn);
    while (tried.length < budget && strategy.sigma > LEAST_SIGMA) {
      const asked = strategy.ask();
      const generation = await attempt(asked);
      if (generation.length < asked.length) break;
      strategy.tell([...generation].sort(order).map(({ point }) => point));
    }
  }
  return tried;
}
