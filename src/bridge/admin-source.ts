import { z } from "zod";
import { fetchJson, followEvents } from "../http/index.ts";
import { type Clock, type Log, type Ms, messageOf, TidegateError } from "../model/index.ts";
import type { FollowedEndpoint, Reading, Source, Timed } from "./source.ts";

const target = z.object({ apiVersion: z.string(), kind: z.string(), name: z.string() });
const desiredEndpoint = z.object({
  name: z.string(),
  namespace: z.string(),
  metrics: z.record(z.string(), z.string()),
  staleAfterMs: z.number(),
  pools: z.array(
    z.object({ name: z.string(), target: target.nullable(), min: z.number(), max: z.number(), desired: z.number().nullable() }),
  ),
  desiredAtMs: z.number().nullable(),
  held: z.number().nullable(),
  replicas: z.array(z.string()),
});
const desiredAnswer = z.object({ atMs: z.number(), speed: z.number().positive(), endpoints: z.array(desiredEndpoint) });
const subject = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("endpoint") }),
  z.object({ kind: z.literal("pool"), pool: z.string() }),
  z.object({ kind: z.literal("replica"), id: z.string(), container: z.string().exactOptional() }),
  z.object({ kind: z.literal("object"), ref: z.string() }),
  z.object({ kind: z.literal("external"), labels: z.record(z.string(), z.string()) }),
]);
const signalsAnswer = z.object({
  atMs: z.number(),
  speed: z.number().positive(),
  staleAfterMs: z.number(),
  readings: z.array(z.object({ subject, atMs: z.number(), windowMs: z.number(), value: z.number() })),
});
/** What the bridge reads of the controller's answers; a controller may say more. */
export type DesiredMessage = z.infer<typeof desiredAnswer>;
export type SignalsMessage = z.infer<typeof signalsAnswer>;

export interface AdminSourceOptions {
  /** The controller's admin address. */
  readonly url: string;
  /** Sent as a bearer token; null: none. */
  readonly token: string | null;
  /** Real time. */
  readonly clock: Clock;
  readonly log: Log;
  readonly timeoutMs?: Ms;
  readonly fetchFn?: typeof fetch;
}

/** The age, in real time, of something that the controller saw at `atMs` when it said so at `saidAtMs`. */
const realAge = (said: { readonly atMs: Ms; readonly speed: number }, atMs: Ms): Ms => Math.max(0, said.atMs - atMs) / said.speed;

/**
 * A controller met over its admin API. What stands decided comes by a stream and grows old when that breaks; readings are asked
 * for when somebody wants them. Times are turned into ours by age, so neither clocks apart nor a sped-up controller matter.
 */
export function adminSource(options: AdminSourceOptions): Source {
  const { token, clock, log, timeoutMs = 2000, fetchFn = fetch } = options;
  const base = options.url.replace(/\/+$/, "");
  const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
  const heard = new Map<
    string,
    { readonly said: DesiredMessage; readonly endpoint: DesiredMessage["endpoints"][0]; readonly heardMs: Ms }
  >();
  const listeners = new Set<(endpoint: string) => void>();
  let connected = false;
  let first = true;

  const stop = followEvents(
    `${base}/api/v1/desired/events`,
    {
      clock,
      headers,
      fetchFn,
      onOpen: () => {
        connected = true;
        first = true;
        log("info", `following the controller at ${base}`);
      },
      onLost: () => {
        connected = false;
        log("warn", `the controller at ${base} is not heard any more; what it decided grows old, and is then absent`);
      },
    },
    take,
  );

  function take(data: string): void {
    let said: DesiredMessage;
    try {
      said = desiredAnswer.parse(JSON.parse(data));
    } catch (error) {
      log("error", `the controller at ${base} said something that is not understood: ${messageOf(error)}; is it of the same version?`);
      return;
    }
    if (first) {
      // All that the controller has: whom it no longer names is gone.
      const names = new Set(said.endpoints.map(({ name }) => name));
      for (const name of [...heard.keys()]) if (!names.has(name)) heard.delete(name);
      first = false;
    }
    const heardMs = clock.now();
    for (const endpoint of said.endpoints) heard.set(endpoint.name, { said, endpoint, heardMs });
    for (const { name } of said.endpoints) for (const listener of listeners) listener(name);
  }

  return {
    endpoints() {
      const nowMs = clock.now();
      return [...heard.values()].map(({ said, endpoint, heardMs }): FollowedEndpoint => {
        const { name, namespace, metrics, staleAfterMs, desiredAtMs } = endpoint;
        const isFresh = (ageMs: Ms) => ageMs * said.speed <= staleAfterMs;
        const silentMs = nowMs - heardMs;
        const desiredAgeMs = desiredAtMs === null ? Number.POSITIVE_INFINITY : realAge(said, desiredAtMs) + silentMs;
        const timed = (value: number | null): Timed | null =>
          value === null || !isFresh(desiredAgeMs) ? null : { value, atMs: nowMs - desiredAgeMs, windowMs: 0 };
        return {
          name,
          namespace,
          metrics,
          pools: endpoint.pools.map(({ desired, ...pool }) => ({ ...pool, desired: timed(desired) })),
          held: isFresh(silentMs) ? endpoint.held : null,
          replicas: endpoint.replicas,
        };
      });
    },
    async readings(endpoint, signal) {
      const url = `${base}/api/v1/endpoints/${encodeURIComponent(endpoint)}/signals?name=${encodeURIComponent(signal)}`;
      const answer = signalsAnswer.safeParse(await fetchJson(url, { timeoutMs, code: "admin/unreachable", headers, fetchFn }));
      if (!answer.success) {
        throw new TidegateError("admin/refused", `${url} answered something else than readings; is the controller of the same version?`);
      }
      const { data } = answer;
      const nowMs = clock.now();
      return data.readings.flatMap(({ subject, atMs, windowMs, value }): readonly Reading[] => {
        const ageMs = realAge(data, atMs);
        if (ageMs * data.speed > data.staleAfterMs) return [];
        return [{ subject, value, atMs: nowMs - ageMs, windowMs: windowMs / data.speed }];
      });
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    connected: () => connected,
    close: stop,
  };
}
