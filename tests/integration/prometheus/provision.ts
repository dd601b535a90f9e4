import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";

const run = (command: string, args: readonly string[], cwd?: string) =>
  spawnSync(command, args, { encoding: "utf8", timeout: 300_000, ...(cwd === undefined ? {} : { cwd }) });
const said = ({ error, stderr }: ReturnType<typeof run>) => error?.message ?? stderr.trim().slice(-500);

/** Prometheus and promtool from PATH, else out of Debian's package, unpacked into the cache folder without installing it. */
export async function provision(cache: string): Promise<Provision> {
  if (run("openssl", ["version"]).status !== 0)
    return { ok: false, reason: "openssl, which makes the test's certificates, is not on PATH" };
  const onPath = ["prometheus", "promtool"].every((name) => run(name, ["--version"]).status === 0);
  const at = (name: string) => (onPath ? name : join(cache, "usr", "bin", name));
  if (!onPath && !existsSync(at("prometheus"))) {
    const here = `${process.platform}-${process.arch}`;
    if (process.platform !== "linux")
      return { ok: false, reason: `prometheus is not on PATH, and Debian's package of it does not run on ${here}` };
    mkdirSync(cache, { recursive: true });
    let got = run("apt-get", ["download", "prometheus"], cache);
    if (got.status !== 0 && process.getuid?.() === 0) {
      // A new machine may have no package lists yet.
      run("apt-get", ["update"]);
      got = run("apt-get", ["download", "prometheus"], cache);
    }
    if (got.status !== 0) return { ok: false, reason: `prometheus is not on PATH, and apt-get download prometheus: ${said(got)}` };
    for (const file of readdirSync(cache).filter((name) => name.endsWith(".deb"))) {
      const unpacked = run("dpkg-deb", ["--extract", join(cache, file), cache]);
      rmSync(join(cache, file));
      if (unpacked.status !== 0) return { ok: false, reason: `unpacking ${file}: ${said(unpacked)}` };
    }
  }
  for (const name of ["prometheus", "promtool"]) {
    const probe = run(at(name), ["--version"]);
    if (probe.status !== 0) return { ok: false, reason: `${name} does not run here: ${said(probe)}` };
  }
  return { ok: true, env: { TIDEGATE_PROMETHEUS: at("prometheus"), TIDEGATE_PROMTOOL: at("promtool") } };
}
