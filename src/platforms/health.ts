import { get } from "node:http";
import { get as getSecure } from "node:https";
import { timeLimit } from "../http/index.ts";
import { type Ms, messageOf } from "../model/index.ts";

/** `refused`: nothing listens there. `said` is for people: `answered 503`, `connect ECONNREFUSED …`. */
export type HealthAnswer =
  | { readonly healthy: true }
  | { readonly healthy: false; readonly status: number | null; readonly refused: boolean; readonly said: string };

/** One GET on a connection of its own; healthy on 2xx. Never rejects. `timeoutMs` is real time, for the answer's head. */
export function askHealth(url: string, timeoutMs: Ms, signal: AbortSignal): Promise<HealthAnswer> {
  return new Promise((resolve) => {
    const fail = (error: unknown) => {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      resolve({ healthy: false, status: null, refused: code === "ECONNREFUSED", said: messageOf(error) });
    };
    const time = timeLimit(timeoutMs);
    try {
      const limit = AbortSignal.any([signal, time.signal]);
      const send = url.startsWith("https:") ? getSecure : get;
      const request = send(url, { agent: false, signal: limit, headers: { connection: "close" } }, (response) => {
        time.clear();
        const status = response.statusCode ?? 0;
        response.on("error", () => {});
        response.destroy();
        resolve(status >= 200 && status < 300 ? { healthy: true } : { healthy: false, status, refused: false, said: `answered ${status}` });
      });
      request.on("error", (error) => {
        time.clear();
        fail(limit.aborted && !signal.aborted ? new Error(`no answer within ${timeoutMs} ms`) : error);
      });
    } catch (error) {
      fail(error);
    }
  });
}

/** How often health is asked, on the clock and never more often than a machine bears in real time when the clock is fast. */
export function healthPace(speed: number): { readonly startingMs: Ms; readonly readyMs: Ms; readonly timeoutRealMs: Ms } {
  return {
    startingMs: Math.max(500, 50 * speed),
    readyMs: Math.max(2_000, 200 * speed),
    timeoutRealMs: Math.max(2_000, Math.ceil(5_000 / speed)),
  };
}

/** Checks that failed in a row until a ready replica counts as failed. */
export const FAILED_CHECKS = 3;

/** A replica's URL without its last slashes, with a path joined to it. */
export function joinUrl(url: string, path: string): string {
  return `${url.replace(/\/+$/, "")}/${path.replace(/^\/+/, "")}`;
}
