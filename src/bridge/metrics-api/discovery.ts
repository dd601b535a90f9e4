import { isSignalName, SIGNAL_NAMES, SIGNALS } from "../../model/index.ts";
import { DESIRED_REPLICAS, type FollowedEndpoint } from "../source.ts";
import { CUSTOM_GROUP, CUSTOM_VERSION, ENDPOINT_RESOURCE, resourceOf } from "./custom.ts";
import { EXTERNAL_GROUP, EXTERNAL_VERSION } from "./external.ts";

export interface Served {
  readonly group: string;
  readonly version: string;
}
export const CUSTOM: Served = { group: CUSTOM_GROUP, version: CUSTOM_VERSION };
export const EXTERNAL: Served = { group: EXTERNAL_GROUP, version: EXTERNAL_VERSION };

export const groupVersionOf = ({ group, version }: Served): string => `${group}/${version}`;

export const groupList = (served: readonly Served[]) => ({ kind: "APIGroupList", apiVersion: "v1", groups: served.map(groupBody) });
export const apiGroup = (served: Served) => ({ kind: "APIGroup", apiVersion: "v1", ...groupBody(served) });

function groupBody(served: Served) {
  const version = { groupVersion: groupVersionOf(served), version: served.version };
  return { name: served.group, versions: [version], preferredVersion: version };
}

/** The metrics that may be asked for now. Counters and histograms are for rates and quantiles, which have names of their own. */
export function resourceList(served: Served, endpoints: readonly FollowedEndpoint[]) {
  const gauges = SIGNAL_NAMES.filter((name) => SIGNALS[name].kind === "gauge");
  const aliases = endpoints.flatMap(({ metrics }) =>
    Object.entries(metrics).flatMap(([alias, signal]) => (isSignalName(signal) && SIGNALS[signal].kind !== "gauge" ? [] : [alias])),
  );
  const metrics = [...new Set([...gauges, ...aliases])].sort();
  const ofPods = served === CUSTOM ? metrics.map((metric) => `pods/${metric}`) : [];
  const objects = [
    ENDPOINT_RESOURCE,
    ...endpoints.flatMap(({ pools }) => pools.flatMap(({ target }) => (target === null ? [] : [resourceOf(target)]))),
  ];
  const ofEndpoints = [DESIRED_REPLICAS, ...metrics];
  const ofObjects =
    served === CUSTOM ? [...new Set(objects)].flatMap((object) => ofEndpoints.map((metric) => `${object}/${metric}`)) : ofEndpoints;
  const kind = served === CUSTOM ? "MetricValueList" : "ExternalMetricValueList";
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: groupVersionOf(served),
    resources: [...ofPods, ...ofObjects].map((name) => ({ name, singularName: "", namespaced: true, kind, verbs: ["get"] })),
  };
}

/** Just enough for the aggregator, which merges it into the cluster's own: the paths that discovery has, without schemas. */
export function openApi2(served: readonly Served[], version: string) {
  return { swagger: "2.0", info: { title: "Tidegate metrics", version }, paths: Object.assign({}, ...served.map(paths2)), definitions: {} };
}

export function openApi3Index(served: readonly Served[]) {
  return {
    paths: Object.fromEntries(
      served.map((one) => [`apis/${groupVersionOf(one)}`, { serverRelativeURL: `/openapi/v3/apis/${groupVersionOf(one)}?hash=1` }]),
    ),
  };
}

export function openApi3(served: Served, version: string) {
  const { path, id, description } = operation(served);
  const get = { tags: [id], description, operationId: `get${id}APIResources`, responses: { 200: { description: "OK" } } };
  return { openapi: "3.0.0", info: { title: "Tidegate metrics", version }, paths: { [path]: { get } }, components: { schemas: {} } };
}

function paths2(served: Served) {
  const { path, id, description } = operation(served);
  const get = {
    tags: [id],
    description,
    operationId: `get${id}APIResources`,
    produces: ["application/json"],
    schemes: ["https"],
    responses: { 200: { description: "OK" } },
  };
  return { [path]: { get } };
}

const operation = (served: Served) => ({
  path: `/apis/${groupVersionOf(served)}/`,
  id: groupVersionOf(served)
    .split(/[./]/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join(""),
  description: "get available resources",
});
