import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import type { ControllerView, EndpointView } from "../../../src/controller/index.ts";
import { alive, folder, freePorts, run, start, until } from "../../e2e/tidegate.ts";
import { randomModel, small } from "./gguf.ts";

const model = process.env["TIDEGATE_LLAMACPP_MODEL"] ?? "";
const server = fileURLToPath(new URL("server.ts", import.meta.url));

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

interface Streamed {
  readonly replica: string | null;
  /** Chunks that carried a token. */
  readonly tokens: number;
  readonly text: string;
}

interface Chunk {
  readonly choices: readonly {
    readonly delta: { readonly content?: string; readonly role?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number };
}

const post = (url: string, body: object, signal?: AbortSignal) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "random", messages: [{ role: "user", content: "hello there" }], ignore_eos: true, ...body }),
    ...(signal === undefined ? {} : { signal }),
  });

/** One streamed answer read to its end. @throws where it is refused, or breaks before all that was asked for has come */
async function stream(url: string, maxTokens: number): Promise<Streamed> {
  const answer = await post(url, { max_tokens: maxTokens, stream: true, stream_options: { include_usage: true } });
  const body = await answer.text();
  if (answer.status !== 200) throw new Error(`${answer.status} ${body}`);
  const events = body.split("\n\n").filter((event) => event !== "");
  if (events.pop() !== "data: [DONE]") throw new Error(`broken stream: …${body.slice(-200)}`);
  const chunks = events.map((event) => JSON.parse(event.slice("data: ".length)) as Chunk);
  const pieces = chunks.flatMap(({ choices }) => choices.filter(({ delta }) => delta.content !== undefined && delta.role === undefined));
  const usage = chunks.findLast((chunk) => chunk.usage !== undefined)?.usage;
  if (pieces.length !== maxTokens || usage?.completion_tokens !== maxTokens) {
    throw new Error(`${pieces.length} tokens came, usage says ${usage?.completion_tokens}, ${maxTokens} were asked for`);
  }
  return {
    replica: answer.headers.get("x-tidegate-replica"),
    tokens: pieces.length,
    text: pieces.map(({ delta }) => delta.content).join(""),
  };
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
  await stream(url, 12);
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
  await stream(url, 5);

  expect((await post(url, { max_tokens: 0 })).status).toBe(400);
  expect((await post(url, { messages: [{ role: "user", content: "x".repeat(2000) }] })).status).toBe(400);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
}, 60_000);

it("scales real llama.cpp 1 to 3 to 1 under load, with no failed request and no broken stream", async () => {
  const home = folder();
  cleanups.push(() => home.remove());
  const [port, adminPort] = await freePorts(2);
  const url = `http://127.0.0.1:${port}`;
  const admin = `http://127.0.0.1:${adminPort}`;
  const command = [process.execPath, server, "--model", model, "--host", "{host}", "--port", "{port}"];
  const file = home.write(
    "tidegate.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: real }
spec:
  model: random
  engine: { kind: llamacpp }
  platform: { kind: process, command: ${JSON.stringify(command)}, startTimeout: 1m, drainTimeout: 1m }
  replicas: { min: 1, max: 3 }
  signals: { scrapeInterval: 1s }
  policy: { kind: static, replicas: 1 }
`,
  );
  const up = start(["up", file, "--port", String(port), "--admin-port", String(adminPort), "--state", `${home.path}/state`, "--plain"]);
  cleanups.push(async () => {
    if (up.process.exitCode === null) up.process.kill("SIGTERM");
    await up.ended;
  });
  const view = async (): Promise<EndpointView> =>
    ((await (await fetch(`${admin}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
  const pin = async (replicas: number) => expect(await run(["pin", "real", String(replicas), "--admin", admin])).toMatchObject({ code: 0 });
  const settled = (replicas: number) =>
    until(view, ({ now }) => now !== null && now.ready === replicas && now.wanted === replicas && now.draining === 0, 60_000);
  await settled(1);

  const streams: Streamed[] = [];
  const failures: string[] = [];
  let more = true;
  // Each client asks again as soon as it has its answer, so there is always a stream under way where the count changes.
  const clients = Array.from({ length: 6 }, async (_, client) => {
    for (let turn = 0; more; turn++) {
      await stream(url, 40 + ((client * 61 + turn * 37) % 160)).then(
        (one) => streams.push(one),
        (error: unknown) => failures.push(String(error)),
      );
    }
  });
  const since = (from: number) => new Set(streams.slice(from).map(({ replica }) => replica));
  const served = (from: number, replicas: number) =>
    until(
      async () => since(from),
      (by) => by.size === replicas && streams.length >= from + 30,
      60_000,
    );
  await served(0, 1);
  await pin(3);
  const three = await settled(3);
  const atThree = await served(streams.length, 3);
  expect([...atThree].sort()).toEqual(
    three.replicas
      .filter(({ state }) => state === "ready")
      .map(({ id }) => id)
      .sort(),
  );
  const pages = await until(
    () =>
      Promise.all(
        three.replicas.filter(({ state }) => state === "ready").map(async ({ url: at }) => (await fetch(`${at}/metrics`)).text()),
      ),
    (all) => all.every((text) => counter(text, "tokens_predicted_total") > 0),
  );
  expect(pages).toHaveLength(3);
  await pin(1);
  await settled(1);
  const left = await served(streams.length + 6, 1);
  more = false;
  await Promise.all(clients);

  expect(failures).toEqual([]);
  expect([...atThree]).toContain([...left][0]);
  expect(streams.every(({ tokens, text }) => tokens > 0 && text.length > 0)).toBe(true);
  const last = await until(view, ({ totals }) => totals !== null && totals.inFlight + totals.held === 0);
  expect(last.totals).toMatchObject({ arrived: streams.length, completed: streams.length, failed: 0, rejected: 0, cancelled: 0 });
  const state = readFileSync(join(home.path, "state", "platform", "process-real.json"), "utf8");
  const pids = (JSON.parse(state) as { replicas: { pid: number }[] }).replicas.map(({ pid }) => pid);
  expect(pids).toHaveLength(1);
  up.process.kill("SIGTERM");
  expect((await up.ended).code).toBe(143);
  await until(
    async () => pids.filter(alive).length,
    (count) => count === 0,
  );
}, 240_000);
