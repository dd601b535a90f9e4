import { Command, InvalidArgumentError, Option } from "commander";
import type { LoadProgress, LoadReport, Percentiles } from "../load/index.ts";
import type { Ms, Objective } from "../model/index.ts";
import { EXIT } from "./exit.ts";
import { above0, wholeAbove0 } from "./numbers.ts";

interface Flags {
  readonly url: string;
  readonly model: string;
  readonly rate: number;
  readonly speed: number;
  readonly limit?: number;
  readonly duration?: string;
  readonly api: "chat" | "completions";
  readonly ttft?: string;
  readonly tpot?: string;
  readonly attainment: number;
  readonly timeout: string;
  readonly maxInFlight: number;
  readonly seed: number;
  readonly header: readonly string[];
  readonly output: "table" | "json";
}

const share = (text: string) => {
  const value = Number(text);
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError("It must be a share between 0 and 1, such as 0.99.");
  return value;
};

export function loadCommand(): Command {
  return new Command("load")
    .description("Replay a trace as streamed OpenAI requests against any URL, and report what a client sees.")
    .argument("<trace>", 'a CSV or JSONL file (.gz too), "-" for standard input, or "builtin"')
    .requiredOption("--url <url>", "of the server, such as http://127.0.0.1:8080")
    .requiredOption("--model <name>", "the model that requests name")
    .option("--rate <k>", "lay so many copies of the trace over each other", above0, 1)
    .option("--speed <s>", "run the clock so many times as fast; all is reported in its time", above0, 1)
    .option("--limit <n>", "stop after so many requests", wholeAbove0)
    .option("--duration <d>", "replay only arrivals before this time of the trace, such as 10m")
    .addOption(new Option("--api <api>", "which API to speak").choices(["chat", "completions"]).default("chat"))
    .option("--ttft <d>", "objective: time to first token, such as 2s (needs --tpot too)")
    .option("--tpot <d>", "objective: mean time per output token, such as 100ms")
    .option("--attainment <share>", "objective: share of requests within both", share, 0.99)
    .option("--timeout <d>", "longest silence of an answer", "10m")
    .option("--max-in-flight <n>", "most requests at once; more of them wait", wholeAbove0, 10_000)
    .option("--seed <n>", "of overlay and text", wholeAbove0, 1)
    .option("--header <name=value>", "send it with each request; may be repeated", (one, all: string[]) => [...all, one], [])
    .addOption(new Option("-o, --output <format>", "of the report").choices(["table", "json"]).default("table"))
    .addHelpText("after", "\nExit codes: 0 ok, 1 requests failed, 2 usage or trace, 99 the objective was missed, 130 stopped by Ctrl-C.")
    .action(load);
}

async function load(file: string, flags: Flags): Promise<void> {
  const [{ openTrace, runLoad }, { realClock }] = await Promise.all([import("../load/index.ts"), import("../clock/index.ts")]);
  const duration = await durationReader();
  const objective = objectiveOf(flags, duration);
  const stop = new AbortController();
  let signalled: number | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    const code = signal === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
    // the second time at once
    if (signalled !== null) process.exit(code);
    signalled = code;
    stop.abort();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  const progress = await progressLine(flags);
  try {
    const report = await runLoad({
      url: flags.url,
      model: flags.model,
      trace: openTrace(file),
      clock: realClock(flags.speed),
      rate: flags.rate,
      seed: flags.seed,
      api: flags.api,
      headers: headersOf(flags.header),
      maxInFlight: flags.maxInFlight,
      timeoutMs: duration(flags.timeout, "--timeout"),
      signal: stop.signal,
      onProgress: progress.show,
      ...(flags.limit === undefined ? {} : { limit: flags.limit }),
      ...(flags.duration === undefined ? {} : { durationMs: duration(flags.duration, "--duration") }),
      ...(objective === undefined ? {} : { objective }),
    });
    progress.done();
    process.stdout.write(flags.output === "json" ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
    process.exitCode = signalled ?? exitCodeOf(report);
  } finally {
    progress.done();
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

function exitCodeOf(report: LoadReport): number {
  if (report.failed > 0) return EXIT.failure;
  return report.objective !== null && !report.objective.met ? EXIT.objectiveMissed : EXIT.ok;
}

/** Reads `90s` and the like, or throws `usage` naming the flag. */
async function durationReader(): Promise<(text: string, flag: string) => Ms> {
  const { parseDuration, TidegateError } = await import("../model/index.ts");
  return (text, flag) => {
    const ms = parseDuration(text);
    if (ms === undefined || ms <= 0) {
      throw new TidegateError("usage", `${flag} (${text}) is not a duration above 0; write it with a unit, such as 2s, 100ms or 10m`);
    }
    return ms;
  };
}

function objectiveOf(flags: Flags, duration: (text: string, flag: string) => Ms): Objective | undefined {
  if (flags.ttft === undefined && flags.tpot === undefined) return undefined;
  // a bound that is not asked for always holds
  const bound = (text: string | undefined, flag: string) => (text === undefined ? Number.MAX_SAFE_INTEGER : duration(text, flag));
  return {
    attainment: flags.attainment,
    timeToFirstTokenMs: bound(flags.ttft, "--ttft"),
    timePerOutputTokenMs: bound(flags.tpot, "--tpot"),
  };
}

function headersOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

interface ProgressLine {
  readonly show: (progress: LoadProgress) => void;
  readonly done: () => void;
}

/** A line that moves on a terminal; elsewhere a line each five seconds. How long the whole takes is known of `--limit` and `--duration`. */
async function progressLine(flags: Flags): Promise<ProgressLine> {
  const duration = flags.duration === undefined ? undefined : (await import("../model/index.ts")).parseDuration(flags.duration);
  const shareDone = ({ elapsedMs, sent }: LoadProgress) =>
    Math.min(1, Math.max(duration === undefined ? 0 : elapsedMs / duration, flags.limit === undefined ? 0 : sent / flags.limit));
  const bounded = duration !== undefined || flags.limit !== undefined;
  const line = (at: LoadProgress) => {
    const share = shareDone(at);
    const filled = Math.round(share * 20);
    const bar = bounded ? `${"█".repeat(filled)}${"░".repeat(20 - filled)} ${String(Math.floor(share * 100)).padStart(3)} %  ` : "";
    return `${bar}${clockText(at.elapsedMs)}  ${at.sent} sent (${at.requestsPerSecond.toFixed(1)}/s), ${at.inFlight} in flight, ${at.ok} ok, ${at.failed} failed, TTFT p95 ${latency(at.ttftP95Ms)}, ${Math.round(at.chunksPerSecond)} chunks/s`;
  };
  if (process.stderr.isTTY && process.env["CI"] === undefined) {
    const { createLogUpdate } = await import("log-update");
    const update = createLogUpdate(process.stderr);
    return { show: (at) => update(line(at)), done: () => update.clear() };
  }
  let ticks = 0;
  return {
    show: (at) => {
      if (++ticks % 5 === 0) process.stderr.write(`${line(at)}\n`);
    },
    done: () => undefined,
  };
}

function clockText(ms: Ms): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}
const latency = (ms: Ms | null) =>
  ms === null ? "–" : ms < 1 ? `${ms.toFixed(2)} ms` : ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;
const count = (value: number) => value.toLocaleString("en-US");

/** The closing report for a person. */
export function formatReport(report: LoadReport): string {
  const columns = (["mean", "p50", "p95", "p99", "max"] as const).map((name) => [name, (of: Percentiles) => of[name]] as const);
  const row = (name: string, of: Percentiles) =>
    `  ${name.padEnd(24)}${columns.map(([, pick]) => latency(pick(of)).padStart(11)).join("")}\n`;
  const rate = report.requestsPerSecond === null ? "" : `, ${report.requestsPerSecond.toFixed(2)} a second`;
  const tokens = report.outputTokensPerSecond === null ? "" : `, ${report.outputTokensPerSecond.toFixed(1)} a second`;
  let text = `${report.model} at ${report.url}${report.interrupted ? ", stopped early" : ""}\n`;
  text += `Time      ${clockText(report.durationMs)}${report.speed === 1 ? "" : `, at ${report.speed} times real time`}${report.rate === 1 ? "" : `, ${report.rate} copies of the trace`}\n`;
  text += `Requests  ${count(report.sent)} sent${rate}: ${count(report.ok)} ok, ${count(report.failed)} failed${report.cancelled > 0 ? `, ${count(report.cancelled)} cancelled` : ""}; at most ${count(report.mostInFlight)} at once\n`;
  text += `Tokens    ${count(report.promptTokens)} in, ${count(report.outputTokens)} out${tokens}${report.shortAnswers > 0 ? `; ${count(report.shortAnswers)} answers shorter than asked for` : ""}\n`;
  text += `Latency ${" ".repeat(18)}${columns.map(([name]) => name.padStart(11)).join("")}\n`;
  text += row("time to first token", report.ttftMs);
  text += row("time per output token", report.tpotMs);
  text += row("end to end", report.e2eMs);
  text += row("between chunks", report.chunkGapMs);
  if (report.objective !== null) text += `Objective ${objectiveText(report.objective)}\n`;
  for (const { kind, status, count: times, example } of report.failures) {
    text += `Failed    ${count(times)} ${failureNames[kind]}${status === null ? "" : ` ${status}`}: ${example}\n`;
  }
  const lateMs = report.lateRealMs.p99;
  if (lateMs !== null && lateMs > lateWorthTellingMs) {
    text += `Late      1 % of requests left ${latency(lateMs)} (real time) or more after their time: this machine is busy, and latencies above are too long by its delay\n`;
  }
  return text;
}

/** A p99 delay of our own below this is noise beside what is measured. Real. */
const lateWorthTellingMs: Ms = 50;

const failureNames: Readonly<Record<LoadReport["failures"][number]["kind"], string>> = {
  http: "with status",
  broken: "broken streams",
  event: "errors within the stream",
  timeout: "timed out",
  refused: "refused",
  connection: "connections lost before an answer",
};

function objectiveText(objective: NonNullable<LoadReport["objective"]>): string {
  const bounds = [["TTFT", objective.timeToFirstTokenMs] as const, ["TPOT", objective.timePerOutputTokenMs] as const].filter(
    ([, bound]) => bound < Number.MAX_SAFE_INTEGER,
  );
  const asked = `${bounds.map(([name, bound]) => `${name} ≤ ${latency(bound)}`).join(" and ")} for ${(100 * objective.attainment).toFixed(1)} %`;
  return objective.attained === null
    ? `${asked}: nothing to judge`
    : `${asked}: ${objective.met ? "met" : "missed"} with ${(100 * objective.attained).toFixed(2)} %`;
}
