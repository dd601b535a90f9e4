import { type Endpoint, type KubernetesPlatformSpec, messageOf, type Target } from "../../model/index.ts";
import type { Platform, PlatformContext, PlatformStatus } from "../platform.ts";
import { refused } from "./api.ts";
import { type ScaledPool, scaledPool } from "./scaled-pool.ts";
import { sharedConnection } from "./shared-connection.ts";

/**
 * Any Kubernetes object with a scale subresource, one for each pool. Nothing of ours is remembered here: what drains stands on the
 * pods, so another controller goes on where this one stopped, and a hand-over alone changes no count.
 * - The object was there before us and outlives us: `close` leaves its count as it is, also for `end`, so that ending a controller
 *   takes no service down.
 * - While the API server cannot be reached, `status` throws (nothing is decided) and pods go on as they are.
 *
 * @throws TidegateError `platform/refused | platform/unreachable`
 */
export async function kubernetesPlatform(endpoint: Endpoint, context: PlatformContext): Promise<Platform> {
  if (endpoint.platform.kind !== "kubernetes")
    throw refused(`endpoint ${endpoint.name} has platform ${endpoint.platform.kind}, not kubernetes`);
  const spec: KubernetesPlatformSpec = endpoint.platform;
  const { clock, log } = context;
  if (clock.speed !== 1)
    throw refused(`platform kubernetes runs in the cluster's time: speed ${clock.speed} is not possible, leave it at 1`);
  const connected = spec.kubeconfig === null && spec.context === null ? context.cluster : undefined;
  const connection =
    connected === undefined
      ? await sharedConnection({ kubeconfig: spec.kubeconfig, context: spec.context }, clock)
      : { api: connected, close: () => {} };
  const { api } = connection;
  const listeners = new Set<() => void>();
  const pools = new Map<string, ScaledPool>();
  let notifying = false;
  let closed = false;

  function changed(): void {
    if (notifying) return;
    notifying = true;
    queueMicrotask(() => {
      notifying = false;
      for (const listener of [...listeners]) {
        try {
          listener();
        } catch (error) {
          log("error", `a listener of platform ${endpoint.name} failed: ${messageOf(error)}`);
        }
      }
    });
  }

  const free = () => {
    for (const pool of pools.values()) pool.close();
    connection.close();
  };
  try {
    for (const pool of endpoint.pools) {
      const { name } = pool;
      const { port, drainTimeoutMs } = spec;
      const mayAct = context.mayAct ?? (() => true);
      const namespace = spec.namespace ?? endpoint.namespace;
      const target = targetOf(endpoint, spec, name);
      pools.set(name, await scaledPool({ pool, target, namespace, port, drainTimeoutMs, api, clock, log, mayAct, changed }));
    }
  } catch (error) {
    free();
    throw error;
  }

  function poolNamed(name: string): ScaledPool {
    const pool = pools.get(name);
    if (pool !== undefined) return pool;
    throw refused(`endpoint ${endpoint.name} has no pool ${name}; it has ${[...pools.keys()].join(", ")}`);
  }

  return {
    kind: "kubernetes",
    acts: true,
    async status(): Promise<PlatformStatus> {
      const states = [...pools].map(([name, pool]) => [name, pool.status()] as const);
      return {
        pools: Object.fromEntries(states.map(([name, { pool }]) => [name, pool])),
        replicas: states.flatMap(([, { replicas }]) => replicas),
        about: Object.fromEntries(states.map(([name, { about }]) => [name, about])),
      };
    },
    async scale(name, want) {
      const pool = poolNamed(name);
      if (closed) throw refused(`platform of endpoint ${endpoint.name} is closed`);
      if (!Number.isInteger(want.replicas) || want.replicas < 0)
        throw refused(`pool ${name} cannot have ${want.replicas} replicas: ask for a whole number from 0`);
      return pool.scale(want.replicas, want.drain);
    },
    drained(replica) {
      for (const pool of pools.values()) if (pool.drained(replica)) return;
    },
    async letGo() {
      for (const pool of pools.values()) await pool.takeBack();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      if (closed) return;
      closed = true;
      free();
    },
  };
}

function targetOf(endpoint: Endpoint, spec: KubernetesPlatformSpec, pool: string): Target {
  const target = spec.targets[pool] ?? (endpoint.pools.length === 1 ? spec.target : null);
  if (target !== null) return target;
  throw refused(`pool ${pool} of endpoint ${endpoint.name} has no target: name its object in platform.targets.${pool}`);
}
