import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";
import { provision as provisionPlane } from "../bridge/provision.ts";
import { buildHelm } from "./build.ts";

/** The kinds of Prometheus Operator and cert-manager, whose definitions the API server of the test has not. */
const models = { "@kubernetes-models/cert-manager": "6.0.0", "@kubernetes-models/prometheus-operator": "6.0.0" };

export const builds = true;

/** The control plane of the kubernetes suite, helm, and types of other people's custom resources. */
export async function provision(cache: string): Promise<Provision> {
  const plane = await provisionPlane(join(dirname(cache), "bridge"));
  if (!plane.ok) return plane;
  const helm = await buildHelm(cache);
  if (!helm.ok) return helm;
  const folder = join(cache, "models");
  const why = install(folder);
  return why === null ? { ok: true, env: { ...plane.env, ...helm.env, TIDEGATE_MODELS: folder } } : { ok: false, reason: why };
}

/** @returns null, or why not */
function install(folder: string): string | null {
  const file = join(folder, "package.json");
  const wanted = JSON.stringify({ private: true, type: "module", dependencies: models });
  if (existsSync(file) && readFileSync(file, "utf8") === wanted) return null;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, wanted);
  const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
  const { status, error, stderr } = spawnSync("npm", args, { cwd: folder, encoding: "utf8", timeout: 300_000 });
  if (status === 0) return null;
  rmSync(file);
  return `npm install of ${Object.keys(models).join(" and ")}: ${error?.message ?? stderr.trim().slice(-500)}`;
}
