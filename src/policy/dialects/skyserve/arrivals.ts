import type { Ms, Observation } from "../../../model/index.ts";
import type { Reader } from "../../reading.ts";
import { addTraffic, noTraffic } from "../llm/index.ts";
import { QPS_WINDOW_S } from "./replica-policy.ts";

/** Requests of the last minute. Before `knownFromMs` nobody may have counted, so that there were at least so many. */
export interface Arrivals {
  readonly counts: readonly { readonly atMs: Ms; readonly requests: number }[];
  readonly toMs: Ms;
  readonly knownFromMs: Ms;
}

/** Before a service starts it has had no requests. */
export const noArrivals = (nowMs: Ms): Arrivals => ({ counts: [], toMs: nowMs, knownFromMs: nowMs - QPS_WINDOW_S * 1000 });

/** Adds the arrivals since the last look: of the ledger's seconds, else the endpoint's `request_rate` over the time that passed. */
export function addArrivals(before: Arrivals, observation: Observation, reader: Reader): Arrivals {
  const { nowMs, slots } = observation;
  const since = addTraffic({ ...noTraffic(before.toMs) }, observation, reader);
  const fresh =
    slots === null
      ? [{ atMs: nowMs, requests: since.requests }]
      : slots.filter((slot) => slot.arrivals > 0).map(({ atMs, arrivals }) => ({ atMs, requests: arrivals }));
  return {
    counts: [...before.counts, ...fresh].filter(({ atMs }) => atMs >= nowMs - QPS_WINDOW_S * 1000),
    toMs: nowMs,
    knownFromMs: since.partial ? nowMs : before.knownFromMs,
  };
}

/** Requests per second over the window; `sure`: all of it was counted. Null: the last stretch was not. */
export function rateOf({ counts, toMs, knownFromMs }: Arrivals): { readonly qps: number; readonly sure: boolean } | null {
  if (knownFromMs === toMs) return null;
  const requests = counts.reduce((sum, count) => sum + count.requests, 0);
  return { qps: requests / QPS_WINDOW_S, sure: knownFromMs <= toMs - QPS_WINDOW_S * 1000 };
}
