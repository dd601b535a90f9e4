import { Command, Option } from "commander";
import type { Ms } from "../model/index.ts";
import type { GenerateOptions, Shape, TokenSummary, TraceRequest, TraceSummary } from "../traces/index.ts";
import { above0, wholeFrom0 } from "./numbers.ts";
import { duration, type OutFlags, type Rows, withOutput, write } from "./trace-output.ts";
import { recordedCommands } from "./trace-recorded.ts";

const traceArgument = ["<trace>", 'a CSV or JSONL file (.gz too), a Parquet file, "-" for standard input, or "builtin"'] as const;

export function traceCommand(): Command {
  const trace = new Command("trace").description("Look at traces of requests, and make them.");
  trace.addCommand(
    new Command("inspect")
      .description("Tell what a trace is like: rate, peaks, burstiness, token sizes.")
      .argument(...traceArgument)
      .addOption(new Option("-o, --output <format>", "of the answer").choices(["table", "json"]).default("table"))
      .action(inspect),
  );
  trace.addCommand(
    withOutput(
      new Command("convert")
        .description("Write a trace (as Azure, BurstGPT, Mooncake or we publish it) in our columns.")
        .argument(...traceArgument),
    ).action(async (file: string, flags: OutFlags) => write(await rowsOf(file), flags)),
  );
  trace.addCommand(
    withOutput(
      new Command("overlay")
        .description("Lay shifted copies of a trace over each other: more traffic of the same shape. Time is never squeezed.")
        .argument(...traceArgument)
        .requiredOption("--copies <k>", "how many, the trace itself included; 0.5 keeps half of it", above0)
        .option("--seed <n>", "of offsets and sizes", wholeFrom0, 1),
    ).action(async (file: string, flags: OutFlags & { copies: number; seed: number }) => {
      const { overlayStream } = await import("../traces/index.ts");
      await write(overlayStream(await rowsOf(file), flags.copies, flags.seed), flags);
    }),
  );
  trace.addCommand(
    withOutput(
      new Command("slice")
        .description("Cut a stretch out of a trace; it starts at 0 again.")
        .argument(...traceArgument)
        .option("--from <d>", "first arrival, such as 15m", "0s")
        .option("--to <d>", "end, not included"),
    ).action(async (file: string, flags: OutFlags & { from: string; to?: string }) => {
      const fromMs = await duration(flags.from, "--from");
      const toMs = flags.to === undefined ? Number.POSITIVE_INFINITY : await duration(flags.to, "--to");
      await write(between(await rowsOf(file), fromMs, toMs), flags);
    }),
  );
  trace.addCommand(
    withOutput(
      new Command("generate")
        .description("Make a trace in a shape.")
        .addArgument(
          new Command().createArgument("<shape>", "of the rate").choices(["steady", "ramp", "step", "flash", "on-off", "diurnal"]),
        )
        .option("--rate <r>", "steady: such as 50/s")
        .option("--from <r>", "ramp, step: rate before")
        .option("--to <r>", "ramp, step: rate after")
        .option("--base <r>", "flash, on-off: rate between")
        .option("--peak <r>", "flash, on-off: rate of the burst")
        .option("--low <r>", "diurnal: rate at night")
        .option("--high <r>", "diurnal: rate by day")
        .option("--duration <d>", "steady, on-off, diurnal", "1h")
        .option("--lead <d>", "ramp, step, flash: time before it begins", "10m")
        .option("--over <d>", "ramp: how long it climbs", "10m")
        .option("--rise <d>", "flash: how long it climbs", "60s")
        .option("--hold <d>", "ramp, step, flash: time on top", "15m")
        .option("--decay <d>", "flash: time constant of the way back", "400s")
        .option("--tail <d>", "step, flash: time after it", "10m")
        .option("--every <d>", "on-off: period", "40m")
        .option("--for <d>", "on-off: length of a burst", "8m")
        .option("--jitter <d>", "on-off: a burst comes so much earlier or later at most", "0s")
        .option("--weekends <x>", "diurnal: factor of Saturday and Sunday", above0, 1)
        .option("--bursts <n>", "diurnal: a day", wholeFrom0, 0)
        .option("--cv <x>", "variation of gaps; 1 is Poisson, more is burstier", above0, 1)
        .option("--sizes <trace>", "draw token sizes from its rows; from 700 real conversations otherwise")
        .option("--seed <n>", "of everything random", wholeFrom0, 1),
    ).action(generateTrace),
  );
  for (const command of recordedCommands()) trace.addCommand(command);
  // commander hands this down to none that was made apart
  for (const verb of trace.commands) verb.exitOverride();
  return trace;
}

async function rowsOf(file: string): Promise<AsyncGenerator<TraceRequest>> {
  return (await import("../load/index.ts")).openTrace(file);
}

async function* between(rows: Rows, fromMs: Ms, toMs: Ms): AsyncGenerator<TraceRequest> {
  for await (const row of rows) {
    if (row.arrivalMs >= toMs) return;
    if (row.arrivalMs >= fromMs) yield { ...row, arrivalMs: row.arrivalMs - fromMs };
  }
}

async function inspect(file: string, { output }: { output: "table" | "json" }): Promise<void> {
  const { TraceSummarizer } = await import("../traces/index.ts");
  const summarizer = new TraceSummarizer();
  for await (const row of await rowsOf(file)) summarizer.add(row);
  const summary = summarizer.summary();
  process.stdout.write(output === "json" ? `${JSON.stringify({ file, ...summary }, null, 2)}\n` : formatSummary(file, summary));
}

const count = (value: number) => Math.round(value).toLocaleString("en-US");
const decimals = (value: number | null, digits: number) => (value === null ? "–" : value.toFixed(digits));

/** What a person reads of a trace. */
export function formatSummary(file: string, summary: TraceSummary): string {
  const { peakRps } = summary;
  const hours = summary.durationMs / 3_600_000;
  const tokens = (of: TokenSummary) =>
    `mean ${count(of.mean)}, p50 ${count(of.p50)}, p90 ${count(of.p90)}, p99 ${count(of.p99)}, most ${count(of.max)}`;
  const lines = [
    ["Trace", file],
    [
      "Requests",
      `${count(summary.requests)} in ${hours >= 1 ? `${hours.toFixed(2)} h` : `${(summary.durationMs / 60_000).toFixed(1)} min`}`,
    ],
    [
      "Rate",
      `mean ${decimals(summary.meanRps, 3)} a second; peak ${peakRps.second} over 1 s, ${peakRps.minute.toFixed(2)} over 1 min, ${peakRps.tenMinutes.toFixed(2)} over 10 min`,
    ],
    [
      "Burstiness",
      `gaps vary by ${decimals(summary.gapCv, 2)} (CV), counts per minute by ${decimals(summary.idcMinute, 1)} (IDC); Poisson is 1 and 1`,
    ],
    ["Prompt", `${tokens(summary.prompt)} tokens`],
    ["Output", `${tokens(summary.output)} tokens`],
    ...(summary.clients > 0 ? [["Clients", count(summary.clients)]] : []),
    ...(summary.classes > 0 ? [["Classes", count(summary.classes)]] : []),
    ...(summary.sessions > 0 ? [["Sessions", count(summary.sessions)]] : []),
    ...(summary.prefixHitRatio === null ? [] : [["Prefix hits", `${(100 * summary.prefixHitRatio).toFixed(1)} % of prompt tokens`]]),
  ];
  return `${lines.map(([name, value]) => `${name!.padEnd(13)}${value}`).join("\n")}\n`;
}

type GenerateFlags = OutFlags &
  Readonly<Record<string, string | undefined>> & {
    readonly seed: number;
    readonly cv: number;
    readonly weekends: number;
    readonly bursts: number;
  };

async function generateTrace(kind: Shape["kind"], given: unknown): Promise<void> {
  const flags = given as GenerateFlags;
  const { builtinSizes, generate } = await import("../traces/index.ts");
  const shape = await shapeOf(kind, flags);
  const options: GenerateOptions = {
    seed: flags.seed,
    gaps: flags.cv === 1 ? { kind: "poisson" } : { kind: "gamma", cv: flags.cv },
    sizes: flags["sizes"] === undefined ? builtinSizes() : await collected(await rowsOf(flags["sizes"])),
  };
  await write(generate(shape, options), flags);
}

async function collected(rows: Rows): Promise<TraceRequest[]> {
  const all: TraceRequest[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

async function shapeOf(kind: Shape["kind"], flags: GenerateFlags): Promise<Shape> {
  const { TidegateError } = await import("../model/index.ts");
  const rate = (name: string) => {
    const text = flags[name];
    if (text === undefined) throw new TidegateError("usage", `the ${kind} shape needs --${name}; give a rate such as 50/s`);
    const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h))?$/.exec(text);
    if (match === null) throw new TidegateError("usage", `--${name} (${text}) is not a rate; write it such as 50/s or 300/m`);
    return Number(match[1]) / { s: 1, m: 60, h: 3600 }[(match[2] ?? "s") as "s" | "m" | "h"];
  };
  const time = (name: string) => duration(flags[name]!, `--${name}`);
  switch (kind) {
    case "steady":
      return { kind, rps: rate("rate"), durationMs: await time("duration") };
    case "ramp":
      return {
        kind,
        from: rate("from"),
        to: rate("to"),
        overMs: await time("over"),
        leadMs: await time("lead"),
        holdMs: await time("hold"),
      };
    case "step":
      return {
        kind,
        from: rate("from"),
        to: rate("to"),
        leadMs: await time("lead"),
        holdMs: await time("hold"),
        tailMs: await time("tail"),
      };
    case "flash":
      return {
        kind,
        base: rate("base"),
        peak: rate("peak"),
        leadMs: await time("lead"),
        riseMs: await time("rise"),
        holdMs: await time("hold"),
        decayMs: await time("decay"),
        tailMs: await time("tail"),
      };
    case "on-off":
      return {
        kind,
        base: rate("base"),
        burst: rate("peak"),
        everyMs: await time("every"),
        forMs: await time("for"),
        jitterMs: await time("jitter"),
        durationMs: await time("duration"),
      };
    case "diurnal":
      return {
        kind,
        low: rate("low"),
        high: rate("high"),
        durationMs: await time("duration"),
        weekends: flags.weekends,
        burstsPerDay: flags.bursts,
      };
  }
}
