import { messageOf, type Target } from "../../model/index.ts";
import {
  DESIRED_REPLICAS,
  desiredSum,
  type FollowedEndpoint,
  type FollowedPool,
  type Reading,
  type Source,
  signalOf,
  type Timed,
} from "../source.ts";
import type { ApiRequest } from "./path.ts";
import { ApiError } from "./status.ts";
import { type LabelTest, quantityOf, selectorOf, timestampOf, windowSecondsOf } from "./value.ts";

export const CUSTOM_GROUP = "custom.metrics.k8s.io";
export const CUSTOM_VERSION = "v1beta2";
/** Our own objects, for who describes an Endpoint rather than what it scales. */
export const ENDPOINT_RESOURCE = "endpoints.tidegate.dev";

/** The names of a namespace's pods that a selector picks. */
export type ListPods = (namespace: string, labelSelector: string) => Promise<readonly string[]>;

type ResourceRequest = Extract<ApiRequest, { kind: "resource" }>;

interface Described {
  readonly kind: string;
  readonly apiVersion: string;
  readonly name: string;
}

/**
 * A MetricValueList of `namespaces/NS/pods/NAME/METRIC` (each pod's own reading; `*` for those of a selector) or `namespaces/NS/RESOURCE.GROUP/NAME/METRIC` (an
 * endpoint's, by its scale target or by itself). A pod without a fresh reading is absent; no item at all is NotFound.
 * @throws ApiError
 */
export async function customMetric(
  { namespace, resource, name, subresource: metric, more }: ResourceRequest,
  query: URLSearchParams,
  { source, listPods }: { readonly source: Source; readonly listPods: ListPods },
) {
  if (namespace === "" || metric === "" || more.length > 0) {
    throw new ApiError("NotFound", "metrics are of pods and of scale targets in a namespace: namespaces/NAMESPACE/pods/NAME/METRIC");
  }
  const passes = selectorOf(query.get("metricLabelSelector"), "metricLabelSelector");
  const endpoints = source.endpoints().filter((endpoint) => endpoint.namespace === namespace);
  if (resource !== "pods") return list(metric, namespace, await ofObject(resource, name, metric, endpoints, passes, source));
  const selector = query.get("labelSelector") ?? "";
  const chosen = name === "*" ? new Set(await listPods(namespace, selector)) : new Set([name]);
  const items = await ofPods(metric, chosen, endpoints, passes, source);
  if (items.length === 0) {
    const which = name === "*" ? `the ${chosen.size} pods of selector ${JSON.stringify(selector)}` : `pod ${name}`;
    throw new ApiError("NotFound", `no reading of ${metric} for ${which} in namespace ${namespace} that is not missing or stale`);
  }
  return list(metric, namespace, items);
}

type Item = readonly [Described, Timed];

async function ofPods(
  metric: string,
  chosen: ReadonlySet<string>,
  endpoints: readonly FollowedEndpoint[],
  passes: LabelTest,
  source: Source,
): Promise<readonly Item[]> {
  const concerned = endpoints.filter(({ replicas }) => replicas.some((id) => chosen.has(id)));
  const asked = await Promise.allSettled(
    concerned.map(async (endpoint) => ({ endpoint, readings: await source.readings(endpoint.name, signalOf(endpoint, metric)) })),
  );
  const items = new Map<string, Reading>();
  for (const answer of asked) {
    if (answer.status === "rejected") continue;
    for (const reading of answer.value.readings) {
      const { subject } = reading;
      if (subject.kind !== "replica" || !chosen.has(subject.id)) continue;
      const container = subject.container === undefined ? {} : { container: subject.container };
      if (!passes({ endpoint: answer.value.endpoint.name, pod: subject.id, ...container })) continue;
      const other = items.get(subject.id);
      if (other === undefined || isNewer(reading, other)) items.set(subject.id, reading);
    }
  }
  const failed = asked.find((answer) => answer.status === "rejected");
  if (items.size === 0 && failed !== undefined) throw new ApiError("ServiceUnavailable", messageOf(failed.reason));
  return [...items].map(([pod, reading]) => [{ kind: "Pod", apiVersion: "v1", name: pod }, reading]);
}

/** Of several containers the newer reading, then the larger one, as policies read them. */
const isNewer = (reading: Reading, other: Reading): boolean =>
  reading.atMs === other.atMs ? reading.value > other.value : reading.atMs > other.atMs;

async function ofObject(
  resource: string,
  name: string,
  metric: string,
  endpoints: readonly FollowedEndpoint[],
  passes: LabelTest,
  source: Source,
): Promise<readonly Item[]> {
  if (name === "*") throw new ApiError("NotFound", `only pods are picked by a selector; name one of the ${resource}`);
  const isTarget = ({ target }: FollowedPool) => target !== null && target.name === name && resourceOf(target) === resource;
  const endpoint = endpoints.find((one) => (resource === ENDPOINT_RESOURCE ? one.name === name : one.pools.some(isTarget)));
  if (endpoint === undefined) throw new ApiError("NotFound", `no Endpoint is, or scales, ${resource} ${JSON.stringify(name)}`);
  const pools = resource === ENDPOINT_RESOURCE ? endpoint.pools : endpoint.pools.filter(isTarget);
  const target = resource === ENDPOINT_RESOURCE ? null : (pools[0]?.target ?? null);
  const described: Described =
    target === null
      ? { kind: "Endpoint", apiVersion: "tidegate.dev/v1alpha1", name }
      : { kind: target.kind, apiVersion: target.apiVersion, name };
  const value = metric === DESIRED_REPLICAS ? desiredSum(pools) : await signalAt(endpoint, pools, signalOf(endpoint, metric), source);
  if (value === null || !passes({ endpoint: endpoint.name })) {
    throw new ApiError("NotFound", `${metric} of Endpoint ${endpoint.name} is missing or stale`);
  }
  return [[described, value]];
}

/** Of a part of the pools only that part's own reading will do. */
async function signalAt(endpoint: FollowedEndpoint, pools: readonly FollowedPool[], signal: string, source: Source): Promise<Timed | null> {
  const readings = await source.readings(endpoint.name, signal);
  const whole = pools.length === endpoint.pools.length;
  const found = readings.find(({ subject }) =>
    whole ? subject.kind === "endpoint" : subject.kind === "pool" && pools.length === 1 && subject.pool === pools[0]?.name,
  );
  return found ?? null;
}

/** `RESOURCE.GROUP` as a metrics client guesses it from a kind. Source: apimachinery, `UnsafeGuessKindToResource`. */
export function resourceOf({ apiVersion, kind }: Target): string {
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] as string) : "";
  const lower = kind.toLowerCase();
  const plural = lower.endsWith("s") ? `${lower}es` : lower.endsWith("y") ? `${lower.slice(0, -1)}ies` : `${lower}s`;
  return group === "" ? plural : `${plural}.${group}`;
}

function list(metric: string, namespace: string, items: readonly Item[]) {
  return {
    kind: "MetricValueList",
    apiVersion: `${CUSTOM_GROUP}/${CUSTOM_VERSION}`,
    metadata: {},
    items: items.map(([described, value]) => ({
      describedObject: { ...described, namespace },
      metric: { name: metric, selector: null },
      timestamp: timestampOf(value),
      windowSeconds: windowSecondsOf(value),
      value: quantityOf(value.value),
    })),
  };
}
