import type { AutoscalerStatus } from "../history/index.ts";
import { type Clock, type Json, type Log, messageOf, TidegateError } from "../model/index.ts";
import { type Follow, follow, isStatus, type KubernetesApi, type KubernetesObject, timeOf } from "../platforms/index.ts";
import type { Autoscaler } from "./words.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}
interface ScaleTargetRef {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly name: string;
}

export interface HorizontalPodAutoscaler extends KubernetesObject {
  readonly spec: { readonly scaleTargetRef: ScaleTargetRef; readonly minReplicas?: number; readonly maxReplicas: number };
  readonly status?: {
    readonly currentReplicas?: number;
    readonly desiredReplicas?: number;
    readonly lastScaleTime?: string;
    readonly conditions?: readonly Condition[] | null;
    readonly currentMetrics?: Json;
  };
}

export interface ScaledObject extends KubernetesObject {
  readonly spec: {
    readonly scaleTargetRef: ScaleTargetRef;
    readonly minReplicaCount?: number;
    readonly maxReplicaCount?: number;
  };
  readonly status?: { readonly hpaName?: string; readonly conditions?: readonly Condition[] | null };
}

/** Every autoscaler of some namespaces, followed by list and watch: nothing is ever written. */
export interface Autoscalers {
  /** Resolves once all were listed. @throws KubernetesError naming the right that is missing */
  readonly first: Promise<void>;
  /** With the newest status of each. */
  all(): readonly Autoscaler[];
  /** Why what is known may be old; null: it is not. */
  trouble(): string | null;
  close(): void;
}

export interface AutoscalersOptions {
  readonly api: KubernetesApi;
  /** null: of the whole cluster. */
  readonly namespaces: readonly string[] | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

export function followAutoscalers(options: AutoscalersOptions): Autoscalers {
  const { api, clock, log, onChange } = options;
  const hpas = new Map<string, HorizontalPodAutoscaler>();
  const scaledObjects = new Map<string, ScaledObject>();
  const follows: Follow[] = [];
  let closed = false;

  const keyOf = ({ metadata }: KubernetesObject) => `${metadata.namespace}/${metadata.name}`;
  function start<Item extends KubernetesObject>(
    group: string,
    plural: string,
    namespace: string | null,
    into: Map<string, Item>,
  ): Promise<void> {
    if (closed) return Promise.resolve();
    const within = namespace === null ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
    const one = follow<Item>({
      ...{ api, clock, log, path: `/apis/${group}${within}/${plural}`, query: {} },
      onList(items) {
        for (const [key, item] of into) if (namespace === null || item.metadata.namespace === namespace) into.delete(key);
        for (const item of items) into.set(keyOf(item), item);
        onChange();
      },
      onChange(type, item) {
        if (type === "deleted") into.delete(keyOf(item));
        else into.set(keyOf(item), item);
        onChange();
      },
    });
    follows.push(one);
    return one.first;
  }

  /** KEDA need not be there. */
  async function hasKeda(): Promise<boolean> {
    try {
      await api.ask({ path: "/apis/keda.sh/v1alpha1" });
      return true;
    } catch (error) {
      if (isStatus(error, 404)) return false;
      throw error;
    }
  }

  async function startAll(): Promise<void> {
    const keda = await hasKeda();
    const firsts = (options.namespaces ?? [null]).flatMap((namespace) => [
      start("autoscaling/v2", "horizontalpodautoscalers", namespace, hpas),
      ...(keda ? [start("keda.sh/v1alpha1", "scaledobjects", namespace, scaledObjects)] : []),
    ]);
    try {
      await Promise.all(firsts);
    } catch (error) {
      for (const one of follows) one.close();
      throw error instanceof TidegateError
        ? error
        : new TidegateError("platform/unreachable", messageOf(error), { retryable: true, cause: error });
    }
  }
  const first = startAll();
  first.catch(() => {});

  return {
    first,
    all: () => pairUp([...hpas.values()], [...scaledObjects.values()]),
    trouble() {
      const failing = follows.map((one) => one.trouble()).find((trouble) => trouble !== null);
      return failing === undefined || failing === null ? null : messageOf(failing.error);
    },
    close() {
      closed = true;
      for (const one of follows) one.close();
    },
  };
}

/** A ScaledObject and the HPA that KEDA made for it are one autoscaler: the rules are the former's, the counts the latter's. */
export function pairUp(hpas: readonly HorizontalPodAutoscaler[], scaledObjects: readonly ScaledObject[]): readonly Autoscaler[] {
  const ofKeda = new Set<HorizontalPodAutoscaler>();
  const scaled = scaledObjects.map((object): Autoscaler => {
    const { metadata, spec, status } = object;
    const hpa = hpas.find(
      (one) =>
        one.metadata.namespace === metadata.namespace &&
        (one.metadata.name === status?.hpaName || one.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid) === true),
    );
    if (hpa !== undefined) ofKeda.add(hpa);
    const title = `ScaledObject ${metadata.name}`;
    const own = conditionsOf(status?.conditions);
    return {
      ...{ title, kind: "ScaledObject", name: metadata.name, namespace: metadata.namespace ?? "default" },
      target: targetOf(spec.scaleTargetRef),
      min: spec.minReplicaCount ?? 0,
      max: spec.maxReplicaCount ?? 100,
      document: { apiVersion: "keda.sh/v1alpha1", kind: "ScaledObject", metadata: metaOf(object), spec },
      version: JSON.stringify([spec, metadata.annotations]),
      status:
        hpa === undefined
          ? { by: title, current: null, desired: null, scaledAtMs: null, conditions: own, metrics: null }
          : { ...statusOf(title, hpa), conditions: [...own, ...conditionsOf(hpa.status?.conditions)] },
    };
  });
  const plain = hpas
    .filter((hpa) => !ofKeda.has(hpa))
    .map((hpa): Autoscaler => {
      const { metadata, spec } = hpa;
      const title = `HorizontalPodAutoscaler ${metadata.name}`;
      return {
        ...{ title, kind: "HorizontalPodAutoscaler", name: metadata.name, namespace: metadata.namespace ?? "default" },
        target: targetOf(spec.scaleTargetRef),
        min: spec.minReplicas ?? 1,
        max: spec.maxReplicas,
        document: { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", metadata: metaOf(hpa), spec },
        version: JSON.stringify(spec),
        status: statusOf(title, hpa),
      };
    });
  return [...plain, ...scaled];
}

const targetOf = ({ apiVersion = "apps/v1", kind = "Deployment", name }: ScaleTargetRef) => ({ apiVersion, kind, name });

/** What a reader of manifests wants; the rest belongs to the API server. */
const metaOf = ({ metadata: { name, namespace, annotations } }: KubernetesObject) => {
  const { "kubectl.kubernetes.io/last-applied-configuration": _, ...kept } = annotations ?? {};
  return { name, namespace: namespace ?? "default", ...(Object.keys(kept).length === 0 ? {} : { annotations: kept }) };
};

const conditionsOf = (conditions: readonly Condition[] | null | undefined): AutoscalerStatus["conditions"] =>
  (conditions ?? []).map(({ type, status, reason = "", message = "" }) => ({ type, status, reason, message }));

/** The API leaves out a count of 0, so it is 0 as soon as there is a status. */
const statusOf = (by: string, { status }: HorizontalPodAutoscaler): AutoscalerStatus => {
  const said = status?.conditions !== undefined && status.conditions !== null && status.conditions.length > 0;
  return {
    by,
    current: status?.currentReplicas ?? (said ? 0 : null),
    desired: status?.desiredReplicas ?? (said ? 0 : null),
    scaledAtMs: timeOf(status?.lastScaleTime),
    conditions: conditionsOf(status?.conditions),
    metrics: status?.currentMetrics ?? null,
  };
};
