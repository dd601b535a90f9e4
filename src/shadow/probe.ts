import { ENGINE_DEFAULTS } from "../config/index.ts";
import { engineOfPage } from "../engine/index.ts";
import { fetchText } from "../http/index.ts";
import { type EngineKind, type Log, messageOf, TidegateError } from "../model/index.ts";
import { conditionOf, isStatus, type KubernetesApi, type KubernetesList, openTarget, type Pod, urlOf } from "../platforms/index.ts";
import type { ReadPage } from "../signals/index.ts";
import type { Autoscaler, FoundEngine, Via } from "./words.ts";

/** `later`: not now, but it may change by itself; `never`: not until somebody changes the object. */
export type Probe =
  | { readonly kind: "engine"; readonly engine: FoundEngine }
  | { readonly kind: "later" | "never"; readonly reason: string };

export interface ProbeOptions {
  readonly api: KubernetesApi;
  /** null: at the pods' own addresses, and where those do not answer through the API server. */
  readonly via: Via | null;
  readonly port: number | string | undefined;
  readonly log: Log;
  /** For tests. */
  readonly readDirectly?: ReadPage;
}

/** Real ms for the first word of a pod: a laptop outside the cluster's network waits for nothing. */
const probeTimeoutMs = 2_000;
const direct: ReadPage = (url, options) => fetchText(url, { ...options, code: "signal/unreachable" });

/** Where engines have their page: the usual place first. */
const paths = [...new Set(["/metrics", ...Object.values(ENGINE_DEFAULTS).flatMap(({ metricsPath }) => metricsPath ?? [])])];

/** Whether the pods of an autoscaler's target are inference engines: asked of one that is ready. Never throws. */
export async function probe({ target, namespace }: Autoscaler, options: ProbeOptions): Promise<Probe> {
  const { api } = options;
  let pods: readonly Pod[];
  try {
    const opened = await openTarget(target, { api, namespace, log: options.log });
    const { selector } = await opened.read();
    if (selector === null) return { kind: "never", reason: `the scale of ${target.kind} ${target.name} names no pods` };
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
    pods = (await api.ask<KubernetesList<Pod>>({ path, query: { labelSelector: selector, limit: 50 } })).items;
  } catch (error) {
    return { kind: "later", reason: messageOf(error) };
  }
  const ready = pods.filter((pod) => conditionOf(pod, "Ready")?.status === "True" && urlOf(pod, options.port ?? null) !== null);
  const pod = ready[0];
  if (pod === undefined) return { kind: "later", reason: "no pod is ready, so nobody can be asked whether it is an engine" };
  const base = urlOf(pod, options.port ?? null) as string;
  const vias: readonly Via[] = options.via === null ? ["direct", "api-server"] : [options.via];
  const failures: string[] = [];
  for (const via of vias) {
    const read = pageReader(api, namespace, via, (host) => (host === new URL(base).host ? pod.metadata.name : null), options.readDirectly);
    let answered = false;
    for (const path of paths) {
      try {
        const text = await read(`${base}${path}`, { timeoutMs: probeTimeoutMs, signal: AbortSignal.timeout(probeTimeoutMs) });
        answered = true;
        const kind = engineOfPage(text);
        if (kind !== null) return { kind: "engine", engine: engineOf(kind, path, pod, text, target.name, via) };
      } catch (error) {
        if (isRefusedPage(error)) answered = true;
        else {
          failures.push(`${via === "direct" ? "" : "through the API server: "}${messageOf(error)}`);
          break;
        }
      }
    }
    if (answered)
      return { kind: "never", reason: `${pod.metadata.name} has no page of an inference engine (asked ${base} for ${paths.join(", ")})` };
  }
  return { kind: "later", reason: failures.join("; ") };
}

/** It answers, but not this path. */
const isRefusedPage = (error: unknown) =>
  isStatus(error, 404) ||
  isStatus(error, 405) ||
  (error instanceof TidegateError && error.code === "signal/unreachable" && !error.retryable);

function engineOf(kind: EngineKind, metricsPath: string, pod: Pod, text: string, target: string, via: Via): FoundEngine {
  const gpus = pod.spec.containers.reduce((sum, { resources }) => {
    const own = Object.entries(resources?.requests ?? {}).filter(([name]) => /^(nvidia|amd)\.com\/gpu$/.test(name));
    return sum + own.reduce((total, [, value]) => total + Number(value), 0);
  }, 0);
  const model = /\bmodel(?:_name)?="([^"]+)"/.exec(text)?.[1] ?? target;
  return { kind, metricsPath, model, gpusPerReplica: Math.max(1, Math.round(gpus)), via };
}

/**
 * Reads pods' pages at their own addresses, or through the API server (`pods/proxy`).
 * @param podAt the pod at `host:port`; null: none that is known
 */
export function pageReader(
  api: KubernetesApi,
  namespace: string,
  via: Via,
  podAt: (host: string) => string | null,
  readDirectly: ReadPage = direct,
): ReadPage {
  if (via === "direct") return readDirectly;
  return async (url, options) => {
    const { host, port, pathname, search } = new URL(url);
    const pod = podAt(host);
    if (pod === null) return readDirectly(url, options); // an exporter beside the pods
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}:${port || "80"}/proxy${pathname}${search}`;
    const limit = AbortSignal.timeout(Math.ceil(options.timeoutMs));
    try {
      return await api.ask<string>({ path, accept: "text/plain", signal: AbortSignal.any([limit, options.signal]) });
    } catch (error) {
      if (isRefusedPage(error)) throw error;
      const why = limit.aborted ? `no answer within ${Math.ceil(options.timeoutMs)} ms` : messageOf(error);
      throw new TidegateError("signal/unreachable", `${pod} through the API server: ${why}`, { retryable: true, cause: error });
    }
  };
}
