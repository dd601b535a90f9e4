import { dirname, join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";
import { provision as provisionPlane } from "../bridge/provision.ts";
import { buildHelm } from "./build.ts";

/** The control plane of the kubernetes suite, and helm. */
export async function provision(cache: string): Promise<Provision> {
  const plane = await provisionPlane(join(dirname(cache), "bridge"));
  if (!plane.ok) return plane;
  const helm = await buildHelm(cache);
  return helm.ok ? { ok: true, env: { ...plane.env, ...helm.env } } : helm;
}
