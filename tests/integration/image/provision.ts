import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { readDockerfile } from "./dockerfile.ts";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
/** What the distroless base has of Debian besides Node, as far as a program needs it. */
const libraries = ["libc6", "libgcc-s1", "libstdc++6"];

/**
 * The image without Docker: each stage's instructions are carried out in a folder of its own, its base being this machine with its Node,
 * and the last stage's in a root folder that has nothing but Node and the libraries it is linked against.
 */
export async function provision(cache: string): Promise<Provision> {
  const may = spawnSync("unshare", ["--mount", "true"], { encoding: "utf8" });
  if (may.status !== 0) return { ok: false, reason: `unshare --mount is not possible here: ${may.error?.message ?? may.stderr.trim()}` };
  for (const name of readdirSync(dirname(cache)).includes("image") ? readdirSync(cache) : [])
    if (name !== "libraries") rmSync(join(cache, name), { recursive: true, force: true });
  mkdirSync(join(cache, "libraries"), { recursive: true });
  const got = debian(join(cache, "libraries"));
  if (got !== null) return { ok: false, reason: got };
  const stages = readDockerfile(join(repository, "deploy", "Dockerfile"));
  const image = stages.at(-1);
  if (image === undefined) throw new Error("deploy/Dockerfile has no stage");
  const context = join(cache, "context");
  copyContext(context);
  const rootOf = (stage: string) => join(cache, "stages", stage);
  for (const stage of stages) {
    const root = stage === image ? join(cache, "root") : rootOf(stage.name);
    mkdirSync(root, { recursive: true });
    let workdir = "/";
    for (const { name, text } of stage.instructions) {
      if (name === "WORKDIR") {
        workdir = text;
        mkdirSync(join(root, workdir), { recursive: true });
      } else if (name === "COPY") {
        const words = text.split(/\s+/);
        const from = words.find((word) => word.startsWith("--from="))?.slice("--from=".length);
        const paths = words.filter((word) => !word.startsWith("--"));
        const to = paths.at(-1) as string;
        const target = to.startsWith("/") ? join(root, to) : join(root, workdir, to);
        for (const path of paths.slice(0, -1)) {
          const source = from === undefined ? join(context, path) : join(rootOf(from), path);
          const isFolder = readdirSync(dirname(source), { withFileTypes: true })
            .find((entry) => join(dirname(source), entry.name) === source)
            ?.isDirectory();
          cpSync(source, path === "." || isFolder === true ? target : join(target, path), { recursive: true });
        }
      } else if (name === "RUN") {
        const PATH = `${dirname(process.execPath)}:${process.env["PATH"]}`;
        const { CI: _ci, NODE_ENV: _env, ...env } = process.env;
        const ran = spawnSync("nice", ["sh", "-ec", text], {
          cwd: join(root, workdir),
          encoding: "utf8",
          env: { ...env, PATH },
          timeout: 600_000,
        });
        if (ran.status !== 0) throw new Error(`RUN ${text}: ${ran.error?.message ?? `${ran.stdout}${ran.stderr}`.slice(-1500)}`);
      }
    }
  }
  const root = join(cache, "root");
  mkdirSync(join(root, "nodejs", "bin"), { recursive: true });
  cpSync(process.execPath, join(root, "nodejs", "bin", "node"), { dereference: true });
  cpSync(join(cache, "libraries", "root"), root, { recursive: true, verbatimSymlinks: true });
  for (const folder of ["tmp", "proc", "dev", "etc"]) mkdirSync(join(root, folder), { recursive: true });
  return { ok: true, env: { TIDEGATE_IMAGE_ROOT: root } };
}

/** The files that git knows, as a checkout has them, less what .dockerignore leaves out. */
function copyContext(to: string): void {
  const excluded = spawnSync("git", ["ls-files", "--cached", "--ignored", "--exclude-from=.dockerignore"], {
    cwd: repository,
    encoding: "utf8",
  });
  const all = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: repository, encoding: "utf8" });
  if (all.status !== 0 || excluded.status !== 0) throw new Error(`git ls-files: ${all.stderr}${excluded.stderr}`);
  const left = new Set(excluded.stdout.split("\n"));
  for (const file of all.stdout.split("\n"))
    if (file !== "" && !left.has(file) && existsSync(join(repository, file))) cpSync(join(repository, file), join(to, file));
}

/** Debian's packages of the libraries, unpacked. @returns null, or why that was not possible */
function debian(folder: string): string | null {
  const root = join(folder, "root");
  if (existsSync(root)) return null;
  const run = (command: string, args: readonly string[]) => spawnSync(command, args, { cwd: folder, encoding: "utf8", timeout: 300_000 });
  let got = run("apt-get", ["download", ...libraries]);
  if (got.status !== 0 && process.getuid?.() === 0) {
    run("apt-get", ["update"]);
    got = run("apt-get", ["download", ...libraries]);
  }
  if (got.status !== 0) return `apt-get download ${libraries.join(" ")}: ${got.error?.message ?? got.stderr.trim().slice(-400)}`;
  mkdirSync(`${root}.part`, { recursive: true });
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".deb"))) {
    const unpacked = run("dpkg-deb", ["--extract", file, `${root}.part`]);
    if (unpacked.status !== 0) return `unpacking ${file}: ${unpacked.stderr.trim()}`;
  }
  // Debian has /lib as a link to /usr/lib, and the interpreter of every program below /lib64.
  const linked = run("sh", [
    "-ec",
    `cd "${root}.part"; for d in lib lib64; do [ -e $d ] || ln -s usr/$d $d; done; mv "${root}.part" "${root}"`,
  ]);
  return linked.status === 0 ? null : linked.stderr.trim();
}
