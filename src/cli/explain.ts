import { Command } from "commander";

export function explainCommand(): Command {
  return new Command("explain")
    .description("why this many replicas, in sentences and numbers, from the recorded history")
    .argument("<endpoint>")
    .option("--at <time>", "a moment, such as 2026-11-24T12:00:00Z; default: now")
    .option("--last <n>", "that many of the decisions that changed the count, newest first")
    .option("--state <folder>", "state folder of the controller", ".tidegate")
    .option("-o, --output <format>", "text or json", "text")
    .action(async (endpoint: string, options: { at?: string; last?: string; state: string; output: string }) => {
      const { TidegateError } = await import("../model/index.ts");
      const { explain, openHistory, sentences } = await import("../history/index.ts");
      const atMs = options.at === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(options.at);
      if (Number.isNaN(atMs))
        throw new TidegateError("usage", `--at is ${JSON.stringify(options.at)}; give a time such as 2026-11-24T12:00:00Z`);
      const last = options.last === undefined ? null : Number(options.last);
      if (last !== null && !(Number.isInteger(last) && last > 0))
        throw new TidegateError("usage", `--last is ${JSON.stringify(options.last)}; give a whole number above 0`);
      const history = openHistory(options.state, { readOnly: true });
      try {
        if (!history.endpoints().includes(endpoint)) {
          throw new TidegateError(
            "usage",
            `no endpoint ${JSON.stringify(endpoint)} in ${history.file}; it holds ${history.endpoints().join(", ") || "none"}`,
          );
        }
        const newestMs = history.latest(endpoint, "decision", 1)[0]?.atMs ?? 0;
        const moments = last === null ? [Math.min(atMs, newestMs)] : history.latest(endpoint, "action", last).map((entry) => entry.atMs);
        // A decision is rarely older than its policy's interval: the whole history is read only where that was not enough.
        const around = (moment: number, fromMs: number) => explain(history.entries(endpoint, { fromMs, toMs: moment + 60_000 }), moment);
        const found = moments.flatMap((moment) => around(moment, moment - 3_600_000) ?? around(moment, Number.NEGATIVE_INFINITY) ?? []);
        if (found.length === 0)
          throw new TidegateError("usage", `nothing was decided for ${endpoint} by then; name a later time with --at`);
        if (options.output === "json") process.stdout.write(`${JSON.stringify(last === null ? found[0] : found, null, 2)}\n`);
        else process.stdout.write(`${found.map((one) => sentences(one).join("\n")).join("\n\n")}\n`);
      } finally {
        history.close();
      }
    });
}
