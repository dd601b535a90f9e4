import type { Decision, Ms, Observation } from "../model/index.ts";
import type { Action, Entry } from "./store.ts";

export interface Explanation {
  readonly atMs: Ms;
  readonly observation: Observation;
  readonly decision: Decision;
  readonly actions: readonly Action[];
}

/** @returns the decision in force at `atMs` with what became of it; null where none was recorded by then. */
export function explain(entries: Iterable<Entry>, atMs: Ms): Explanation | null {
  let found: Extract<Entry, { kind: "decision" }> | undefined;
  let actions: Action[] = [];
  for (const entry of entries) {
    if (entry.kind === "decision") {
      if (entry.atMs > atMs) break;
      found = entry;
      actions = [];
    } else if (entry.kind === "action" && found !== undefined && entry.action.seq === found.decision.seq) actions.push(entry.action);
  }
  return found === undefined ? null : { atMs: found.atMs, observation: found.observation, decision: found.decision, actions };
}

const clockTime = (ms: Ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);

/** Plain sentences: what was seen, each step, what came of it. A line each. */
export function sentences(explanation: Explanation): readonly string[] {
  const { observation, decision, actions } = explanation;
  const count = (state: string) => observation.replicas.filter((replica) => replica.state === state).length;
  const lines = [
    `At ${clockTime(explanation.atMs)} UTC (decision ${decision.seq}, asked because of ${because[observation.cause]}):`,
    `  Fleet: ${count("ready")} ready, ${count("starting")} starting, ${count("draining")} draining, ${count("failed")} failed; asked for ${Object.entries(
      observation.pools,
    )
      .map(([pool, status]) => `${status.wanted}${Object.keys(observation.pools).length > 1 ? ` in ${pool}` : ""}`)
      .join(", ")}.`,
  ];
  for (const step of decision.steps) lines.push(`  - ${step.text} [${step.code}]`);
  for (const [pool, want] of Object.entries(decision.wants)) {
    lines.push(
      want.kind === "scale"
        ? `  => ${pool}: ${want.replicas} replicas${want.drain.length > 0 ? `, draining ${want.drain.join(", ")}` : ""}.`
        : want.kind === "hold"
          ? `  => ${pool}: keeps what it has.`
          : `  => ${pool}: starts ${want.start} jobs.`,
    );
  }
  for (const action of actions) {
    lines.push(
      `  ${action.by === "policy" ? "Asked" : `By ${action.by}: asked`} the platform for ${action.replicas} in ${action.pool}: ${action.result}.`,
    );
  }
  for (const condition of decision.conditions) lines.push(`  Condition ${condition.type}=${condition.status} (${condition.reason}).`);
  lines.push(`  Asks again at ${clockTime(decision.nextAtMs)} UTC at the latest.`);
  return lines;
}

const because = {
  tick: "its interval",
  held: "a held request",
  replica: "a replica that changed state",
  config: "a changed config",
} as const;
