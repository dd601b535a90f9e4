import { Command } from "commander";
import type { Gateway } from "../gateway/index.ts";
import type { Clock, Log } from "../model/index.ts";
import { type ClusterChoice, type ClusterFlags, clusterOf, clusterOptions } from "./cluster-flags.ts";
import { portOf } from "./up.ts";

interface GatewayFlags extends ClusterFlags {
  readonly port: string;
  readonly adminPort: string;
  readonly host: string;
  readonly speed: string;
  readonly routing: string;
  readonly grace: string;
  readonly logLevel: string;
}

/** What cannot be listed is tried again this often. */
const againMs = 5_000;

/**
 * Keeps the gateway's endpoints those of the cluster, for as long as it runs: a cluster that cannot be read yet is tried again.
 * @param told called once the first list has been read
 * @returns a function that ends it
 */
function informFrom({ api, namespaces }: ClusterChoice, gateway: Gateway, clock: Clock, log: Log, told: () => void): () => void {
  let known: readonly string[] = [];
  let closed = false;
  let close = () => {};
  let troubled = false;
  const begin = async () => {
    const { followDoors } = await import("../cluster/index.ts");
    const { messageOf } = await import("../model/index.ts");
    try {
      const source = await followDoors({
        ...{ api, namespaces, clock, log },
        onChange(doors) {
          const names = doors.map(({ name }) => name);
          for (const name of known.filter((one) => !names.includes(one))) void gateway.forget(name);
          for (const door of doors) gateway.know(door);
          known = names;
        },
      });
      told();
      if (closed) source.close();
      else close = source.close;
    } catch (error) {
      if (!troubled) log("warn", `the cluster's endpoints cannot be read: ${messageOf(error)}; trying again`);
      troubled = true;
      if (!closed) close = clock.after(againMs, () => void begin());
    }
  };
  void begin();
  return () => {
    closed = true;
    close();
    api.close();
  };
}

/** `tidegate gateway`: the door alone. It learns its endpoints and replicas from a `tidegate controller --gateway URL`. */
export function gatewayCommand(): Command {
  return clusterOptions(new Command("gateway"))
    .description("the gateway alone; a controller tells it the replicas over its admin API")
    .option("--port <port>", "the OpenAI-compatible port", process.env["TIDEGATE_PORT"] ?? "8080")
    .option("--admin-port <port>", "admin API, /metrics and probes", process.env["TIDEGATE_ADMIN_PORT"] ?? "9090")
    .option("--host <address>", "address to listen on", process.env["TIDEGATE_HOST"] ?? "127.0.0.1")
    .option("--speed <factor>", "run that many times faster than real time, as the controller does", "1")
    .option("--routing <choice>", "least-work, least-in-flight, round-robin or affinity", "least-work")
    .option("--grace <seconds>", "on exit, wait so long for requests in flight", "30")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText(
      "after",
      "\nTIDEGATE_ADMIN_TOKEN in the environment: the admin API asks for it as a bearer token.\n" +
        "With --from-cluster it knows its endpoints before a controller tells the replicas: requests are held, not refused.",
    )
    .action(async (flags: GatewayFlags) => {
      const { TidegateError } = await import("../model/index.ts");
      const usage = (message: string) => new TidegateError("usage", message);
      const speed = Number(flags.speed);
      if (!(speed > 0 && speed <= 1000)) throw usage(`--speed is ${JSON.stringify(flags.speed)}; give a number above 0, such as 5`);
      const graceS = Number(flags.grace);
      if (!(graceS >= 0 && graceS <= 86_400)) throw usage(`--grace is ${JSON.stringify(flags.grace)}; give seconds, such as 30`);
      const { ROUTINGS } = await import("../routing/index.ts");
      const routing = ROUTINGS.find((choice) => choice === flags.routing);
      if (routing === undefined) throw usage(`--routing is ${JSON.stringify(flags.routing)}; there is ${ROUTINGS.join(", ")}`);
      const { openLog, untilSignal } = await import("./fleet.ts");
      const { realClock } = await import("../clock/index.ts");
      const { startGateway } = await import("../gateway/index.ts");
      const choice = await clusterOf(flags, "tidegate-gateway");
      const clock = realClock(speed);
      const log = await openLog("stderr", flags.logLevel);
      let informed = choice === null;
      const gateway = await startGateway({
        port: portOf(flags.port, "--port", usage),
        adminPort: portOf(flags.adminPort, "--admin-port", usage),
        adminToken: process.env["TIDEGATE_ADMIN_TOKEN"] ?? null,
        host: flags.host,
        clock,
        log,
        routing,
        informed: () => informed,
      });
      const stop =
        choice === null
          ? () => {}
          : informFrom(choice, gateway, clock, log, () => {
              informed = true;
            });
      process.stdout.write(`gateway ${gateway.url}/v1   admin ${gateway.adminUrl}   Ctrl-C ends it\n`);
      process.exitCode = await untilSignal(
        async () => {
          stop();
          process.stderr.write("tidegate: finishing the requests in flight; Ctrl-C again ends at once\n");
          await gateway.close({ graceMs: graceS * 1000 });
        },
        () => gateway.close({ graceMs: 0 }),
      );
      process.exit();
    });
}
