import { isDeepStrictEqual } from "node:util";
import type { Json, Ms, Policy } from "../model/index.ts";
import { createPolicy } from "../policy/index.ts";
import type { Entry } from "./store.ts";

export interface Difference {
  readonly seq: number;
  readonly atMs: Ms;
  readonly what: "decision" | "state";
  readonly recorded: Json;
  readonly replayed: Json;
}
export interface ReplayReport {
  readonly decisions: number;
  readonly outcomes: number;
  readonly snapshots: number;
  /** Entries before the first start or snapshot, which nothing can be said about: their beginning was pruned. */
  readonly skipped: number;
  readonly differences: readonly Difference[];
}

/**
 * Runs the recorded Observations and Outcomes through the policy again, and compares every Decision and every snapshot of the
 * state. Values are compared as JSON says them, so a policy that keeps what JSON cannot hold is found out here.
 */
export function replay(entries: Iterable<Entry>): ReplayReport {
  let policy: Policy | undefined;
  let state: Json | undefined;
  let seq = 0;
  const report = { decisions: 0, outcomes: 0, snapshots: 0, skipped: 0 };
  const differences: Difference[] = [];
  for (const entry of entries) {
    switch (entry.kind) {
      case "start":
        policy = createPolicy(entry.endpoint);
        state = entry.state ?? undefined;
        break;
      case "snapshot": {
        report.snapshots++;
        if (policy === undefined) policy = createPolicy(entry.endpoint);
        else if (state !== undefined && !isDeepStrictEqual(plain(state), entry.state)) {
          differences.push({ seq, atMs: entry.atMs, what: "state", recorded: entry.state, replayed: plain(state) });
        }
        state = entry.state;
        break;
      }
      case "decision": {
        if (policy === undefined) {
          report.skipped++;
          break;
        }
        const { observation } = entry;
        seq = observation.seq;
        const next = policy.decide(state ?? policy.start(observation), observation);
        // A state that went through a restart went through JSON: do the same, so that both are tested.
        state = plain(next.state);
        report.decisions++;
        const replayed = plain(next.decision as unknown as Json);
        if (!isDeepStrictEqual(replayed, entry.decision as unknown as Json)) {
          differences.push({ seq, atMs: entry.atMs, what: "decision", recorded: entry.decision as unknown as Json, replayed });
        }
        break;
      }
      case "outcome":
        if (policy === undefined || state === undefined) {
          report.skipped++;
          break;
        }
        state = plain(policy.settle(state, entry.outcome).state);
        report.outcomes++;
        break;
      default:
        break;
    }
  }
  return { ...report, differences };
}

const plain = (value: Json): Json => JSON.parse(JSON.stringify(value));
