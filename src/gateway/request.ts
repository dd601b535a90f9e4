import type { IncomingMessage } from "node:http";
import { bytesPerToken } from "./answer-reader.ts";

/** What the gateway reads of a request; its bytes go on unchanged. */
export interface RequestFacts {
  readonly model: string | null;
  /** Most output tokens that it asks for; null: not said. */
  readonly maxTokens: number | null;
  /** What should come to the same replica again. */
  readonly affinity: string;
  readonly bytes: number;
  /** Asks for its answer token by token. */
  readonly streams: boolean;
}

/** How much of a prompt's beginning tells conversations and system prompts apart. */
const affinityLetters = 256;

/** @returns null where a body that says it is JSON is not */
export function readRequest(message: IncomingMessage, body: Buffer): RequestFacts | null {
  const session = one(message.headers["x-session-id"]);
  const type = message.headers["content-type"] ?? "";
  const bytes = body.length;
  if (bytes === 0) return { model: null, maxTokens: null, affinity: session ?? "", bytes, streams: false };
  if (type.startsWith("multipart/form-data")) {
    // RFC 7578: a field is its header, an empty line and the value.
    const head = body.toString("latin1", 0, Math.min(bytes, 65_536));
    const tail = bytes > 65_536 ? body.toString("latin1", Math.max(65_536, bytes - 65_536), bytes) : "";
    const field = /name="model"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n/;
    return { model: (field.exec(head) ?? field.exec(tail))?.[1] ?? null, maxTokens: null, affinity: session ?? "", bytes, streams: false };
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return type === "" || type.includes("json") ? null : { model: null, maxTokens: null, affinity: session ?? "", bytes, streams: false };
  }
  const fields = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const model = fields["model"];
  return {
    model: typeof model === "string" ? model : null,
    maxTokens: whole(fields["max_completion_tokens"]) ?? whole(fields["max_tokens"]) ?? whole(fields["max_output_tokens"]),
    affinity: session ?? text(fields["prompt_cache_key"]) ?? text(fields["user"]) ?? beginningOf(fields),
    bytes,
    streams: fields["stream"] === true,
  };
}

/** Prompt tokens by length alone: bytes over four. */
export const guessTokens = (bytes: number): number => Math.ceil(bytes / bytesPerToken);

function beginningOf(fields: Readonly<Record<string, unknown>>): string {
  const { messages, prompt, input } = fields;
  const first = Array.isArray(messages) ? messages[0]?.content : (prompt ?? input);
  return typeof first === "string"
    ? first.slice(0, affinityLetters)
    : first === undefined
      ? ""
      : JSON.stringify(first).slice(0, affinityLetters);
}

const whole = (value: unknown) => (typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : null);
const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
const one = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value);
