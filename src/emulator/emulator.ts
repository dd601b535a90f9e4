import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { blockTokens, createEngine, type EngineConfig, type EngineProfile, type EngineSink, GPUS, type GpuFacts } from "../engine/index.ts";
import { type Clock, type Ms, type Stage, TidegateError } from "../model/index.ts";
import { type Answer, type Call, reasonOf, textOf, wordOf } from "./answer.ts";
import { dcgmMetrics } from "./gpu-metrics.ts";
import { VllmMetrics } from "./metrics.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { Refusal } from "./refusal.ts";
import { type Asked, type Kind, type Prompt, readRequest } from "./request.ts";
import { type Envelope, fingerprintOf, modelList, StreamWriter, vllmVersion, wholeAnswer } from "./wire.ts";

export interface EmulatorOptions {
  readonly port: number;
  readonly host: string;
  readonly model: string;
  readonly profile: EngineProfile;
  readonly engine: Omit<EngineConfig, "profile">;
  readonly maxModelLen: number;
  /** A prompt skips the prefill of leading blocks that the KV cache still knows. */
  readonly prefixCaching: boolean;
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

/**
 * An HTTP server that a client cannot tell from vLLM's OpenAI server (version 0.32; the suite tests/integration/vllm compares the
 * two), driven by the engine model on the given clock. A token is 4 bytes of prompt. Answers are words without meaning; where the
 * client does not force a length they end by themselves. Other than vLLM it listens while it loads, and answers 503 then. Faults
 * come by option or by `POST /faults {"kind": "hang"}`.
 * @throws TidegateError `gateway/port` where the port is taken
 */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const { clock, model, profile, maxModelLen, prefixCaching } = options;
  const { kvCapacityTokens } = options.engine;
  const engine = createEngine<Answer>({ ...options.engine, profile });
  const startedMs = clock.now() - (options.startedBeforeMs ?? 0);
  const metrics = new VllmMetrics(model, { kvCapacityTokens, maxModelLen, prefixCaching }, startedMs);
  const gpu = dcgmMetrics(GPUS[profile.gpu] as GpuFacts, options.podName, options.podName, profile.tp);
  const fingerprint = fingerprintOf(model, maxModelLen, kvCapacityTokens, profile.gpu, profile.tp);
  const prefixes = new PrefixCache();
  const random = xoroshiro128plus(options.seed);
  // A small seed leaves the first outputs of this generator near 0, and with them the first stage of every start far out.
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  const uniform = () => (random.next() >>> 0) / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const active = new Map<number, Call>();
  const told = { genTokens: 0, preemptions: 0, prefixQueries: 0, prefixHits: 0 };
  /** Tokens generated for answers that are not over: their blocks hold no prompt. */
  let heldGenerated = 0;
  /** Tokens that came in the iteration under way. */
  let iterationOutput = 0;
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
    let dueMs = startedMs;
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
    for (const call of active.values()) flush(call);
    arm();
  }

  function arm(): void {
    cancelStep();
    const atMs = engine.nextIterationMs();
    if (atMs !== null && !closed && fault !== "hang") cancelStep = clock.after(Math.max(0, atMs - clock.now()), step);
  }

  const sink: EngineSink<Answer> = {
    // vLLM knows a prompt's blocks from when it schedules them, so that several answers to one prompt share them at once.
    admitted: ({ request: { prompt } }) => remember(prompt),
    firstToken: (sequence, atMs) => token(sequence.request, atMs),
    resumed: (sequence, atMs) => token(sequence.request, atMs),
    iteration({ startMs, endMs, decodes, prefillTokens }) {
      recent.push({ endMs, busyMs: endMs - startMs, prefill: prefillTokens / Math.max(1, decodes + prefillTokens) });
      if (recent.length > 4096) recent = recent.filter((one) => one.endMs > endMs - 1000);
      // Those that got a first token (or their first after a preemption) in this iteration had it already.
      engine.forEachRunning((sequence) => {
        if (sequence.state === "decode" && sequence.request.tokens < engine.generated(sequence)) token(sequence.request, endMs);
      });
      metrics.iterationTokens.observe(prefillTokens + iterationOutput);
      iterationOutput = 0;
    },
    finished({ request: answer }, atMs) {
      if (answer.tokens < answer.outputTokens) token(answer, atMs);
      finish(answer, atMs);
    },
  };

  function remember({ blocks }: Prompt): void {
    if (prefixCaching) prefixes.use(blocks.keys, Math.floor((kvCapacityTokens - heldGenerated) / blockTokens));
  }

  function token(answer: Answer, atMs: Ms): void {
    const { call } = answer;
    if (answer.firstMs === null) {
      answer.firstMs = atMs;
      metrics.ttft.observe((atMs - call.arrivedMs) / 1000);
      metrics.prefilled(answer.promptTokens, answer.hitTokens);
    } else metrics.itl.observe((atMs - answer.lastMs) / 1000);
    answer.lastMs = atMs;
    answer.tokens++;
    heldGenerated++;
    iterationOutput++;
    if (!call.asked.stream) return;
    if (!call.began) begin(call);
    const last = answer.tokens === answer.outputTokens;
    const counts = call.asked.continuousUsage ? { promptTokens: answer.promptTokens, completionTokens: answer.tokens } : null;
    const reason = last ? reasonOf(answer) : null;
    call.pending += call.writer.text(answer.index, wordOf(answer, answer.tokens), reason, counts, last && !call.asked.includeUsage);
  }

  function begin(call: Call): void {
    call.began = true;
    if (call.asked.kind !== "chat") return;
    for (const { index, promptTokens } of call.answers) {
      call.pending += call.writer.role(index, call.asked.continuousUsage ? { promptTokens, completionTokens: 0 } : null);
    }
  }

  function finish(answer: Answer, atMs: Ms): void {
    const { call, sequence, prompt } = answer;
    const e2e = (atMs - call.arrivedMs) / 1000;
    const queue = ((sequence?.admittedMs ?? call.arrivedMs) - call.arrivedMs) / 1000;
    const decode = (atMs - (answer.firstMs ?? atMs)) / 1000;
    metrics.e2e.observe(e2e);
    metrics.queue.observe(queue);
    metrics.decode.observe(decode);
    metrics.inference.observe(e2e - queue);
    metrics.prefill.observe(e2e - queue - decode);
    metrics.tpot.observe(answer.tokens > 1 ? decode / (answer.tokens - 1) : 0);
    metrics.requestPrompt.observe(answer.promptTokens);
    metrics.requestComputed.observe(answer.promptTokens - answer.hitTokens);
    metrics.requestGeneration.observe(answer.tokens);
    metrics.requestMaxTokens.observe(prompt.limit);
    metrics.requestPreemptions.observe(sequence?.preemptions ?? 0);
    metrics.finished(reasonOf(answer));
    heldGenerated -= answer.tokens;
    if (prompt.isText && call.asked.n === 1) prompt.blocks.addText(textOf(answer));
    remember(prompt);
    call.left--;
    if (call.left === 0) end(call);
  }

  function end(call: Call): void {
    active.delete(call.id);
    const { asked, answers, response, writer } = call;
    for (let at = 0; at < answers.length; at += asked.n) {
      metrics.requestN.observe(asked.n);
      metrics.requestMostGeneration.observe(Math.max(...answers.slice(at, at + asked.n).map(({ tokens }) => tokens)));
    }
    const counts = {
      promptTokens: call.promptTokens,
      completionTokens: answers.reduce((sum, { tokens }) => sum + tokens, 0),
    };
    if (asked.stream) {
      response.end(`${call.pending}${asked.includeUsage ? writer.usage(counts) : ""}${writer.done}`);
      return;
    }
    const choices = answers.map((answer) => ({ text: textOf(answer), reason: reasonOf(answer) }));
    json(response, 200, wholeAnswer(call.envelope, choices, counts));
  }

  function flush(call: Call): void {
    if (call.pending === "") return;
    call.response.write(call.pending);
    call.pending = "";
  }

  function abort(call: Call): void {
    if (!active.delete(call.id)) return;
    for (const { sequence, tokens } of call.answers) {
      if (sequence === null || sequence.state === "finished") continue;
      engine.cancel(sequence);
      heldGenerated -= tokens;
    }
  }

  async function generate(kind: Kind, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const served = { model, maxModelLen };
    const asked = readRequest(kind, request.headers["content-type"], Buffer.concat(chunks).toString("utf8"), served);
    const nowMs = clock.now();
    const call = callOf(asked, request.headers["x-request-id"], response, nowMs);
    // What is due by now comes first: the request arrives after it.
    if (fault !== "hang") engine.advance(nowMs, sink);
    for (const answer of call.answers) answer.sequence = engine.submit(answer, nowMs);
    active.set(call.id, call);
    const unfit = call.answers.find(({ sequence }) => sequence === null);
    if (unfit !== undefined) {
      abort(call);
      throw new Refusal(`The request needs ${unfit.promptTokens + unfit.outputTokens} tokens of KV cache; there are ${kvCapacityTokens}.`);
    }
    response.on("close", () => {
      if (!response.writableEnded) abort(call);
    });
    if (asked.stream) {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
      // The head goes at once; the role comes with the first token, so a client sees silence while it is queued.
      response.flushHeaders();
    }
    if (fault !== "hang") step();
  }

  function callOf(asked: Asked, requestId: string | string[] | undefined, response: ServerResponse, arrivedMs: Ms): Call {
    const id = nextId++;
    const hex = (value: number) => (value >>> 0).toString(16).padStart(8, "0");
    const envelope: Envelope = {
      kind: asked.kind,
      id: `${asked.kind === "chat" ? "chatcmpl" : "cmpl"}-${requestId ?? hex(options.seed) + hex(id)}`,
      created: Math.floor(arrivedMs / 1000),
      model,
      fingerprint,
    };
    const answers: Answer[] = [];
    const call: Call = {
      id,
      asked,
      response,
      envelope,
      writer: new StreamWriter(envelope),
      promptTokens: asked.prompts.reduce((sum, { tokens }) => sum + tokens, 0),
      arrivedMs,
      answers,
      left: asked.prompts.length * asked.n,
      began: false,
      pending: "",
    };
    for (const prompt of asked.prompts) for (let nth = 0; nth < asked.n; nth++) answers.push(answerOf(call, prompt, answers.length));
    return call;
  }

  function answerOf(call: Call, prompt: Prompt, index: number): Answer {
    const { ignoreEos, minTokens } = call.asked;
    const natural = Math.max(1, Math.round(Math.exp(4.6 + 0.9 * normal())));
    const outputTokens = ignoreEos ? prompt.limit : Math.min(prompt.limit, Math.max(natural, minTokens));
    return {
      call,
      index,
      prompt,
      promptTokens: prompt.tokens,
      outputTokens,
      length: outputTokens === prompt.limit,
      // Asked for once, when the request is admitted.
      get prefixHitTokens() {
        const known = prefixCaching ? prefixes.hitTokens(prompt.blocks.keys) : 0;
        this.hitTokens = Math.floor(Math.min(known, prompt.tokens - 1) / blockTokens) * blockTokens;
        return this.hitTokens;
      },
      sequence: null,
      hitTokens: 0,
      firstMs: null,
      lastMs: call.arrivedMs,
      tokens: 0,
    };
  }

  function update(): void {
    metrics.setQueue(engine.running, engine.waiting);
    metrics.kvUsed.set(engine.kvUsed);
    for (const key of Object.keys(told) as (keyof typeof told)[]) {
      metrics[key].inc(engine.counters[key] - told[key]);
      told[key] = engine.counters[key];
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

  const routes: Readonly<Record<string, Route>> = {
    "/health": { GET: (_, response) => void response.writeHead(200).end() },
    "/ping": { GET: (_, response) => void response.writeHead(200).end(), POST: (_, response) => void response.writeHead(200).end() },
    "/version": { GET: (_, response) => json(response, 200, { version: vllmVersion }) },
    "/load": { GET: (_, response) => json(response, 200, { server_load: active.size }) },
    "/metrics": {
      GET: (_, response) => {
        update();
        return metrics.page().then((text) => void response.writeHead(200, { "content-type": metrics.contentType }).end(text));
      },
    },
    "/metrics/gpu": {
      GET: (_, response) => {
        update();
        return gpu.registry.metrics().then((text) => void response.writeHead(200, { "content-type": gpu.registry.contentType }).end(text));
      },
    },
    "/v1/models": { GET: (_, response) => json(response, 200, modelList(model, maxModelLen, Math.floor(clock.now() / 1000))) },
    "/v1/chat/completions": { POST: (request, response) => generate("chat", request, response) },
    "/v1/completions": { POST: (request, response) => generate("completions", request, response) },
  };

  const server = createServer({ requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 75_000 }, (request, response) => {
    const path = (request.url ?? "/").split("?")[0] as string;
    const method = request.method ?? "GET";
    if (path === "/faults" && method === "POST") return void onFault(request, response);
    if (fault === "refuse") return void request.socket.destroy();
    if (fault === "hang") return;
    if (!ready) return void response.writeHead(503).end();
    const route = routes[path];
    const handle = route?.[method];
    if (!unmeasured.has(path)) measure(handle === undefined ? "none" : path, method, request, response);
    if (route === undefined) return json(response, 404, { detail: "Not Found" });
    if (handle === undefined) {
      // As the other server's router, which knows one method a route and tells of the first.
      response.setHeader("allow", Object.keys(route)[0] as string);
      return json(response, 405, { detail: "Method Not Allowed" });
    }
    void (async () => handle(request, response))().catch((error: unknown) => {
      if (error instanceof Refusal) json(response, error.status, error.body);
      else response.destroy();
    });
  });

  function measure(handler: string, method: string, request: IncomingMessage, response: ServerResponse): void {
    const startedMs = clock.now();
    const bytes = (length: unknown) => Number(length ?? 0);
    response.on("close", () => {
      metrics.answered({
        handler,
        method,
        status: response.statusCode,
        requestBytes: bytes(request.headers["content-length"]),
        responseBytes: bytes(response.getHeader("content-length")),
        seconds: (clock.now() - startedMs) / 1000,
      });
    });
  }

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
    if (kind === undefined) {
      const refusal = new Refusal(`no fault ${text}; post {"kind": K} with K one of ${FAULTS.join(", ")}`);
      return json(response, refusal.status, refusal.body);
    }
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
        for (const { response } of active.values()) response.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type Route = Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void | Promise<void>>>;

/** Paths that vLLM's HTTP families leave out, and the one that it does not have. */
const unmeasured = new Set(["/metrics", "/health", "/load", "/ping", "/version", "/metrics/gpu"]);

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
