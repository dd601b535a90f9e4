import { existsSync } from "node:fs";
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from "node:http";
import { Agent, type RequestOptions, request as secureRequest } from "node:https";
import { messageOf, TidegateError } from "../../model/index.ts";
import { type ApiRequest, answeredError, type KubernetesApi, KubernetesError, refused, type WatchEvent } from "./api.ts";
import { linesOf } from "./lines.ts";
import type { KubernetesObject, Status } from "./objects.ts";

export interface ConnectOptions {
  /** null: `$KUBECONFIG`, then `~/.kube/config`, then the service account of the pod that we run in, as kubectl does. */
  readonly kubeconfig: string | null;
  /** null: the kubeconfig's current one. */
  readonly context: string | null;
  /** For the server's audit log and its flow control. */
  readonly userAgent?: string;
}

/** In real time, from the question to the whole answer. */
const askTimeoutMs = 15_000;
/** To the head of a watch's answer. */
const openTimeoutMs = 15_000;
const mostAttempts = 4;
const longestRetryAfterMs = 10_000;
const installCommand = "npm install @kubernetes/client-node@2.0.1";

type ClientLibrary = typeof import("@kubernetes/client-node");

/**
 * Credentials, certificates, exec plug-ins and proxies are @kubernetes/client-node's business; requests and watches are our own,
 * for its informer neither notices a dead connection nor waits for its listener.
 * @throws TidegateError `platform/refused` without the library or a usable kubeconfig
 */
export async function connectKubernetes(options: ConnectOptions): Promise<KubernetesApi> {
  const library = await loadLibrary();
  const config = new library.KubeConfig();
  try {
    if (options.kubeconfig !== null) config.loadFromFile(options.kubeconfig);
    else config.loadFromDefault();
    if (options.context !== null) config.setCurrentContext(options.context);
  } catch (error) {
    throw refused(`the kubeconfig ${options.kubeconfig ?? ""} cannot be used: ${messageOf(error)}; correct platform.kubeconfig`, error);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const known = config.getContexts().map(({ name }) => name);
    throw refused(`the kubeconfig has no context ${config.currentContext}; it has ${known.join(", ") || "none"}: set platform.context`);
  }
  if (options.kubeconfig === null && cluster.server === "http://localhost:8080" && !existsSync(`${process.env["HOME"]}/.kube/config`))
    throw refused("there is no kubeconfig and this is not a pod: set platform.kubeconfig or KUBECONFIG");
  const credentials = async (headers: Readonly<Record<string, string>>): Promise<RequestOptions> => {
    const opts: RequestOptions = { headers: { ...headers } };
    try {
      await config.applyToHTTPSOptions(opts);
    } catch (error) {
      throw refused(`no credentials for ${cluster.server}: ${messageOf(error)}`, error);
    }
    return opts;
  };
  const api = httpApi(cluster.server, credentials, cluster.proxyUrl !== undefined, options.userAgent ?? "tidegate");
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace;
  return namespace === undefined || namespace === "" ? api : { ...api, namespace };
}

async function loadLibrary(): Promise<ClientLibrary> {
  try {
    return await import("@kubernetes/client-node");
  } catch (error) {
    throw refused(`platform kubernetes needs @kubernetes/client-node: ${installCommand}`, error);
  }
}

/** `proxied`: the credentials bring an agent that must be used. */
function httpApi(
  server: string,
  credentials: (headers: Readonly<Record<string, string>>) => Promise<RequestOptions>,
  proxied: boolean,
  userAgent: string,
): KubernetesApi {
  const base = new URL(server);
  const prefix = base.pathname.replace(/\/+$/, "");
  const secure = base.protocol === "https:";
  const agents = { ask: newAgent(secure, 8), urgent: newAgent(secure, 2), watch: newAgent(secure, Number.POSITIVE_INFINITY) };

  let skewMs = 0;

  /** Resolves with the answer's head; rejects when there is none. */
  async function send(request: ApiRequest, agent: Agent | PlainAgent, signal: AbortSignal): Promise<IncomingMessage> {
    const body = request.body === undefined ? null : Buffer.from(JSON.stringify(request.body));
    const type = request.method === "PATCH" ? (request.contentType ?? "application/merge-patch+json") : "application/json";
    const opts = await credentials({
      accept: request.accept ?? "application/json",
      "user-agent": userAgent,
      ...(body === null ? {} : { "content-type": type, "content-length": String(body.byteLength) }),
    });
    const path = `${prefix}${request.path}${queryOf(request.query)}`;
    return new Promise((resolve, reject) => {
      const outgoing = (secure ? secureRequest : plainRequest)({
        ...opts,
        ...(proxied ? {} : { agent }),
        ...{ host: base.hostname.replace(/^\[|\]$/g, ""), port: base.port === "" ? (secure ? 443 : 80) : base.port, path, signal },
        method: request.method ?? "GET",
      });
      outgoing.on("socket", (socket) => socket.setKeepAlive(true, 30_000));
      const askedAtMs = Date.now();
      outgoing.on("response", (response) => {
        const saidMs = Date.parse(response.headers.date ?? "");
        if (!Number.isNaN(saidMs)) skewMs = saidMs + 500 - (askedAtMs + Date.now()) / 2;
        resolve(response);
      });
      outgoing.on("error", reject);
      outgoing.end(body ?? undefined);
    });
  }

  const unreachable = (request: ApiRequest, error: unknown) =>
    error instanceof TidegateError
      ? error
      : new KubernetesError(
          "platform/unreachable",
          `the API server ${server} did not answer ${request.method ?? "GET"} ${request.path}: ${messageOf(error)}`,
          { status: null, cause: error },
        );

  async function refusal(request: ApiRequest, response: IncomingMessage): Promise<KubernetesError> {
    const text = await textOf(response);
    let said: Status | string = text;
    try {
      said = JSON.parse(text) as Status;
    } catch {} // a proxy's page
    const seconds = Number(response.headers["retry-after"]);
    return answeredError(request, response.statusCode ?? 0, said, Number.isFinite(seconds) ? seconds * 1000 : null);
  }

  async function once<Answer>(request: ApiRequest): Promise<Answer> {
    const limit = AbortSignal.timeout(askTimeoutMs);
    const signal = request.signal === undefined ? limit : AbortSignal.any([limit, request.signal]);
    try {
      const response = await send(request, request.urgent === true ? agents.urgent : agents.ask, signal);
      if ((response.statusCode ?? 0) >= 400) throw await refusal(request, response);
      const text = await textOf(response);
      return (request.accept === "text/plain" ? text : JSON.parse(text)) as Answer;
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      throw unreachable(request, limit.aborted ? new Error(`no answer within ${askTimeoutMs} ms`) : error);
    }
  }

  return {
    server,
    async ask(request) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await once(request);
        } catch (error) {
          const waitMs = attempt < mostAttempts ? retryAfter(error, request) : null;
          if (waitMs === null) throw error;
          await new Promise((resolve) => setTimeout(resolve, waitMs));
        }
      }
    },
    async watch<Item extends KubernetesObject>(request: ApiRequest) {
      const opening = new AbortController();
      const timer = setTimeout(() => opening.abort(new Error(`no answer within ${openTimeoutMs} ms`)), openTimeoutMs);
      const signal = request.signal === undefined ? opening.signal : AbortSignal.any([opening.signal, request.signal]);
      const wrong = (error: unknown) =>
        request.signal?.aborted ? request.signal.reason : unreachable(request, opening.signal.aborted ? opening.signal.reason : error);
      let response: IncomingMessage;
      try {
        response = await send(request, agents.watch, signal);
        if ((response.statusCode ?? 0) >= 400) throw await refusal(request, response);
      } catch (error) {
        throw wrong(error);
      } finally {
        clearTimeout(timer);
      }
      return (async function* () {
        try {
          for await (const line of linesOf(response)) yield JSON.parse(line) as WatchEvent<Item>;
        } catch (error) {
          throw wrong(error);
        } finally {
          response.destroy();
        }
      })();
    },
    skewMs: () => skewMs,
    close() {
      agents.ask.destroy();
      agents.urgent.destroy();
      agents.watch.destroy();
    },
  };
}

const newAgent = (secure: boolean, maxSockets: number): Agent | PlainAgent => {
  const settings = { keepAlive: true, maxSockets, scheduling: "lifo" } as const;
  return secure ? new Agent(settings) : new PlainAgent(settings);
};

/**
 * null: do not ask again. A 429 was not carried out, whatever was asked (API concepts, "Priority and Fairness"); a server that
 * closed an idle connection under our feet is asked again for what changes nothing.
 */
function retryAfter(error: unknown, request: ApiRequest): number | null {
  if (!(error instanceof KubernetesError) || request.signal?.aborted) return null;
  if (error.status === 429) {
    const waitMs = error.retryAfterMs ?? 1_000;
    return waitMs <= longestRetryAfterMs ? waitMs : null;
  }
  const cause = error.cause;
  const reset = cause instanceof Error && "code" in cause && (cause.code === "ECONNRESET" || cause.code === "EPIPE");
  return reset && (request.method ?? "GET") === "GET" ? 50 : null;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function queryOf(query: ApiRequest["query"]): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}
