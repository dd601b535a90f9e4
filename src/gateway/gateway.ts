import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { epochOf } from "../clock/index.ts";
import { emptyHistogram } from "../ledger/index.ts";
import type { Clock, DoorEndpoint, DoorReport, Log, Route } from "../model/index.ts";
import type { Routing } from "../routing/index.ts";
import { startAdminServer } from "./admin.ts";
import type { Gateway } from "./contract.ts";
import { EndpointAtDoor } from "./door-endpoint.ts";
import { Exchange } from "./exchange.ts";
import { listen, urlOf } from "./listen.ts";
import { createMetrics } from "./metrics.ts";
import { type Refusal, refuse } from "./openai-error.ts";
import { type RequestFacts, readRequest } from "./request.ts";
import type { TransportFactory } from "./transport.ts";
import { undiciTransport } from "./undici-transport.ts";

export interface GatewayOptions {
  /** 0: any free one. */
  readonly port: number;
  /** 127.0.0.1 unless told. */
  readonly host?: string;
  /** An admin server of its own, for a gateway that runs apart; absent or null: none (see `adminHandler`). */
  readonly adminPort?: number | null;
  /** The bearer token that the own admin server asks for; null: none. */
  readonly adminToken?: string | null;
  readonly clock: Clock;
  readonly log: Log;
  /** `least-work` unless told. */
  readonly routing?: Routing;
  /** Requests in hand at once, each of which takes two file descriptors; more are refused with 503. 9000 unless told. */
  readonly maxRequests?: number;
  /** Classes (header `x-tidegate-class`) that are told apart; 16 unless told. */
  readonly classes?: number;
  readonly transport?: TransportFactory;
  /** Whether it has been told of its endpoints as far as it can be: not ready before. Absent: it is ready from the start. */
  readonly informed?: () => boolean;
}

/** Real milliseconds between two looks at what may have timed out. */
const checkEveryMs = 100;
/** Largest body while no endpoint is known, and so no limit. */
const assumedMaxBodyBytes = 10 * 1024 * 1024;

/** @throws TidegateError `gateway/port` where a port is taken */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { clock, log, host = "127.0.0.1", maxRequests = 9000, classes = 16, routing = "least-work", transport = undiciTransport } = options;
  /** Names this run of the gateway in cursors: one that restarted starts its ledgers again. */
  const run = randomBytes(6).toString("hex");
  const endpoints = new Map<string, EndpointAtDoor>();
  const byModel = new Map<string, EndpointAtDoor>();
  const exchanges = new Set<Exchange>();
  const heldListeners = new Set<(endpoint: string) => void>();
  const metrics = createMetrics(() => endpoints.values());
  const createdS = Math.floor(Date.now() / 1000);
  let closing: Promise<void> | null = null;
  let wakeClose = () => {};

  const server = createServer(
    {
      // Slow-loris limits, in real time: for the head, and for the whole request. Answers may take as long as they stream.
      headersTimeout: 15_000,
      requestTimeout: 120_000,
      keepAliveTimeout: 75_000,
      connectionsCheckingInterval: 5000,
      maxHeaderSize: 32 * 1024,
      noDelay: true,
      requireHostHeader: true,
    },
    receive,
  );
  server.timeout = 0;
  server.on("clientError", refuseMalformed);

  function turnAway(response: ServerResponse, refusal: Refusal): void {
    metrics.refused(refusal.code);
    refuse(response, refusal);
  }

  function receive(request: IncomingMessage, response: ServerResponse): void {
    const path = pathOf(request);
    if (closing !== null) {
      response.setHeader("connection", "close");
      return void turnAway(response, { status: 503, code: "shutting_down", message: "this gateway is ending; try again", retryAfterS: 1 });
    }
    if (path === "/health") return void response.writeHead(200, { "content-type": "text/plain" }).end("ok\n");
    if (path !== "/v1" && !path.startsWith("/v1/")) {
      return void turnAway(response, {
        status: 404,
        code: "unknown_url",
        message: `${request.method} ${path} is not served here; paths begin with /v1/`,
      });
    }
    if (request.method === "GET" && path === "/v1/models") return void listModels(response);
    if (request.method === "GET" && path.startsWith("/v1/models/")) return void showModel(response, path.slice("/v1/models/".length));
    if (exchanges.size >= maxRequests) {
      return void turnAway(response, {
        status: 503,
        code: "overloaded",
        message: `${maxRequests} requests are in hand already; try again`,
        retryAfterS: 2,
      });
    }
    takeBody(request, response);
  }

  function takeBody(request: IncomingMessage, response: ServerResponse): void {
    const limit =
      endpoints.size === 0 ? assumedMaxBodyBytes : Math.max(...[...endpoints.values()].map((at) => at.endpoint.limits.maxBodyBytes));
    if (Number(request.headers["content-length"] ?? 0) > limit) return void tooLarge(request, response, limit);
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limit) {
        request.removeAllListeners("data");
        request.removeAllListeners("end");
        return void tooLarge(request, response, limit);
      }
      chunks.push(chunk);
    });
    request.on("end", () => exchange(request, response, chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)));
    request.on("error", () => response.destroy());
  }

  function tooLarge(request: IncomingMessage, response: ServerResponse, limit: number): void {
    response.setHeader("connection", "close");
    // What is still coming is thrown away for a moment, so that the client reads the answer instead of seeing a reset.
    request.resume();
    const { socket } = request;
    response.once("finish", () => setTimeout(() => socket.destroy(), 1000).unref());
    turnAway(response, {
      status: 413,
      code: "request_too_large",
      message: `the request is larger than ${limit} bytes; shorten it, or raise gateway.maxBody`,
    });
  }

  function exchange(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const encoding = request.headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity") {
      return void turnAway(response, {
        status: 415,
        code: "unsupported_encoding",
        message: `a ${encoding} body cannot be routed by its model; send it plain`,
      });
    }
    const facts = readRequest(request, body);
    if (facts === null) return void turnAway(response, { status: 400, code: "invalid_json", message: "the body is not valid JSON" });
    const at = endpointOf(facts, response);
    if (at === null) return;
    if (body.length > at.endpoint.limits.maxBodyBytes) return void tooLarge(request, response, at.endpoint.limits.maxBodyBytes);
    if (response.destroyed) return;
    const started = new Exchange({
      at,
      clock,
      request,
      response,
      body,
      facts,
      class: classOf(request),
      closing: () => closing !== null,
      onEnd(ended, ending, finished, replica) {
        exchanges.delete(ended);
        metrics.ended(at.endpoint.name, ending, finished);
        log("debug", `${request.method} ${request.url} ${ending}`, {
          endpoint: at.endpoint.name,
          replica,
          status: response.statusCode,
          ...finished,
        });
        if (closing !== null && exchanges.size === 0) wakeClose();
      },
      onTrouble: (message, fields) => log("warn", message, fields),
    });
    exchanges.add(started);
    started.start();
  }

  function endpointOf({ model }: RequestFacts, response: ServerResponse): EndpointAtDoor | null {
    if (model === null) {
      const [only] = endpoints.values();
      if (only !== undefined && endpoints.size === 1) return only;
      turnAway(response, { status: 400, code: "model_required", param: "model", message: `say which model; ${knownModels()}` });
      return null;
    }
    const at = byModel.get(model);
    if (at !== undefined) return at;
    turnAway(response, {
      status: 404,
      code: "model_not_found",
      param: "model",
      message: `the model ${JSON.stringify(model)} is not served here; ${knownModels()}`,
    });
    return null;
  }

  const knownModels = () =>
    byModel.size === 0 ? "no model is known yet, try again once the controller has said one" : `there is ${[...byModel.keys()].join(", ")}`;
  const modelObject = (id: string) => ({ id, object: "model", created: createdS, owned_by: "tidegate" });

  function listModels(response: ServerResponse): void {
    sendJson(response, { object: "list", data: [...byModel.keys()].map(modelObject) });
  }

  function showModel(response: ServerResponse, encoded: string): void {
    let id = encoded;
    try {
      id = decodeURIComponent(encoded);
    } catch {
      // Taken as it stands: it names no model then.
    }
    if (byModel.has(id)) return void sendJson(response, modelObject(id));
    turnAway(response, {
      status: 404,
      code: "model_not_found",
      message: `the model ${JSON.stringify(id)} is not served here; ${knownModels()}`,
    });
  }

  let cancelCheck = clock.after(checkEveryMs * clock.speed, check);
  function check(): void {
    const nowMs = clock.now();
    for (const at of endpoints.values()) {
      if (at.waiting === 0) continue;
      at.expireWaiting(nowMs);
      at.releaseWaiting();
    }
    for (const one of exchanges) one.check(nowMs);
    cancelCheck = clock.after(checkEveryMs * clock.speed, check);
  }

  async function end(graceMs: number): Promise<void> {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const at of endpoints.values()) at.expireHeld();
    server.closeIdleConnections();
    if (exchanges.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        wakeClose = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (exchanges.size > 0) log("warn", `${exchanges.size} requests were still in flight when the gateway's grace was over`);
    for (const one of exchanges) one.destroy();
    // Last bytes of answers that have just ended get a moment to leave.
    await new Promise((resolve) => setImmediate(resolve));
    server.closeIdleConnections();
    const force = setTimeout(() => server.closeAllConnections(), 200);
    await stopped;
    clearTimeout(force);
    cancelCheck();
    for (const at of endpoints.values()) at.close();
    heldListeners.clear();
    await admin?.close();
  }

  function placeOf(endpoint: DoorEndpoint): EndpointAtDoor {
    let at = endpoints.get(endpoint.name);
    if (at === undefined) {
      at = new EndpointAtDoor({
        endpoint,
        ledgerId: run,
        clock,
        routing,
        transport,
        classes,
        onHeld: (name) => {
          for (const listener of heldListeners) listener(name);
        },
      });
      endpoints.set(endpoint.name, at);
    } else if (at.endpoint.model !== endpoint.model && byModel.get(at.endpoint.model) === at) byModel.delete(at.endpoint.model);
    const other = byModel.get(endpoint.model);
    if (other !== undefined && other !== at) {
      log(
        "warn",
        `endpoints ${other.endpoint.name} and ${endpoint.name} both serve the model ${endpoint.model}; requests go to the latter`,
      );
    }
    byModel.set(endpoint.model, at);
    return at;
  }

  await listen(server, options.port, host, "--port");
  const gateway: Gateway = {
    url: urlOf(server, host),
    get adminUrl() {
      return admin?.url ?? null;
    },
    clock: { speed: clock.speed, epochMs: epochOf(clock) },
    registry: metrics.registry,
    get ready() {
      return closing === null && (endpoints.size > 0 || options.informed?.() !== false);
    },
    held: () => [...endpoints.values()].filter((at) => at.held > 0).map((at) => at.endpoint.name),
    async setRoutes(endpoint: DoorEndpoint, routes: readonly Route[]) {
      placeOf(endpoint).setRoutes(endpoint, routes);
    },
    know: (endpoint) => placeOf(endpoint).know(endpoint),
    async forget(name) {
      const at = endpoints.get(name);
      if (at === undefined) return;
      endpoints.delete(name);
      if (byModel.get(at.endpoint.model) === at) byModel.delete(at.endpoint.model);
      at.expireAll();
      at.setRoutes(at.endpoint, []);
    },
    async report(endpoint, cursor): Promise<DoorReport> {
      const at = endpoints.get(endpoint);
      // Never heard of: then nothing has arrived for it, which is known and not absent.
      return at?.ledger.report(clock.now(), cursor) ?? emptyReport(`${run}:`, clock.now());
    },
    onHeld(listener) {
      heldListeners.add(listener);
      return () => void heldListeners.delete(listener);
    },
    close({ graceMs }) {
      closing ??= Promise.resolve().then(() => end(graceMs));
      return closing;
    },
  };
  let admin: { readonly url: string; close(): Promise<void> } | null = null;
  if (options.adminPort !== undefined && options.adminPort !== null) {
    try {
      admin = await startAdminServer(gateway, { port: options.adminPort, host, token: options.adminToken ?? null });
    } catch (error) {
      await gateway.close({ graceMs: 0 });
      throw error;
    }
  }
  return gateway;
}

const pathOf = (request: IncomingMessage) => {
  const url = request.url ?? "/";
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
};

/** Names of classes are short and plain, so that they may become labels. */
const className = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;
function classOf(request: IncomingMessage): string {
  const name = request.headers["x-tidegate-class"];
  return typeof name === "string" && className.test(name) ? name : "default";
}

function sendJson(response: ServerResponse, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(200, { "content-type": "application/json; charset=utf-8", "content-length": body.length }).end(body);
}

function emptyReport(cursor: string, atMs: number): DoorReport {
  const none = emptyHistogram();
  return {
    cursor,
    atMs,
    slots: [],
    latency: { ttft: none, tpot: none, e2e: none },
    replicas: [],
    totals: {
      arrived: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
      rejected: 0,
      inFlight: 0,
      queued: 0,
      held: 0,
      promptTokens: 0,
      outputTokens: 0,
      withinObjective: 0,
      retried: 0,
    },
  };
}

/** What is not HTTP gets the same shape of error, and the end of its connection. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const [status, message] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", "the header fields are larger than 32 KiB"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "the request did not arrive in time"]
        : ["400 Bad Request", "the request is not valid HTTP"];
  const body = JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: "bad_request" } });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
