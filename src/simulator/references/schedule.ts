import type { Endpoint, Json, Ms, Policy } from "../../model/index.ts";
import type { WorkCurve } from "./work.ts";

/** Counts asked for, one for each step of time; the last one lasts. */
export interface Schedule {
  readonly stepMs: Ms;
  readonly counts: Int32Array;
}

/** How many replicas arriving work is given: `margin` × work, or work and `margin` × its root, as queues with many servers need. */
export type Sizing = { readonly form: "share" | "root"; readonly margin: number };

/** @returns a count that is not whole */
export function sized(work: number, { form, margin }: Sizing): number {
  return form === "share" ? work * margin : work + margin * Math.sqrt(work);
}

export const within = ({ min, max }: { readonly min: number; readonly max: number }, count: number): number =>
  Math.min(max, Math.max(min, Math.ceil(count - 1e-9)));

/** Mean of each bin and those before it over `windowMs`: what an engine that may be late by as much sees of the work. */
export function smoothed({ binMs, replicas }: WorkCurve, windowMs: Ms): Float64Array {
  const width = Math.max(1, Math.round(windowMs / binMs));
  const means = new Float64Array(replicas.length);
  let sum = 0;
  for (let at = 0; at < replicas.length; at++) {
    sum += (replicas[at] as number) - (at >= width ? (replicas[at - width] as number) : 0);
    means[at] = Math.max(0, sum) / width;
  }
  return means;
}

/** Greatest of each value and the `ahead` after and the `behind` before it. */
export function greatest(values: ArrayLike<number>, behind: number, ahead: number): Float64Array {
  const result = new Float64Array(values.length);
  /** Places of candidates, their values falling. */
  const queue: number[] = [];
  let head = 0;
  let next = 0;
  for (let at = 0; at < values.length; at++) {
    for (; next < values.length && next <= at + ahead; next++) {
      while (queue.length > head && (values[queue[queue.length - 1] as number] as number) <= (values[next] as number)) queue.pop();
      queue.push(next);
    }
    while ((queue[head] as number) < at - behind) head++;
    result[at] = values[queue[head] as number] as number;
  }
  return result;
}

/** Follows a schedule, whatever it observes. */
export function schedulePolicy(endpoint: Endpoint, { stepMs, counts }: Schedule): Policy<Json> {
  const [pool] = endpoint.pools;
  const last = counts.length - 1;
  return {
    kind: "schedule",
    needs: [],
    wakesOn: [],
    start: () => null,
    decide(state, { nowMs, seq }) {
      const at = Math.min(last, Math.floor(nowMs / stepMs));
      const replicas = counts[at] as number;
      let next = at + 1;
      while (next <= last && counts[next] === replicas) next++;
      const text = `The schedule asks for ${replicas}${next > last ? " to the end" : ` for another ${(next * stepMs - nowMs) / 1000} s`}.`;
      return {
        state,
        decision: {
          seq,
          wants: { [pool?.name ?? "default"]: { kind: "scale", replicas, drain: [] } },
          steps: [{ code: "schedule", text, numbers: { replicas } }],
          conditions: [],
          nextAtMs: next > last ? nowMs + 86_400_000 : next * stepMs,
        },
      };
    },
    settle: (state) => ({ state, conditions: [] }),
  };
}
