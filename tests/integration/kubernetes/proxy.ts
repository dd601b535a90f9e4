import { connect, createServer, type Socket } from "node:net";

/** A way to a server on loopback, with the troubles of a network. */
export interface NetworkPath {
  readonly port: number;
  /** Connections that are open now carry nothing any more, and nobody tells; new ones are as they should be. */
  silence(): void;
  /** The same for the one that brought something longest after it was last asked: a watch that has just told something. */
  silenceWatch(): void;
  /** Nothing passes, on new connections either, until `pass`. */
  swallow(): void;
  pass(): void;
  /** Bytes that passed since the start, as they are on the wire. */
  bytes(): { readonly up: number; readonly down: number };
  connections(): number;
  /** Opened since the start. */
  opened(): number;
  close(): Promise<void>;
}

export async function startProxy(targetPort: number): Promise<NetworkPath> {
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; silent: boolean; askedAtMs: number; broughtAtMs: number }>();
  const bytes = { up: 0, down: 0 };
  let swallows = false;
  let opened = 0;
  const listener = createServer((client) => {
    const server = connect(targetPort, "127.0.0.1");
    const pair = { client, server, silent: swallows, askedAtMs: 0, broughtAtMs: 0 };
    pairs.add(pair);
    opened++;
    const relay = (from: Socket, to: Socket, way: "up" | "down") => {
      from.on("data", (chunk) => {
        if (pair.silent) return;
        bytes[way] += chunk.length;
        pair[way === "up" ? "askedAtMs" : "broughtAtMs"] = performance.now();
        if (to.write(chunk)) return;
        from.pause();
        to.once("drain", () => from.resume());
      });
      from.on("error", () => {});
      from.on("close", () => {
        pairs.delete(pair);
        // Who is behind a dead path does not hear of the other's end.
        if (!pair.silent) to.destroy();
      });
    };
    relay(client, server, "up");
    relay(server, client, "down");
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const silence = () => {
    for (const pair of pairs) pair.silent = true;
  };
  return {
    port: address.port,
    silence,
    silenceWatch() {
      const unasked = (pair: { readonly askedAtMs: number; readonly broughtAtMs: number }) => pair.broughtAtMs - pair.askedAtMs;
      const [watch] = [...pairs].sort((a, b) => unasked(b) - unasked(a));
      if (watch !== undefined) watch.silent = true;
    },
    swallow() {
      swallows = true;
      silence();
    },
    pass() {
      swallows = false;
      // A network that comes back knows nothing of connections that it lost.
      for (const pair of pairs) {
        if (!pair.silent) continue;
        pair.client.destroy();
        pair.server.destroy();
      }
    },
    bytes: () => ({ ...bytes }),
    connections: () => pairs.size,
    opened: () => opened,
    async close() {
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
