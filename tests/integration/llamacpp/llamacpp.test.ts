import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { freePorts, until } from "../../e2e/tidegate.ts";
import { stream } from "../clients.ts";
import { type RealEngine, scalesUnderLoad, startRealFleet } from "../real-fleet.ts";
import { randomModel, small } from "./gguf.ts";

const model = process.env["TIDEGATE_LLAMACPP_MODEL"] ?? "";
const server = fileURLToPath(new URL("server.ts", import.meta.url));

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const content = "hello there";
const post = (url: string, body: object, signal?: AbortSignal) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "random", messages: [{ role: "user", content }], ignore_eos: true, ...body }),
    ...(signal === undefined ? {} : { signal }),
  });

/** One streamed answer: each token in a chunk of its own. */
async function streamed(url: string, maxTokens: number): Promise<void> {
  expect(await stream({ url, model: "random", content, maxTokens })).toMatchObject({ pieces: maxTokens });
}

const counter = (page: string, name: string): number => Number(new RegExp(`^llamacpp:${name} (\\S+)$`, "m").exec(page)?.[1] ?? Number.NaN);

it("writes the same model for the same seed, and another for another", () => {
  expect(randomModel()).toEqual(randomModel(small));
  expect(randomModel({ ...small, seed: 2 })).not.toEqual(randomModel());
  expect(randomModel().length).toBeLessThan(5 * 2 ** 20);
});

it("the replica: loads behind 503, counts true tokens, batches, defers what does not fit, and stops when the client leaves", async () => {
  const [port] = await freePorts(1);
  const child = spawn(process.execPath, [server, "--model", model, "--port", String(port), "--parallel", "2"], { stdio: "ignore" });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  cleanups.push(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  const seen = new Set<number>();
  await until(
    async () => (await fetch(`${url}/health`)).status,
    (status) => seen.add(status) && status === 200,
  );
  expect([...seen].filter((status) => status !== 503)).toEqual([200]);
  const page = async () => (await fetch(`${url}/metrics`)).text();
  const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  expect(models.data.map(({ id }) => id)).toEqual(["random.gguf"]);

  // "user: hello there\nassistant:" is 28 bytes, and the beginning of a text is a token too.
  const whole = (await (await post(url, { max_tokens: 12 })).json()) as { usage: object; choices: { finish_reason: string }[] };
  expect(whole.usage).toEqual({ prompt_tokens: 29, completion_tokens: 12, total_tokens: 41 });
  expect(whole.choices[0]?.finish_reason).toBe("length");
  const same = await Promise.all([1, 2].map(async () => (await post(url, { max_tokens: 12, seed: 5, temperature: 0 })).json()));
  const said = (same as { choices: { message: object }[] }[]).map(({ choices }) => choices[0]?.message);
  expect(said[0]).toEqual(said[1]);
  await streamed(url, 12);
  expect(counter(await page(), "prompt_tokens_total")).toBe(4 * 29);
  expect(counter(await page(), "tokens_predicted_total")).toBe(4 * 12);

  const leave = new AbortController();
  const five = Array.from({ length: 5 }, () => post(url, { max_tokens: 900, stream: true }, leave.signal).then((answer) => answer.text()));
  const settled = Promise.allSettled(five);
  await until(page, (text) => counter(text, "requests_processing") === 2 && counter(text, "requests_deferred") === 3);
  leave.abort();
  expect((await settled).every(({ status }) => status === "rejected")).toBe(true);
  const after = await until(page, (text) => counter(text, "requests_processing") === 0 && counter(text, "requests_deferred") === 0);
  expect(counter(after, "tokens_predicted_total")).toBeLessThan(4 * 12 + 2 * 900);
  await streamed(url, 5);

  expect((await post(url, { max_tokens: 0 })).status).toBe(400);
  expect((await post(url, { messages: [{ role: "user", content: "x".repeat(2000) }] })).status).toBe(400);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
}, 60_000);

it("scales real llama.cpp 1 to 3 to 1 under load, with no failed request and no broken stream", async () => {
  const command = [process.execPath, server, "--model", model, "--host", "{host}", "--port", "{port}"];
  const engine: RealEngine = { model: "random", engine: "llamacpp", command, startTimeout: "1m", max: 3 };
  const fleet = await startRealFleet(engine);
  const streams = await scalesUnderLoad(fleet, engine, {
    ...{ clients: 6, content, pauseMs: 0, streams: 30, timeoutMs: 60_000 },
    async atMost({ replicas }) {
      const urls = replicas.filter(({ state }) => state === "ready").map(({ url }) => url);
      const pages = await until(
        () => Promise.all(urls.map(async (url) => (await fetch(`${url}/metrics`)).text())),
        (all) => all.every((text) => counter(text, "tokens_predicted_total") > 0),
      );
      expect(pages).toHaveLength(3);
    },
  });
  expect(streams.filter(({ pieces, maxTokens }) => pieces !== maxTokens)).toEqual([]);
}, 240_000);
