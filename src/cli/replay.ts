import { Command } from "commander";
import { EXIT } from "./exit.ts";

export function replayCommand(): Command {
  return new Command("replay")
    .description("run the recorded observations through the policy again and report every decision that differs")
    .argument("[endpoint...]", "default: all of the history")
    .option("--state <folder>", "state folder of the controller", ".tidegate")
    .option("-o, --output <format>", "text or json", "text")
    .action(async (endpoints: readonly string[], options: { state: string; output: string }) => {
      const { openHistory, replay } = await import("../history/index.ts");
      const history = openHistory(options.state, { readOnly: true });
      try {
        const reports = (endpoints.length > 0 ? endpoints : history.endpoints()).map((name) => ({
          name,
          report: replay(history.entries(name)),
        }));
        if (options.output === "json")
          process.stdout.write(`${JSON.stringify(Object.fromEntries(reports.map(({ name, report }) => [name, report])), null, 2)}\n`);
        for (const { name, report } of options.output === "json" ? [] : reports) {
          process.stdout.write(
            `${name}: ${report.decisions} decisions and ${report.outcomes} outcomes replayed, ${report.snapshots} snapshots checked, ${report.differences.length} differ${
              report.skipped > 0 ? `; ${report.skipped} older entries have lost their beginning and were passed over` : ""
            }\n`,
          );
          for (const difference of report.differences.slice(0, 5)) {
            process.stdout.write(
              `  ${difference.what} ${difference.seq} at ${new Date(difference.atMs).toISOString()}:\n    recorded ${JSON.stringify(difference.recorded)}\n    replayed ${JSON.stringify(difference.replayed)}\n`,
            );
          }
        }
        if (reports.some(({ report }) => report.differences.length > 0)) process.exitCode = EXIT.differences;
      } finally {
        history.close();
      }
    });
}
