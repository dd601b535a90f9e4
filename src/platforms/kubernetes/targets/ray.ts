import { messageOf, type Target, TidegateError } from "../../../model/index.ts";
import { isStatus, refused } from "../api.ts";
import type { KubernetesObject, Pod } from "../objects.ts";
import { findResource } from "../resource.ts";
import { lastWriter } from "../writers.ts";
import { type Count, compareAndSet, type Grouping, patchFields, type ScaleTarget, type TargetContext, type TargetKind } from "./target.ts";

interface WorkerGroup {
  readonly groupName: string;
  readonly replicas?: number;
  readonly minReplicas?: number;
  readonly maxReplicas?: number;
  readonly numOfHosts?: number;
  readonly suspend?: boolean;
}
interface ClusterSpec {
  readonly enableInTreeAutoscaling?: boolean;
  readonly suspend?: boolean;
  readonly workerGroupSpecs?: readonly WorkerGroup[];
}
interface RayCluster extends KubernetesObject {
  readonly spec: ClusterSpec;
}
interface ServiceStatus {
  readonly rayClusterName?: string;
}
interface RayService extends KubernetesObject {
  readonly spec: { readonly rayClusterConfig: ClusterSpec };
  readonly status?: { readonly activeServiceStatus?: ServiceStatus; readonly pendingServiceStatus?: ServiceStatus };
}

const REPLICA_NAME = "ray.io/worker-group-replica-name";
const HOST_INDEX = "ray.io/replica-host-index";

/** The worker group of that name; without one the only one there is. */
function groupIn({ workerGroupSpecs = [] }: ClusterSpec, part: string | undefined, called: string): { group: WorkerGroup; at: number } {
  const names = workerGroupSpecs.map(({ groupName }) => groupName);
  const at = part === undefined ? (names.length === 1 ? 0 : -1) : names.indexOf(part);
  const group = workerGroupSpecs[at];
  if (group !== undefined) return { group, at };
  if (names.length === 0) throw refused(`${called} has no worker group: add one to spec.workerGroupSpecs`);
  throw refused(
    part === undefined
      ? `${called} has ${names.length} worker groups (${names.join(", ")}): say which in platform.target.part`
      : `${called} has no worker group ${part}; it has ${names.join(", ")}: correct platform.target.part`,
  );
}

/** What the CRD takes for no limit. */
const noLimit = 2 ** 31 - 1;

function countIn(cluster: RayCluster, part: string | undefined): Count {
  const { group } = groupIn(cluster.spec, part, `RayCluster ${cluster.metadata.name}`);
  const { replicas, minReplicas: min = 0, maxReplicas = noLimit, groupName } = group;
  const max = maxReplicas >= noLimit ? Number.POSITIVE_INFINITY : maxReplicas;
  const { name } = cluster.metadata;
  return {
    // KubeRay carries a count out within these, and so it is what counts.
    replicas: Math.min(max, Math.max(min, replicas ?? min)),
    selector: `ray.io/cluster=${name},ray.io/group=${groupName},ray.io/node-type=worker`,
    limits: { min, max, stated: `minReplicas and maxReplicas of worker group ${groupName} of RayCluster ${name}` },
  };
}

const fieldsOf = (base: string, at: number, to: number, going: readonly string[]): Readonly<Record<string, unknown>> => ({
  [`${base}/workerGroupSpecs/${at}/replicas`]: to,
  [`${base}/workerGroupSpecs/${at}/scaleStrategy`]: { workersToDelete: going },
});

/** Where a replica takes several hosts: by the labels of KubeRay 1.5's feature gate RayMultiHostIndexing. */
function groupingOf(hosts: number): Grouping | null {
  if (hosts <= 1) return null;
  return {
    seatOf({ metadata: { labels = {} } }: Pod) {
      const group = labels[REPLICA_NAME];
      return group === undefined ? null : { group, leads: labels[HOST_INDEX] === "0" };
    },
    sizeOf: () => hosts,
  };
}

function ownerIn({ enableInTreeAutoscaling, suspend, workerGroupSpecs = [] }: ClusterSpec, part: string | undefined): string | null {
  if (enableInTreeAutoscaling === true) return "Ray's own autoscaler (enableInTreeAutoscaling: true; set it to false)";
  const group = part === undefined ? workerGroupSpecs[0] : workerGroupSpecs.find(({ groupName }) => groupName === part);
  return suspend === true || group?.suspend === true ? "KubeRay (suspend: true)" : null;
}

/**
 * A worker group of a RayCluster (`part`: its name). The workers to go are named in `scaleStrategy.workersToDelete`, so KubeRay
 * deletes no other; it counts one that ends until it is gone, unless it is named there.
 * Source: ray-project/kuberay, `raycluster_controller.go` (v1.5): bounds, workersToDelete, labels.
 */
export const rayCluster: TargetKind = {
  group: "ray.io",
  kind: "RayCluster",
  async open(target: Target, context: TargetContext): Promise<ScaleTarget> {
    const { api, namespace } = context;
    const path = await findResource(api, target, namespace);
    const read = () => api.ask<RayCluster>({ path });
    const { part } = target;
    const { group } = groupIn((await read()).spec, part, `RayCluster ${target.name}`);
    const countOf = (cluster: RayCluster) => countIn(cluster, part);
    return {
      name: `worker group ${group.groupName} of RayCluster ${target.name}`,
      grouping: groupingOf(group.numOfHosts ?? 1),
      namesVictims: true,
      read: async () => countOf(await read()),
      write(from, to, going) {
        const set = async (seen: RayCluster) => {
          const { at } = groupIn(seen.spec, part, `RayCluster ${target.name}`);
          return countOf(await patchFields<RayCluster>(api, path, seen, fieldsOf("/spec", at, to, going)));
        };
        return compareAndSet({ read, countOf, set }, from, to);
      },
      lastWriter: () => lastWriter(api, path, ["workerGroupSpecs"]),
      owner: async () => ownerIn((await read()).spec, part),
    };
  },
};

/**
 * A worker group of a RayService, which is that of its active RayCluster. KubeRay does not carry a count of the RayService over to a
 * cluster that runs, but starts the next one with it: it is kept the same in both, and in a cluster that is being prepared.
 * Source: ray-project/kuberay, `rayservice_controller.go` (v1.5): which changes make a new cluster, and which do nothing.
 */
export const rayService: TargetKind = {
  group: "ray.io",
  kind: "RayService",
  async open(target: Target, context: TargetContext): Promise<ScaleTarget> {
    const { api, namespace, log } = context;
    const { part } = target;
    const called = `RayService ${target.name}`;
    const path = await findResource(api, target, namespace);
    const readService = () => api.ask<RayService>({ path });
    const opened = new Map<string, ScaleTarget>();

    async function clusterOf(name: string): Promise<ScaleTarget> {
      const known = opened.get(name);
      if (known !== undefined) return known;
      const cluster = await rayCluster.open({ ...target, kind: "RayCluster", name }, context);
      opened.set(name, cluster);
      return cluster;
    }

    async function active(): Promise<ScaleTarget> {
      const name = (await readService()).status?.activeServiceStatus?.rayClusterName ?? "";
      if (name !== "") return clusterOf(name);
      throw new TidegateError("platform/busy", `${called} has no active RayCluster yet: wait until KubeRay has made it`, {
        retryable: true,
      });
    }

    /** The count that the next cluster starts with. Without it an upgrade would begin with what the manifest once said. */
    async function tellNext(to: number): Promise<void> {
      try {
        const service = await readService();
        const pending = service.status?.pendingServiceStatus?.rayClusterName ?? "";
        const { group, at } = groupIn(service.spec.rayClusterConfig, part, called);
        if (group.replicas !== to)
          await patchFields(api, path, service, { [`/spec/rayClusterConfig/workerGroupSpecs/${at}/replicas`]: to });
        if (pending === "" || pending === service.status?.activeServiceStatus?.rayClusterName) return;
        const next = await clusterOf(pending);
        await next.write((await next.read()).replicas, to, []);
      } catch (error) {
        if (isStatus(error, 404)) return;
        log("warn", `${called}: an upgrade may start with another count than ${to}: ${messageOf(error)}`);
      }
    }

    const first = groupIn((await readService()).spec.rayClusterConfig, part, called).group;
    return {
      name: `worker group ${first.groupName} of ${called}`,
      grouping: groupingOf(first.numOfHosts ?? 1),
      namesVictims: true,
      read: async () => (await active()).read(),
      async write(from, to, going) {
        const written = await (await active()).write(from, to, going);
        if (written.kind === "written") await tellNext(to);
        return written;
      },
      lastWriter: async () => (await active()).lastWriter(),
      owner: async () => (await active()).owner(),
    };
  },
};
