import type { IncomingMessage, ServerResponse } from "node:http";
import type { AdminHandler } from "../http/index.ts";
import { type Ms, messageOf, TidegateError } from "../model/index.ts";
import { json, text } from "./answer.ts";
import type { Controller } from "./controller.ts";
import { forever } from "./step.ts";
import type { ControllerView, DesiredAnswer, Point, SignalsAnswer } from "./view.ts";

/** What one server-sent event of `/api/v1/events` carries: everything but charts, and the chart points that are new. */
export interface LiveEvent {
  readonly view: ControllerView;
  readonly points: Readonly<Record<string, readonly Point[]>>;
}

const liveEveryRealMs = 1000;
const heartbeatMs = 15_000;

/**
 * The controller's half of the admin API. Times are ms on the controller's clock.
 * - GET  /api/v1/view                          ControllerView
 * - GET  /api/v1/endpoints/NAME                EndpointView
 * - GET  /api/v1/endpoints/NAME/points?since=  Point[]
 * - GET  /api/v1/endpoints/NAME/signals?name=  SignalsAnswer: the newest readings of that signal
 * - GET  /api/v1/desired                       DesiredAnswer
 * - GET  /api/v1/desired/events                server-sent DesiredAnswers: all first, then each endpoint as it is looked at
 * - POST /api/v1/endpoints/NAME/pause          {"forMs": n | null}: null until resumed
 * - POST /api/v1/endpoints/NAME/resume
 * - POST /api/v1/endpoints/NAME/pin            {"replicas": n, "forMs": n | null}
 * - POST /api/v1/endpoints/NAME/unpin
 * - GET  /api/v1/events                        server-sent LiveEvents, one a second; resumes after Last-Event-ID
 * - GET  /livez /readyz /healthz /version
 */
export function controllerHandler(controller: Controller): AdminHandler {
  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const [, first, second, third, name, verb] = url.pathname.split("/");
    if (first === "livez" || first === "healthz") return text(response, 200, "ok\n");
    if (first === "readyz") return ready(controller, url.searchParams.has("verbose"), response);
    if (first === "version") return json(response, 200, { version: controller.view().version, node: process.versions.node });
    if (first !== "api" || second !== "v1") return false;
    if (third === "view" && request.method === "GET") return json(response, 200, controller.view());
    if (third === "events" && request.method === "GET") return events(controller, request, response);
    if (third === "desired" && request.method === "GET") {
      if (name === "events") return desiredEvents(controller, response);
      return json(response, 200, desiredOf(controller, null));
    }
    if (third !== "endpoints" || name === undefined) return false;
    void act(controller, request, url, decodeURIComponent(name), verb).then(
      (body) => json(response, 200, body),
      (error) => json(response, error instanceof TidegateError ? 400 : 500, { error: { message: messageOf(error) } }),
    );
    return true;
  };
}

async function act(controller: Controller, request: IncomingMessage, url: URL, name: string, verb: string | undefined): Promise<unknown> {
  const endpoint = controller.endpoint(name);
  if (request.method === "GET") {
    if (verb === undefined) return endpoint.view();
    if (verb === "signals") {
      const { clock } = controller;
      const { staleAfterMs } = endpoint.desired();
      const answer: SignalsAnswer = {
        atMs: clock.now(),
        speed: clock.speed,
        staleAfterMs,
        readings: endpoint.readings(url.searchParams.get("name") ?? ""),
      };
      return answer;
    }
    if (verb === "points") return endpoint.points(Number(url.searchParams.get("since") ?? Number.NEGATIVE_INFINITY));
  } else if (request.method === "POST") {
    const body = await bodyOf(request);
    const forMs = body["forMs"] ?? null;
    if (forMs !== null && !(typeof forMs === "number" && forMs > 0)) {
      throw new TidegateError("usage", `forMs is ${JSON.stringify(forMs)}; give milliseconds above 0, or null for "until told otherwise"`);
    }
    const untilMs: Ms = forMs === null ? forever : controller.clock.now() + forMs;
    if (verb === "pause") endpoint.pause(untilMs);
    else if (verb === "resume") endpoint.pause(null);
    else if (verb === "unpin") endpoint.pin(null);
    else if (verb === "pin") {
      const { replicas } = body;
      const { max } = endpoint.view().bounds;
      if (!Number.isInteger(replicas) || (replicas as number) < 0 || (replicas as number) > max) {
        throw new TidegateError(
          "usage",
          `replicas is ${JSON.stringify(replicas)}; give a whole number from 0 to ${max}, the endpoint's maximum`,
        );
      }
      endpoint.pin({ replicas: replicas as number, untilMs });
    } else throw new TidegateError("usage", `no action ${JSON.stringify(verb)}; there is pause, resume, pin, unpin`);
    return endpoint.view();
  }
  throw new TidegateError("usage", `${request.method} ${url.pathname} is not part of the admin API`);
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > 65_536) throw new TidegateError("usage", "the body is longer than 64 KiB");
  }
  if (text === "") return {};
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new TidegateError("usage", "the body is not a JSON object");
}

function ready(controller: Controller, verbose: boolean, response: ServerResponse): boolean {
  const checks = controller.view().endpoints.map(({ name }) => ({ name, ok: controller.endpoint(name).healthy() }));
  const ok = checks.every((check) => check.ok);
  const lines = checks.map(
    (check) => `[${check.ok ? "+" : "-"}] endpoint ${check.name} ${check.ok ? "ok" : "has no fresh look at its platform or gateway"}\n`,
  );
  return text(response, ok ? 200 : 503, verbose || !ok ? `${lines.join("")}${ok ? "ok" : "not ready"}\n` : "ok\n");
}

function events(controller: Controller, request: IncomingMessage, response: ServerResponse): boolean {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
  const resumed = Number(request.headers["last-event-id"]);
  let sinceMs = Number.isFinite(resumed) && request.headers["last-event-id"] !== undefined ? resumed : Number.NEGATIVE_INFINITY;
  const send = () => {
    if (response.writableNeedDrain) return; // a slow reader gets fewer, never a growing queue
    const view = controller.view();
    const points = Object.fromEntries(view.endpoints.map(({ name }) => [name, controller.endpoint(name).points(sinceMs)]));
    sinceMs = Math.max(sinceMs, ...Object.values(points).flatMap((list) => list.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY));
    const event: LiveEvent = { view, points };
    response.write(`id: ${sinceMs}\ndata: ${JSON.stringify(event)}\n\n`);
  };
  send();
  const live = setInterval(send, liveEveryRealMs);
  const heartbeat = setInterval(() => response.write(": alive\n\n"), heartbeatMs);
  response.on("close", () => {
    clearInterval(live);
    clearInterval(heartbeat);
  });
  return true;
}

function desiredOf(controller: Controller, only: ReadonlySet<string> | null): DesiredAnswer {
  const { clock } = controller;
  const names = only === null ? controller.view().endpoints.map(({ name }) => name) : [...only];
  return { atMs: clock.now(), speed: clock.speed, endpoints: names.map((name) => controller.endpoint(name).desired()) };
}

/** A slow reader gets fewer events, each with the newest of all that has changed since the last. */
function desiredEvents(controller: Controller, response: ServerResponse): true {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
  const send = (answer: DesiredAnswer) => response.write(`data: ${JSON.stringify(answer)}\n\n`);
  send(desiredOf(controller, null));
  const looked = new Set<string>();
  const flush = () => {
    if (looked.size === 0 || response.writableNeedDrain) return;
    send(desiredOf(controller, looked));
    looked.clear();
  };
  const stop = controller.onLook((name) => {
    looked.add(name);
    flush();
  });
  response.on("drain", flush);
  const heartbeat = setInterval(() => response.write(": alive\n\n"), heartbeatMs);
  response.on("close", () => {
    stop();
    clearInterval(heartbeat);
  });
  return true;
}
