import { type Dispatcher, Pool } from "undici";
import { meetsObjective, timePerOutputTokenMs } from "../ledger/index.ts";
import { type Clock, type Ms, messageOf, type Objective, TidegateError } from "../model/index.ts";
import { overlayStream, type TraceRequest } from "../traces/index.ts";
import { Digest } from "./digest.ts";
import { Prompts } from "./prompts.ts";
import type { Failure, FailureKind, LoadProgress, LoadReport } from "./report.ts";
import { errorOf, StreamScanner } from "./sse.ts";

export type LoadApi = "chat" | "completions";

export interface LoadOptions {
  /** Of the server: `http://host:port`, with or without `/v1`. */
  readonly url: string;
  readonly model: string;
  /** Read as the run goes on, so it may be longer than memory. */
  readonly trace: AsyncIterable<TraceRequest> | Iterable<TraceRequest>;
  readonly clock: Clock;
  /** Copies of the trace laid over each other; 1 unless told. */
  readonly rate?: number;
  /** Of overlay and text; 1 unless told. */
  readonly seed?: number;
  readonly api?: LoadApi;
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the run after so many requests. */
  readonly limit?: number;
  /** Leaves out arrivals from then on. */
  readonly durationMs?: Ms;
  /** Arrivals above it wait (and count as late); 10,000 unless told. */
  readonly maxInFlight?: number;
  /** Longest silence before and within an answer, on the clock; 10 minutes unless told. */
  readonly timeoutMs?: Ms;
  readonly objective?: Objective;
  /** Stops sending and cancels what is under way; the report is of what was seen until then. */
  readonly signal?: AbortSignal;
  /** Once a second of real time. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Every time that text of an answer comes: so many events at once. The row is the trace's own object where `rate` is 1. */
  readonly onText?: (request: TraceRequest, atMs: Ms, events: number) => void;
  readonly onEnd?: (request: TraceRequest, ending: RequestEnding) => void;
}

/** What became of one request, for whoever looks at each. */
export interface RequestEnding {
  readonly ok: boolean;
  readonly startedMs: Ms;
  readonly endedMs: Ms;
  /** As the server counted; null where it did not say. */
  readonly promptTokens: number | null;
  readonly outputTokens: number;
  /** Why it is not ok; "" where it is. */
  readonly message: string;
}

/** Below the 5 s after which Node's servers close an idle connection, so that none is used as it closes. Real. */
const idleConnectionMs: Ms = 3000;

/**
 * Replays arrivals as streamed OpenAI requests, open loop: each leaves at its time, whatever became of those before. `max_tokens` is
 * the row's output with `ignore_eos`, the prompt is text of the row's length. Never throws for what a server does: that is in the
 * report. @throws TidegateError `usage` on an address that is none, and what the trace throws
 */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const { clock, signal } = options;
  const address = endpointOf(options.url, options.api ?? "chat");
  const timeoutRealMs = (options.timeoutMs ?? 600_000) / clock.speed;
  const pool = new Pool(address.origin, {
    connections: null,
    pipelining: 1,
    keepAliveTimeout: idleConnectionMs,
    headersTimeout: timeoutRealMs,
    bodyTimeout: timeoutRealMs,
    connect: { timeout: Math.min(10_000, timeoutRealMs) },
  });
  const run = new Run(options, pool, address.path);
  const stopProgress = run.reportProgress();
  const cancel = () => run.cancelAll();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    await run.send();
    await run.settled();
  } finally {
    stopProgress();
    signal?.removeEventListener("abort", cancel);
    await pool.destroy();
  }
  return run.report(signal?.aborted ?? false);
}

function endpointOf(url: string, api: LoadApi): { readonly origin: string; readonly path: string } {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new TidegateError("usage", `${JSON.stringify(url)} is not an address; give one such as http://127.0.0.1:8080`);
  }
  const base = parsed.pathname.replace(/\/+$/, "");
  return {
    origin: parsed.origin,
    path: `${base.endsWith("/v1") ? base : `${base}/v1`}/${api === "chat" ? "chat/completions" : "completions"}`,
  };
}

class Run {
  readonly #options: LoadOptions;
  readonly #clock: Clock;
  readonly #pool: Pool;
  readonly #path: string;
  readonly #headers: Record<string, string>;
  readonly #prompts: Prompts;
  readonly #startMs: Ms;
  readonly #underWay = new Set<Exchange>();
  readonly #failures = new Map<string, { kind: FailureKind; status: number | null; count: number; example: string }>();
  /** Called as a request ends: someone waits for room, or for the last one. */
  #ended: (() => void) | null = null;
  #sent = 0;
  #ok = 0;
  #failed = 0;
  #cancelled = 0;
  #within = 0;
  #shortAnswers = 0;
  #chunks = 0;
  #promptTokens = 0;
  #outputTokens = 0;
  #mostInFlight = 0;
  #firstSentMs: Ms | null = null;
  #lastSentMs: Ms = 0;
  #lastEndMs: Ms;
  readonly #ttft = new Digest();
  readonly #tpot = new Digest();
  readonly #e2e = new Digest();
  readonly #gap = new Digest();
  readonly #late = new Digest();

  constructor(options: LoadOptions, pool: Pool, path: string) {
    this.#options = options;
    this.#clock = options.clock;
    this.#pool = pool;
    this.#path = path;
    this.#headers = { "content-type": "application/json", accept: "text/event-stream", ...options.headers };
    this.#prompts = new Prompts(options.seed ?? 1);
    this.#startMs = options.clock.now();
    this.#lastEndMs = this.#startMs;
  }

  async send(): Promise<void> {
    const { trace, rate = 1, seed = 1, limit = Number.POSITIVE_INFINITY, durationMs = Number.POSITIVE_INFINITY, signal } = this.#options;
    const most = this.#options.maxInFlight ?? 10_000;
    for await (const request of rate === 1 ? trace : overlayStream(trace, rate, seed)) {
      if (signal?.aborted || this.#sent >= limit || request.arrivalMs >= durationMs) break;
      const dueMs = this.#startMs + request.arrivalMs;
      const waitMs = dueMs - this.#clock.now();
      if (waitMs > 0) await this.#clock.sleep(waitMs, signal).catch(() => undefined);
      while (this.#underWay.size >= most && !signal?.aborted) await this.#oneEnded();
      if (signal?.aborted) break;
      this.#start(request, dueMs);
    }
  }

  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await this.#oneEnded();
  }

  #oneEnded(): Promise<void> {
    return new Promise((resolve) => {
      this.#ended = () => {
        this.#ended = null;
        resolve();
      };
    });
  }

  #start(request: TraceRequest, dueMs: Ms): void {
    const nowMs = this.#clock.now();
    this.#late.add(Math.max(0, nowMs - dueMs) / this.#clock.speed);
    this.#sent++;
    this.#promptTokens += request.promptTokens;
    this.#firstSentMs ??= nowMs;
    this.#lastSentMs = nowMs;
    const exchange = new Exchange(request, this.#clock, this.#gap, this.#options.onText ?? null, (result) =>
      this.#finish(exchange, result),
    );
    this.#underWay.add(exchange);
    this.#mostInFlight = Math.max(this.#mostInFlight, this.#underWay.size);
    this.#pool.dispatch({ path: this.#path, method: "POST", headers: this.#headers, body: this.#body(request) }, exchange);
  }

  #body(request: TraceRequest): string {
    // the text is plain letters and spaces: no JSON escapes
    const text = this.#prompts.text(request);
    const prompt = (this.#options.api ?? "chat") === "chat" ? `"messages":[{"role":"user","content":"${text}"}]` : `"prompt":"${text}"`;
    return `{"model":${JSON.stringify(this.#options.model)},${prompt},"max_tokens":${request.outputTokens},"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`;
  }

  #finish(exchange: Exchange, result: Result): void {
    if (!this.#underWay.delete(exchange)) return;
    this.#lastEndMs = this.#clock.now();
    this.#chunks += exchange.scanner.events;
    if (result.kind === "cancelled") this.#cancelled++;
    else if (result.kind === "ok") this.#succeed(exchange);
    else {
      this.#failed++;
      const key = `${result.kind} ${result.status}`;
      const known = this.#failures.get(key);
      if (known === undefined) this.#failures.set(key, { kind: result.kind, status: result.status, count: 1, example: result.message });
      else known.count++;
    }
    this.#options.onEnd?.(exchange.request, {
      ok: result.kind === "ok",
      startedMs: exchange.startedMs,
      endedMs: this.#lastEndMs,
      promptTokens: exchange.scanner.promptTokens,
      outputTokens: exchange.scanner.completionTokens ?? exchange.scanner.textEvents,
      message: "message" in result ? result.message : "",
    });
    this.#ended?.();
  }

  #succeed({ request, scanner, startedMs, firstTextMs, endedMs }: Exchange): void {
    this.#ok++;
    const outputTokens = scanner.completionTokens ?? scanner.textEvents;
    this.#outputTokens += outputTokens;
    if (outputTokens < request.outputTokens) this.#shortAnswers++;
    const timing = { ttftMs: firstTextMs === null ? null : firstTextMs - startedMs, e2eMs: endedMs - startedMs, outputTokens };
    const tpotMs = timePerOutputTokenMs(timing);
    if (timing.ttftMs !== null) this.#ttft.add(timing.ttftMs);
    if (tpotMs !== null) this.#tpot.add(tpotMs);
    this.#e2e.add(timing.e2eMs);
    if (this.#options.objective !== undefined && meetsObjective(timing, this.#options.objective)) this.#within++;
  }

  cancelAll(): void {
    for (const exchange of [...this.#underWay]) exchange.cancel();
  }

  reportProgress(): () => void {
    const { onProgress } = this.#options;
    if (onProgress === undefined) return () => undefined;
    let before = { atMs: this.#startMs, sent: 0, chunks: 0 };
    let cancel = () => {};
    const tick = () => {
      const atMs = this.#clock.now();
      let chunks = this.#chunks;
      for (const { scanner } of this.#underWay) chunks += scanner.events;
      const seconds = Math.max(1, atMs - before.atMs) / 1000;
      onProgress({
        elapsedMs: atMs - this.#startMs,
        sent: this.#sent,
        ok: this.#ok,
        failed: this.#failed,
        inFlight: this.#underWay.size,
        ttftP95Ms: this.#ttft.quantile(0.95),
        requestsPerSecond: (this.#sent - before.sent) / seconds,
        chunksPerSecond: (chunks - before.chunks) / seconds,
      });
      before = { atMs, sent: this.#sent, chunks };
      cancel = this.#clock.after(1000 * this.#clock.speed, tick);
    };
    cancel = this.#clock.after(1000 * this.#clock.speed, tick);
    return () => cancel();
  }

  report(interrupted: boolean): LoadReport {
    const { url, model, rate = 1, objective } = this.#options;
    const sentSeconds = this.#firstSentMs === null ? 0 : (this.#lastSentMs - this.#firstSentMs) / 1000;
    const durationMs = Math.max(0, this.#lastEndMs - this.#startMs);
    const judged = this.#ok + this.#failed;
    const attained = judged === 0 ? null : this.#within / judged;
    return {
      url,
      model,
      speed: this.#clock.speed,
      rate,
      durationMs,
      interrupted,
      sent: this.#sent,
      ok: this.#ok,
      failed: this.#failed,
      cancelled: this.#cancelled,
      failures: [...this.#failures.values()].sort((a, b) => b.count - a.count) satisfies Failure[],
      requestsPerSecond: sentSeconds > 0 ? this.#sent / sentSeconds : null,
      promptTokens: this.#promptTokens,
      outputTokens: this.#outputTokens,
      outputTokensPerSecond: durationMs > 0 ? (this.#outputTokens * 1000) / durationMs : null,
      shortAnswers: this.#shortAnswers,
      chunks: this.#chunks,
      ttftMs: this.#ttft.percentiles(),
      tpotMs: this.#tpot.percentiles(),
      e2eMs: this.#e2e.percentiles(),
      chunkGapMs: this.#gap.percentiles(),
      lateRealMs: this.#late.percentiles(),
      mostInFlight: this.#mostInFlight,
      objective: objective === undefined ? null : { ...objective, attained, met: attained === null || attained >= objective.attainment },
    };
  }
}

type Result =
  | { readonly kind: "ok" }
  | { readonly kind: "cancelled" }
  | { readonly kind: FailureKind; readonly status: number | null; readonly message: string };

/** Longest error body that is kept. */
const mostErrorBytes = 4096;

/** One request and its answer, as undici tells of it. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly request: TraceRequest;
  readonly scanner = new StreamScanner();
  readonly startedMs: Ms;
  firstTextMs: Ms | null = null;
  endedMs: Ms = 0;
  readonly #clock: Clock;
  readonly #gap: Digest;
  readonly #onText: LoadOptions["onText"] | null;
  readonly #finish: (result: Result) => void;
  #lastTextMs: Ms = 0;
  #status = 0;
  #errorBody = "";
  #controller: Dispatcher.DispatchController | null = null;
  #cancelled = false;

  constructor(request: TraceRequest, clock: Clock, gap: Digest, onText: LoadOptions["onText"] | null, finish: (result: Result) => void) {
    this.request = request;
    this.#clock = clock;
    this.#gap = gap;
    this.#onText = onText;
    this.#finish = finish;
    this.startedMs = clock.now();
  }

  cancel(): void {
    this.#cancelled = true;
    // first, as the abort tells of an error at once
    this.#finish({ kind: "cancelled" });
    this.#controller?.abort(new Error("cancelled"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cancelled) controller.abort(new Error("cancelled"));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number): void {
    this.#status = statusCode;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#status < 200 || this.#status > 299) {
      if (this.#errorBody.length < mostErrorBytes) this.#errorBody += chunk.toString("utf8", 0, mostErrorBytes);
      return;
    }
    const events = this.scanner.push(chunk);
    if (events === 0) return;
    const nowMs = this.#clock.now();
    if (this.firstTextMs === null) this.firstTextMs = nowMs;
    else this.#gap.add(nowMs - this.#lastTextMs);
    // events read at once came without a gap
    for (let more = 1; more < events; more++) this.#gap.add(0);
    this.#lastTextMs = nowMs;
    this.#onText?.(this.request, nowMs, events);
  }

  onResponseEnd(): void {
    this.endedMs = this.#clock.now();
    const { scanner } = this;
    if (this.#status < 200 || this.#status > 299) {
      this.#finish({ kind: "http", status: this.#status, message: errorOf(this.#errorBody) || `status ${this.#status} without a body` });
    } else if (scanner.error !== null) this.#finish({ kind: "event", status: null, message: scanner.error });
    else if (!scanner.done) {
      this.#finish({ kind: "broken", status: null, message: `the stream ended after ${scanner.events} events without [DONE]` });
    } else this.#finish({ kind: "ok" });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.endedMs = this.#clock.now();
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const kind = /TIMEOUT|ETIMEDOUT/.test(code)
      ? "timeout"
      : code === "ECONNREFUSED"
        ? "refused"
        : this.#status >= 200 && this.#status <= 299
          ? "broken"
          : "connection";
    this.#finish({ kind, status: null, message: messageOf(error) });
  }
}
