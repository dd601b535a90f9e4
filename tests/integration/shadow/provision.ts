import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";
import { buildPlane } from "../kubernetes/plane/build.ts";

export const builds = true;

/** The control plane of the kubernetes suite, out of the same cache. */
export async function provision(cache: string): Promise<Provision> {
  if (spawnSync("openssl", ["version"]).status !== 0)
    return { ok: false, reason: "openssl, which makes the test's certificates, is not on PATH" };
  const built = await buildPlane(join(dirname(cache), "kubernetes"));
  return built.ok ? { ok: true, env: { TIDEGATE_PLANE: built.folder } } : built;
}
