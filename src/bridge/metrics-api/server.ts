import { constants, type X509Certificate } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { type SecureContextOptions, TLSSocket } from "node:tls";
import { type Clock, type Log, messageOf, TidegateError } from "../../model/index.ts";
import { type CertificateFiles, watchCertificates } from "../certificate-files.ts";
import type { Source } from "../source.ts";
import { createAuthenticator, type Delegation, type Peer } from "./authentication.ts";
import { createAuthorizer } from "./authorization.ts";
import type { Cluster } from "./cluster.ts";
import { customMetric } from "./custom.ts";
import { readDelegation } from "./delegation.ts";
import {
  apiGroup,
  CUSTOM,
  EXTERNAL,
  groupList,
  groupVersionOf,
  openApi2,
  openApi3,
  openApi3Index,
  resourceList,
  type Served,
} from "./discovery.ts";
import { externalMetric } from "./external.ts";
import { parsePath } from "./path.ts";
import { ApiError } from "./status.ts";

export interface MetricsApiOptions {
  readonly source: Source;
  readonly cluster: Cluster;
  readonly host: string;
  readonly port: number;
  readonly tls: Omit<CertificateFiles, "clientCaFile">;
  readonly custom: boolean;
  /** One cluster has one owner of external metrics (KEDA and Prometheus Adapter are others): off unless asked for. */
  readonly external: boolean;
  readonly version: string;
  /** Real time. */
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every answer. */
  readonly onAnswer: (status: number) => void;
}

export interface MetricsApi {
  readonly port: number;
  /** Whether it can tell who asks. */
  ready(): boolean;
  close(): Promise<void>;
}

/**
 * The aggregated API server for custom.metrics.k8s.io/v1beta2 and external.metrics.k8s.io/v1beta1. Read-only, JSON only. Who asks
 * is told by the cluster (`createAuthenticator`), and whether they may (`createAuthorizer`); health paths are everybody's.
 * @throws TidegateError `gateway/port` where the port is taken, `config/unreadable` for the certificate
 */
export async function startMetricsApi(options: MetricsApiOptions): Promise<MetricsApi> {
  const { source, cluster, host, port, tls, clock, log, version } = options;
  const served: readonly Served[] = [...(options.custom ? [CUSTOM] : []), ...(options.external ? [EXTERNAL] : [])];
  const certificate = watchCertificates({ ...tls, clientCaFile: null }, { clock, log, onChange: () => renew() });
  const ownPair = () => {
    const { cert, key } = certificate.current();
    return { cert, key };
  };
  const server: Server = createServer(
    {
      ...ownPair(),
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      // A resumed session would bring a certificate back whose authority may have gone.
      secureOptions: constants.SSL_OP_NO_TICKET,
      requestTimeout: 30_000,
      // Longer than the API server's transport keeps an idle connection (90 s), so that it is never closed under a request.
      keepAliveTimeout: 120_000,
      headersTimeout: 10_000,
    },
    (request, response) => void answer(request, response),
  );
  const delegation = readDelegation({ cluster, clock, log, onChange: () => renew() });
  function renew(): void {
    const trusted = delegation?.current();
    const context: SecureContextOptions = { ...ownPair(), ca: authorities(trusted) };
    server.setSecureContext(context);
  }
  const authenticator = createAuthenticator({ cluster, delegation: delegation.current, clock });
  const authorizer = createAuthorizer({ cluster, clock });
  const listPods = async (namespace: string, labelSelector: string) => {
    // From the API server's cache, names only.
    const { items } = await cluster.ask<{ readonly items: readonly { readonly metadata: { readonly name: string } }[] }>({
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`,
      query: { resourceVersion: "0", ...(labelSelector === "" ? {} : { labelSelector }) },
      accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json",
    });
    return items.map(({ metadata }) => metadata.name);
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? "/", "https://localhost");
      const health = /^\/(healthz|livez|readyz)(\/|$)/.exec(url.pathname)?.[1];
      if (health !== undefined) {
        const ok = health !== "readyz" || delegation.current() !== null;
        response.writeHead(ok ? 200 : 503, { "content-type": "text/plain; charset=utf-8" });
        response.end(ok ? "ok" : "the cluster's authorities have not been read yet\n");
        return;
      }
      const user = await authenticator.authenticate({
        peer: peerOf(request),
        headers: request.headersDistinct,
        authorization: request.headers.authorization,
      });
      const asked = parsed(url.pathname);
      await authorizer.authorize(user, asked);
      if (request.method !== "GET") throw new ApiError("MethodNotAllowed", `${request.method} is not supported: metrics are only read`);
      if (!takesJson(request.headers.accept)) throw new ApiError("NotAcceptable", "only application/json is served");
      send(response, 200, await respond(asked, url));
      options.onAnswer(200);
    } catch (error) {
      const status = error instanceof ApiError ? error : failure(error);
      options.onAnswer(status.code);
      if (status.code >= 500) log("warn", `metrics API: ${status.message}`);
      if (status.code === 401) response.setHeader("www-authenticate", "Bearer");
      if (!response.headersSent) send(response, status.code, status.toJSON());
      else response.destroy();
    }
  }

  async function respond(asked: ReturnType<typeof parsePath>, { pathname, searchParams }: URL): Promise<unknown> {
    if (asked.kind === "resource") {
      const has = ({ group, version: of }: Served) => asked.group === group && asked.version === of;
      if (options.custom && has(CUSTOM)) return customMetric(asked, searchParams, { source, listPods });
      if (options.external && has(EXTERNAL)) return externalMetric(asked, searchParams, source);
    }
    const path = pathname.replace(/\/+$/, "");
    if (path === "/apis") return groupList(served);
    if (path === "/version") return { major: "1", minor: "0", gitVersion: `v${version}` };
    if (path === "/openapi/v2") return openApi2(served, version);
    if (path === "/openapi/v3") return openApi3Index(served);
    for (const one of served) {
      if (path === `/apis/${one.group}`) return apiGroup(one);
      if (path === `/apis/${groupVersionOf(one)}`) return resourceList(one, source.endpoints());
      if (path === `/openapi/v3/apis/${groupVersionOf(one)}`) return openApi3(one, version);
    }
    throw new ApiError("NotFound", "the server could not find the requested resource");
  }

  server.on("tlsClientError", (error) => log("debug", `metrics API: ${error.message}`));
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) =>
        reject(
          new TidegateError(
            "gateway/port",
            `the metrics API cannot listen on ${host}:${port} (${error.code ?? error.message}); see --metrics-port`,
            { cause: error },
          ),
        ),
      );
      server.listen(port, host, resolve);
    });
  } catch (error) {
    delegation.close();
    certificate.close();
    throw error;
  }
  return {
    port: (server.address() as AddressInfo).port,
    ready: () => delegation.current() !== null,
    close() {
      delegation.close();
      certificate.close();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 1000).unref();
      });
    },
  };
}

/** What TLS is to check client certificates with; an empty list would mean the public authorities. */
const authorities = (trusted: Delegation | null | undefined): string[] | undefined => {
  const all = [...(trusted?.proxyAuthorities ?? []), ...(trusted?.clientAuthorities ?? [])].map(String);
  return all.length === 0 ? undefined : all;
};

/** The certificate that was shown, if TLS found an authority of ours behind it, in time and meant for clients. */
function peerOf({ socket }: IncomingMessage): Peer | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const chain: X509Certificate[] = [];
  for (let next = socket.getPeerX509Certificate(); next !== undefined && chain.length < 10; next = next.issuerCertificate) {
    if (chain.at(-1)?.fingerprint256 === next.fingerprint256) break;
    chain.push(next);
  }
  return chain.length === 0 ? null : { chain };
}

function parsed(path: string): ReturnType<typeof parsePath> {
  try {
    return parsePath(path);
  } catch {
    throw new ApiError("BadRequest", `${path} is not a path`);
  }
}

/** HPA's clients ask for protobuf first and for anything else then. */
const takesJson = (accept: string | undefined): boolean =>
  accept === undefined || accept.split(",").some((range) => /^\s*(\*\/\*|application\/(\*|json))\s*(;|$)/.test(range));

const failure = (error: unknown): ApiError =>
  new ApiError(error instanceof TidegateError && error.retryable ? "ServiceUnavailable" : "InternalError", messageOf(error));

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-cache, private" });
  response.end(`${JSON.stringify(body)}\n`);
}
