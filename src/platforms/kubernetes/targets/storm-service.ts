import type { Target } from "../../../model/index.ts";
import { refused } from "../api.ts";
import type { KubernetesObject, Pod } from "../objects.ts";
import { findResource } from "../resource.ts";
import { boundAutoscaler, lastWriter } from "../writers.ts";
import { scaleSubresource } from "./scale-subresource.ts";
import { type Count, compareAndSet, patchFields, type ScaleTarget, type TargetContext, type TargetKind } from "./target.ts";

interface Role {
  readonly name: string;
  readonly replicas?: number;
  readonly podGroupSize?: number;
}
interface StormService extends KubernetesObject {
  readonly spec: {
    readonly replicas?: number;
    readonly mode?: "Replica" | "Pooled";
    readonly template?: { readonly spec?: { readonly roles?: readonly Role[] } };
  };
}

const POD_GROUP_INDEX = "stormservice.orchestration.aibrix.ai/pod-group-index";
const rolesOf = ({ spec }: StormService): readonly Role[] => spec.template?.spec?.roles ?? [];
/** Of a pod group only this one answers requests. */
const answers = ({ metadata }: Pod): boolean => (metadata.labels?.[POD_GROUP_INDEX] ?? "0") === "0";

/**
 * AIBrix's StormService; `part` names the role that answers requests.
 * - Mode `Pooled`: one RoleSet, and the role's own count is scaled; a replica is a pod of the role, or the first of its pod group.
 * - Mode `Replica`: whole RoleSets are counted, through the scale subresource; a replica is ready when all pods of its RoleSet are.
 *
 * Source: vllm-project/aibrix, `api/orchestration/v1alpha1/stormservice_types.go`, `podautoscaler/workload_scale.go` (v0.7).
 */
export const stormService: TargetKind = {
  group: "orchestration.aibrix.ai",
  kind: "StormService",
  async open(target: Target, context: TargetContext): Promise<ScaleTarget> {
    const { api, namespace } = context;
    const called = `StormService ${target.name}`;
    const path = await findResource(api, target, namespace);
    const read = () => api.ask<StormService>({ path });
    const service = await read();
    const names = rolesOf(service).map(({ name }) => name);
    const part = target.part ?? (names.length === 1 ? (names[0] as string) : undefined);
    if (part === undefined)
      throw refused(`${called} has ${names.length} roles (${names.join(", ")}): say in platform.target.part which one answers requests`);
    roleIn(service, part, called);

    const { mode, replicas = 1 } = service.spec;
    if (mode === undefined && replicas > 1)
      throw refused(
        `${called} has ${replicas} replicas and no spec.mode, so that one replica would be taken for mode Pooled: set spec.mode: Replica`,
      );
    if (mode === "Replica") return replicaMode(target, part, service, context);

    const countOf = (seen: StormService): Count => ({
      replicas: roleIn(seen, part, called).role.replicas ?? 1,
      selector: `storm-service-name=${target.name},role-name=${part}`,
    });
    return {
      name: `role ${part} of ${called}`,
      grouping: { seatOf: (pod) => (answers(pod) ? { group: pod.metadata.name, leads: true } : null), sizeOf: () => 1 },
      namesVictims: false,
      read: async () => countOf(await read()),
      write(from, to) {
        const set = async (seen: StormService) => {
          const { at } = roleIn(seen, part, called);
          return countOf(await patchFields<StormService>(api, path, seen, { [`/spec/template/spec/roles/${at}/replicas`]: to }));
        };
        return compareAndSet({ read, countOf, set }, from, to);
      },
      lastWriter: () => lastWriter(api, path, ["roles"]),
      owner: (lately = false) => boundAutoscaler(api, target, namespace, lately),
    };
  },
};

function roleIn(service: StormService, part: string, called: string): { readonly role: Role; readonly at: number } {
  const roles = rolesOf(service);
  const at = roles.findIndex(({ name }) => name === part);
  const role = roles[at];
  if (role === undefined)
    throw refused(`${called} has no role ${part}; it has ${roles.map(({ name }) => name).join(", ")}: correct platform.target.part`);
  return { role, at };
}

function replicaMode(target: Target, part: string, service: StormService, context: TargetContext): Promise<ScaleTarget> {
  const { role } = roleIn(service, part, `StormService ${target.name}`);
  if ((role.replicas ?? 1) !== 1)
    throw refused(
      `StormService ${target.name} is in mode Replica, and its role ${part} has ${role.replicas} pods in each replica: one must answer requests, so give the role 1 replica, or use mode Pooled`,
    );
  const size = rolesOf(service).reduce((sum, { replicas = 1, podGroupSize = 1 }) => sum + replicas * podGroupSize, 0);
  return scaleSubresource(target, context, {
    selector: `storm-service-name=${target.name}`,
    grouping: {
      seatOf(pod) {
        const { labels = {} } = pod.metadata;
        const group = labels["roleset-name"];
        return group === undefined ? null : { group, leads: labels["role-name"] === part && answers(pod) };
      },
      sizeOf: () => size,
    },
  });
}
