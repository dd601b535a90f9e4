import type { Pod, PodCondition } from "./objects.ts";

export const at = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
export const is = (type: string, status: PodCondition["status"], seconds: number, more: Partial<PodCondition> = {}): PodCondition => ({
  ...{ type, status, lastTransitionTime: at(seconds) },
  ...more,
});

export interface PodPart {
  readonly name?: string;
  readonly createdAt?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owner?: { readonly kind: string; readonly uid: string };
  readonly deleting?: boolean;
  readonly node?: string | null;
  readonly status?: Pod["status"];
  readonly spec?: Partial<Pod["spec"]>;
  readonly version?: number;
}

/** A pod of a ReplicaSet, Running on a node, unless the part says otherwise. */
export function examplePod(part: PodPart = {}): Pod {
  const name = part.name ?? "p";
  const owner = part.owner ?? { kind: "ReplicaSet", uid: "rs-1" };
  return {
    metadata: {
      ...{ name, namespace: "default", uid: `uid-${name}`, resourceVersion: String(part.version ?? 1) },
      creationTimestamp: at(part.createdAt ?? 100),
      ...(part.deleting ? { deletionTimestamp: at(900) } : {}),
      ...{ labels: part.labels ?? {}, annotations: part.annotations ?? {} },
      ownerReferences: [{ ...owner, name: owner.uid, controller: true }],
    },
    spec: {
      ...(part.node === null ? {} : { nodeName: part.node ?? "n" }),
      containers: [{ name: "engine", ports: [{ name: "http", containerPort: 8000 }] }],
      ...part.spec,
    },
    status: part.status ?? { phase: "Running", podIP: "10.0.0.1", conditions: [is("Ready", "True", 200)] },
  };
}
