import { createLoop, createSampleStore, type Order } from "../controller/index.ts";
import type { Entry, History } from "../history/index.ts";
import type { Endpoint, Ms, Series } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";
import { createPolicy } from "../policy/index.ts";
import { type Said, wantedBy } from "./agreement.ts";

/** The other's rules, followed by our dialect on what we observe. */
export interface Recompute {
  /** Takes in a look at the world; decides when its own interval is over. */
  look(nowMs: Ms, status: PlatformStatus, series: readonly Series[]): void;
  /** The newest, oldest first. */
  readonly decided: readonly Said[];
  save(nowMs: Ms): void;
}

const keptDecisions = 2_000;

/**
 * The real autoscaler is the one who acts, so what our dialect wants counts as carried out when the count is found to be that at the
 * dialect's next look, and as refused otherwise: its memory of past changes is that of changes which happened.
 */
export function recompute(endpoint: Endpoint, history: History): Recompute {
  const policy = createPolicy(endpoint);
  const loop = createLoop({ ...endpoint, dryRun: false }, policy, true, history.load(endpoint.name));
  const samples = createSampleStore();
  const decided: Said[] = [];
  let pending: readonly Order[] = [];
  let started = false;

  function settle(nowMs: Ms, status: PlatformStatus): Entry[] {
    const entries = pending.flatMap((order) => {
      const result = status.pools[order.pool]?.wanted === order.replicas ? "accepted" : "refused";
      return loop.settle(order, result, nowMs);
    });
    pending = [];
    // Nobody was asked by us.
    return entries.map((entry) =>
      entry.kind === "action" ? { ...entry, action: { ...entry.action, by: "dry-run" as const, result: "none" as const } } : entry,
    );
  }

  return {
    decided,
    look(nowMs, status, series) {
      samples.add(series);
      if (!loop.due(nowMs, "tick")) return;
      const before = started ? settle(nowMs, status) : [loop.started(nowMs)];
      started = true;
      const result = loop.step({ nowMs, cause: "tick", status, series: samples.take(), slots: null, grant: null });
      pending = result.orders;
      history.append(endpoint.name, [...before, ...result.entries]);
      const decision = result.entries.find((entry) => entry.kind === "decision");
      if (decision !== undefined) decided.push(wantedBy(decision));
      if (decided.length > keptDecisions) decided.splice(0, decided.length - keptDecisions);
    },
    save: (nowMs) => history.save(endpoint.name, loop.save(nowMs, [])),
  };
}
