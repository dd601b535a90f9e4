import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { ControllerView, EndpointView } from "../../../src/controller/index.ts";
import { parseEnginePage } from "../../../src/engine/index.ts";
import { alive, folder, freePorts, run, start, until } from "../../e2e/tidegate.ts";
import { type Family, families } from "../vllm/page.ts";

const program = process.env["TIDEGATE_LLM_D_SIM"] ?? "llm-d-inference-sim";
const model = "simulated";
const pace = ["--time-to-first-token", "200ms", "--inter-token-latency", "20ms", "--max-model-len", "4096", "--mode", "random"];

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function simulator(...flags: readonly string[]): Promise<{ readonly url: string; readonly process: ChildProcess }> {
  const [port] = (await freePorts(1)) as [number];
  const child = spawn(program, ["--model", model, "--port", `${port}`, ...pace, ...flags], { stdio: "ignore" });
  const ended = once(child, "close");
  cleanups.push(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await ended;
  });
  return { url: `http://127.0.0.1:${port}`, process: child };
}

const status = async (url: string) => (await fetch(url)).status;
const page = async (url: string) => (await fetch(`${url}/metrics`)).text();
const report = async (url: string) => parseEnginePage("vllm", await page(url), Date.now());
const complete = (url: string, tokens: number) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "one two three" }], max_tokens: tokens, ignore_eos: true }),
  }).then((answer) => answer.json() as Promise<{ readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number } }>);

it("its page is read as vLLM's: what runs, what waits, how full the cache is, what was counted", async () => {
  const { url } = await simulator("--max-num-seqs", "2");
  await until(
    () => status(`${url}/health`),
    (code) => code === 200,
  );
  expect((await report(url)).gauges).toMatchObject({ running: 0, waiting: 0, kv_used: 0 });
  const answers = Promise.all([60, 60, 60].map((tokens) => complete(url, tokens)));
  await until(
    () => report(url),
    ({ gauges }) => gauges.running === 2 && gauges.waiting === 1,
  );
  const usages = (await answers).map(({ usage }) => usage);
  const after = await until(
    () => report(url),
    ({ gauges, counters }) => gauges.running === 0 && gauges.waiting === 0 && counters.finished?.value === 3,
  );
  const sum = (of: (usage: (typeof usages)[0]) => number) => usages.reduce((total, usage) => total + of(usage), 0);
  expect(after.counters.prompt_tokens?.value).toBe(sum((usage) => usage.prompt_tokens));
  expect(after.counters.gen_tokens?.value).toBe(sum((usage) => usage.completion_tokens));
  for (const name of ["ttft", "itl", "e2e", "queue_time"] as const) {
    expect(after.histograms[name]?.counts.at(-1)).toBeGreaterThan(0);
  }
});

/** How the simulator's labels differ from ours, which are vLLM's. */
const labelled: readonly { readonly families: RegExp; readonly without: RegExp; readonly with?: string; readonly why: string }[] = [
  { families: /^vllm:/, without: /^engine$/, why: "it has one engine, and no label that numbers them as vLLM V1 has" },
  {
    families: /^vllm:cache_config_info$/,
    without: /^(?!block_size$|num_gpu_blocks$)/,
    why: "of the cache's settings it tells the block size and the number of blocks only",
  },
  {
    families: /^vllm:request_success_total$/,
    without: /^finished_reason$/,
    with: "finish_reason",
    why: "vLLM's own is called finished_reason",
  },
];
/** Families of the simulator's that ours do not have. */
const further: readonly { readonly family: RegExp; readonly why: string }[] = [
  {
    family: /^vllm:time_per_output_token_seconds$/,
    why: "vLLM calls it inter_token_latency_seconds since 0.11, and the simulator has both",
  },
  { family: /^vllm:lora_requests_info$/, why: "no adapters are emulated" },
  { family: /^vllm:max_num_generation_tokens$/, why: "a name that vLLM does not have: there it is request_max_num_generation_tokens" },
  { family: /^vllm:gpu_cache_usage_perc$/, why: "the name of before 0.10 for kv_cache_usage_perc, which is read too" },
  { family: /^(?!vllm:)/, why: "of its own process" },
];

it("its families and our emulator's of the same name agree in type, labels and buckets, but for what is listed", async () => {
  const simulated = await simulator();
  const [port] = (await freePorts(1)) as [number];
  const emulated = start(["engine", "--port", `${port}`, "--model", model, "--max-model-len", "4096"]);
  cleanups.push(async () => {
    emulated.process.kill("SIGTERM");
    await emulated.ended;
  });
  await emulated.saw("listening on");
  const url = `http://127.0.0.1:${port}`;
  // Many a family has no series before the first request.
  for (const at of [simulated.url, url]) {
    await until(
      () => status(`${at}/health`),
      (code) => code === 200,
    );
    await complete(at, 5);
  }
  const labelsOnly = async (at: string) => {
    const text = await page(at);
    return families(text, new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string)));
  };
  const [ours, theirs] = await Promise.all([labelsOnly(url), labelsOnly(simulated.url)]);
  const shared = Object.keys(theirs).filter((name) => ours[name] !== undefined);
  expect(shared.length).toBeGreaterThan(15);

  const shape = ({ type, bounds }: Family, labels: readonly string[]) => ({ type, labels: labels.toSorted(), bounds: bounds.map(Number) });
  const labelsOf = ({ series }: Family) => [...new Set(series.flatMap((one) => one.split(" ")))].filter((label) => label !== "");
  for (const name of shared) {
    const [own, its] = [ours[name], theirs[name]] as [Family, Family];
    const differences = labelled.filter((one) => one.families.test(name));
    const kept = labelsOf(own).filter((label) => !differences.some(({ without }) => without.test(label)));
    const expected = shape(own, [...kept, ...differences.flatMap((one) => one.with ?? [])]);
    expect({ name, ...shape(its, labelsOf(its)) }).toEqual({ name, ...expected });
  }
  const unknown = Object.keys(theirs).filter((name) => ours[name] === undefined && !further.some(({ family }) => family.test(name)));
  expect(unknown).toEqual([]);
});

it("scales 1 to 3 to 1 by what runs and waits in it, under load, with no failed request and no broken stream", async () => {
  const home = folder();
  cleanups.push(home.remove);
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const [url, admin] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${adminPort}`];
  const command = [program, "--model", model, "--port", "{port}", "--max-num-seqs", "4", "--startup-duration", "2s", ...pace];
  const config = home.write(
    "tidegate.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: ${model}
  engine: { kind: vllm, healthPath: /health/ready }
  platform: { kind: process, command: ${JSON.stringify(command)}, startTimeout: 30s, drainTimeout: 1m }
  replicas: { min: 1, max: 3 }
  signals: { scrapeInterval: 1s, staleAfter: 5s }
  policy:
    kind: signals
    interval: 1s
    tolerance: 0.2
    rules:
      - { signal: running, target: 3 }
      - { signal: waiting, target: 1 }
    behavior:
      scaleDown: { stabilizationWindowSeconds: 5, policies: [{ type: Pods, value: 1, periodSeconds: 2 }] }
`,
  );
  const state = join(home.path, "state");
  const up = start(["up", config, "--port", `${port}`, "--admin-port", `${adminPort}`, "--state", state, "--plain"]);
  cleanups.push(async () => {
    if (up.process.exitCode === null) up.process.kill("SIGTERM");
    await up.ended;
  });
  const view = async (): Promise<EndpointView> =>
    ((await (await fetch(`${admin}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
  const settled = (count: number) =>
    until(view, ({ now }) => now !== null && now.ready === count && now.wanted === count && now.draining === 0, 60_000);
  await settled(1);

  // An answer takes 1.4 s: one, then eleven, then one under way.
  const arrivals = [...spaced(0, 8, 1), ...spaced(8, 33, 8), ...spaced(33, 70, 0.7)];
  const trace = home.write(
    "burst.csv",
    `arrival_s,prompt_tokens,output_tokens\n${arrivals.map((at) => `${at.toFixed(2)},50,60`).join("\n")}\n`,
  );
  const load = run(["load", trace, "--url", url, "--model", model, "-o", "json"]);
  const three = await settled(3);
  await until(view, ({ replicas }) => replicas.filter(({ inFlight }) => (inFlight ?? 0) > 0).length === 3);
  const one = await settled(1);
  const { code, stdout, stderr } = await load;
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({ sent: arrivals.length, ok: arrivals.length, failed: 0, shortAnswers: 0 });

  const last = await until(view, ({ totals }) => totals !== null && totals.inFlight + totals.held === 0);
  expect(last.totals).toMatchObject({ arrived: arrivals.length, completed: arrivals.length, failed: 0, rejected: 0, cancelled: 0 });
  expect(last.coldStarts.every(({ totalMs }) => totalMs >= 2_000)).toBe(true);
  const up2 = one.decisions.filter(({ changed, to, from }) => changed && to > from).flatMap(({ steps }) => steps.map(({ text }) => text));
  expect(up2.join(" ")).toMatch(/(running|waiting) averages/);
  expect(three.replicas.filter((replica) => replica.state === "ready")).toHaveLength(3);
  const pids = (JSON.parse(readFileSync(join(state, "platform", "process-chat.json"), "utf8")).replicas as { pid: number }[]).map(
    ({ pid }) => pid,
  );
  expect(pids).toHaveLength(1);
  up.process.kill("SIGTERM");
  expect((await up.ended).code).toBe(143);
  await until(
    async () => pids.filter(alive),
    (left) => left.length === 0,
  );
  expect((await run(["replay", "--state", state])).stdout).toMatch(/chat: \d+ decisions .* 0 differ/);
}, 180_000);

/** Times from `fromS` on and before `toS`, so many a second. */
function spaced(fromS: number, toS: number, perSecond: number): readonly number[] {
  return Array.from({ length: Math.floor((toS - fromS) * perSecond) }, (_, at) => fromS + at / perSecond);
}
