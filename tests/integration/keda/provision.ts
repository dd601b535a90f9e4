import { dirname, join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";
import { provision as provisionPlane } from "../bridge/provision.ts";
import { buildKeda } from "./build.ts";

export const builds = true;

/** The control plane of the kubernetes suite, with KEDA's operator and metrics adapter beside it. */
export async function provision(cache: string): Promise<Provision> {
  const plane = await provisionPlane(join(dirname(cache), "bridge"));
  if (!plane.ok) return plane;
  const keda = await buildKeda(cache);
  return keda.ok ? { ok: true, env: { ...plane.env, ...keda.env } } : keda;
}
