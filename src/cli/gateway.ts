import { Command } from "commander";
import { portOf } from "./up.ts";

interface GatewayFlags {
  readonly port: string;
  readonly adminPort: string;
  readonly host: string;
  readonly speed: string;
  readonly routing: string;
  readonly grace: string;
  readonly logLevel: string;
}

/** `tidegate gateway`: the door alone. It learns its endpoints and replicas from a `tidegate controller --gateway URL`. */
export function gatewayCommand(): Command {
  return new Command("gateway")
    .description("the gateway alone; a controller tells it the replicas over its admin API")
    .option("--port <port>", "the OpenAI-compatible port", process.env["TIDEGATE_PORT"] ?? "8080")
    .option("--admin-port <port>", "admin API, /metrics and probes", process.env["TIDEGATE_ADMIN_PORT"] ?? "9090")
    .option("--host <address>", "address to listen on", process.env["TIDEGATE_HOST"] ?? "127.0.0.1")
    .option("--speed <factor>", "run that many times faster than real time, as the controller does", "1")
    .option("--routing <choice>", "least-work, least-in-flight, round-robin or affinity", "least-work")
    .option("--grace <seconds>", "on exit, wait so long for requests in flight", "30")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText("after", "\nTIDEGATE_ADMIN_TOKEN in the environment: the admin API asks for it as a bearer token.")
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
      const gateway = await startGateway({
        port: portOf(flags.port, "--port", usage),
        adminPort: portOf(flags.adminPort, "--admin-port", usage),
        adminToken: process.env["TIDEGATE_ADMIN_TOKEN"] ?? null,
        host: flags.host,
        clock: realClock(speed),
        log: await openLog("stderr", flags.logLevel),
        routing,
      });
      process.stdout.write(`gateway ${gateway.url}/v1   admin ${gateway.adminUrl}   Ctrl-C ends it\n`);
      process.exitCode = await untilSignal(
        async () => {
          process.stderr.write("tidegate: finishing the requests in flight; Ctrl-C again ends at once\n");
          await gateway.close({ graceMs: graceS * 1000 });
        },
        () => gateway.close({ graceMs: 0 }),
      );
      process.exit();
    });
}
