import { createServer } from "node:net";

/**
 * A port on `host` that nothing listens on and that is not in `taken`; null: the range has none.
 * @throws the system's error when the host itself cannot be listened on
 */
export async function freePort(host: string, range: readonly [number, number] | null, taken: ReadonlySet<number>): Promise<number | null> {
  if (range === null) {
    for (;;) {
      const port = await listen(host, 0);
      if (port !== null && !taken.has(port)) return port;
    }
  }
  for (let port = range[0]; port <= range[1]; port++) {
    if (!taken.has(port) && (await listen(host, port)) !== null) return port;
  }
  return null;
}

function listen(host: string, port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(null);
      else reject(error);
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : null));
    });
  });
}

/** Where a client on this machine reaches what listens on `host`. */
export function urlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
