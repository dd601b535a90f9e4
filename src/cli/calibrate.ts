import { Command, InvalidArgumentError, Option } from "commander";
import type { ProfileFacts, Stretch } from "../engine/index.ts";
import type { EngineKind } from "../model/index.ts";
import { EXIT } from "./exit.ts";

/** Flags of all three ways. */
interface Facts {
  readonly name?: string;
  readonly model?: string;
  readonly gpu: string;
  readonly gpusPerReplica: number;
  readonly kvTokens?: number;
  readonly maxNumSeqs?: number;
  readonly maxNumBatchedTokens?: number;
  readonly out?: string;
  readonly output: "table" | "json" | "yaml";
}

/** Measurements, and what they tell beside times. */
interface Measured {
  readonly stretches: readonly Stretch[];
  readonly kinds: "one" | "two";
  readonly from: string;
  readonly model?: string | undefined;
  readonly kvTokens?: number | undefined;
  readonly maxNumSeqs?: number | undefined;
  readonly maxNumBatchedTokens?: number | undefined;
  readonly notes: readonly string[];
}

const above0 = (text: string) => {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
};
const whole = (text: string) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return value;
};
const wholes = (text: string): readonly number[] => {
  const values = text.split(",").map((part) => whole(part.trim()));
  return [...new Set(values)].sort((a, b) => a - b);
};

const withFacts = (command: Command): Command =>
  command
    .option("--name <name>", "of the profile; the model's otherwise")
    .option("--gpu <type>", "GPU type, such as a100-80g", "")
    .option("--gpus-per-replica <n>", "GPUs that one replica takes", whole, 1)
    .option("--kv-tokens <n>", "tokens that fit into the KV cache; what the engine's page says otherwise", whole)
    .option("--max-num-seqs <n>", "most sequences at once; what was seen otherwise", whole)
    .option("--max-num-batched-tokens <n>", "token budget of an iteration; what was seen otherwise", whole)
    .option("--out <file>", "write the profile, for `engine.profile` of a config or `--profile` of simulate, compare and engine")
    .addOption(new Option("-o, --output <format>", "of the fit").choices(["table", "json", "yaml"]).default("table"));

export function calibrateCommand(): Command {
  return new Command("calibrate")
    .description("Measure how fast an engine is: fit a profile to it for the simulator, and say how far the fit is off.")
    .addCommand(
      withFacts(
        new Command("endpoint")
          .description("by a short bounded load on one replica that has nothing else to do")
          .argument("<url>", "of one replica, such as http://127.0.0.1:8000; not of a gateway over several")
          .requiredOption("--model <name>", "the model that requests name")
          .option("--kind <engine>", "whose metrics page tells the KV cache's size, such as vllm or sglang", "vllm")
          .option("--api <api>", "chat or completions", "completions")
          .option("--prompts <n,n,…>", "lengths of prompts in tokens", wholes, [64, 256, 1024, 4096])
          .option("--levels <n,n,…>", "streams at once", wholes, [1, 2, 4, 8, 16, 32])
          .option("--output-tokens <n>", "tokens of each stream", whole, 48)
          .option("--repeats <n>", "how often each combination is measured", whole, 3)
          .option("--longest <d>", "begin nothing new after so long", "5m")
          .option("--speed <factor>", "of an emulated engine that runs faster than real time", above0, 1)
          .option("--seed <n>", "of the text", whole, 1)
          .option("--header <name=value>", "send it with each request; may be repeated", (one, all: string[]) => [...all, one], []),
      ).action(fromEndpoint),
    )
    .addCommand(
      withFacts(
        new Command("prometheus")
          .description("by what a Prometheus server recorded of vLLM replicas under their own traffic")
          .argument("<url>", "the server's base URL")
          .option("--selector <labels>", 'which replicas, as PromQL labels such as model_name="llama"', "")
          .option("--last <d>", "how far back from now, or from --until", "6h")
          .option("--until <time>", "end, such as 2026-11-24T12:00:00Z; default: now")
          .option("--step <d>", "length of a stretch: at least four scrapes", "1m")
          .option("--bearer-token-env <name>", "environment variable that holds the server's bearer token"),
      )
        .option("--model <name>", "of the profile", "model")
        .action(fromPrometheus),
    )
    .addCommand(
      withFacts(
        new Command("csv")
          .description("by a CSV of iteration times: duration_ms, prefill_tokens, seqs, ctx_tokens; iterations, attention_pairs")
          .argument("<file>", '"-" is standard input'),
      )
        .option("--model <name>", "of the profile", "model")
        .action(fromCsv),
    )
    .addHelpText("after", "\nColumns, method and limits: docs/calibrate.md");
}

async function fromCsv(file: string, flags: Facts): Promise<void> {
  const [{ parseStretches }, { readFile, readText }] = await Promise.all([import("../engine/index.ts"), import("./documents.ts")]);
  const { file: name, text } = readText(file, readFile);
  await finish({ stretches: parseStretches(text, name), kinds: "two", from: name, notes: [] }, flags);
}

interface EndpointFlags extends Facts {
  readonly model: string;
  readonly kind: string;
  readonly api: string;
  readonly prompts: readonly number[];
  readonly levels: readonly number[];
  readonly outputTokens: number;
  readonly repeats: number;
  readonly longest: string;
  readonly speed: number;
  readonly seed: number;
  readonly header: readonly string[];
}

async function fromEndpoint(url: string, flags: EndpointFlags): Promise<void> {
  const [{ probe, findingsOf }, { realClock }, { duration }, { TidegateError }] = await Promise.all([
    import("../load/index.ts"),
    import("../clock/index.ts"),
    import("./trace-output.ts"),
    import("../model/index.ts"),
  ]);
  if (flags.api !== "chat" && flags.api !== "completions")
    throw new TidegateError("usage", `--api is ${JSON.stringify(flags.api)}; give chat or completions`);
  if (flags.outputTokens < 8)
    throw new TidegateError("usage", `--output-tokens is ${flags.outputTokens}; give at least 8, whose gaps can be told`);
  const page = await pageOf(url, flags.kind as EngineKind);
  const kvTokens = flags.kvTokens ?? page.kvTokens;
  if (kvTokens === undefined)
    throw new TidegateError(
      "usage",
      `the metrics page of ${url} does not say how many tokens its KV cache holds, and no load can find it out; give --kv-tokens`,
    );
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const isLive = process.stderr.isTTY === true && process.env["CI"] === undefined;
  try {
    const seen = await probe({
      url,
      model: flags.model,
      clock: realClock(flags.speed),
      api: flags.api,
      headers: Object.fromEntries(flags.header.map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string])),
      seed: flags.seed,
      promptTokens: flags.prompts,
      levels: flags.levels,
      outputTokens: flags.outputTokens,
      repeats: flags.repeats,
      kvTokens,
      longestMs: await duration(flags.longest, "--longest"),
      timeoutMs: 120_000,
      signal: stop.signal,
      onCell: (done, of) => {
        if (isLive) process.stderr.write(`\r${done} of ${of} measured\u001b[K${done === of ? "\r\u001b[K" : ""}`);
      },
    });
    if (stop.signal.aborted) process.exit(EXIT.interrupted);
    const found = findingsOf(seen);
    const seqs = found.maxNumSeqs ?? undefined;
    await finish(
      {
        stretches: found.stretches,
        kinds: "two",
        from: `${seen.requests} requests to ${url}`,
        model: flags.model,
        kvTokens,
        maxNumSeqs: page.maxRunning ?? seqs,
        maxNumBatchedTokens: found.maxNumBatchedTokens ?? undefined,
        notes: [
          ...(seen.leftOut === 0 ? [] : [`${seen.leftOut} of the combinations were left out, as --longest was over`]),
          ...((flags.maxNumSeqs ?? page.maxRunning ?? seqs) === undefined
            ? [`${found.mostAtOnce} streams ran at once and none had to wait: 256 are taken as the most; name it with --max-num-seqs`]
            : []),
          ...((flags.maxNumBatchedTokens ?? found.maxNumBatchedTokens) === null
            ? [
                `no prompt up to ${found.longestPrompt} tokens came in chunks: ${budgetFor(found.longestPrompt)} tokens are taken as an iteration's budget; name it with --max-num-batched-tokens`,
              ]
            : []),
        ],
      },
      { ...flags, maxNumBatchedTokens: flags.maxNumBatchedTokens ?? found.maxNumBatchedTokens ?? budgetFor(found.longestPrompt) },
    );
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

const budgetFor = (longestPrompt: number) => Math.max(2048, 2 ** Math.ceil(Math.log2(Math.max(1, longestPrompt))));

/** What the engine's page says of its limits; an engine without one is none the worse. */
async function pageOf(url: string, kind: EngineKind): Promise<{ readonly kvTokens?: number; readonly maxRunning?: number }> {
  const { parseEnginePage } = await import("../engine/index.ts");
  try {
    const answer = await fetch(new URL("/metrics", url), { signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) return {};
    const { gauges } = parseEnginePage(kind, await answer.text(), 0);
    const { kv_capacity_tokens: kvTokens, max_running: maxRunning } = gauges;
    return { ...(kvTokens === undefined ? {} : { kvTokens }), ...(maxRunning === undefined ? {} : { maxRunning }) };
  } catch {
    return {};
  }
}

interface PrometheusFlags extends Facts {
  readonly selector: string;
  readonly last: string;
  readonly until?: string;
  readonly step: string;
  readonly bearerTokenEnv?: string;
}

async function fromPrometheus(url: string, flags: PrometheusFlags): Promise<void> {
  const [{ createPrometheus }, { recordedStretches }, { duration }, { TidegateError }] = await Promise.all([
    import("../signals/index.ts"),
    import("./calibrate-prometheus.ts"),
    import("./trace-output.ts"),
    import("../model/index.ts"),
  ]);
  if (!URL.canParse(url)) throw new TidegateError("usage", `${url} is not a URL; give for example http://127.0.0.1:9090`);
  const endMs = flags.until === undefined ? Date.now() : Date.parse(flags.until);
  if (Number.isNaN(endMs))
    throw new TidegateError("usage", `--until (${flags.until}) is not a time; give one such as 2026-11-24T12:00:00Z`);
  const bearerToken = flags.bearerTokenEnv === undefined ? null : (process.env[flags.bearerTokenEnv] ?? "");
  if (bearerToken === "") throw new TidegateError("usage", `--bearer-token-env names ${flags.bearerTokenEnv}, which is not set`);
  const client = createPrometheus({
    url,
    timeoutMs: 30_000,
    bearerToken,
    basic: null,
    tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false },
  });
  try {
    const range = { startMs: endMs - (await duration(flags.last, "--last")), endMs, stepMs: await duration(flags.step, "--step") };
    const { stretches, kvTokens, replicas, passedOver } = await recordedStretches(client, flags.selector, range, flags.kvTokens ?? null);
    await finish(
      {
        stretches,
        kinds: "one",
        from: `${stretches.length} stretches of ${replicas} replicas in ${url}`,
        kvTokens: kvTokens ?? undefined,
        notes: passedOver === 0 ? [] : [`${passedOver} stretches with fewer than one sequence running on average were passed over`],
      },
      flags,
    );
  } finally {
    await client.close();
  }
}

async function finish(measured: Measured, flags: Facts): Promise<void> {
  const [{ fitProfile }, { profileDocument }, { TidegateError }] = await Promise.all([
    import("../engine/index.ts"),
    import("../config/index.ts"),
    import("../model/index.ts"),
  ]);
  const kvCapacityTokens = flags.kvTokens ?? measured.kvTokens;
  if (kvCapacityTokens === undefined)
    throw new TidegateError("usage", `${measured.from} does not tell how many tokens the KV cache holds; give --kv-tokens`);
  const model = flags.model ?? measured.model ?? "model";
  const maxNumBatchedTokens = Math.max(1, flags.maxNumBatchedTokens ?? measured.maxNumBatchedTokens ?? 2048);
  const maxNumSeqs = Math.min(flags.maxNumSeqs ?? measured.maxNumSeqs ?? 256, maxNumBatchedTokens);
  const facts: ProfileFacts = {
    model,
    gpu: flags.gpu,
    tp: flags.gpusPerReplica,
    kvCapacityTokens: Math.floor(kvCapacityTokens),
    limits: { maxNumSeqs, maxNumBatchedTokens },
  };
  const fit = fitProfile(measured.stretches, facts, { kinds: measured.kinds });
  const document = profileDocument(fit, {
    name: flags.name ?? model,
    from: measured.from,
    at: new Date().toISOString(),
    notes: measured.notes,
  });
  const { stringify } = await import("yaml");
  const yaml = stringify(document, { lineWidth: 0 });
  const json = `${JSON.stringify(document, null, 2)}\n`;
  if (flags.out !== undefined) {
    const { writeOut } = await import("./study-output.ts");
    writeOut(flags.out, flags.out.endsWith(".json") ? json : yaml, "--out");
  }
  const { formatFit } = await import("./calibrate-report.ts");
  process.stdout.write(flags.output === "json" ? json : flags.output === "yaml" ? yaml : formatFit(fit, measured.notes));
}
