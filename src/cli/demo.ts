import { Command } from "commander";
import { version } from "./version.ts";

const demoSpeed = 5;

export function demoCommand(): Command {
  return new Command("demo")
    .description("an emulated fleet that follows a real trace for three minutes: from zero, a burst, scale-in, a wake from zero")
    .option("--port <port>", "the gateway's port; taken ports are passed over for a free one", "8080")
    .option("--admin-port <port>", "the console's port", "9090")
    .option("--state <folder>", "state folder; what an earlier demo left there is cleared", ".tidegate/demo")
    .option("--speed <factor>", "times real time", String(demoSpeed))
    .option("--plain", "plain lines instead of the live view")
    .option("--once", "end when the trace has ended, instead of staying up")
    .action(async (flags: { port: string; adminPort: string; state: string; speed: string; plain?: boolean; once?: boolean }) => {
      const { rmSync } = await import("node:fs");
      const { join } = await import("node:path");
      const { fileURLToPath } = await import("node:url");
      const { TidegateError } = await import("../model/index.ts");
      const usage = (message: string) => new TidegateError("usage", message);
      const { portOf, showFleet } = await import("./up.ts");
      const { openLog, readConfig, startFleet, untilSignal } = await import("./fleet.ts");
      const { elapsed, percent, seconds } = await import("../console/index.ts");
      const { realClock } = await import("../clock/index.ts");
      const { builtinTrace } = await import("../traces/index.ts");
      const { runLoad } = await import("../load/index.ts");
      const { freePort } = await import("./free-port.ts");
      const speed = Number(flags.speed);
      if (!(speed > 0 && speed <= 50)) throw usage(`--speed is ${JSON.stringify(flags.speed)}; give a number above 0 and up to 50`);
      const { endpoints } = await readConfig([fileURLToPath(new URL("../../examples/demo.yaml", import.meta.url))]);
      const [endpoint] = endpoints;
      if (endpoint === undefined) throw new TidegateError("config/invalid", "examples/demo.yaml holds no Endpoint");
      const host = "127.0.0.1";
      const live = process.stdout.isTTY === true && flags.plain !== true && process.env["CI"] === undefined;
      const { endLeftovers } = await import("../platforms/index.ts");
      const clock = realClock(speed);
      const { platformFolder } = await import("../controller/index.ts");
      await endLeftovers(join(flags.state, platformFolder), realClock());
      rmSync(flags.state, { recursive: true, force: true });
      const fleet = await startFleet({
        endpoints: [endpoint],
        fleet: null,
        clock,
        version,
        host,
        adminPort: await freePort(host, portOf(flags.adminPort, "--admin-port", usage)),
        gatewayPort: await freePort(host, portOf(flags.port, "--port", usage)),
        gateways: [],
        stateFolder: flags.state,
        adminToken: null,
        log: await openLog({ folder: flags.state }, "info"),
      });
      const stopLoad = new AbortController();
      let loadLine = "";
      const trace = builtinTrace();
      const lengthMs = trace.at(-1)?.arrivalMs ?? 0;
      const startedMs = clock.now();
      const load = runLoad({
        url: fleet.gatewayUrl as string,
        model: endpoint.model,
        trace,
        clock,
        rate: 1,
        api: "chat",
        signal: stopLoad.signal,
        objective: endpoint.objective,
        onProgress: (progress) => {
          loadLine = `load: ${elapsed(clock.now() - startedMs)} of ${elapsed(lengthMs)}, ${progress.sent} requests sent, ${progress.ok} completed, ${progress.failed} failed`;
        },
      });
      const hide = await showFleet(
        fleet,
        live,
        [`gateway ${fleet.gatewayUrl}/v1   console ${fleet.adminUrl}   Ctrl-C ends everything`],
        () => [loadLine],
      );
      if (!live) process.stdout.write(`the console: ${fleet.adminUrl}\n`);
      // The wake and the drop to zero after the last request belong to the show.
      const ended = load.then(async (report) => {
        await clock.sleep(60_000, stopLoad.signal).catch(() => undefined);
        if (!flags.once && live) await new Promise(() => undefined);
        return report.failed > 0 ? 1 : 0;
      });
      const code = await untilSignal(
        async () => {
          stopLoad.abort();
          hide();
          const view = fleet.controller.view().endpoints[0];
          await fleet.close("end");
          if (view !== undefined) {
            process.stdout.write(
              `\n${view.totals?.arrived ?? 0} requests, ${view.totals?.failed ?? 0} failed; objective (TTFT ${seconds(view.objective.timeToFirstTokenMs / 1000)}, TPOT ${seconds(view.objective.timePerOutputTokenMs / 1000)}) met by ${percent(view.attainment)}; ${view.cost.replicaHours.toFixed(3)} replica-hours, cost ${view.cost.total.toFixed(3)}\n` +
                `why each count:   ./bin/tidegate explain ${view.name} --last 5 --state ${flags.state}\nthe same again:   ./bin/tidegate replay --state ${flags.state}\n`,
            );
          }
        },
        () => fleet.controller.endNow(),
        ended,
      );
      process.exit(code === 130 ? 0 : code);
    });
}
