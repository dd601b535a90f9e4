import { type Dispatcher, request } from "undici";
import { timeLimit } from "../http/index.ts";
import { type Ms, messageOf } from "../model/index.ts";

/** What of an answer matters here. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

const mostBytes = 32 * 1024 * 1024;

/**
 * One POST through a dispatcher of its own (TLS), with a time-out in real ms and a bound on the answer, whose status is the
 * caller's to judge: unlike `fetchText`, for APIs that explain a refusal in the body. Throws whatever undici throws.
 */
export async function exchange(
  url: string,
  dispatcher: Dispatcher,
  options: { readonly headers: Readonly<Record<string, string>>; readonly body: string; readonly timeoutMs: Ms },
): Promise<Answer> {
  const { headers, body, timeoutMs } = options;
  const { signal, clear } = timeLimit(timeoutMs);
  try {
    const asked = request(url, { dispatcher, method: "POST", headers, body, signal });
    asked.catch(() => {}); // where time was over first
    const response = await Promise.race([asked, aborted(signal)]);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > mostBytes) {
        response.body.destroy();
        throw new RangeError(`the answer is larger than ${mostBytes / 1024 / 1024} MiB`);
      }
      chunks.push(chunk);
    }
    return { status: response.statusCode, body: Buffer.concat(chunks).toString("utf8") };
  } finally {
    clear();
  }
}

/** Rejects when the signal aborts: undici heeds it only once it is connected, and a host that does not answer never is. */
function aborted(signal: AbortSignal): Promise<never> {
  const over = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  over.catch(() => {});
  return over;
}

/** Why an exchange failed, for people: what undici says is terse. */
export function reasonOf(error: unknown, timeoutMs: Ms): string {
  return error instanceof Error && silences.has(error.name) ? `no answer within ${Math.round(timeoutMs)} ms` : messageOf(error);
}

/** Whichever time-out rang first: the whole exchange's, or undici's for one part of it. */
const silences: ReadonlySet<string> = new Set([
  "TimeoutError",
  "AbortError",
  "ConnectTimeoutError",
  "HeadersTimeoutError",
  "BodyTimeoutError",
]);
