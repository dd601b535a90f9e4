import { expect } from "vitest";
import type { Decision, Endpoint, Json, Ms, Observation, Outcome, Policy, Replica, Series } from "../../model/index.ts";
import { endpoint as baseEndpoint, pool } from "../plant.fixture.ts";

/** A whole minute, a Tuesday (2023-11-14, 22:13 UTC). */
export const START: Ms = 28_333_333 * 60_000;
export const MINUTE: Ms = 60_000;

export const cloudEndpoint = (over: Partial<Endpoint> = {}): Endpoint => ({
  ...baseEndpoint({ kind: "static", replicas: {} }, [pool({ max: 100 })]),
  metrics: { load: "gpu_utilization", queue: "queue_depth" },
  ...over,
});

export interface FleetOptions {
  readonly count: number;
  /** From asked for to ready. */
  readonly startMs?: Ms;
  /** Signals of each replica, or of the endpoint. */
  readonly signal?: string;
  readonly per?: "replica" | "endpoint";
  readonly nowMs?: Ms;
  /** Readiness of the first replicas, before `nowMs`. */
  readonly ageMs?: Ms;
}

/** What is reported from one tick to the next: a number for every replica (or for the endpoint), or nothing. */
export type Report = number | ((id: string, readyCount: number) => number) | null;

/**
 * A fleet that does what it is told: time goes from one `nextAtMs` to the next, each ready replica reports every 10 s, and the state is
 * taken through JSON at every step.
 */
export function cloudFleet(policy: Policy<Json>, options: FleetOptions) {
  const { startMs = 0, signal = "gpu_utilization", per = "replica", ageMs = 3_600_000 } = options;
  let nowMs = options.nowMs ?? START;
  let [seq, born, wanted] = [0, 0, options.count];
  let otherWriter = false;
  let fleet: { readonly id: string; readonly askedMs: Ms; readonly readyMs: Ms }[] = [];
  const launch = (askedMs: Ms, readyMs: Ms) => fleet.push({ id: `r${born++}`, askedMs, readyMs });
  for (let at = 0; at < options.count; at++) launch(nowMs - ageMs, nowMs - ageMs);
  let state: Json | null = null;
  let lastMs = nowMs;

  const observe = (report: Report, change: (observation: Observation) => Observation): Observation => {
    const ready = fleet.filter(({ readyMs }) => readyMs <= nowMs);
    const reported = (id: string) => (typeof report === "function" ? report(id, ready.length) : (report ?? 0));
    const seriesOf = (subject: Series["subject"], value: number): Series => {
      const samples = [];
      for (let atMs = lastMs + 5_000; atMs < nowMs; atMs += 10_000) samples.push({ atMs, windowMs: 0, value });
      return { name: signal, subject, samples, latest: samples.at(-1) ?? null, fault: null };
    };
    const series =
      report === null
        ? []
        : per === "endpoint"
          ? [seriesOf({ kind: "endpoint" }, reported("*"))]
          : ready.map(({ id }) => seriesOf({ kind: "replica", id }, reported(id)));
    const replicas = fleet.map(({ id, askedMs, readyMs }): Replica => {
      const isReady = readyMs <= nowMs;
      return {
        id,
        pool: "default",
        state: isReady ? "ready" : "starting",
        ...(isReady ? {} : { stage: "load" as const }),
        entered: { starting: askedMs, load: askedMs, ...(isReady ? { ready: readyMs } : {}) },
        readiness: null,
      };
    });
    return change({
      seq: ++seq,
      nowMs,
      cause: "tick",
      pools: { default: { wanted, reported: fleet.length, otherWriter } },
      replicas,
      series,
      slots: null,
    });
  };

  return {
    get nowMs() {
      return nowMs;
    },
    get wanted() {
      return wanted;
    },
    get readyCount() {
      return fleet.filter(({ readyMs }) => readyMs <= nowMs).length;
    },
    state: () => state,
    /** Nobody asks the policy for so long. */
    pause(durationMs: Ms) {
      nowMs += durationMs;
      lastMs = nowMs;
    },
    /** Somebody else sets the count. */
    set(count: number) {
      [wanted, otherWriter] = [count, true];
      resize();
    },
    /** One decision; time then stands at the policy's next one. */
    tick(
      report: Report,
      { result = "accepted", change = (same) => same }: { result?: Outcome["result"]; change?: (of: Observation) => Observation } = {},
    ): Decision {
      const observation = observe(report, change);
      const before: Json = state ?? policy.start(observation);
      const { state: after, decision } = policy.decide(before, observation);
      state = JSON.parse(JSON.stringify(after)) as Json;
      expect(isJson(after)).toBe(true);
      const want = decision.wants["default"];
      if (want?.kind === "scale" && want.replicas !== wanted) {
        state = policy.settle(state, { seq: decision.seq, pool: "default", atMs: nowMs, result }).state;
        if (result === "accepted") {
          [wanted, otherWriter] = [want.replicas, false];
          resize();
        }
      }
      lastMs = nowMs;
      nowMs = decision.nextAtMs;
      return decision;
    },
    /** Ticks for so long. @returns the counts that were asked for, with the minutes since then */
    run(durationMs: Ms, report: (atMs: Ms) => Report): readonly (readonly [minutes: number, count: number])[] {
      const beganMs = nowMs;
      const changes: [number, number][] = [];
      while (nowMs < beganMs + durationMs) {
        const [atMs, before] = [nowMs, wanted];
        this.tick(report(nowMs));
        if (wanted !== before) changes.push([(atMs - beganMs) / MINUTE, wanted]);
      }
      return changes;
    },
  };

  /** The youngest go first. */
  function resize(): void {
    for (let at = fleet.length; at < wanted; at++) launch(nowMs, nowMs + startMs);
    fleet = fleet.slice(0, wanted);
  }
}

/** Whether a value comes through JSON unchanged: nothing undefined, no number that is not finite. */
function isJson(value: unknown): boolean {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value);
  return typeof value === "object" && Object.values(value).every(isJson);
}

/** A load that replicas share, as utilization in percent of each: 100 is what one replica can do. */
export const shared =
  (load: number): Report =>
  (_, ready) =>
    load / Math.max(1, ready);

export const codesOf = (decision: Decision) => decision.steps.map(({ code }) => code);
export const wantOf = (decision: Decision) => decision.wants["default"];
