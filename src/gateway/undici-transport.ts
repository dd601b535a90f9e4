import { type Dispatcher, errors, Pool } from "undici";
import type { TransportFactory, UpstreamCall, UpstreamHandler, UpstreamRequest, UpstreamTrouble } from "./transport.ts";

const connectTimeoutMs = 5000;
/** Under the 5 s after which uvicorn, in front of most engines, closes an idle connection. */
const idleTimeoutMs = 4000;

const refusedCodes = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** The only module that knows undici's handlers. Times of silence are watched by the gateway, so undici's own are off. */
export const undiciTransport: TransportFactory = (url) => {
  const base = new URL(url);
  const prefix = base.pathname.replace(/\/+$/, "");
  const pool = new Pool(base.origin, {
    connections: null,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: idleTimeoutMs,
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: 64 * 1024,
    connect: { timeout: connectTimeoutMs, noDelay: true },
  });
  return {
    send(request, handler) {
      const call = new Call(handler);
      pool.dispatch(
        {
          method: request.method as Dispatcher.HttpMethod,
          path: prefix + request.path,
          headers: request.headers as string[],
          body: bodyOf(request),
          // Not pipelined behind another; retries are the gateway's.
          blocking: true,
        },
        call,
      );
      return call;
    },
    close: () => void pool.close().catch(() => {}),
  };
};

const bodyOf = ({ body }: UpstreamRequest) => (body !== null && body.length > 0 ? body : null);

class Call implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly #handler: UpstreamHandler;
  #controller: Dispatcher.DispatchController | null = null;
  #over = false;

  constructor(handler: UpstreamHandler) {
    this.#handler = handler;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(new Error("the client left"));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#over || status < 200) return; // 1xx are the connection's own affair
    this.#handler.onHead(status, textsOf(controller.rawHeaders));
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#over) this.#handler.onData(chunk);
  }

  onResponseEnd(): void {
    if (this.#over) return;
    this.#over = true;
    this.#handler.onEnd();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#handler.onError({ kind: kindOf(error), error });
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#over) this.#controller?.resume();
  }

  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller?.abort(new Error("given up by the gateway"));
  }
}

function kindOf(error: Error): UpstreamTrouble["kind"] {
  const code = "code" in error ? String(error.code) : "";
  if (refusedCodes.has(code)) return "refused";
  // Several addresses of one name, each refused.
  if (error instanceof AggregateError && error.errors.every((one) => kindOf(one as Error) === "refused")) return "refused";
  return error instanceof errors.HTTPParserError ? "malformed" : "broken";
}

function textsOf(raw: Dispatcher.DispatchController["rawHeaders"]): string[] {
  if (!Array.isArray(raw)) return Object.entries(raw ?? {}).flatMap(([name, value]) => [value ?? []].flat().flatMap((one) => [name, one]));
  return raw.map((part) => (typeof part === "string" ? part : part.toString("latin1")));
}
