import type { RequestOptions } from "node:https";
import { type Ms, messageOf, TidegateError } from "../model/index.ts";

/** An answer of the API server, whatever its status; the body is parsed JSON. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** What the bridge needs of a Kubernetes API server. @throws TidegateError `platform/unreachable` when there is no answer */
export interface KubernetesApi {
  get(path: string, accept?: string): Promise<ApiAnswer>;
  post(path: string, body: unknown): Promise<ApiAnswer>;
}

export interface KubernetesOptions {
  /** A kubeconfig's path; null: KUBECONFIG, the usual place, or the pod's own service account. */
  readonly kubeconfig: string | null;
  readonly context: string | null;
  readonly timeoutMs?: Ms;
}

/** A client by the official library's configuration (which also renews tokens), loaded only here: it is heavy. */
export async function kubernetesApi({ kubeconfig, context, timeoutMs = 5000 }: KubernetesOptions): Promise<KubernetesApi> {
  const [{ KubeConfig }, { request, Agent }] = await Promise.all([loadClient(), import("node:https")]);
  const config = new KubeConfig();
  try {
    if (kubeconfig === null) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
    if (context !== null) config.setCurrentContext(context);
  } catch (error) {
    throw new TidegateError("config/unreadable", `the kubeconfig cannot be used: ${messageOf(error)}; see --kubeconfig`, { cause: error });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new TidegateError("config/unreadable", "the kubeconfig names no cluster; see --kubeconfig and --context");
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });

  const call = async (method: string, path: string, headers: Record<string, string>, body: string | null): Promise<ApiAnswer> => {
    const url = new URL(cluster.server.replace(/\/+$/, "") + path);
    const options: RequestOptions = { method, headers, timeout: timeoutMs };
    await config.applyToHTTPSOptions(options);
    options.agent = agent;
    options.headers = { ...options.headers, ...headers };
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) =>
        reject(
          new TidegateError("platform/unreachable", `${method} ${url.origin}${url.pathname}: ${messageOf(error)}`, {
            retryable: true,
            cause: error,
          }),
        );
      const sent = request(url, options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("error", fail);
        response.on("end", () => {
          try {
            resolve({ status: response.statusCode ?? 0, body: text === "" ? null : JSON.parse(text) });
          } catch {
            resolve({ status: response.statusCode ?? 0, body: text });
          }
        });
      });
      sent.setTimeout(timeoutMs, () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      sent.on("error", fail);
      sent.end(body ?? undefined);
    });
  };
  return {
    get: (path, accept = "application/json") => call("GET", path, { accept }, null),
    post: (path, body) => call("POST", path, { accept: "application/json", "content-type": "application/json" }, JSON.stringify(body)),
  };
}

async function loadClient() {
  try {
    return await import("@kubernetes/client-node");
  } catch (error) {
    throw new TidegateError("usage", "the metrics API needs the package @kubernetes/client-node; install it beside tidegate", {
      cause: error,
    });
  }
}
