import { Command } from "commander";
import { type ClusterFlags, clusterOf, clusterOptions, identityOf, type LeaseFlags, leaseOf } from "./cluster-flags.ts";
import type { RunningFleet } from "./fleet.ts";
import { version } from "./version.ts";

/** Options that `up` and `controller` share. */
export function loopOptions(command: Command): Command {
  return command
    .option("--host <address>", "address to listen on", process.env["TIDEGATE_HOST"] ?? "127.0.0.1")
    .option("--admin-port <port>", "console, admin API and /metrics", process.env["TIDEGATE_ADMIN_PORT"] ?? "9090")
    .option("--state <folder>", "history and what the platform remembers", process.env["TIDEGATE_STATE"] ?? ".tidegate")
    .option("--speed <factor>", "run that many times faster than real time; everything is reported in scaled time", "1")
    .option("--dry-run", "decide and record, but never change a count")
    .option("--leave", "on exit, leave the replicas running; the next start adopts them")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .option("--plain", "plain lines instead of the live view");
}

export interface LoopFlags {
  readonly host: string;
  readonly adminPort: string;
  readonly state: string;
  readonly speed: string;
  readonly dryRun?: boolean;
  readonly leave?: boolean;
  readonly logLevel: string;
  readonly plain?: boolean;
}

export function upCommand(): Command {
  const command = new Command("up").description("gateway, controller and console for the endpoints of a config, in one process");
  return clusterOptions(loopOptions(command))
    .argument("[file...]", "config files; several documents in one file or several files together; - is stdin")
    .option("--port <port>", "the gateway's port", process.env["TIDEGATE_PORT"] ?? "8080")
    .option("--no-gateway", "without a gateway: signals come from the engines' own metrics")
    .action(async (files: readonly string[], flags: LoopFlags & ClusterFlags & { port: string; gateway: boolean }) => {
      await runLoop(files, flags, { gatewayPort: flags.gateway ? flags.port : null, gateways: [] });
    });
}

export function portOf(text: string, flag: string, usage: (message: string) => Error): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw usage(`${flag} is ${JSON.stringify(text)}; give a port from 0 (any free one) to 65535`);
  return port;
}

/** Starts the loops of a config and shows them until a signal comes. */
export async function runLoop(
  files: readonly string[],
  flags: LoopFlags & ClusterFlags & LeaseFlags,
  door: { readonly gatewayPort: string | null; readonly gateways: readonly string[] },
): Promise<void> {
  const { TidegateError } = await import("../model/index.ts");
  const usage = (message: string) => new TidegateError("usage", message);
  const speed = Number(flags.speed);
  if (!(speed > 0 && speed <= 1000)) throw usage(`--speed is ${JSON.stringify(flags.speed)}; give a number above 0, such as 5`);
  if (files.length === 0 && flags.fromCluster !== true)
    throw usage("no config file is named; give one, such as tidegate.yaml, or --from-cluster");
  if (speed !== 1 && (flags.fromCluster === true || flags.lease !== undefined))
    throw usage(`--speed is ${speed}; a cluster runs in its own time: leave it at 1`);
  const { openLog, readConfig, startFleet, untilSignal } = await import("./fleet.ts");
  const {
    endpoints,
    fleet: budget,
    warnings,
  } = files.length === 0 ? { endpoints: [], fleet: null, warnings: [] } : await readConfig(files);
  if (endpoints.length === 0 && flags.fromCluster !== true)
    throw new TidegateError("config/invalid", `${files.join(", ")} holds no Endpoint document; add one, see examples/tidegate.yaml`);
  for (const warning of warnings) process.stderr.write(`tidegate: ${warning}\n`);
  const choice = await clusterOf(flags, "tidegate-controller");
  const live = process.stdout.isTTY === true && flags.plain !== true && process.env["CI"] === undefined;
  const { fleetClock } = await import("./fleet-clock.ts");
  const fleet = await startFleet({
    fleet: budget,
    endpoints,
    dryRun: flags.dryRun ?? false,
    cluster:
      choice === null
        ? null
        : {
            choice,
            fromCluster: flags.fromCluster ?? false,
            lease: flags.lease === undefined ? null : leaseOf(flags.lease, choice.ownNamespace),
            identity: identityOf(flags.identity),
            advertise: flags.advertise,
          },
    clock: fleetClock(flags.state, speed),
    version,
    host: flags.host,
    adminPort: portOf(flags.adminPort, "--admin-port", usage),
    stateFolder: flags.state,
    gatewayPort: door.gatewayPort === null ? null : portOf(door.gatewayPort, "--port", usage),
    gateways: door.gateways,
    adminToken: process.env["TIDEGATE_ADMIN_TOKEN"] ?? null,
    log: await openLog(
      live ? { folder: flags.state } : "stderr",
      live ? flags.logLevel : flags.logLevel === "info" ? "warn" : flags.logLevel,
    ),
  });
  const hide = await showFleet(fleet, live, [
    `${fleet.gatewayUrl === null ? "" : `gateway ${fleet.gatewayUrl}/v1   `}console ${fleet.adminUrl}   Ctrl-C ends ${flags.leave ? "and leaves the replicas running" : "everything"}`,
  ]);
  process.exitCode = await untilSignal(
    async () => {
      hide();
      process.stderr.write(
        flags.leave ? "tidegate: ending; the replicas go on\n" : "tidegate: draining and ending the replicas; Ctrl-C again ends at once\n",
      );
      await fleet.close(flags.leave ? "leave" : "end");
    },
    () => (flags.leave ? fleet.close("leave") : fleet.controller.endNow()),
  );
  process.exit();
}

/** Shows the fleet live on a terminal, or as plain lines of what changed. @returns a function that ends it */
export async function showFleet(
  fleet: RunningFleet,
  live: boolean,
  foot: readonly string[],
  more: () => readonly string[] = () => [],
): Promise<() => void> {
  const { plainLines, render } = await import("./terminal.ts");
  const { controller } = fleet;
  if (!live) {
    for (const line of foot) process.stdout.write(`${line}\n`);
    const seen = new Map<string, string>();
    const show = () => {
      for (const line of plainLines(controller.view(), seen)) process.stdout.write(`${line}\n`);
    };
    const timer = setInterval(show, 500);
    return () => {
      clearInterval(timer);
      show();
    };
  }
  const { createLogUpdate } = await import("log-update");
  const update = createLogUpdate(process.stdout);
  const show = () =>
    update(
      render(
        controller.view(),
        (name) => controller.endpoint(name).points(0),
        { columns: process.stdout.columns ?? 100, rows: (process.stdout.rows ?? 40) - 1 },
        [...more(), ...foot],
      ),
    );
  show();
  const timer = setInterval(show, 250);
  return () => {
    clearInterval(timer);
    show();
    update.done();
  };
}
