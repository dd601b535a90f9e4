import { type ErrorCode, type Ms, messageOf, TidegateError } from "../model/index.ts";
import { timeLimit } from "./time-limit.ts";

export interface FetchOptions {
  /** Gives up when it aborts; its reason is then thrown as it is. */
  readonly signal?: AbortSignal | undefined;
  /** Real milliseconds, for the whole exchange. */
  readonly timeoutMs: Ms;
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** What trouble on the way is called. */
  readonly code: ErrorCode;
  /** Longest answer that is taken, in bytes; 32 MiB unless told. */
  readonly maxBytes?: number;
  readonly fetchFn?: typeof fetch;
}

/** A refusal by the other side, where the caller's code only speaks of reaching it. */
const refusals: Readonly<Partial<Record<ErrorCode, ErrorCode>>> = {
  "admin/unreachable": "admin/refused",
  "platform/unreachable": "platform/refused",
};

/**
 * The text of a 2xx answer.
 * @throws TidegateError `options.code` when the address does not answer, not in time, too long, or with another status (a 4xx
 * of an admin API or platform is its `…/refused`); `retryable` unless the same call would be refused again
 */
export async function fetchText(url: string | URL, options: FetchOptions): Promise<string> {
  const { code, timeoutMs, signal, maxBytes = 32 * 1024 * 1024, fetchFn = fetch } = options;
  const { address, login } = partsOf(url);
  const limit = timeLimit(timeoutMs);
  let text: string;
  let status: number;
  try {
    const response = await fetchFn(address, {
      method: options.method ?? "GET",
      headers: { ...login, ...options.headers },
      signal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
      redirect: "follow",
      ...(options.body === undefined ? {} : { body: options.body }),
    });
    status = response.status;
    text = await bounded(response, maxBytes);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof RangeError) {
      throw new TidegateError(code, `${address} answered more than ${maxBytes} bytes; is it the right address?`, { cause: error });
    }
    if (error instanceof TypeError && !URL.canParse(String(url))) {
      throw new TidegateError(code, `${JSON.stringify(String(url))} is not an address; give one such as http://127.0.0.1:9090`, {
        cause: error,
      });
    }
    const why = limit.signal.aborted ? `no answer within ${Math.ceil(timeoutMs)} ms` : reasonOf(error);
    throw new TidegateError(code, `${address} cannot be reached (${why}); check that it runs and that the address is right`, {
      retryable: true,
      cause: error,
    });
  } finally {
    limit.clear();
  }
  if (status >= 200 && status < 300) return text;
  const said = text.trim().slice(0, 300);
  const wayOut = status === 401 || status === 403 ? "; give the token that it asks for" : "";
  const refused = status >= 400 && status < 500 && status !== 408 && status !== 429;
  throw new TidegateError(
    refused ? (refusals[code] ?? code) : code,
    `${address} answered ${status}${said === "" ? "" : `: ${said}`}${wayOut}`,
    { retryable: !refused },
  );
}

/** As `fetchText`, parsed. @throws TidegateError `options.code` also when the answer is not JSON */
export async function fetchJson(url: string | URL, options: FetchOptions): Promise<unknown> {
  const text = await fetchText(url, { ...options, headers: { accept: "application/json", ...options.headers } });
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TidegateError(
      options.code,
      `${partsOf(url).address} answered something that is not JSON: ${JSON.stringify(text.slice(0, 80))}`,
      {
        cause: error,
      },
    );
  }
}

/** fetch refuses an address with user and password in it; and they must not be shown. */
function partsOf(url: string | URL): { readonly address: string; readonly login: Record<string, string> } {
  const text = String(url);
  if (!URL.canParse(text)) return { address: text, login: {} };
  const parsed = new URL(text);
  const { username, password } = parsed;
  if (username === "" && password === "") return { address: parsed.href, login: {} };
  parsed.username = "";
  parsed.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const bytes = String.fromCharCode(...new TextEncoder().encode(pair));
  return { address: parsed.href, login: { authorization: `Basic ${btoa(bytes)}` } };
}

/** What lies under fetch's own "fetch failed". */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code;
  return messageOf(cause ?? error);
}

async function bounded(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new RangeError(`more than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
