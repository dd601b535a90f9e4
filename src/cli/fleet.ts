import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Clock, type Door, type Endpoint, type Fleet, type Log, messageOf, TidegateError } from "../model/index.ts";
import { readFile, readText } from "./documents.ts";
import { EXIT } from "./exit.ts";

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
}

/** Gateway, controller, console and admin API of one process. */
export interface RunningFleet {
  readonly gatewayUrl: string | null;
  readonly adminUrl: string;
  readonly controller: import("../controller/index.ts").Controller;
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
  const { endpoints, fleet, clock, host, log } = options;
  const { startController, controllerHandler } = await import("../controller/index.ts");
  const { adminDoor } = await import("../http/index.ts");
  const { consoleHandler } = await import("../console/index.ts");
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.reverse()) await close();
  };
  try {
    const doors: Door[] = options.gateways.map((url) => adminDoor(url, { token: options.adminToken, clock }));
    let gateway: import("../gateway/index.ts").Gateway | null = null;
    if (options.gatewayPort !== null) {
      const { startGateway } = await import("../gateway/index.ts");
      gateway = await startGateway({ port: options.gatewayPort, host, clock, log });
      closers.push(() => (gateway as import("../gateway/index.ts").Gateway).close({ graceMs: 1000 }));
      doors.push(gateway);
    }
    const { serveAdmin } = await import("./admin-server.ts");
    const admin = await serveAdmin({ port: options.adminPort, host, token: options.adminToken });
    closers.push(admin.close);
    const controller = await startController({
      endpoints,
      fleet,
      doors,
      stateFolder: options.stateFolder,
      clock,
      log,
      version: options.version,
    });
    const handlers = [controllerHandler(controller), await consoleHandler()];
    const registries = [controller.metrics.registry];
    if (gateway !== null) {
      const { adminHandler } = await import("../gateway/index.ts");
      handlers.push(adminHandler(gateway));
      registries.push(gateway.registry);
    }
    admin.mount(handlers, registries);
    return {
      gatewayUrl: gateway?.url ?? null,
      adminUrl: admin.url,
      controller,
      async close(how) {
        // The door first: it takes nothing new and lets go what it holds; then the replicas have nothing in flight.
        if (gateway !== null) await gateway.close({ graceMs: how === "end" ? 5000 : 1000 });
        await controller.close(how);
        await admin.close();
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
