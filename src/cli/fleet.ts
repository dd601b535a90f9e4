import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Controller, ControllerView, Turns } from "../controller/index.ts";
import { type Clock, type Door, type Endpoint, type Fleet, type Log, messageOf, TidegateError } from "../model/index.ts";
import { advertisedUrl, type ClusterChoice, type LeaseChoice } from "./cluster-flags.ts";
import { readFile, readText } from "./documents.ts";
import { EXIT } from "./exit.ts";
import type { LoopOptions, RunningLoop } from "./loop.ts";

export interface FleetOptions {
  readonly endpoints: readonly Endpoint[];
  /** The budget that they share; null: none. */
  readonly fleet: Fleet | null;
  readonly clock: Clock;
  readonly version: string;
  readonly host: string;
  readonly adminPort: number;
  readonly stateFolder: string;
  /** A gateway of our own in this process; null: none. */
  readonly gatewayPort: number | null;
  /** Admin addresses of gateways that run apart. */
  readonly gateways: readonly string[];
  readonly adminToken: string | null;
  readonly log: Log;
  /** Decide and record, but never act, whatever an endpoint says. */
  readonly dryRun?: boolean;
  /** A cluster that objects are taken from, or that elects one of several controllers. */
  readonly cluster?: ClusterPart | null;
}

export interface ClusterPart {
  readonly choice: ClusterChoice;
  readonly fromCluster: boolean;
  /** null: there is no other controller. */
  readonly lease: LeaseChoice | null;
  readonly identity: string;
  readonly advertise?: string | undefined;
}

/** What of the loop others look at: while another controller leads there are no endpoints in it. */
export type LoopFace = Pick<Controller, "view" | "endpoint" | "endNow">;

/** Gateway, controller, console and admin API of one process. */
export interface RunningFleet {
  readonly gatewayUrl: string | null;
  readonly adminUrl: string;
  readonly controller: LoopFace;
  /** Stops in the order that loses nothing: door, loop with its replicas, admin. */
  close(how: "leave" | "end"): Promise<void>;
}

/** Reads the config files; every problem of every file in one error. `-` is stdin. */
export async function readConfig(
  files: readonly string[],
): Promise<{ readonly endpoints: readonly Endpoint[]; readonly fleet: Fleet | null; readonly warnings: readonly string[] }> {
  const { formatIssue, parseConfigFiles } = await import("../config/index.ts");
  const texts = files.map((file) => readText(file, readFile));
  const { endpoints, fleet, warnings } = parseConfigFiles(texts, { env: process.env, readSecret: (path) => readFile(path).trim() });
  return { endpoints, fleet, warnings: warnings.map(formatIssue) };
}

export async function startFleet(options: FleetOptions): Promise<RunningFleet> {
  const { endpoints, fleet, clock, host, log, version } = options;
  const { controllerHandler, followerHandler, takeTurns } = await import("../controller/index.ts");
  const { doorAt } = await import("../http/index.ts");
  const { consoleHandler } = await import("../console/index.ts");
  const { startLoop } = await import("./loop.ts");
  const { Gauge, Registry } = await import("prom-client");
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.reverse()) await close();
  };
  try {
    const apart = options.gateways.map((url) => doorAt(url, { token: options.adminToken, clock, log }));
    const doors: Door[] = [...apart];
    const leaveDoors = () => {
      for (const door of apart) door.close();
    };
    closers.push(async () => leaveDoors());
    let gateway: import("../gateway/index.ts").Gateway | null = null;
    if (options.gatewayPort !== null) {
      const { startGateway } = await import("../gateway/index.ts");
      gateway = await startGateway({ port: options.gatewayPort, host, clock, log });
      // Known before the first look of any loop: a request that comes now is held, not refused.
      for (const { name, model, objective, gateway: limits } of endpoints) gateway.know({ name, model, objective, limits });
      closers.push(() => (gateway as import("../gateway/index.ts").Gateway).close({ graceMs: 1000 }));
      doors.push(gateway);
    }
    const { serveAdmin } = await import("./admin-server.ts");
    const admin = await serveAdmin({ port: options.adminPort, host, token: options.adminToken });
    closers.push(admin.close);
    const page = await consoleHandler();
    const others = gateway === null ? [] : [(await import("../gateway/index.ts")).adminHandler(gateway)];
    const ownRegistries = gateway === null ? [] : [gateway.registry];

    const part = options.cluster ?? null;
    const loopOptions: LoopOptions = {
      ...{ files: { endpoints, fleet }, doors, stateFolder: options.stateFolder, clock, log, version, dryRun: options.dryRun ?? false },
      objects: part?.fromCluster ? { namespaces: part.choice.namespaces, identity: part.identity } : null,
      cluster: part?.choice.api ?? null,
    };
    if (part !== null) closers.push(async () => part.choice.api.close());
    const serve = (controller: Controller) =>
      admin.mount([controllerHandler(controller), page, ...others], [controller.metrics.registry, leadingRegistry, ...ownRegistries]);

    const leadingRegistry = new Registry();
    const leading = new Gauge({
      name: "tidegate_leader",
      help: "1 while this controller leads, of those that share a lease, or alone without one",
      registers: [leadingRegistry],
    });
    if (part === null || part.lease === null) {
      leading.set(1);
      const loop = await startLoop(loopOptions);
      serve(loop.controller);
      return {
        gatewayUrl: gateway?.url ?? null,
        adminUrl: admin.url,
        controller: loop.controller,
        async close(how) {
          // The door first: it takes nothing new and lets go what it holds; then the replicas have nothing in flight.
          if (gateway !== null) await gateway.close({ graceMs: how === "end" ? 5000 : 1000 });
          await loop.close(how);
          await admin.close();
          leaveDoors();
          part?.choice.api.close();
        },
      };
    }

    const { lease, identity, choice } = part;
    const startedAtMs = clock.now();
    const turns: Turns<RunningLoop> = takeTurns<RunningLoop & { close(how: "leave"): Promise<void> }>({
      ...{ api: choice.api, ...lease, identity, url: advertisedUrl(part.advertise, admin.url), clock, log },
      async start(turn) {
        const loop = await startLoop({ ...loopOptions, clock: turn.clock }, turn);
        const controller: Controller = { ...loop.controller, view: () => ({ ...loop.controller.view(), leadership: leadership() }) };
        admin.mount([controllerHandler(controller), page, ...others], [controller.metrics.registry, leadingRegistry, ...ownRegistries]);
        leading.set(1);
        return {
          controller,
          async close(how) {
            wait();
            await loop.close(how);
          },
        };
      },
    });
    const leadership = () => ({ identity, leads: turns.leadership.leads(), leader: turns.leadership.holder() });
    const standby = (): ControllerView => ({
      ...{ atMs: clock.now(), startedAtMs, speed: clock.speed, version, endpoints: [], waiting: [], leadership: leadership() },
    });
    /** Until it is our turn. */
    const wait = () => {
      leading.set(0);
      const follower = followerHandler({ leadership: turns.leadership, view: standby });
      admin.mount([follower, page, ...others], [leadingRegistry, ...ownRegistries]);
    };
    wait();
    return {
      gatewayUrl: gateway?.url ?? null,
      adminUrl: admin.url,
      controller: {
        view: () => turns.current()?.controller.view() ?? standby(),
        endpoint(name) {
          const running = turns.current();
          if (running !== null) return running.controller.endpoint(name);
          throw new TidegateError("usage", `${turns.leadership.holder() ?? "nobody"} leads; ask it of ${name}`);
        },
        endNow: async () => turns.current()?.controller.endNow(),
      },
      async close() {
        if (gateway !== null) await gateway.close({ graceMs: 1000 });
        await turns.close();
        await admin.close();
        leaveDoors();
        choice.api.close();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Opens a log in the state folder, or on stderr; JSON lines by pino. */
export async function openLog(where: { readonly folder: string } | "stderr", level = "info"): Promise<Log> {
  const { pino } = await import("pino");
  let destination: import("pino").DestinationStream;
  if (where === "stderr") destination = pino.destination({ fd: 2, sync: true });
  else {
    try {
      mkdirSync(where.folder, { recursive: true });
      destination = pino.destination({ dest: join(where.folder, "tidegate.log"), sync: true });
    } catch (error) {
      throw new TidegateError(
        "history/unwritable",
        `the state folder ${where.folder} cannot be written (${messageOf(error)}); make it writable or choose another with --state`,
        { cause: error },
      );
    }
  }
  const logger = pino({ level, base: null, redact: ["*.authorization", "*.prompt", "*.messages"] }, destination);
  return (at, message, fields = {}) => logger[at](fields, message);
}

/** Real time for the replicas to die when they are not waited for. */
const endNowLimitMs = 10_000;

/**
 * Runs until a signal: the first one ends gracefully, a second one ends the replicas at once, a third one only this process.
 * @returns the exit code
 */
export function untilSignal(
  stop: (signal: NodeJS.Signals) => Promise<void>,
  stopNow: () => Promise<void>,
  done?: Promise<number>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals) => {
      const code = signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
      signals++;
      if (signals > 2) process.exit(code);
      if (stopping) {
        void Promise.race([stopNow(), new Promise((wait) => setTimeout(wait, endNowLimitMs))]).finally(() => process.exit(code));
        return;
      }
      stopping = true;
      stop(signal).then(() => resolve(code), reject);
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
    done?.then((code) => {
      if (stopping) return;
      stopping = true;
      stop("SIGTERM").then(() => resolve(code), reject);
    }, reject);
  });
}
