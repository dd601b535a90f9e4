/**
 * `node server.ts --model FILE --port N [--host H] [--parallel N] [--ctx N]`, or `--model FILE --check` to load it only: an OpenAI-compatible server around real llama.cpp on
 * the CPU, with the paths, answers and metric names of llama.cpp's own server. TIDEGATE_LLAMACPP_HOME is where node-llama-cpp is.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** The module to import from the folder that `provision` installed into. */
export const bindings = (home: string): string => pathToFileURL(join(home, "node_modules", "node-llama-cpp", "dist", "index.js")).href;

/** What is used of node-llama-cpp, which is not installed where this file is type-checked. */
interface Binding {
  getLlama(options: object): Promise<{ loadModel(options: { modelPath: string }): Promise<Model> }>;
}
interface Model {
  readonly tokens: { readonly bos: number | null };
  tokenize(text: string): number[];
  detokenize(tokens: readonly number[], special?: boolean, before?: readonly number[]): string;
  createContext(options: object): Promise<Context>;
}
interface Context {
  getSequence(): Sequence;
}
interface Sequence {
  evaluate(tokens: readonly number[], options: object): AsyncGenerator<number, void>;
  dispose(): Promise<void>;
}

interface Asked {
  readonly chat: boolean;
  readonly prompt: string;
  readonly stream: boolean;
  readonly usage: boolean;
  readonly maxTokens: number | null;
  readonly ignoreEos: boolean;
  readonly sampling: { readonly temperature: number; readonly topP: number; readonly seed: number };
}

class Refusal extends Error {
  readonly status: number;
  readonly type: string;
  constructor(status: number, type: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

const invalid = (message: string) => new Refusal(400, "invalid_request_error", message);

function ask(path: string, text: string): Asked {
  let body: Record<string, unknown>;
  try {
    body = JSON.parse(text);
  } catch {
    throw invalid("the body is not JSON");
  }
  if (typeof body !== "object" || body === null) throw invalid("the body is not an object");
  const chat = path === "/v1/chat/completions";
  const number = (key: string, otherwise: number) => {
    const value = body[key] ?? otherwise;
    if (typeof value !== "number" || !Number.isFinite(value) || value < 0) throw invalid(`${key} is not a number of 0 or more`);
    return value;
  };
  const limit = ["max_completion_tokens", "max_tokens"].find((key) => (body[key] ?? null) !== null);
  const maxTokens = limit === undefined ? null : number(limit, 0);
  if (maxTokens !== null && !(Number.isInteger(maxTokens) && maxTokens > 0)) throw invalid(`${limit} is not a whole number above 0`);
  let prompt: string;
  if (chat) {
    if (!Array.isArray(body["messages"]) || body["messages"].length === 0) throw invalid("messages is not a list with an item");
    const lines = body["messages"].map(({ role, content }: { role?: unknown; content?: unknown }) => {
      const said = Array.isArray(content) ? content.map(({ text: part }: { text?: unknown }) => part ?? "").join("") : content;
      return `${role}: ${said ?? ""}\n`;
    });
    prompt = `${lines.join("")}assistant:`;
  } else {
    if (typeof body["prompt"] !== "string") throw invalid("prompt is not a string");
    prompt = body["prompt"];
  }
  return {
    chat,
    prompt,
    stream: body["stream"] === true,
    usage: (body["stream_options"] as { include_usage?: unknown } | null | undefined)?.include_usage === true,
    maxTokens,
    ignoreEos: body["ignore_eos"] === true,
    sampling: {
      temperature: number("temperature", 1),
      topP: number("top_p", 1),
      seed: number("seed", Math.floor(Math.random() * 2 ** 31)),
    },
  };
}

/** A model with a fixed number of sequences, first come first served, and true counts of what it does. */
class Runner {
  processing = 0;
  promptTokens = 0;
  predictedTokens = 0;
  readonly #model: Model;
  readonly #context: Context;
  readonly #length: number;
  #free: number;
  readonly #queue: (() => void)[] = [];

  private constructor(model: Model, context: Context, length: number, parallel: number) {
    this.#model = model;
    this.#context = context;
    this.#length = length;
    this.#free = parallel;
  }

  static async load(file: string, parallel: number, length: number): Promise<Runner> {
    const home = process.env["TIDEGATE_LLAMACPP_HOME"];
    if (home === undefined) throw new Error("TIDEGATE_LLAMACPP_HOME is not set: give the folder that node-llama-cpp is installed in");
    const binding = (await import(bindings(home))) as Binding;
    const llama = await binding.getLlama({ gpu: false, build: "never", skipDownload: true });
    const model = await llama.loadModel({ modelPath: file });
    // One thread: more are far slower for tiny models on a busy machine.
    const context = await model.createContext({ sequences: parallel, contextSize: length, batchSize: 512, threads: 1 });
    return new Runner(model, context, length, parallel);
  }

  get deferred(): number {
    return this.#queue.length;
  }

  /** The prompt's tokens. @throws Refusal where it leaves no room for an answer */
  tokens(prompt: string): readonly number[] {
    const { bos } = this.#model.tokens;
    const tokens = [...(bos === null ? [] : [bos]), ...this.#model.tokenize(prompt)];
    if (tokens.length >= this.#length) {
      throw invalid(`the request has ${tokens.length} tokens, and the context holds ${this.#length}`);
    }
    return tokens;
  }

  /** Pieces of text, one a token. Ends early, with its sequence freed, when the signal aborts. Returns why it finished. */
  async *answer(asked: Asked, tokens: readonly number[], signal: AbortSignal): AsyncGenerator<string, "stop" | "length" | "abort"> {
    if (!(await this.#enter(signal))) return "abort";
    let sequence: Sequence | null = null;
    try {
      sequence = this.#context.getSequence();
      const limit = Math.min(asked.maxTokens ?? Number.POSITIVE_INFINITY, this.#length - tokens.length);
      const options = { ...asked.sampling, topK: 0, yieldEogToken: asked.ignoreEos };
      const before: number[] = [];
      for await (const token of sequence.evaluate(tokens, options)) {
        if (signal.aborted) return "abort";
        if (before.length === 0) this.promptTokens += tokens.length;
        this.predictedTokens++;
        const piece = this.#model.detokenize([token], false, before.slice(-8));
        before.push(token);
        yield piece;
        if (before.length === limit) return "length";
      }
      return "stop";
    } finally {
      await sequence?.dispose();
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#free > 0) this.#free--;
    else {
      const mine = await new Promise<boolean>((resolve) => {
        const turn = () => {
          signal.removeEventListener("abort", gone);
          resolve(true);
        };
        const gone = () => {
          this.#queue.splice(this.#queue.indexOf(turn), 1);
          resolve(false);
        };
        this.#queue.push(turn);
        signal.addEventListener("abort", gone, { once: true });
      });
      if (!mine) return false;
    }
    this.processing++;
    return true;
  }

  /** The next in the queue takes over the sequence, or it is free. */
  #leave(): void {
    this.processing--;
    const next = this.#queue.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
};

const page = (runner: Runner): string =>
  (
    [
      ["prompt_tokens_total", "counter", "Number of prompt tokens processed.", runner.promptTokens],
      ["tokens_predicted_total", "counter", "Number of generation tokens processed.", runner.predictedTokens],
      ["requests_processing", "gauge", "Number of requests processing.", runner.processing],
      ["requests_deferred", "gauge", "Number of requests deferred.", runner.deferred],
    ] as const
  )
    .map(([name, kind, help, value]) => `# HELP llamacpp:${name} ${help}\n# TYPE llamacpp:${name} ${kind}\nllamacpp:${name} ${value}\n`)
    .join("");

async function complete(runner: Runner, name: string, path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const asked = ask(path, Buffer.concat(chunks).toString("utf8"));
  const tokens = runner.tokens(asked.prompt);
  const id = `${asked.chat ? "chatcmpl" : "cmpl"}-${randomUUID()}`;
  const kind = asked.chat ? (asked.stream ? "chat.completion.chunk" : "chat.completion") : "text_completion";
  const frame = { id, object: kind, created: Math.floor(Date.now() / 1000), model: name };
  const send = async (body: unknown) => {
    const fits = response.write(`data: ${typeof body === "string" ? body : JSON.stringify(body)}\n\n`);
    if (!fits && !gone.signal.aborted) await once(response, "drain", { signal: gone.signal }).catch(() => {});
  };
  const chunk = (piece: string, finish: string | null) =>
    asked.chat
      ? { index: 0, delta: finish === null ? { content: piece } : {}, finish_reason: finish }
      : { index: 0, text: piece, finish_reason: finish };

  const answer = runner.answer(asked, tokens, gone.signal);
  let text = "";
  let count = 0;
  let step = await answer.next();
  if (asked.stream && !gone.signal.aborted) {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    if (asked.chat) await send({ ...frame, choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] });
  }
  while (step.done !== true) {
    count++;
    if (asked.stream) await send({ ...frame, choices: [chunk(step.value, null)] });
    else text += step.value;
    step = await answer.next();
  }
  const finish = step.value;
  if (finish === "abort" || gone.signal.aborted) return;
  const usage = { prompt_tokens: tokens.length, completion_tokens: count, total_tokens: tokens.length + count };
  if (!asked.stream) {
    const said = asked.chat ? { message: { role: "assistant", content: text } } : { text };
    return json(response, 200, { ...frame, choices: [{ index: 0, ...said, finish_reason: finish }], usage });
  }
  await send({ ...frame, choices: [chunk("", finish)] });
  if (asked.usage) await send({ ...frame, choices: [], usage });
  await send("[DONE]");
  response.end();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: "string" },
      host: { type: "string", default: "127.0.0.1" },
      port: { type: "string" },
      parallel: { type: "string", default: "4" },
      ctx: { type: "string", default: "1024" },
      check: { type: "boolean", default: false },
    },
  });
  if (values.model !== undefined && values.check) {
    await Runner.load(values.model, Number(values.parallel), Number(values.ctx));
    process.exit(0);
  }
  if (values.model === undefined || values.port === undefined) {
    process.stderr.write("usage: node server.ts --model FILE --port N [--host H] [--parallel N] [--ctx N]\n");
    process.exit(2);
  }
  const name = basename(values.model);
  let runner: Runner | null = null;
  // Answers under way are finished before the end. Not left to the server's close: it also waits for a connection that a client
  // opened and never used.
  let open = 0;
  let stopping = false;
  const server = createServer((request, response) => {
    open++;
    response.on("close", () => {
      open--;
      if (stopping && open === 0) process.exit(0);
    });
    if (stopping) response.setHeader("connection", "close");
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const refuse = (error: unknown) => {
      if (response.headersSent || response.destroyed) return response.destroy();
      const refusal = error instanceof Refusal ? error : new Refusal(500, "server_error", String(error));
      json(response, refusal.status, { error: { code: refusal.status, message: refusal.message, type: refusal.type } });
    };
    if (runner === null) return refuse(new Refusal(503, "unavailable_error", "Loading model"));
    const route = `${request.method} ${path}`;
    if (route === "GET /health") return json(response, 200, { status: "ok" });
    if (route === "GET /v1/models") {
      return json(response, 200, { object: "list", data: [{ id: name, object: "model", created: 0, owned_by: "llamacpp" }] });
    }
    if (route === "GET /metrics") {
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4" });
      return response.end(page(runner));
    }
    if (route === "POST /v1/chat/completions" || route === "POST /v1/completions") {
      return void complete(runner, name, path, request, response).catch(refuse);
    }
    refuse(new Refusal(404, "not_found_error", `there is no ${route}`));
  });
  // Longer than any proxy keeps an idle connection, so that it is never this side that closes under a request.
  server.keepAliveTimeout = 120_000;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      stopping = true;
      server.close();
      if (open === 0) process.exit(0);
    });
  }
  server.listen(Number(values.port), values.host);
  await once(server, "listening");
  process.stdout.write(`loading model ${values.model}\n`);
  runner = await Runner.load(values.model, Number(values.parallel), Number(values.ctx));
  process.stdout.write(`listening on http://${values.host}:${values.port}\n`);
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  });
}
