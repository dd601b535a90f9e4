import { spawnSync } from "node:child_process";
import type { Provision } from "../../../scripts/integration.ts";
import { buildPlane } from "./plane/build.ts";

export const builds = true;

/** A control plane, built from Go modules into the cache folder: about 20 minutes on one core the first time, nothing after. */
export async function provision(cache: string): Promise<Provision> {
  if (spawnSync("openssl", ["version"]).status !== 0)
    return { ok: false, reason: "openssl, which makes the test's certificates, is not on PATH" };
  const built = await buildPlane(cache);
  return built.ok ? { ok: true, env: { TIDEGATE_PLANE: built.folder } } : built;
}
