import type { Clock } from "../../model/index.ts";
import type { KubernetesApi } from "./api.ts";
import { type ConnectOptions, connectKubernetes } from "./connect.ts";

interface Shared {
  readonly api: Promise<KubernetesApi>;
  users: number;
}

/** By clock: whoever shares one belongs to one controller. */
const open = new WeakMap<Clock, Map<string, Shared>>();

/**
 * One connection for all platforms of a controller that name the same cluster; it is closed with the last of them.
 * @throws TidegateError as `connectKubernetes`
 */
export async function sharedConnection(
  options: ConnectOptions,
  clock: Clock,
): Promise<{ readonly api: KubernetesApi; readonly close: () => void }> {
  const known = open.get(clock) ?? new Map<string, Shared>();
  open.set(clock, known);
  const key = JSON.stringify(options);
  const shared = known.get(key) ?? { api: connectKubernetes(options), users: 0 };
  known.set(key, shared);
  shared.users++;
  const leave = (): boolean => {
    if (--shared.users > 0) return false;
    if (known.get(key) === shared) known.delete(key);
    return true;
  };
  try {
    const api = await shared.api;
    return { api, close: () => void (leave() && api.close()) };
  } catch (error) {
    leave();
    throw error;
  }
}
