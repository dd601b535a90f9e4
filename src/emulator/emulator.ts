import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import {
  blockTokens,
  createEngine,
  type EngineConfig,
  type EngineProfile,
  type EngineRequest,
  type EngineSequence,
  type EngineSink,
  GPUS,
  type GpuFacts,
} from "../engine/index.ts";
import { type Clock, type Ms, type Stage, TidegateError } from "../model/index.ts";
import { dcgmMetrics, vllmMetrics } from "./metrics.ts";

export interface EmulatorOptions {
  readonly port: number;
  readonly host: string;
  readonly model: string;
  readonly profile: EngineProfile;
  readonly engine: Omit<EngineConfig, "profile">;
  readonly maxModelLen: number;
  /** Median of the whole cold start and the spread of each stage (sigma of a lognormal). 0: ready at once. */
  readonly coldStartMs: Ms;
  readonly coldStartSigma: number;
  /** How long ago, on the clock, the start began; 0 unless told. */
  readonly startedBeforeMs?: Ms;
  readonly seed: number;
  readonly clock: Clock;
  readonly podName: string;
  /** Told when a stage begins, and "ready" at the end. */
  readonly onStage?: (stage: Stage | "ready") => void;
  readonly fault?: Fault;
  /** What a crash does; by default the process ends with code 1. */
  readonly onCrash?: () => void;
}

export type Fault = "crash" | "hang" | "slow-load" | "refuse" | "none";
export const FAULTS: readonly Fault[] = ["crash", "hang", "slow-load", "refuse", "none"];

export interface Emulator {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Shares of the cold start: a node with the image there, 8B weights from a disk (after measured vLLM start-ups). */
const stageShares: readonly (readonly [Stage, number])[] = [
  ["provision", 0.15],
  ["pull", 0.1],
  ["load", 0.5],
  ["warmup", 0.25],
];

/** What the engine is given: a request that knows whose it is. */
interface Job extends EngineRequest {
  readonly active: Active;
}

interface Active {
  readonly id: number;
  readonly name: string;
  readonly kind: "chat" | "completions";
  readonly response: ServerResponse;
  readonly stream: boolean;
  readonly usage: boolean;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly length: boolean;
  readonly created: number;
  /** An event of the stream up to its text. */
  readonly head: string;
  readonly arrivedMs: Ms;
  sequence: EngineSequence<Job> | null;
  firstMs: Ms | null;
  lastMs: Ms;
  tokens: number;
  /** Bytes of this wake-up, written once. */
  pending: string;
}

/** A word of four bytes a token, so that texts and counts agree. */
const words = [
  " lor",
  " ips",
  " dol",
  " sit",
  " ame",
  " con",
  " adi",
  " eli",
  " sed",
  " tem",
  " inc",
  " lab",
  " mag",
  " ali",
  " eni",
  " min",
];

/**
 * An HTTP server that a client cannot tell from vLLM's OpenAI server, driven by the engine model on the given clock. A token is
 * 4 bytes of prompt. Faults come by option or by `POST /faults {"kind": "hang"}`.
 * @throws TidegateError `gateway/port` where the port is taken
 */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const { clock, model, profile } = options;
  const engine = createEngine<Job>({ ...options.engine, profile });
  const metrics = vllmMetrics(model, options.maxModelLen);
  const gpu = dcgmMetrics(GPUS[profile.gpu] as GpuFacts, options.podName, options.podName, profile.tp);
  metrics.cacheConfig(blockTokens, Math.floor(options.engine.kvCapacityTokens / blockTokens));
  const random = xoroshiro128plus(options.seed);
  // A small seed leaves the first outputs of this generator near 0, and with them the first stage of every start far out.
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  const uniform = () => (random.next() >>> 0) / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const active = new Map<number, Active>();
  const said = { promptTokens: 0, genTokens: 0, preemptions: 0, prefixQueries: 0, prefixHits: 0 };
  /** The iterations of the last second; `prefill` is the share of their tokens that was prefill. */
  let recent: { readonly endMs: Ms; readonly busyMs: Ms; readonly prefill: number }[] = [];
  let fault: Fault = options.fault ?? "none";
  let ready = false;
  let nextId = 1;
  let cancelStep = () => {};
  let closed = false;

  async function load(): Promise<void> {
    const slow = fault === "slow-load" ? 10 : 1;
    // What the process itself took to come up is part of the cold start, not on top of it.
    let dueMs = clock.now() - (options.startedBeforeMs ?? 0);
    for (const [stage, share] of options.coldStartMs > 0 ? stageShares : []) {
      options.onStage?.(stage);
      const stageMs = options.coldStartMs * share * Math.exp(options.coldStartSigma * normal()) * slow;
      dueMs += stageMs;
      await clock.sleep(Math.max(0, dueMs - clock.now()));
      if (closed) return;
    }
    if (fault === "crash") return crash();
    ready = true;
    options.onStage?.("ready");
  }

  /** Runs the iterations whose time has come; a timer that is late catches up, so that the speed holds. */
  function step(): void {
    if (closed || fault === "hang") return;
    engine.advance(clock.now(), sink);
    for (const request of active.values()) flush(request);
    arm();
  }

  function arm(): void {
    cancelStep();
    const atMs = engine.nextIterationMs();
    if (atMs !== null && !closed && fault !== "hang") cancelStep = clock.after(Math.max(0, atMs - clock.now()), step);
  }

  const sink: EngineSink<Job> = {
    firstToken: (sequence, atMs) => token(sequence, atMs),
    resumed: (sequence, atMs) => token(sequence, atMs),
    iteration({ startMs, endMs, decodes, prefillTokens }) {
      metrics.iterationTokens.observe(decodes + prefillTokens);
      recent.push({ endMs, busyMs: endMs - startMs, prefill: prefillTokens / Math.max(1, decodes + prefillTokens) });
      if (recent.length > 4096) recent = recent.filter((one) => one.endMs > endMs - 1000);
      // Those that got a first token (or their first after a preemption) in this iteration had it already.
      engine.forEachRunning((sequence) => {
        if (sequence.state === "decode" && sequence.request.active.tokens < engine.generated(sequence)) token(sequence, endMs);
      });
    },
    finished(sequence, atMs) {
      const { active: request } = sequence.request;
      if (request.tokens < request.outputTokens) token(sequence, atMs);
      finish(request, atMs);
    },
  };

  function token({ request: { active: request } }: EngineSequence<Job>, atMs: Ms): void {
    if (request.firstMs === null) {
      request.firstMs = atMs;
      metrics.ttft.observe((atMs - request.arrivedMs) / 1000);
      if (request.stream && request.kind === "chat") {
        request.pending += `data: ${JSON.stringify({ id: request.name, object: "chat.completion.chunk", created: request.created, model, choices: [{ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }], prompt_token_ids: null })}\n\n`;
      }
    } else metrics.itl.observe((atMs - request.lastMs) / 1000);
    request.lastMs = atMs;
    request.tokens++;
    const text = words[(request.id + request.tokens) % words.length] as string;
    if (!request.stream) return;
    const last = request.tokens === request.outputTokens;
    request.pending += request.head + text + (last ? tailOf(request.kind, request.length ? "length" : "stop") : goingOn[request.kind]);
  }

  const usageOf = ({ promptTokens, tokens }: Active) => ({
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + tokens,
    completion_tokens: tokens,
    prompt_tokens_details: null,
  });

  function finish(request: Active, atMs: Ms): void {
    active.delete(request.id);
    const { response, name, created, kind } = request;
    const e2e = (atMs - request.arrivedMs) / 1000;
    const queue = ((request.sequence?.admittedMs ?? request.arrivedMs) - request.arrivedMs) / 1000;
    const decode = (atMs - (request.firstMs ?? atMs)) / 1000;
    metrics.e2e.observe(e2e);
    metrics.queue.observe(queue);
    metrics.decode.observe(decode);
    metrics.inference.observe(e2e - queue);
    metrics.prefill.observe(e2e - queue - decode);
    metrics.tpot.observe(request.tokens > 1 ? decode / (request.tokens - 1) : 0);
    metrics.requestPrompt.observe(request.promptTokens);
    metrics.requestGeneration.observe(request.tokens);
    metrics.requestMaxTokens.observe(request.outputTokens);
    const reason = request.length ? "length" : "stop";
    metrics.finished(reason);
    if (request.stream) {
      if (request.usage) {
        request.pending += `data: ${JSON.stringify({ id: name, object: kind === "chat" ? "chat.completion.chunk" : "text_completion", created, model, choices: [], usage: usageOf(request) })}\n\n`;
      }
      request.pending += "data: [DONE]\n\n";
      response.end(request.pending);
      return;
    }
    const text = Array.from({ length: request.tokens }, (_, at) => words[(request.id + at + 1) % words.length]).join("");
    const choice =
      kind === "chat"
        ? {
            index: 0,
            message: { role: "assistant", content: text, refusal: null, tool_calls: [], reasoning_content: null },
            logprobs: null,
            finish_reason: reason,
            stop_reason: null,
          }
        : { index: 0, text, logprobs: null, finish_reason: reason, stop_reason: null };
    json(response, 200, {
      id: name,
      object: kind === "chat" ? "chat.completion" : "text_completion",
      created,
      model,
      choices: [choice],
      usage: usageOf(request),
    });
  }

  function flush(request: Active): void {
    if (request.pending === "") return;
    request.response.write(request.pending);
    request.pending = "";
  }

  function abort(request: Active): void {
    if (!active.delete(request.id)) return;
    if (request.sequence !== null) engine.cancel(request.sequence);
    metrics.finished("abort");
  }

  async function generate(kind: Active["kind"], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    let body: Record<string, unknown>;
    try {
      body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    } catch (error) {
      return fail(response, 400, `JSON decode error: ${(error as Error).message}`);
    }
    if (typeof body !== "object" || body === null || Array.isArray(body)) return fail(response, 400, "Input should be a valid dictionary");
    if (body["model"] !== undefined && body["model"] !== model)
      return fail(response, 404, `The model \`${body["model"]}\` does not exist.`, "NotFoundError");
    const promptTokens = countPrompt(kind, body);
    if (promptTokens === null) return fail(response, 400, kind === "chat" ? "Field required: messages" : "Field required: prompt");
    if ((body["n"] ?? 1) !== 1) return fail(response, 400, `n must be 1 on this engine, got ${body["n"]}.`);
    const given = body["max_completion_tokens"] ?? body["max_tokens"] ?? (kind === "completions" ? 16 : null);
    if (given !== null && !(Number.isInteger(given) && (given as number) >= 1))
      return fail(response, 400, `max_tokens must be at least 1, got ${given}.`);
    const most = options.maxModelLen - promptTokens;
    if (most < 1 || (given !== null && (given as number) > most)) {
      return fail(
        response,
        400,
        `This model's maximum context length is ${options.maxModelLen} tokens. However, you requested ${promptTokens + ((given as number) ?? 0)} tokens (${promptTokens} in the messages, ${given ?? 0} in the completion). Please reduce the length of the messages or completion.`,
      );
    }
    // Where the client does not force a length the answer ends by itself, as real ones do.
    const natural = Math.max(1, Math.round(Math.exp(4.6 + 0.9 * normal())));
    const limit = (given as number | null) ?? most;
    const outputTokens = body["ignore_eos"] === true ? limit : Math.min(limit, Math.max(natural, Number(body["min_tokens"] ?? 0)));
    const id = nextId++;
    const stream = body["stream"] === true;
    const nowMs = clock.now();
    const name = `${kind === "chat" ? "chatcmpl" : "cmpl"}-${options.seed.toString(16)}${id.toString(16).padStart(8, "0")}`;
    const created = Math.floor(nowMs / 1000);
    const entry: Active = {
      id,
      name,
      kind,
      response,
      stream,
      usage: stream && (body["stream_options"] as { include_usage?: boolean } | undefined)?.include_usage === true,
      promptTokens,
      outputTokens,
      length: outputTokens === limit,
      created,
      head: `data: {"id":"${name}","object":"${kind === "chat" ? "chat.completion.chunk" : "text_completion"}","created":${created},"model":${JSON.stringify(model)},"choices":[{"index":0,${kind === "chat" ? '"delta":{"content":"' : '"text":"'}`,
      arrivedMs: nowMs,
      sequence: null,
      firstMs: null,
      lastMs: nowMs,
      tokens: 0,
      pending: "",
    };
    // What is due by now comes first: the request arrives after it.
    if (fault !== "hang") engine.advance(nowMs, sink);
    entry.sequence = engine.submit({ active: entry, promptTokens, outputTokens, prefixHitTokens: 0 }, nowMs);
    if (entry.sequence === null) {
      return fail(
        response,
        400,
        `The request needs ${promptTokens + outputTokens} tokens of KV cache; there are ${options.engine.kvCapacityTokens}.`,
      );
    }
    active.set(id, entry);
    response.on("close", () => {
      if (!response.writableEnded) abort(entry);
    });
    if (stream) {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
      // The head goes at once; the role comes with the first token, so a client sees silence while it is queued.
      response.flushHeaders();
    }
    if (fault !== "hang") step();
  }

  function update(): void {
    metrics.running.set(engine.running);
    metrics.waiting.set(engine.waiting);
    metrics.kv.set(engine.kvUsed);
    for (const key of Object.keys(said) as (keyof typeof said)[]) {
      metrics.add[key](engine.counters[key] - said[key]);
      said[key] = engine.counters[key];
    }
    const nowMs = clock.now();
    recent = recent.filter(({ endMs }) => endMs > nowMs - 1000);
    let busyMs = 0;
    let prefillMs = 0;
    for (const one of recent) {
      const insideMs = Math.max(0, Math.min(one.endMs, nowMs) - Math.max(one.endMs - one.busyMs, nowMs - 1000));
      busyMs += insideMs;
      prefillMs += insideMs * one.prefill;
    }
    if (engine.startedMs !== null && fault !== "hang") busyMs += Math.max(0, nowMs - Math.max(engine.startedMs, nowMs - 1000));
    gpu.set({ busy: Math.min(1, busyMs / 1000), prefill: busyMs === 0 ? 0 : prefillMs / busyMs, loaded: ready });
  }

  const server = createServer({ requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 75_000 }, (request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    const { method } = request;
    if (path === "/faults" && method === "POST") return void onFault(request, response);
    if (fault === "refuse") return void request.socket.destroy();
    if (fault === "hang") return;
    if (path === "/health" || path === "/ping") return void response.writeHead(ready ? 200 : 503).end();
    if (!ready) return void response.writeHead(503).end();
    if (path === "/v1/chat/completions" || path === "/v1/completions") {
      if (method !== "POST") return void json(response, 405, { detail: "Method Not Allowed" });
      return void generate(path === "/v1/completions" ? "completions" : "chat", request, response).catch(() => response.destroy());
    }
    if (path === "/v1/models") {
      return void json(response, 200, {
        object: "list",
        data: [
          {
            id: model,
            object: "model",
            created: Math.floor(clock.now() / 1000),
            owned_by: "vllm",
            root: model,
            parent: null,
            max_model_len: options.maxModelLen,
            permission: [],
          },
        ],
      });
    }
    if (path === "/version") return void json(response, 200, { version: "0.10.2+tidegate" });
    if (path === "/load") return void json(response, 200, { server_load: active.size });
    if (path === "/metrics" || path === "/metrics/gpu") {
      update();
      const { registry } = path === "/metrics" ? metrics : gpu;
      return void registry.metrics().then((text) => response.writeHead(200, { "content-type": registry.contentType }).end(text));
    }
    json(response, 404, { detail: "Not Found" });
  });

  async function onFault(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let kind: Fault | undefined;
    let text = "";
    try {
      for await (const chunk of request) text += chunk;
      const body = JSON.parse(text);
      kind = FAULTS.find((one) => one === body.kind);
    } catch {
      kind = undefined;
    }
    if (kind === undefined) return fail(response, 400, `no fault ${text}; post {"kind": K} with K one of ${FAULTS.join(", ")}`);
    const hung = fault === "hang";
    fault = kind;
    json(response, 200, { fault });
    if (fault === "crash") setImmediate(crash);
    if (hung && fault !== "hang") {
      // The iteration under way took as long as the hang did.
      engine.stall(Math.max(0, clock.now() - (engine.nextIterationMs() ?? clock.now())));
      arm();
    }
  }

  function crash(): void {
    (options.onCrash ?? (() => process.exit(1)))();
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new TidegateError(
          "gateway/port",
          `cannot listen on ${options.host}:${options.port} (${error.code === "EADDRINUSE" ? "it is taken" : error.message}); choose another --port`,
          { cause: error },
        ),
      ),
    );
    server.listen(options.port, options.host, 1024, resolve);
  });
  const { port } = server.address() as AddressInfo;
  void load();
  return {
    url: `http://${options.host}:${port}`,
    port,
    close: () =>
      new Promise((resolve) => {
        closed = true;
        cancelStep();
        for (const request of active.values()) request.response.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The rest of an event of the stream, behind its text. */
const tailOf = (kind: Active["kind"], reason: string | null) => {
  const end = reason === null ? "null" : `"${reason}"`;
  return kind === "chat"
    ? `"},"logprobs":null,"finish_reason":${end},"token_ids":null}]}\n\n`
    : `","logprobs":null,"finish_reason":${end},"stop_reason":null,"token_ids":null}]}\n\n`;
};
const goingOn = { chat: tailOf("chat", null), completions: tailOf("completions", null) } as const;

const tokensOf = (text: string) => Math.max(1, Math.ceil(Buffer.byteLength(text) / 4));

/** @returns null where the field that holds the prompt is missing or of another shape */
function countPrompt(kind: Active["kind"], body: Record<string, unknown>): number | null {
  if (kind === "completions") {
    const { prompt } = body;
    if (typeof prompt === "string") return tokensOf(prompt);
    if (Array.isArray(prompt) && prompt.every((one) => typeof one === "number")) return Math.max(1, prompt.length);
    if (Array.isArray(prompt) && prompt.length === 1 && typeof prompt[0] === "string") return tokensOf(prompt[0]);
    return null;
  }
  const { messages } = body;
  if (!Array.isArray(messages) || messages.length === 0) return null;
  let text = "";
  for (const message of messages as ({ content?: unknown } | null)[]) {
    const content = message?.content;
    if (typeof content === "string") text += content;
    else if (Array.isArray(content)) for (const part of content) if (typeof part?.text === "string") text += part.text;
  }
  return tokensOf(text);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

const fail = (response: ServerResponse, code: number, message: string, type = "BadRequestError") =>
  json(response, code, { error: { message, type, param: null, code } });
