import { afterEach, expect, it } from "vitest";
import { realClock } from "../clock/index.ts";
import { findProfile, parseEnginePage, parseGpuPage } from "../engine/index.ts";
import { type Emulator, type EmulatorOptions, startEmulator } from "./index.ts";

const open: Emulator[] = [];
afterEach(() => Promise.all(open.splice(0).map((emulator) => emulator.close())));
const profile = findProfile("8B");

async function start(more: Partial<EmulatorOptions> = {}): Promise<Emulator> {
  const emulator = await startEmulator({
    port: 0,
    host: "127.0.0.1",
    model: "m",
    profile,
    engine: { maxNumSeqs: 256, maxNumBatchedTokens: 2048, kvCapacityTokens: profile.kvCapacityTokens, watermark: 0.01, overheadMs: 1.5 },
    maxModelLen: 8192,
    prefixCaching: true,
    coldStartMs: 0,
    coldStartSigma: 0,
    seed: 1,
    clock: realClock(50),
    podName: "pod-1",
    ...more,
  });
  open.push(emulator);
  return emulator;
}
const post = (emulator: Emulator, path: string, body: unknown, signal?: AbortSignal) =>
  fetch(`${emulator.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
const chat = { model: "m", messages: [{ role: "user", content: "12345678" }], max_tokens: 5, ignore_eos: true };
const page = async (emulator: Emulator, path = "/metrics") => (await fetch(`${emulator.url}${path}`)).text();

it("streams a chat as vLLM frames it: role first, a chunk a token, the finish reason on the last, usage, [DONE]", async () => {
  const emulator = await start();
  const answer = await post(emulator, "/v1/chat/completions", { ...chat, stream: true, stream_options: { include_usage: true } });
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
  const events = (await answer.text()).split("\n\n").filter((text) => text !== "");
  expect(events.at(-1)).toBe("data: [DONE]");
  const chunks = events.slice(0, -1).map((text) => JSON.parse(text.slice("data: ".length)));
  expect(chunks[0].choices[0].delta).toEqual({ role: "assistant", content: "" });
  expect(chunks.slice(1, 6).map(({ choices }) => choices[0].finish_reason)).toEqual([null, null, null, null, "length"]);
  expect(chunks[6]).toMatchObject({ choices: [], usage: { prompt_tokens: 2, completion_tokens: 5, total_tokens: 7 } });
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
});

const eventsOf = (text: string) =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice("data: ".length)));

it("gives several answers to each of several prompts, numbered through, with one usage for all", async () => {
  const emulator = await start();
  const asked = { prompt: ["1234", "12345678"], n: 2, max_tokens: 3, ignore_eos: true };
  const whole = (await (await post(emulator, "/v1/completions", asked)).json()) as { choices: { index: number }[]; usage: object };
  expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect(whole.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 12, total_tokens: 15 });
  const streamed = await post(emulator, "/v1/chat/completions", { ...chat, n: 2, stream: true, stream_options: { include_usage: true } });
  const events = eventsOf(await streamed.text());
  expect(events.slice(0, 2).map(({ choices }) => [choices[0].index, choices[0].delta.role])).toEqual([
    [0, "assistant"],
    [1, "assistant"],
  ]);
  for (const index of [0, 1]) {
    const own = events.filter(({ choices }) => choices[0]?.index === index);
    expect(own.map(({ choices }) => choices[0].finish_reason)).toEqual([null, null, null, null, null, "length"]);
  }
  expect(events.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 2, completion_tokens: 10 } });
  const text = await page(emulator);
  expect(text).toContain('vllm:request_params_n_count{model_name="m",engine="0"} 3');
  expect(text).toContain('vllm:request_params_n_sum{model_name="m",engine="0"} 6');
  expect(text).toContain('vllm:request_success_total{model_name="m",engine="0",finished_reason="length"} 6');
});

it("an answer that ends by itself counts its last token and says nothing with it", async () => {
  const emulator = await start({ seed: 5 });
  const answer = await post(emulator, "/v1/chat/completions", {
    ...chat,
    ignore_eos: false,
    max_tokens: 4000,
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
  });
  const events = eventsOf(await answer.text());
  const last = events.at(-2);
  expect(last.choices[0]).toMatchObject({ finish_reason: "stop", delta: { content: "" } });
  expect(last.usage.completion_tokens).toBe(events.length - 2);
});

it.each([
  { rule: "a prompt that was seen is a hit in whole blocks but for its last token", prefixCaching: true, hits: 96 },
  { rule: "nothing is a hit where the cache is off", prefixCaching: false, hits: 0 },
])("$rule", async ({ prefixCaching, hits }) => {
  const emulator = await start({ prefixCaching });
  const asked = { prompt: "abcd".repeat(97), max_tokens: 1 };
  for (let turn = 0; turn < 2; turn++) await (await post(emulator, "/v1/completions", asked)).text();
  const text = await page(emulator);
  expect(text).toContain(`vllm:prefix_cache_hits_total{model_name="m",engine="0"} ${hits}`);
  expect(text).toContain(`vllm:prompt_tokens_cached_total{model_name="m",engine="0"} ${hits}`);
  expect(text).toContain(`vllm:request_prefill_kv_computed_tokens_sum{model_name="m",engine="0"} ${194 - hits}`);
  expect(text).toContain('vllm:prompt_tokens_total{model_name="m",engine="0"} 194');
  expect(text).toContain(`enable_prefix_caching="${prefixCaching ? "True" : "False"}"`);
});

it("the next turn of a conversation hits what was answered in the last", async () => {
  const emulator = await start();
  const asked = { ...chat, messages: [{ role: "user", content: "abcd".repeat(32) }], max_tokens: 64 };
  const answer = (await (await post(emulator, "/v1/chat/completions", asked)).json()) as { choices: { message: { content: string } }[] };
  const messages = [
    ...asked.messages,
    { role: "assistant", content: answer.choices[0]?.message.content },
    { role: "user", content: "more" },
  ];
  await (await post(emulator, "/v1/chat/completions", { ...asked, messages })).text();
  expect(await page(emulator)).toContain('vllm:prefix_cache_hits_total{model_name="m",engine="0"} 96');
});

it("counts HTTP exchanges by route, but not those of probes and scrapes", async () => {
  const emulator = await start();
  await (await post(emulator, "/v1/chat/completions", chat)).text();
  await (await post(emulator, "/v1/chat/completions", "{")).text();
  await (await fetch(`${emulator.url}/v1/completions`)).text();
  await (await fetch(`${emulator.url}/health`)).text();
  const text = await page(emulator);
  expect(text.match(/^http_requests_total.*$/gm)).toEqual([
    'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 1',
    'http_requests_total{handler="/v1/chat/completions",method="POST",status="4xx"} 1',
    'http_requests_total{handler="none",method="GET",status="4xx"} 1',
  ]);
  expect(text).toContain('http_request_duration_seconds_bucket{le="1.0",handler="none",method="GET"} 1');
});

it("says nothing but the head before the first token", async () => {
  const emulator = await start({
    clock: realClock(1),
    engine: { maxNumSeqs: 1, maxNumBatchedTokens: 2048, kvCapacityTokens: profile.kvCapacityTokens, watermark: 0.01, overheadMs: 1.5 },
  });
  const first = await post(emulator, "/v1/chat/completions", { ...chat, max_tokens: 25, stream: true });
  const queued = await post(emulator, "/v1/chat/completions", { ...chat, max_tokens: 1, stream: true });
  const ends: string[] = [];
  await Promise.all([
    first.text().then(() => ends.push("first ended")),
    queued.body
      ?.getReader()
      .read()
      .then(() => ends.push("queued began")),
  ]);
  expect(ends).toEqual(["first ended", "queued began"]);
});

it("answers completions whole, with natural lengths from the seed", async () => {
  const lengths = async () => {
    const emulator = await start({ seed: 5 });
    const answers = [];
    for (let at = 0; at < 3; at++)
      answers.push(
        (
          (await (await post(emulator, "/v1/completions", { prompt: "x", max_tokens: 4000 })).json()) as {
            usage: { completion_tokens: number };
          }
        ).usage.completion_tokens,
      );
    return answers;
  };
  const first = await lengths();
  expect(await lengths()).toEqual(first);
  expect(new Set(first).size).toBeGreaterThan(1);
});

it.each([
  { rule: "bad JSON", path: "/v1/chat/completions", body: "{", status: 400 },
  { rule: "no messages", path: "/v1/chat/completions", body: { model: "m" }, status: 400 },
  { rule: "another model", path: "/v1/chat/completions", body: { ...chat, model: "other" }, status: 404 },
  { rule: "too long", path: "/v1/completions", body: { prompt: "x".repeat(40_000), max_tokens: 1 }, status: 400 },
  { rule: "a body that is no object", path: "/v1/completions", body: "[1]", status: 400 },
  { rule: "no answers", path: "/v1/completions", body: { prompt: "x", n: 0 }, status: 400 },
  { rule: "a message that is none", path: "/v1/chat/completions", body: { messages: null }, status: 400 },
  { rule: "max_tokens 0", path: "/v1/completions", body: { prompt: "x", max_tokens: 0 }, status: 400 },
])("refuses $rule with an OpenAI error", async ({ path, body, status }) => {
  const answer = await post(await start(), path, body);
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ error: { code: status, message: expect.any(String), type: expect.any(String) } });
});

it("is not healthy until its stages are over, then is, and tells them in order", async () => {
  const stages: string[] = [];
  const ready = Promise.withResolvers<void>();
  const emulator = await start({
    coldStartMs: 10_000,
    onStage: (stage) => {
      stages.push(stage);
      if (stage === "ready") ready.resolve();
    },
  });
  expect((await fetch(`${emulator.url}/health`)).status).toBe(503);
  expect((await post(emulator, "/v1/chat/completions", chat)).status).toBe(503);
  await ready.promise;
  expect((await fetch(`${emulator.url}/health`)).status).toBe(200);
  expect(stages).toEqual(["provision", "pull", "load", "warmup", "ready"]);
});

it("a cold start takes what was asked for at the median, whatever the seed", async () => {
  const clock = realClock(500);
  const took = async (seed: number) => {
    const ready = Promise.withResolvers<void>();
    const startedMs = clock.now();
    await start({ coldStartMs: 60_000, coldStartSigma: 0.25, seed, clock, onStage: (stage) => stage === "ready" && ready.resolve() });
    await ready.promise;
    return clock.now() - startedMs;
  };
  const lengths = (await Promise.all(Array.from({ length: 21 }, (_, seed) => took(seed + 1)))).sort((a, b) => a - b);
  expect(lengths[10]).toBeGreaterThan(45_000);
  expect(lengths[10]).toBeLessThan(90_000);
});

it("gives metrics under vLLM's and DCGM's names that our own readers understand", async () => {
  const emulator = await start();
  await (await post(emulator, "/v1/chat/completions", chat)).text();
  const text = await page(emulator);
  expect(text).toContain('vllm:request_success_total{model_name="m",engine="0",finished_reason="length"} 1');
  expect(text).toContain('vllm:time_to_first_token_seconds_bucket{le="0.001",model_name="m",engine="0"}');
  const report = JSON.stringify(parseEnginePage("vllm", text, 0));
  for (const name of ["running", "waiting", "kv_used", "kv_capacity_tokens", "prompt_tokens", "gen_tokens", "ttft", "itl", "e2e"])
    expect(report).toContain(`"${name}"`);
  expect(JSON.stringify(parseGpuPage(await page(emulator, "/metrics/gpu"), 0))).toContain("gpu_utilization");
});

it("a client that leaves ends its request in the engine", async () => {
  const emulator = await start({ clock: realClock(1) });
  const leave = new AbortController();
  const answer = await post(emulator, "/v1/chat/completions", { ...chat, max_tokens: 5000, stream: true }, leave.signal);
  await answer.body?.getReader().read();
  expect(await page(emulator)).toMatch(/vllm:num_requests_running\{[^}]*\} 1/);
  leave.abort();
  await expect.poll(() => page(emulator)).toMatch(/vllm:num_requests_running\{[^}]*\} 0/);
  expect(await page(emulator)).toMatch(/finished_reason="abort"\} 0/);
});

it("hangs and recovers, refuses, and crashes on request", async () => {
  let crashed = false;
  const emulator = await start({
    onCrash: () => {
      crashed = true;
    },
  });
  const fault = (kind: string) => post(emulator, "/faults", { kind });
  await fault("hang");
  await expect(fetch(`${emulator.url}/health`, { signal: AbortSignal.timeout(100) })).rejects.toThrow();
  await fault("refuse");
  await expect(fetch(`${emulator.url}/health`)).rejects.toThrow();
  await fault("none");
  expect((await fetch(`${emulator.url}/health`)).status).toBe(200);
  expect((await fault("melt")).status).toBe(400);
  expect((await post(emulator, "/faults", "{")).status).toBe(400);
  await fault("crash");
  await expect.poll(() => crashed).toBe(true);
});

it("a taken port is an error that names it", async () => {
  const { port } = await start();
  await expect(start({ port })).rejects.toMatchObject({ code: "gateway/port", message: expect.stringContaining(String(port)) });
});

it("crashes while it starts, when started so, and is never ready", async () => {
  const crashed = Promise.withResolvers<string[]>();
  const stages: string[] = [];
  const emulator = await start({
    coldStartMs: 1000,
    fault: "crash",
    onStage: (stage) => stages.push(stage),
    onCrash: () => crashed.resolve(stages),
  });
  expect(await crashed.promise).toEqual(["provision", "pull", "load", "warmup"]);
  expect((await fetch(`${emulator.url}/health`)).status).toBe(503);
});

it("a hang lengthens what was under way: the answer comes whole after it", async () => {
  const clock = realClock(50);
  const emulator = await start({ clock });
  const startedMs = clock.now();
  const answer = await post(emulator, "/v1/chat/completions", { ...chat, max_tokens: 300, stream: true });
  await post(emulator, "/faults", { kind: "hang" });
  await clock.sleep(20_000);
  await post(emulator, "/faults", { kind: "none" });
  expect((await answer.text()).match(/"content":" /g)).toHaveLength(300);
  expect(clock.now() - startedMs).toBeGreaterThan(20_000 + 2000);
});

it("tells the GPU's own facts, and its use while it works", async () => {
  const emulator = await start({ profile: findProfile("70B", "h100-80g"), clock: realClock(1) });
  const leave = new AbortController();
  const answer = await post(emulator, "/v1/chat/completions", { ...chat, max_tokens: 5000, stream: true }, leave.signal);
  await answer.body?.getReader().read();
  await expect
    .poll(async () => parseGpuPage(await page(emulator, "/metrics/gpu"), 0).devices[0]?.signals.gpu_utilization)
    .toBeGreaterThan(5);
  const text = await page(emulator, "/metrics/gpu");
  expect(text.match(/^DCGM_FI_DEV_GPU_UTIL\{.*modelName="NVIDIA H100 80GB HBM3".*\}/gm)).toHaveLength(4);
  leave.abort();
});
