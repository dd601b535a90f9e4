import { type IncomingMessage, request as plainRequest, type ServerResponse } from "node:http";
import { request as secureRequest } from "node:https";
import type { AdminHandler } from "../http/index.ts";
import { messageOf } from "../model/index.ts";
import { json, text } from "./answer.ts";
import type { Leadership } from "./leadership.ts";
import type { ControllerView } from "./view.ts";

export interface FollowerOptions {
  readonly leadership: Leadership;
  /** Without endpoints: what runs, runs elsewhere. */
  view(): ControllerView;
}

/** Says that a question was handed on already: no two controllers may hand it to each other for ever. */
const forwarded = "x-tidegate-forwarded";

/**
 * The admin API of a controller that waits for its turn. It is ready, for it could lead at any moment; whatever is asked of the endpoints is
 * handed on to the leader, so that one Service may lead to all controllers. While nobody is known to lead, `/api/v1/view` says so, and the rest
 * is answered with 503.
 */
export function followerHandler({ leadership, view }: FollowerOptions): AdminHandler {
  return (request, response) => {
    const { pathname, search } = new URL(request.url ?? "/", "http://localhost");
    const leader = leadership.holder();
    if (pathname === "/livez" || pathname === "/healthz") return text(response, 200, "ok\n");
    if (pathname === "/readyz") return text(response, 200, `ok: ${leader === null ? "nobody leads yet" : `${leader} leads`}\n`);
    if (pathname === "/version") return json(response, 200, { version: view().version, node: process.versions.node });
    if (!pathname.startsWith("/api/v1/")) return false;
    const url = leadership.holderUrl();
    const own = pathname === "/api/v1/view" && request.method === "GET";
    if (url === null || request.headers[forwarded] !== undefined) {
      if (own) return json(response, 200, view());
      response.setHeader("retry-after", "2");
      return json(response, 503, { error: { message: leader === null ? "no controller leads yet" : `${leader} leads; ask it` } });
    }
    handOn(request, response, new URL(`${pathname}${search}`, url), (error) => {
      if (own) return void json(response, 200, view());
      response.setHeader("retry-after", "2");
      json(response, 503, { error: { message: `${leader} leads, but does not answer at ${url}: ${messageOf(error)}` } });
    });
    return true;
  };
}

function handOn(request: IncomingMessage, response: ServerResponse, to: URL, failed: (error: Error) => void): void {
  const { host: _, connection: __, ...headers } = request.headers;
  const send = to.protocol === "https:" ? secureRequest : plainRequest;
  const outgoing = send(to, { method: request.method ?? "GET", headers: { ...headers, [forwarded]: "1" } }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  outgoing.on("error", (error) => (response.headersSent ? response.destroy() : failed(error)));
  response.on("close", () => outgoing.destroy());
  request.pipe(outgoing);
}
