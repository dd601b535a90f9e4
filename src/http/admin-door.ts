import { epochOf, shiftBetween } from "../clock/index.ts";
import { type Clock, type Door, type DoorEndpoint, type DoorReport, type Ms, type Route, TidegateError } from "../model/index.ts";
import { followEvents } from "./event-stream.ts";
import { type FetchOptions, fetchJson } from "./fetch.ts";

export interface AdminDoorOptions {
  /** Sent as a bearer token; null: none. */
  readonly token: string | null;
  readonly clock: Clock;
  /** Real milliseconds for one call; 5000 unless told. */
  readonly timeoutMs?: number;
  readonly fetchFn?: typeof fetch;
}

/** How a gateway's time runs, said with each report: one that restarted runs since another moment. */
interface TheirClock {
  readonly speed: number;
  readonly epochMs: Ms;
}

/**
 * A gateway that runs apart, met over its admin API at `url`.
 * `onHeld` keeps a stream open and opens it again for as long as somebody listens. Reports come in the time of our own clock:
 * processes that run faster than real time since different moments show different times.
 * @throws TidegateError `admin/unreachable` (no answer) or `admin/refused` (token, path; another speed) from all but `onHeld`
 */
export function adminDoor(url: string, options: AdminDoorOptions): Door {
  const { token, clock, timeoutMs = 5000, fetchFn = fetch } = options;
  const base = url.replace(/\/+$/, "");
  const authorization: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
  const listeners = new Set<(endpoint: string) => void>();
  let stopStream: (() => void) | null = null;
  const ours = { speed: clock.speed, epochMs: epochOf(clock) };

  const call = (path: string, more: Partial<FetchOptions> = {}) =>
    fetchJson(`${base}${path}`, {
      timeoutMs,
      code: "admin/unreachable",
      fetchFn,
      ...more,
      headers: { ...authorization, ...more.headers },
    });
  const pathOf = (endpoint: string) => `/admin/v1/endpoints/${encodeURIComponent(endpoint)}`;

  return {
    async setRoutes(endpoint: DoorEndpoint, routes: readonly Route[]) {
      await call(`${pathOf(endpoint.name)}/routes`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ endpoint, routes }),
      });
    },
    async report(endpoint, cursor) {
      const query = cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
      const { clock: theirs, ...report } = (await call(`${pathOf(endpoint)}/report${query}`)) as DoorReport & {
        readonly clock: TheirClock;
      };
      if (theirs.speed !== ours.speed) {
        throw new TidegateError(
          "admin/refused",
          `the gateway at ${base} runs at --speed ${theirs.speed} and this process at ${ours.speed}; start both at the same`,
        );
      }
      return shifted(report, shiftBetween(ours, theirs));
    },
    async forget(endpoint) {
      await call(pathOf(endpoint), { method: "DELETE" });
    },
    onHeld(listener) {
      listeners.add(listener);
      stopStream ??= followEvents(`${base}/admin/v1/held`, { clock, headers: authorization, fetchFn }, (data) => {
        const { endpoint } = JSON.parse(data) as { endpoint: string };
        for (const each of listeners) each(endpoint);
      });
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        stopStream?.();
        stopStream = null;
      };
    },
  };
}

function shifted(report: DoorReport, byMs: Ms): DoorReport {
  if (byMs === 0) return report;
  return { ...report, atMs: report.atMs + byMs, slots: report.slots.map((slot) => ({ ...slot, atMs: slot.atMs + byMs })) };
}
