import { join } from "node:path";
import { openHistory } from "../history/index.ts";
import { type Clock, type Door, type Endpoint, type Fleet, type Log, type Ms, messageOf, TidegateError } from "../model/index.ts";
import { createPlatform, type KubernetesApi, type Platform } from "../platforms/index.ts";
import { createPolicy } from "../policy/index.ts";
import { createCollector } from "../signals/index.ts";
import type { Turn } from "./leadership-turn.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createQuota } from "./quota.ts";
import { type Past, type Runner, startRunner } from "./runner.ts";
import type { ControllerView, WaitingView } from "./view.ts";

/** Inside the state folder: what platforms remember of their replicas. */
export const platformFolder = "platform";

/** What is to be run; it may change while it runs. */
export interface ControllerConfig {
  readonly endpoints: readonly Endpoint[];
  /** The budget that they share; null: none. */
  readonly fleet: Fleet | null;
}

export interface ControllerOptions extends ControllerConfig {
  readonly doors: readonly Door[];
  /** History and what platforms remember live here. */
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** Where several controllers share the work: while it is our turn. Absent: there is no other one. */
  readonly turn?: Turn;
  /** For platforms that name no cluster of their own; absent: each connects by itself. */
  readonly cluster?: KubernetesApi;
}

/** The loops of all endpoints of one process. */
export interface Controller {
  readonly metrics: Metrics;
  readonly clock: Clock;
  view(): ControllerView;
  /** @throws TidegateError `usage` naming the known endpoints */
  endpoint(name: string): Runner;
  /** What keeps an endpoint from starting, or from going on by its new spec; null: nothing. */
  waiting(name: string): WaitingView | null;
  /** Calls back after each look of an endpoint's loop. @returns a function that ends it */
  onLook(listener: (endpoint: string) => void): () => void;
  /**
   * From now on this is what runs: who is new starts, who is no longer named is let go with its count as it is, who has changed goes on
   * by its new spec with what is known of its past. Who cannot start is tried again, and the others do not wait for it; a changed one
   * goes on by its old spec until then. Resolves once all have been tried.
   */
  reconfigure(config: ControllerConfig): Promise<void>;
  /** `leave`: replicas go on and are adopted at the next start; `end`: they are drained and ended. */
  close(how: "leave" | "end"): Promise<void>;
  /** Ends all replicas at once, also while `close` waits for their requests. */
  endNow(): Promise<void>;
}

/** One endpoint's loop, what it runs by and what it should run by. */
interface Seat {
  readonly name: string;
  /** null: it is to be let go. */
  wanted: Endpoint | null;
  running: { readonly endpoint: Endpoint; readonly runner: Runner; readonly platform: Platform } | null;
  trouble: { readonly text: string; readonly sinceMs: Ms } | null;
  work: Promise<void>;
  tries: number;
  cancelRetry: () => void;
}

const firstRetryMs: Ms = 1_000;
const longestRetryMs: Ms = 30_000;

/**
 * Opens the history, starts or adopts what the platforms hold, and sets every endpoint's loop going.
 * @throws TidegateError of history and platforms; what was already started is closed again
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { doors, stateFolder, clock, log, version } = options;
  const local = openHistory(stateFolder);
  const history = options.turn?.history(local) ?? local;
  const metrics = createMetrics();
  const seats = new Map<string, Seat>();
  const startedAtMs = clock.now();
  const listeners = new Set<(endpoint: string) => void>();
  let closing = false;
  const runners = () => [...seats.values()].flatMap(({ running }) => running?.runner ?? []);
  const quota = createQuota((name) => seats.get(name)?.running?.runner.ask());

  function openPlatform(endpoint: Endpoint): Promise<Platform> {
    return createPlatform(endpoint, {
      stateFolder: join(stateFolder, platformFolder),
      clock,
      log,
      ...(options.turn === undefined ? {} : { mayAct: options.turn.leads }),
      ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
    });
  }

  function run(endpoint: Endpoint, platform: Platform, past: Past | null): Runner {
    const policy = createPolicy(endpoint);
    const collector = createCollector(endpoint, { clock, log, needs: policy.needs });
    const onLook = () => {
      for (const listener of listeners) listener(endpoint.name);
    };
    return startRunner({
      ...{ endpoint, policy, platform, collector, doors, history, clock, metrics, log, quota, onLook },
      ...(past === null ? {} : { past }),
    });
  }

  async function letGo(seat: Seat): Promise<void> {
    const { running } = seat;
    const leaveSeat = () => seat.wanted === null && seats.delete(seat.name);
    if (running === null) return void leaveSeat();
    seat.running = null;
    await running.runner.release();
    try {
      await running.platform.letGo?.();
    } catch (error) {
      log("warn", `${seat.name}: what was draining could not be taken back: ${messageOf(error)}`);
    }
    await running.platform.close("leave");
    // An endpoint of this name that comes later is another one: it takes over neither a pause nor what was learned.
    const saved = history.load(seat.name);
    if (saved !== null) history.save(seat.name, { ...saved, key: "", state: null, pausedUntilMs: null, pin: null, cursors: [] });
    await metrics.forget(running.endpoint);
    await Promise.allSettled(doors.map((door) => door.forget(seat.name)));
    log("info", `${seat.name}: no longer controlled; its replicas stay as they are`);
    leaveSeat();
  }

  /** Makes what runs what is wanted. @throws TidegateError of the platform; what ran before goes on */
  async function settle(seat: Seat): Promise<void> {
    const { wanted, running } = seat;
    if (wanted === null) return letGo(seat);
    if (running === null) {
      const platform = await openPlatform(wanted);
      seat.running = { endpoint: wanted, platform, runner: run(wanted, platform, null) };
      return;
    }
    if (sameEndpoint(running.endpoint, wanted)) return;
    const keeps = samePlatform(running.endpoint, wanted);
    const platform = keeps ? running.platform : await openPlatform(wanted);
    const past = await running.runner.release();
    if (!keeps) await running.platform.close("leave");
    if (JSON.stringify(running.endpoint.pools) !== JSON.stringify(wanted.pools)) await metrics.forget(running.endpoint);
    seat.running = { endpoint: wanted, platform, runner: run(wanted, platform, past) };
    seat.running.runner.wake("config");
    log("info", `${seat.name}: goes on by its new spec`);
  }

  /** Settles in turn, as often as needed; never rejects. */
  function work(seat: Seat): Promise<void> {
    seat.cancelRetry();
    seat.work = seat.work.then(async () => {
      if (closing) return;
      try {
        await settle(seat);
        seat.trouble = null;
        seat.tries = 0;
      } catch (error) {
        const text = messageOf(error);
        if (seat.trouble?.text !== text) log("warn", `${seat.name}: ${text}; trying again`);
        seat.trouble = { text, sinceMs: seat.trouble?.sinceMs ?? clock.now() };
        if (closing) return;
        const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** seat.tries++);
        seat.cancelRetry = clock.after(delayMs, () => void work(seat));
        for (const listener of listeners) listener(seat.name);
      }
    });
    return seat.work;
  }

  const seatOf = (endpoint: Endpoint): Seat => {
    const seat: Seat = seats.get(endpoint.name) ?? {
      ...{ name: endpoint.name, wanted: null, running: null, trouble: null, work: Promise.resolve(), tries: 0 },
      cancelRetry: () => {},
    };
    seats.set(endpoint.name, seat);
    seat.wanted = endpoint;
    return seat;
  };

  const waiting = (name: string): WaitingView | null => {
    const trouble = seats.get(name)?.trouble ?? null;
    return trouble === null ? null : { name, ...trouble };
  };

  const close = async (how: "leave" | "end") => {
    closing = true;
    for (const seat of seats.values()) seat.cancelRetry();
    await Promise.allSettled([...seats.values()].map((seat) => seat.work));
    await Promise.allSettled(runners().map((runner) => runner.stop(how)));
    history.close();
  };

  quota.configure(options.fleet, options.endpoints);
  try {
    for (const endpoint of options.endpoints) await settle(seatOf(endpoint));
  } catch (error) {
    await close("leave");
    throw error;
  }
  return {
    metrics,
    clock,
    view: () => ({
      atMs: clock.now(),
      startedAtMs,
      speed: clock.speed,
      version,
      endpoints: runners().map((runner) => runner.view()),
      waiting: [...seats.values()].flatMap(({ name }) => waiting(name) ?? []),
    }),
    waiting,
    endpoint(name) {
      const seat = seats.get(name);
      if (seat?.running) return seat.running.runner;
      if (seat?.trouble) throw new TidegateError("usage", `endpoint ${name} could not start yet: ${seat.trouble.text}`);
      const known = runners().map((runner) => runner.name);
      throw new TidegateError("usage", `no endpoint ${JSON.stringify(name)} here; there is ${known.join(", ") || "none"}`);
    },
    onLook(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async reconfigure({ endpoints, fleet }) {
      quota.configure(fleet, endpoints);
      const named = new Set(endpoints.map(({ name }) => name));
      const gone = [...seats.values()].filter(({ name }) => !named.has(name));
      for (const seat of gone) seat.wanted = null;
      await Promise.all([...gone, ...endpoints.map(seatOf)].map(work));
    },
    close,
    endNow: async () => void (await Promise.allSettled(runners().map((runner) => runner.endNow()))),
  };
}

const sameEndpoint = (a: Endpoint, b: Endpoint) => JSON.stringify(a) === JSON.stringify(b);

/** Whether an open platform of one serves the other: the same objects, by the same pools. */
function samePlatform(a: Endpoint, b: Endpoint): boolean {
  const key = ({ platform, namespace, pools }: Endpoint) => JSON.stringify([platform, namespace, pools.map(({ name }) => name)]);
  return key(a) === key(b);
}
