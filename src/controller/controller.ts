import { join } from "node:path";
import { openHistory } from "../history/index.ts";
import { type Clock, type Door, type Endpoint, type Fleet, type Log, TidegateError } from "../model/index.ts";
import { createPlatform } from "../platforms/index.ts";
import { createPolicy } from "../policy/index.ts";
import { createCollector } from "../signals/index.ts";
import type { Turn } from "./leadership-turn.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createQuota } from "./quota.ts";
import { type Runner, startRunner } from "./runner.ts";
import type { ControllerView } from "./view.ts";

/** Inside the state folder: what platforms remember of their replicas. */
export const platformFolder = "platform";

export interface ControllerOptions {
  readonly endpoints: readonly Endpoint[];
  /** The budget that they share; null: none. */
  readonly fleet: Fleet | null;
  readonly doors: readonly Door[];
  /** History and what platforms remember live here. */
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** Where several controllers share the work: while it is our turn. Absent: there is no other one. */
  readonly turn?: Turn;
}

/** The loops of all endpoints of one process. */
export interface Controller {
  readonly metrics: Metrics;
  readonly clock: Clock;
  view(): ControllerView;
  /** @throws TidegateError `usage` naming the known endpoints */
  endpoint(name: string): Runner;
  /** Calls back after each look of an endpoint's loop. @returns a function that ends it */
  onLook(listener: (endpoint: string) => void): () => void;
  /** `leave`: replicas go on and are adopted at the next start; `end`: they are drained and ended. */
  close(how: "leave" | "end"): Promise<void>;
  /** Ends all replicas at once, also while `close` waits for their requests. */
  endNow(): Promise<void>;
}

/**
 * Opens the history, starts or adopts what the platforms hold, and sets every endpoint's loop going.
 * @throws TidegateError of history and platforms; what was already started is closed again
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { endpoints, fleet, doors, stateFolder, clock, log, version } = options;
  const local = openHistory(stateFolder);
  const history = options.turn?.history(local) ?? local;
  const metrics = createMetrics();
  const runners = new Map<string, Runner>();
  const startedAtMs = clock.now();
  const listeners = new Set<(endpoint: string) => void>();
  const close = async (how: "leave" | "end") => {
    await Promise.allSettled([...runners.values()].map((runner) => runner.stop(how)));
    history.close();
  };
  const quota = fleet === null ? null : createQuota(fleet, endpoints, (name) => runners.get(name)?.ask());
  try {
    for (const endpoint of endpoints) {
      const policy = createPolicy(endpoint);
      const mayAct = options.turn === undefined ? {} : { mayAct: options.turn.leads };
      const platform = await createPlatform(endpoint, { stateFolder: join(stateFolder, platformFolder), clock, log, ...mayAct });
      const collector = createCollector(endpoint, { clock, log, needs: policy.needs });
      const onLook = () => {
        for (const listener of listeners) listener(endpoint.name);
      };
      runners.set(
        endpoint.name,
        startRunner({ endpoint, policy, platform, collector, doors, history, clock, metrics, log, quota, onLook }),
      );
    }
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
      endpoints: [...runners.values()].map((runner) => runner.view()),
    }),
    endpoint(name) {
      const runner = runners.get(name);
      if (runner === undefined)
        throw new TidegateError("usage", `no endpoint ${JSON.stringify(name)} here; there is ${[...runners.keys()].join(", ") || "none"}`);
      return runner;
    },
    onLook(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close,
    endNow: async () => void (await Promise.allSettled([...runners.values()].map((runner) => runner.endNow()))),
  };
}
