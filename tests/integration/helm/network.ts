import type { Manifest } from "./helm.ts";

type Labels = Readonly<Record<string, string>>;

/** A pod of some namespace, or an address outside the cluster's pods. */
export type Side = { readonly namespace: string; readonly labels: Labels } | { readonly address: string };

interface Selector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[];
}
interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string };
}
interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: number | string }[];
}

function matches({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      if (operator !== "In") throw new Error(`operator ${operator} is not among those that the chart uses`);
      return values.includes(labels[key] ?? "");
    })
  );
}

function isPeer(peer: Peer, side: Side, own: string): boolean {
  if ("address" in side) {
    if (peer.ipBlock === undefined) return false;
    // The chart's blocks are everything, or one address.
    return peer.ipBlock.cidr.endsWith("/0")
      ? peer.ipBlock.cidr.includes(":") === side.address.includes(":")
      : peer.ipBlock.cidr === `${side.address}/32`;
  }
  // Blocks are for what is no pod: most networks apply them to nothing else.
  if (peer.ipBlock !== undefined) return false;
  const inNamespace =
    peer.namespaceSelector === undefined
      ? side.namespace === own
      : matches(peer.namespaceSelector, { "kubernetes.io/metadata.name": side.namespace });
  return inNamespace && matches(peer.podSelector ?? {}, side.labels);
}

/**
 * Whether the policies let `from` open a connection to `to` at that port (a container port's name, or a number), by the rules of
 * NetworkPolicy: what no policy selects is open; what one selects is closed but for what any rule allows, on both sides.
 */
export function mayConnect(policies: readonly Manifest[], from: Side, to: Side, port: number | string): boolean {
  const allows = (direction: "Ingress" | "Egress", self: Side, other: Side) => {
    if ("address" in self) return true;
    const selecting = policies.filter(
      ({ metadata, spec }) =>
        metadata.namespace === self.namespace && spec.policyTypes.includes(direction) && matches(spec.podSelector, self.labels),
    );
    if (selecting.length === 0) return true;
    const rules = selecting.flatMap(({ spec }) => (direction === "Ingress" ? spec.ingress : spec.egress) ?? []) as readonly Rule[];
    return rules.some(({ from: sources, to: targets, ports }) => {
      const peers = direction === "Ingress" ? sources : targets;
      const here = peers === undefined || peers.some((peer) => isPeer(peer, other, self.namespace));
      return here && (ports === undefined || ports.some((one) => one.port === port));
    });
  };
  return allows("Egress", from, to) && allows("Ingress", to, from);
}
