import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseEnginePage } from "../../../src/engine/index.ts";
import { until } from "../../e2e/tidegate.ts";
import { alike, answered, exchange, refused, refusedInOtherWords, request, stopping } from "./exchanges.ts";
import { words } from "./model.ts";
import { added, families, values } from "./page.ts";
import { modelName, type Server, startEmulated, startVllm } from "./servers.ts";

let real: Server;
let emulated: Server;
let realStart: string;
let emulatedStart: string;
beforeAll(async () => {
  emulated = await startEmulated();
  real = await startVllm();
  // Its first answer takes seconds, whatever it is.
  await exchange(real.url, { rule: "", path: "/v1/completions", body: { prompt: [1], max_tokens: 2 } });
  await exchange(emulated.url, { rule: "", path: "/v1/completions", body: { prompt: [1], max_tokens: 2 } });
  realStart = await metrics(real);
  emulatedStart = await metrics(emulated);
});
afterAll(() => Promise.all([real?.stop(), emulated?.stop()]));

const metrics = async ({ url }: Server): Promise<string> => (await request(`${url}/metrics`)).body;

/** Families that vLLM has and the emulator leaves out. */
const leftOut: readonly { readonly names: RegExp; readonly why: string }[] = [
  { names: /_created$/, why: "when a series began: the Python client writes one beside each counter and histogram, and no one reads it" },
  { names: /^python_/, why: "the Python runtime and its collector: the emulator has neither" },
  { names: /^process_(?!start_time)/, why: "memory, files and CPU time of vLLM's process: the emulator's would say nothing of vLLM's" },
];

/** Their series differ by configuration, not by name. */
const namesOnly = new Set(["vllm:cache_config_info"]);

describe("while it starts", () => {
  it("vLLM refuses connections until it is healthy; the emulator says 503, as its users want to see it start", () => {
    expect(real.health).toEqual([0, 200]);
    expect(emulated.health.filter((status) => status !== 0)).toEqual([503, 200]);
  });
});

describe("what is asked with no body", () => {
  it.each([
    ["GET", "/health"],
    ["GET", "/ping"],
    ["POST", "/ping"],
    ["GET", "/version"],
    ["GET", "/load"],
    ["GET", "/v1/models"],
    ["POST", "/health"],
    ["HEAD", "/health"],
    ["PUT", "/ping"],
    ["POST", "/v1/models"],
    ["GET", "/v1/chat/completions"],
    ["GET", "/v1/completions"],
    ["GET", "/nothing"],
    ["POST", "/v1/embeddings"],
  ])("%s %s", async (method, path) => {
    const [theirs, ours] = await Promise.all([real, emulated].map(({ url }) => request(`${url}${path}`, { method })));
    expect(alike(ours as NonNullable<typeof ours>)).toEqual(alike(theirs as NonNullable<typeof theirs>));
  });
});

describe("what is answered and refused, byte for byte", () => {
  it.each([...answered, ...refused, ...stopping])("$rule", { retry: 2 }, async (one) => {
    const theirs = await exchange(real.url, one);
    const ours = await exchange(emulated.url, one);
    const lengths = stopping.includes(one) ? /"(completion_tokens|total_tokens)":\d+/g : /(?!)/g;
    const compared = [alike(ours), alike(theirs)].map((answer) => ({ ...answer, body: answer.body.replaceAll(lengths, '"$1":0') }));
    expect(compared[0]).toEqual(compared[1]);
    expect(theirs.status).toBe(refused.includes(one) ? (theirs.body.includes("NotFoundError") ? 404 : 400) : 200);
  });

  it.each(refusedInOtherWords)("$rule: the same error in other words", async (one) => {
    const shape = ({ status, contentType, body }: Awaited<ReturnType<typeof exchange>>) => {
      const { error } = JSON.parse(body) as { error: { message: string } };
      return { status, contentType, error: { ...error, message: error.message.replace(/^\d+(?= validation errors:)[\s\S]*/, "…") } };
    };
    expect(shape(await exchange(emulated.url, one))).toEqual(shape(await exchange(real.url, one)));
  });

  it("an answer that does not fit behind its prompt is cut to what does", async () => {
    const long = { rule: "", path: "/v1/completions", body: { prompt: words[0]?.repeat(490), max_tokens: 100, ignore_eos: true } };
    for (const { url } of [real, emulated]) {
      expect(JSON.parse((await exchange(url, long)).body)).toMatchObject({
        choices: [{ finish_reason: "length" }],
        usage: { prompt_tokens: 490, completion_tokens: 22, total_tokens: 512 },
      });
    }
  });
});

describe("metrics", () => {
  it("every family of vLLM's, by name, type, series and bounds, from the start", async () => {
    const theirs = families(realStart, namesOnly);
    const ours = families(emulatedStart, namesOnly);
    const kept = Object.fromEntries(Object.entries(theirs).filter(([name]) => !leftOut.some(({ names }) => names.test(name))));
    expect(ours).toEqual(kept);
    for (const { names, why } of leftOut)
      expect({ why, there: Object.keys(theirs).some((name) => names.test(name)) }).toEqual({ why, there: true });
    expect((await request(`${emulated.url}/metrics`)).contentType).toBe((await request(`${real.url}/metrics`)).contentType);
  });

  it("the same requests add the same counts: tokens, requests by reason, parameters, HTTP exchanges", { retry: 1 }, async () => {
    // Not the steps, which depend on what came together, nor times.
    const counted =
      /^vllm:(prompt_tokens|prompt_tokens_by_source|prompt_tokens_cached|generation_tokens|request_success|prefix_cache_queries|num_preemptions)_total$|^vllm:(request|time|inter|e2e)_.*_count$|^vllm:request_.*_tokens_(sum|bucket)$|^vllm:request_params_n_(sum|bucket)$|^http_requests_total$|^http_request_(size|duration)\w*_count$/;
    const deltas = [];
    for (const server of [real, emulated]) {
      const before = values(await metrics(server), counted);
      for (const one of [...answered, ...refused]) await exchange(server.url, one);
      deltas.push(added(before, values(await metrics(server), counted)));
    }
    expect(deltas[1]).toEqual(deltas[0]);
    expect(Object.keys(deltas[0] ?? {}).length).toBeGreaterThan(50);
  });

  it("a prompt seen before is a hit but for its last token, and several answers to one prompt share it", async () => {
    const hits =
      /^vllm:(prefix_cache_\w+|prompt_tokens_cached|prompt_tokens_by_source)_total$|^vllm:request_prefill_kv_computed_tokens_sum$/;
    // 97 tokens end one past a block of 16 and of 32.
    const prompt = (word: string | undefined, count: number, more: object) => ({
      rule: "",
      path: "/v1/completions",
      body: { model: modelName, prompt: word?.repeat(count), max_tokens: 1, ignore_eos: true, ...more },
    });
    const deltas = [];
    for (const server of [real, emulated]) {
      const before = values(await metrics(server), hits);
      await exchange(server.url, prompt(words[1], 97, {}));
      await exchange(server.url, prompt(words[1], 97, {}));
      await exchange(server.url, prompt(words[1], 130, {}));
      await exchange(server.url, prompt(words[2], 97, { n: 3 }));
      deltas.push(added(before, values(await metrics(server), hits)));
    }
    expect(deltas[1]).toEqual(deltas[0]);
    expect(Object.values(deltas[0] ?? {})).toContain(4 * 96);
  });

  it("a client that leaves ends its requests, those that run and those that wait: they are counted nowhere", async () => {
    for (const server of [real, emulated]) {
      const finished = async () => values(await metrics(server), /^vllm:request_success_total$/);
      const before = await finished();
      const leave = new AbortController();
      // Three times what runs at once, so that not all is over by the time that the client leaves.
      const body = JSON.stringify({ prompt: [1, 2], n: 24, max_tokens: 500, ignore_eos: true, stream: true });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${server.url}/v1/completions`, { method: "POST", headers, body, signal: leave.signal });
      await answer.body?.getReader().read();
      leave.abort();
      await until(
        async () => Object.values(values(await metrics(server), /^vllm:num_requests_(running|waiting)$/)),
        (counts) => counts.every((count) => count === 0),
      );
      const counted = added(before, await finished());
      expect(Object.keys(counted).filter((series) => series.includes("=abort"))).toEqual([]);
      expect(Object.values(counted).reduce((sum, count) => sum + count, 0)).toBeLessThan(24);
    }
  });

  it("our own reader takes every signal from both pages", async () => {
    const signals = (page: string) => {
      const { gauges, counters, histograms, startedAtMs } = parseEnginePage("vllm", page, 0);
      return { read: [gauges, counters, histograms].map((part) => Object.keys(part)), started: startedAtMs !== null };
    };
    const [theirs, ours] = await Promise.all([real, emulated].map(metrics));
    expect(signals(ours as string)).toEqual(signals(theirs as string));
    expect(signals(theirs as string)).toMatchObject({ started: true });
    expect(signals(theirs as string).read.flat()).toEqual(
      expect.arrayContaining(["running", "waiting", "kv_used", "prefix_hits", "ttft", "itl", "e2e"]),
    );
  });
});
