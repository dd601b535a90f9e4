import type { Ms } from "../../model/index.ts";
import { simulationOf } from "../compare/setup.ts";
import { cursorOf } from "../rows.ts";
import type { Scenario, ScenarioRun } from "../scenario/index.ts";
import { leastWorkMs } from "./work.ts";

export interface LowerBound {
  readonly gpuHours: number;
  /** Mean replicas that the work alone keeps busy, packed perfectly. */
  readonly busyReplicas: number;
}

/**
 * GPU-hours that no schedule can beat while it serves every request of the stretch that figures are of: the work of the trace through
 * the engine, packed perfectly into replicas that come and go at once, for as long as there is some; and never fewer than the
 * scenario's minimum. No schedule reaches it: replicas start, come whole, and have to be there before the work.
 */
export function lowerBound(scenario: Scenario, run: ScenarioRun): LowerBound {
  const { endpoint, pools } = simulationOf(scenario, { name: "lower bound", policy: { kind: "slo" } }, run, 1);
  const { engine } = pools["default"] as NonNullable<(typeof pools)[string]>;
  const pool = endpoint.pools[0] as (typeof endpoint.pools)[number];
  const cursor = cursorOf(run.rows);
  let ownMs = 0;
  let bySequencesMs = 0;
  let byMemoryMs = 0;
  let lastMs: Ms = run.fromMs;
  while (cursor.next() && (run.untilMs === null || cursor.arrivalMs < run.untilMs)) {
    lastMs = cursor.arrivalMs;
    if (lastMs < run.fromMs) continue;
    const least = leastWorkMs(engine, cursor);
    ownMs += least.own;
    bySequencesMs += least.bySequences;
    byMemoryMs += least.byMemory;
  }
  const lengthMs = Math.max(1, (run.untilMs ?? lastMs) - run.fromMs);
  const busyReplicas = (ownMs + Math.max(bySequencesMs, byMemoryMs)) / lengthMs;
  const hours = (lengthMs / 3_600_000) * pool.gpusPerReplica;
  return { gpuHours: Math.max(busyReplicas, pool.min) * hours, busyReplicas };
}
