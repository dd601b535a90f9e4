import type { EndpointStatus, FleetStatus } from "../config/index.ts";
import type { KubernetesObject } from "../platforms/index.ts";

export const GROUP = "tidegate.dev";
export const VERSION = "v1alpha1";

/** An Endpoint or Fleet as the API server keeps it; its spec is whatever somebody wrote. */
export interface OwnObject extends KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly spec?: { readonly [key: string]: unknown };
  readonly status?: EndpointStatus & FleetStatus;
}

export type OwnKind = "Endpoint" | "Fleet";
export const PLURALS: Readonly<Record<OwnKind, string>> = { Endpoint: "endpoints", Fleet: "fleets" };

/** Which object something is said of. */
export interface ObjectReference {
  readonly kind: OwnKind;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
}

export const referenceTo = (kind: OwnKind, { metadata }: OwnObject): ObjectReference => ({
  kind,
  namespace: metadata.namespace ?? "default",
  name: metadata.name,
  uid: metadata.uid,
  generation: metadata.generation ?? 0,
});

/** Of a collection, in one namespace or (null) in all. */
export const collectionPath = (kind: OwnKind, namespace: string | null): string =>
  namespace === null
    ? `/apis/${GROUP}/${VERSION}/${PLURALS[kind]}`
    : `/apis/${GROUP}/${VERSION}/namespaces/${encodeURIComponent(namespace)}/${PLURALS[kind]}`;

export const objectPath = ({ kind, namespace, name }: ObjectReference): string =>
  `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`;

/** As a file would state it: what the server added is left out. */
export function documentOf(kind: OwnKind, { metadata, spec }: OwnObject): Readonly<Record<string, unknown>> {
  const { name, namespace, labels, annotations } = metadata;
  return {
    apiVersion: `${GROUP}/${VERSION}`,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec,
  };
}
