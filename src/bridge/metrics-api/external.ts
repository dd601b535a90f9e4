import { DESIRED_REPLICAS, type FollowedEndpoint, type Source, signalOf, type Timed } from "../source.ts";
import type { ApiRequest } from "./path.ts";
import { ApiError } from "./status.ts";
import { type LabelTest, quantityOf, selectorOf, timestampOf, windowSecondsOf } from "./value.ts";

export const EXTERNAL_GROUP = "external.metrics.k8s.io";
export const EXTERNAL_VERSION = "v1beta1";

type Labels = Readonly<Record<string, string>>;
interface Candidate {
  readonly endpoint: string;
  readonly labels: Labels;
  readonly value: Timed | null;
}

/**
 * An ExternalMetricValueList of `namespaces/NS/METRIC?labelSelector=`. What an HPA reads is the **sum** of the items, so one that is
 * missing or stale may not simply be left out: then all of it is NotFound, and for the same reason a selector that matches several
 * endpoints is refused. Labels: `endpoint`, and `pool` or those of the series where it has some.
 * @throws ApiError
 */
export async function externalMetric(
  { namespace, resource: metric, name }: Extract<ApiRequest, { kind: "resource" }>,
  query: URLSearchParams,
  source: Source,
) {
  if (namespace === "" || name !== "") throw new ApiError("NotFound", "external metrics are at namespaces/NAMESPACE/METRIC");
  const passes = selectorOf(query.get("labelSelector"), "labelSelector");
  const endpoints = source.endpoints().filter((endpoint) => endpoint.namespace === namespace);
  const found = (await Promise.all(endpoints.map((endpoint) => candidates(endpoint, metric, passes, source)))).flat();
  if (found.length === 0) {
    throw new ApiError(
      "NotFound",
      `no ${metric} with those labels in namespace ${namespace}, or it is missing or stale; see label endpoint`,
    );
  }
  const names = new Set(found.map(({ endpoint }) => endpoint));
  if (names.size > 1) {
    throw new ApiError(
      "BadRequest",
      `${metric} of ${[...names].join(", ")} would be summed; pick one, with selector matchLabels endpoint: ${[...names][0]}`,
    );
  }
  return {
    kind: "ExternalMetricValueList",
    apiVersion: `${EXTERNAL_GROUP}/${EXTERNAL_VERSION}`,
    metadata: {},
    items: found.map(({ labels, value }) => {
      if (value === null) throw new ApiError("NotFound", `${metric} of ${JSON.stringify(labels)} is missing or stale`);
      const { value: number } = value;
      return {
        metricName: metric,
        metricLabels: labels,
        timestamp: timestampOf(value),
        window: windowSecondsOf(value),
        value: quantityOf(number),
      };
    }),
  };
}

async function candidates(endpoint: FollowedEndpoint, metric: string, passes: LabelTest, source: Source): Promise<readonly Candidate[]> {
  const of = (labels: Labels, value: Timed | null): readonly Candidate[] => {
    const all = { endpoint: endpoint.name, ...labels };
    return passes(all) ? [{ endpoint: endpoint.name, labels: all, value }] : [];
  };
  if (metric === DESIRED_REPLICAS) return endpoint.pools.flatMap(({ name, desired }) => of({ pool: name }, desired));
  const readings = await source.readings(endpoint.name, signalOf(endpoint, metric));
  const external = readings.flatMap((reading) => (reading.subject.kind === "external" ? of(reading.subject.labels, reading) : []));
  if (external.length > 0) return external;
  const own = readings.find(({ subject }) => subject.kind === "endpoint");
  return own === undefined ? [] : of({}, own);
}
