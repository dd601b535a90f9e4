import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { z } from "zod";
import type { AdminHandler } from "../http/index.ts";
import { CLASS_ORDERS, messageOf, TidegateError } from "../model/index.ts";
import type { Gateway } from "./contract.ts";
import { listen, urlOf } from "./listen.ts";

const heartbeatMs = 15_000;
const maxBodyBytes = 4 * 1024 * 1024;

const boundBody = z.object({
  maxInFlight: z.int().positive(),
  maxPromptTokens: z.int().positive(),
  promptTokensPerSecond: z.number().positive().nullable(),
});

const routesBody = z.object({
  endpoint: z.object({
    name: z.string().min(1),
    model: z.string().min(1),
    objective: z.object({
      attainment: z.number().gt(0).lt(1),
      timeToFirstTokenMs: z.number().positive(),
      timePerOutputTokenMs: z.number().positive(),
    }),
    limits: z.object({
      maxHeld: z.int().min(0),
      holdTimeoutMs: z.number().min(0),
      upstreamTimeoutMs: z.number().positive(),
      maxBodyBytes: z.int().positive(),
      attempts: z.int().min(1),
      order: z
        .object({
          kind: z.enum(["late-last", "fifo"]),
          perReplica: boundBody.nullable(),
          oldestEvery: z.int().positive(),
          classes: z.record(z.string(), z.enum(CLASS_ORDERS)),
        })
        .optional(),
    }),
  }),
  routes: z.array(
    z.object({
      replica: z.string().min(1),
      url: z.url({ protocol: /^https?$/ }),
      state: z.enum(["ready", "draining"]),
      bound: boundBody.nullish(),
    }),
  ),
});

/**
 * The gateway's admin API, for whoever serves the port and has checked the token:
 * - `PUT /admin/v1/endpoints/NAME/routes` with `{endpoint, routes}` → 204
 * - `DELETE /admin/v1/endpoints/NAME` → 204
 * - `GET /admin/v1/endpoints/NAME/report?cursor=` → a DoorReport, and `clock`: how the time runs that it is in
 * - `GET /admin/v1/held` → server-sent events `{"endpoint": NAME}`; what is held already comes first
 */
export function adminHandler(gateway: Gateway): AdminHandler {
  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://admin");
    if (!url.pathname.startsWith("/admin/v1/")) return false;
    answer(gateway, url, request, response).catch((error) => {
      if (response.headersSent) return void response.destroy();
      const wrong = error instanceof TidegateError;
      sendJson(response, wrong ? 400 : 500, { error: messageOf(error) });
    });
    return true;
  };
}

async function answer(gateway: Gateway, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [name, verb, ...more] = url.pathname
    .slice("/admin/v1/".length)
    .split("/")
    .slice(1)
    .map((part) => decodeURIComponent(part));
  if (url.pathname === "/admin/v1/held" && request.method === "GET") return streamHeld(gateway, response);
  if (!url.pathname.startsWith("/admin/v1/endpoints/") || name === undefined || more.length > 0) {
    return sendJson(response, 404, { error: `${url.pathname} is not part of the gateway's admin API` });
  }
  if (verb === "report" && request.method === "GET")
    return sendJson(response, 200, { ...(await gateway.report(name, url.searchParams.get("cursor"))), clock: gateway.clock });
  if (verb === "routes" && request.method === "PUT") {
    const { endpoint, routes } = await readRoutes(request);
    if (endpoint.name !== name) {
      throw new TidegateError(
        "usage",
        `the path names the endpoint ${JSON.stringify(name)}, the body ${JSON.stringify(endpoint.name)}; say the same twice`,
      );
    }
    await gateway.setRoutes(endpoint, routes);
    return void response.writeHead(204).end();
  }
  if (verb === undefined && request.method === "DELETE") {
    await gateway.forget(name);
    return void response.writeHead(204).end();
  }
  sendJson(response, 405, { error: `${request.method} ${url.pathname}: there is PUT …/routes, GET …/report and DELETE` });
}

async function readRoutes(request: IncomingMessage): Promise<z.infer<typeof routesBody>> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > maxBodyBytes) throw new TidegateError("usage", `the body is longer than ${maxBodyBytes} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TidegateError("usage", "the body is not JSON", { cause: error });
  }
  const parsed = routesBody.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new TidegateError("usage", parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
}

function streamHeld(gateway: Gateway, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
  response.write(": held requests\n\n");
  const send = (endpoint: string) => {
    if (!response.writableNeedDrain) response.write(`data: ${JSON.stringify({ endpoint })}\n\n`);
  };
  for (const endpoint of gateway.held()) send(endpoint);
  const stop = gateway.onHeld(send);
  const heartbeat = setInterval(() => response.write(": alive\n\n"), heartbeatMs);
  response.on("close", () => {
    stop();
    clearInterval(heartbeat);
  });
}

/** The admin port of a gateway that runs apart: the admin API, `/metrics`, `/livez`, `/readyz`, `/healthz`. */
export async function startAdminServer(
  gateway: Gateway,
  options: { readonly port: number; readonly host: string; readonly token: string | null },
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const handle = adminHandler(gateway);
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, maxHeaderSize: 16 * 1024 }, (request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    if (path === "/livez") return sendText(response, 200, "ok\n");
    if (path === "/readyz" || path === "/healthz")
      return sendText(response, gateway.ready ? 200 : 503, gateway.ready ? "ok\n" : "not ready\n");
    if (!allowed(request.headers.authorization, options.token)) {
      response.setHeader("www-authenticate", "Bearer");
      return sendText(response, 401, "this admin API asks for its bearer token\n");
    }
    if (path === "/metrics") {
      return void gateway.registry.metrics().then(
        (page) => {
          response.writeHead(200, { "content-type": gateway.registry.contentType }).end(page);
        },
        (error) => sendText(response, 500, `${messageOf(error)}\n`),
      );
    }
    if (!handle(request, response)) sendText(response, 404, `${path} is not part of the gateway's admin API\n`);
  });
  await listen(server, options.port, options.host, "--admin-port");
  return {
    url: urlOf(server, options.host),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function allowed(header: string | undefined, token: string | null): boolean {
  if (token === null) return true;
  const given = Buffer.from(header ?? "");
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" }).end(JSON.stringify(value));
}
