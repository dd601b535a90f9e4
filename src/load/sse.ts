const lineFeed = 10;
const carriageReturn = 13;
const space = 32;
const openBrace = 123;
const usageKey = Buffer.from('"usage":');
const data = Buffer.from("data:");
const done = Buffer.from("[DONE]");
const errorKey = Buffer.from('{"error"');
const empty = Buffer.alloc(0);

/**
 * Counts the events of an OpenAI stream by its bytes. Only what says something is parsed as JSON: events until the first one with
 * text, the one with `usage`, and errors. Lines may be cut anywhere between pieces.
 */
export class StreamScanner {
  #rest: Buffer = empty;
  /** `data:` events but for `[DONE]`. */
  events = 0;
  /** Events from the first with text on; those with `usage` alone do not count. */
  textEvents = 0;
  /** `[DONE]` has come: the stream is whole. */
  done = false;
  /** `usage.completion_tokens`, when the server told. */
  completionTokens: number | null = null;
  promptTokens: number | null = null;
  /** The message of an error event. */
  error: string | null = null;

  /** @returns how many events with text the piece completed. */
  push(piece: Buffer): number {
    const before = this.textEvents;
    const buffer = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    let nextUsage = buffer.indexOf(usageKey);
    let from = 0;
    for (let end = buffer.indexOf(lineFeed); end >= 0; end = buffer.indexOf(lineFeed, from)) {
      const stop = buffer[end - 1] === carriageReturn && end > from ? end - 1 : end;
      while (nextUsage >= 0 && nextUsage < from) nextUsage = buffer.indexOf(usageKey, from);
      if (stop - from > data.length && matches(buffer, from, data)) this.#event(buffer, from + data.length, stop, nextUsage);
      from = end + 1;
    }
    // copied, so that a few bytes do not keep the socket's whole read alive
    this.#rest = from === buffer.length ? empty : Buffer.from(buffer.subarray(from));
    return this.textEvents - before;
  }

  #event(buffer: Buffer, from: number, stop: number, usageAt: number): void {
    let at = from;
    if (buffer[at] === space) at++;
    if (matches(buffer, at, done)) {
      this.done = true;
      return;
    }
    this.events++;
    if (matches(buffer, at, errorKey)) {
      this.error = errorOf(buffer.toString("utf8", at, stop));
      return;
    }
    if (usageAt >= at && usageAt < stop) {
      let value = usageAt + usageKey.length;
      while (buffer[value] === space) value++;
      if (buffer[value] === openBrace) {
        const text = this.#usage(buffer.toString("utf8", at, stop));
        if (text) this.textEvents++;
        return;
      }
    }
    if (this.textEvents > 0 || hasText(buffer.toString("utf8", at, stop))) this.textEvents++;
  }

  /** @returns whether the event carries text beside the usage. */
  #usage(json: string): boolean {
    const event = parse(json) as StreamEvent | undefined;
    const { completion_tokens, prompt_tokens } = event?.usage ?? {};
    if (typeof completion_tokens === "number") this.completionTokens = completion_tokens;
    if (typeof prompt_tokens === "number") this.promptTokens = prompt_tokens;
    return eventHasText(event);
  }
}

interface StreamEvent {
  readonly choices?: readonly {
    readonly text?: string | null;
    readonly delta?: { readonly content?: string | null; readonly reasoning_content?: string | null; readonly reasoning?: string | null };
  }[];
  readonly usage?: { readonly completion_tokens?: unknown; readonly prompt_tokens?: unknown } | null;
}

function matches(buffer: Buffer, at: number, wanted: Buffer): boolean {
  for (let i = 0; i < wanted.length; i++) if (buffer[at + i] !== wanted[i]) return false;
  return true;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
const hasText = (json: string) => eventHasText(parse(json) as StreamEvent | undefined);
const eventHasText = (event: StreamEvent | undefined) =>
  event?.choices?.some(({ text, delta }) => Boolean(text) || Boolean(delta?.content ?? delta?.reasoning_content ?? delta?.reasoning)) ??
  false;

/** The message of an OpenAI error body, or the body's beginning. */
export function errorOf(body: string): string {
  const error = (parse(body) as { error?: { message?: unknown } | string } | undefined)?.error;
  const message = typeof error === "string" ? error : error?.message;
  const text = typeof message === "string" ? message : body.trim();
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
