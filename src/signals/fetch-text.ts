import { Agent, type Dispatcher, request } from "undici";
import { type ErrorCode, type Ms, messageOf, TidegateError } from "../model/index.ts";

/** `timeoutMs` is real time, for the whole exchange. */
export interface FetchOptions {
  readonly timeoutMs: Ms;
  readonly code: ErrorCode;
  readonly headers?: Readonly<Record<string, string>>;
}
/** Resolves to the body of a 2xx answer. @throws TidegateError with `options.code` on anything else */
export type FetchText = (url: string, options: FetchOptions) => Promise<string>;

/** No metrics page of an engine comes near this; a larger one is an error and not a reason to run out of memory. */
const largestPageBytes = 32 * 1024 * 1024;

/** What of an answer matters here. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One exchange with a time-out and a bound on the body. Throws whatever undici throws, and RangeError for a body too large. */
export async function exchange(
  url: string,
  dispatcher: Dispatcher,
  options: {
    readonly method: "GET" | "POST";
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly timeoutMs: Ms;
  },
): Promise<Answer> {
  const { method, headers, body, timeoutMs } = options;
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
  const response = await request(url, { dispatcher, method, headers, body: body ?? null, signal });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > largestPageBytes) {
      response.body.destroy();
      throw new RangeError(`the answer is larger than ${largestPageBytes / 1024 / 1024} MiB`);
    }
    chunks.push(chunk);
  }
  return { status: response.statusCode, body: Buffer.concat(chunks).toString("utf8") };
}

/** Why an exchange failed, for people: what undici says is terse. */
export function reasonOf(error: unknown, timeoutMs: Ms): string {
  return error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError")
    ? `no answer within ${Math.round(timeoutMs)} ms`
    : messageOf(error);
}

/** A client that keeps connections to replicas open between two readings. */
export function createFetchText(): { readonly fetchText: FetchText; close(): Promise<void> } {
  const agent = new Agent({ connections: 2, pipelining: 1, keepAliveTimeout: 30_000, allowH2: false });
  return {
    async fetchText(url, { timeoutMs, code, headers = {} }) {
      let answer: Answer;
      try {
        answer = await exchange(url, agent, {
          method: "GET",
          headers: { accept: "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1", ...headers },
          timeoutMs,
        });
      } catch (error) {
        throw new TidegateError(code, `GET ${url}: ${reasonOf(error, timeoutMs)}`, { retryable: true, cause: error });
      }
      const { status, body } = answer;
      if (status >= 200 && status < 300) return body;
      const hint = status === 404 ? "; is the engine's metrics page on, and at this path?" : "";
      throw new TidegateError(code, `GET ${url}: status ${status}${hint}`, { retryable: status >= 500 || status === 429 });
    },
    close: () => agent.destroy(),
  };
}
