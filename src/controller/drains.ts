import type { DoorReport, Ms, Route } from "../model/index.ts";

/**
 * Tells when a draining replica has nothing in flight. A report counts only when it was asked for after every gateway had been
 * told to route no more to the replica: an older one may be followed by a request that it does not know of. Both times are
 * the controller's own, for gateways that run apart have other clocks.
 */
export interface Drains {
  /** Every gateway took these routes. */
  said(routes: readonly Route[], atMs: Ms): void;
  idle(replica: string, report: DoorReport | null, askedAtMs: Ms): boolean;
}

export function createDrains(): Drains {
  let saidAtMs = new Map<string, Ms>();
  return {
    said(routes, atMs) {
      saidAtMs = new Map(
        routes.flatMap(({ replica, state }) => (state === "draining" ? [[replica, saidAtMs.get(replica) ?? atMs] as const] : [])),
      );
    },
    idle(replica, report, askedAtMs) {
      const sinceMs = saidAtMs.get(replica);
      if (sinceMs === undefined || report === null || askedAtMs < sinceMs) return false;
      return (report.replicas.find((one) => one.replica === replica)?.inFlight ?? 0) === 0;
    },
  };
}
