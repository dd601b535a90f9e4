/** What the gateway needs of an HTTP client to a replica; `undici-transport.ts` is the one that is used. */
export interface UpstreamTransport {
  /** Sends one request. The handler hears of its fate exactly once: `onEnd` or `onError`; nothing after `abort`. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Ends idle connections; requests under way go on. */
  close(): void;
}

export interface UpstreamRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Name, value, name, value …; `host` and `content-length` are the transport's. */
  readonly headers: readonly string[];
  /** Null: none. Sent as it is. */
  readonly body: Buffer | null;
}

export interface UpstreamHandler {
  /** Name, value, name, value …, as they came. */
  onHead(status: number, rawHeaders: readonly string[]): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(trouble: UpstreamTrouble): void;
}

/**
 * - `refused`: no connection came about, so the replica has seen nothing.
 * - `broken`: the connection broke.
 * - `malformed`: what came was not HTTP.
 */
export interface UpstreamTrouble {
  readonly kind: "refused" | "broken" | "malformed";
  readonly error: Error;
}

export interface UpstreamCall {
  pause(): void;
  resume(): void;
  /** The replica sees the connection close. */
  abort(): void;
}

export type TransportFactory = (url: string) => UpstreamTransport;
