import { Command } from "commander";
import { TidegateError } from "../model/index.ts";
import { wholeFrom0 } from "./numbers.ts";
import { duration, type OutFlags, withOutput, write } from "./trace-output.ts";

/** Verbs that make a trace of recorded traffic: what was, as far as sums tell it. */
export function recordedCommands(): Command[] {
  return [
    withOutput(
      new Command("from-history")
        .description("Make a trace of what an endpoint's own history recorded, second by second.")
        .argument("<endpoint>")
        .option("--state <folder>", "state folder of the controller", ".tidegate")
        .option("--seed <n>", "of times within a second and of answer lengths", wholeFrom0, 1),
    ).action(fromHistory),
    withOutput(
      new Command("from-prometheus")
        .description("Make a trace of what a Prometheus server recorded: rates and token histograms, by default vLLM's.")
        .argument("<url>", "the server's base URL")
        .option("--last <d>", "how far back from now, or from --until", "24h")
        .option("--until <time>", "end, such as 2026-11-24T12:00:00Z; default: now")
        .option("--step <d>", "length of a stretch; bursts shorter than it are lost", "1m")
        .option("--requests <promql>", "one value: requests within {step}")
        .option("--prompt-tokens <promql>", "series by le: requests by prompt tokens within {step}")
        .option("--output-tokens <promql>", "series by le: requests by output tokens within {step}")
        .option("--bearer-token-env <name>", "environment variable that holds the server's bearer token")
        .option("--seed <n>", "of arrivals and sizes", wholeFrom0, 1),
    ).action(fromPrometheus),
  ];
}

async function fromHistory(endpoint: string, flags: OutFlags & { readonly state: string; readonly seed: number }): Promise<void> {
  const [{ openHistory, recordedTraffic }, { resample }] = await Promise.all([import("../history/index.ts"), import("../traces/index.ts")]);
  const history = openHistory(flags.state, { readOnly: true });
  try {
    if (!history.endpoints().includes(endpoint)) {
      const known = history.endpoints().join(", ") || "none";
      throw new TidegateError("usage", `no endpoint ${JSON.stringify(endpoint)} in ${history.file}; it holds ${known}`);
    }
    await write(
      resample(
        recordedTraffic(() => history.entries(endpoint)),
        flags.seed,
      ),
      flags,
    );
  } finally {
    history.close();
  }
}

interface PrometheusFlags extends OutFlags {
  readonly last: string;
  readonly until?: string;
  readonly step: string;
  readonly requests?: string;
  readonly promptTokens?: string;
  readonly outputTokens?: string;
  readonly bearerTokenEnv?: string;
  readonly seed: number;
}

async function fromPrometheus(url: string, flags: PrometheusFlags): Promise<void> {
  const [{ createPrometheus, recordedByPrometheus, VLLM_QUERIES }, { resample }] = await Promise.all([
    import("../signals/index.ts"),
    import("../traces/index.ts"),
  ]);
  if (!URL.canParse(url)) throw new TidegateError("usage", `${url} is not a URL; give for example http://127.0.0.1:9090`);
  const endMs = flags.until === undefined ? Date.now() : Date.parse(flags.until);
  if (Number.isNaN(endMs))
    throw new TidegateError("usage", `--until (${flags.until}) is not a time; give one such as 2026-11-24T12:00:00Z`);
  const stepMs = await duration(flags.step, "--step");
  if (stepMs < 1000)
    throw new TidegateError("usage", `--step (${flags.step}) is under a second; give at least the server's scrape interval`);
  const client = createPrometheus({
    url,
    timeoutMs: 30_000,
    bearerToken: secretOf(flags.bearerTokenEnv),
    basic: null,
    tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false },
  });
  const queries = {
    requests: flags.requests ?? VLLM_QUERIES.requests,
    promptTokens: flags.promptTokens ?? VLLM_QUERIES.promptTokens,
    outputTokens: flags.outputTokens ?? VLLM_QUERIES.outputTokens,
  };
  try {
    const range = { startMs: endMs - (await duration(flags.last, "--last")), endMs, stepMs };
    const stretches = [];
    for await (const stretch of recordedByPrometheus(client, queries, range)) stretches.push(stretch);
    await write(resample(stretches, flags.seed), flags);
  } finally {
    await client.close();
  }
}

function secretOf(name: string | undefined): string | null {
  if (name === undefined) return null;
  const value = process.env[name];
  if (value === undefined || value === "") throw new TidegateError("usage", `--bearer-token-env names ${name}, which is not set`);
  return value;
}
