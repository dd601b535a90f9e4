import type { ServerResponse } from "node:http";

export type RefusalCode =
  | "model_not_found"
  | "model_required"
  | "invalid_json"
  | "unsupported_encoding"
  | "unknown_url"
  | "request_too_large"
  | "no_replica"
  | "queue_full"
  | "overloaded"
  | "shutting_down"
  | "upstream_unreachable"
  | "upstream_timeout";

/** An answer of the gateway's own, in the shape that OpenAI's clients know: they retry 429, 503 and 5xx by `retry-after`. */
export interface Refusal {
  readonly status: number;
  readonly code: RefusalCode;
  readonly message: string;
  readonly param?: string;
  readonly retryAfterS?: number;
}

export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const { status, code, message, param = null, retryAfterS } = refusal;
  const type = status === 429 ? "rate_limit_error" : status < 500 ? "invalid_request_error" : "server_error";
  const body = Buffer.from(JSON.stringify({ error: { message, type, param, code } }));
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": body.length,
    ...(retryAfterS === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterS))) }),
  });
  response.end(body);
}
