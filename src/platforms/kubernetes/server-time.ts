import type { Clock, Ms } from "../../model/index.ts";
import type { KubernetesApi } from "./api.ts";

/** The API server's clock less ours, by its last answer; answers give whole seconds, so less than two count as none. 0 in scaled time. */
export function serverSkewMs(api: KubernetesApi, clock: Clock): Ms {
  if (clock.speed !== 1) return 0;
  const ms = Math.round(api.skewMs() + Date.now() - clock.now());
  return Math.abs(ms) < 2_000 ? 0 : ms;
}
