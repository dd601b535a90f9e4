import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { TidegateError } from "../model/index.ts";

/** @throws TidegateError `gateway/port` */
export function listen(server: Server, port: number, host: string, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) =>
      reject(
        new TidegateError(
          "gateway/port",
          error.code === "EADDRINUSE"
            ? `port ${port} on ${host} is taken; end what holds it or choose another with ${flag}`
            : `cannot listen on ${host}:${port} (${error.message}); choose another with --host and ${flag}`,
          { cause: error },
        ),
      );
    server.once("error", failed);
    server.listen({ port, host, backlog: 4096 }, () => {
      server.off("error", failed);
      resolve();
    });
  });
}

export function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
