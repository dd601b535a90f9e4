import { type ErrorCode, type Ms, TidegateError } from "../../model/index.ts";
import type { KubernetesObject, Status } from "./objects.ts";

export interface ApiRequest {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the server's root, such as `/api/v1/namespaces/default/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  /** Of a PATCH; without it a JSON merge patch. */
  readonly contentType?: string;
  /** `text/plain`: the answer is given as the text that it is; JSON otherwise. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** On a connection of its own, before all that waits for one: a lease that is renewed late is lost. */
  readonly urgent?: boolean;
}

export type WatchEvent<Item extends KubernetesObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; readonly object: Item }
  | { readonly type: "ERROR"; readonly object: Status };

/**
 * All that we use of a Kubernetes API server. Whoever pulls the events of a watch slowly slows the server down: nothing is
 * buffered beyond the socket's own windows.
 */
export interface KubernetesApi {
  /** The server's URL, for messages. */
  readonly server: string;
  /** Of the kubeconfig's context, or of the pod that we run in. */
  readonly namespace?: string;
  /** @throws KubernetesError */
  ask<Answer>(request: ApiRequest): Promise<Answer>;
  /**
   * Resolves once the server has taken the watch; the events end when the server ends it.
   * @throws KubernetesError, also between events when the connection breaks
   */
  watch<Item extends KubernetesObject>(request: ApiRequest): Promise<AsyncIterable<WatchEvent<Item>>>;
  /** The server's clock less this machine's, by its last answer: exact to a second. */
  skewMs(): Ms;
  /** Closes idle connections. */
  close(): void;
}

/** `status`: of the answer; null: there was none. `reason`: Kubernetes' own word, such as `Conflict` or `Expired`. */
export class KubernetesError extends TidegateError {
  readonly status: number | null;
  readonly reason: string;
  /** What a 429 or 503 asked for. */
  readonly retryAfterMs: number | null;

  constructor(
    code: ErrorCode,
    message: string,
    about: { status: number | null; reason?: string; retryAfterMs?: number | null; cause?: unknown },
  ) {
    super(code, message, { retryable: code !== "platform/refused", cause: about.cause });
    this.status = about.status;
    this.reason = about.reason ?? "";
    this.retryAfterMs = about.retryAfterMs ?? null;
  }
}

/** What an answer of 400 or more means, in a sentence that names the request and the way out. */
export function answeredError(request: ApiRequest, status: number, said: Status | string, retryAfterMs: number | null): KubernetesError {
  const text = typeof said === "string" ? said.slice(0, 300) : (said.message ?? said.reason ?? "");
  const what = `${request.method ?? "GET"} ${request.path} answered ${status}${text === "" ? "" : `: ${text.trim()}`}`;
  const about = { status, reason: typeof said === "string" ? "" : (said.reason ?? ""), retryAfterMs };
  if (status === 401) return new KubernetesError("platform/refused", `${what}; the credentials are not valid: renew the kubeconfig`, about);
  if (status === 403)
    return new KubernetesError("platform/refused", `${what}; grant this right to Tidegate's role (docs/kubernetes.md lists them)`, about);
  if (status === 429) return new KubernetesError("platform/busy", `${what}; the API server asks for patience`, about);
  if (status === 409) return new KubernetesError("platform/busy", what, about);
  if (status >= 500) return new KubernetesError("platform/unreachable", what, about);
  return new KubernetesError("platform/refused", what, about);
}

export const isStatus = (error: unknown, status: number): error is KubernetesError =>
  error instanceof KubernetesError && error.status === status;

export const refused = (message: string, cause?: unknown): TidegateError => new TidegateError("platform/refused", message, { cause });
