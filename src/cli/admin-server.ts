import { timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { AdminHandler } from "../http/index.ts";
import { messageOf, TidegateError } from "../model/index.ts";

export interface AdminServer {
  readonly url: string;
  /** Until then every path answers 503, so that a probe sees a process that starts. */
  mount(handlers: readonly AdminHandler[], registries: readonly Registry[]): void;
  close(): Promise<void>;
}

/** A browser knows no bearer, so it may give the token as a password (RFC 7617); the name is free. */
function tokenOf(header: string): string {
  const [scheme = "", value = ""] = header.split(" ");
  if (scheme.toLowerCase() !== "basic") return scheme.toLowerCase() === "bearer" ? value : "";
  const pair = Buffer.from(value, "base64").toString("utf8");
  return pair.slice(pair.indexOf(":") + 1);
}

/**
 * The one admin port of a process: `/metrics` of all registries, then the first handler that knows the path. With a token, every
 * path but the probes asks for it, as a bearer or as a password.
 * @throws TidegateError `gateway/port` where the port is taken
 */
export async function serveAdmin(options: {
  readonly port: number;
  readonly host: string;
  readonly token: string | null;
}): Promise<AdminServer> {
  let handlers: readonly AdminHandler[] | null = null;
  let registries: readonly Registry[] = [];
  const allowed = (header: string | undefined) => {
    if (options.token === null) return true;
    const given = Buffer.from(tokenOf(header ?? ""));
    const wanted = Buffer.from(options.token);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  };
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    const answer = (status: number, text: string) => response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text);
    if (handlers === null) return void answer(path === "/livez" ? 200 : 503, path === "/livez" ? "ok\n" : "starting\n");
    if (!["/livez", "/readyz", "/healthz"].includes(path ?? "") && !allowed(request.headers.authorization)) {
      response.setHeader("www-authenticate", ['Basic realm="Tidegate: any name, the token as password", charset="UTF-8"', "Bearer"]);
      return void answer(401, "this admin API asks for its token: as a bearer, or as the password of any name\n");
    }
    if (path === "/metrics") {
      return void Promise.all(registries.map((registry) => registry.metrics())).then(
        (pages) => response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(pages.join("\n")),
        (error) => answer(500, `${messageOf(error)}\n`),
      );
    }
    if (!handlers.some((handle) => handle(request, response))) answer(404, `${path} is not part of the admin API\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new TidegateError(
          "gateway/port",
          error.code === "EADDRINUSE"
            ? `admin port ${options.port} on ${options.host} is taken; end what holds it or choose another with --admin-port`
            : `cannot listen on ${options.host}:${options.port} (${error.message}); choose another with --host and --admin-port`,
          { cause: error },
        ),
      ),
    );
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    mount(mounted, pages) {
      handlers = mounted;
      registries = pages;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
