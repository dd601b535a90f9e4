import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { freePorts, until } from "../../e2e/tidegate.ts";
import { configOf, readDockerfile, type Stage } from "./dockerfile.ts";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const root = process.env["TIDEGATE_IMAGE_ROOT"] as string;
const image = configOf(readDockerfile(join(repository, "deploy", "Dockerfile")).at(-1) as Stage);
const scratch = mkdtempSync(join(tmpdir(), "tidegate-image-"));
const [state, config] = [join(scratch, "state"), join(scratch, "config")];
for (const folder of [state, config]) mkdirSync(folder);
for (const folder of ["etc/tidegate", "var/lib/tidegate"]) mkdirSync(join(root, folder), { recursive: true });
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/**
 * As `docker run --read-only --tmpfs /tmp -v STATE:/var/lib/tidegate -v CONFIG:/etc/tidegate`: the root folder is the whole world and
 * cannot be written; as the image's user, in its working folder, with its environment and no other. The network is the machine's.
 */
function inside(command: readonly string[], more: Readonly<Record<string, string>> = {}): readonly [string, readonly string[]] {
  const env = Object.entries({ ...image.env, ...more }).map(([key, value]) => `${key}=${value}`);
  const script = `
    root="$1"; shift
    chown ${image.user} "${state}"
    mount --bind "$root" "$root"
    mount --bind "${state}" "$root${image.workdir}"
    mount --bind "${config}" "$root/etc/tidegate"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -o remount,ro,bind "$root"
    exec "$@"`;
  const entered = ["chroot", `--userspec=${image.user}`, "--groups=", root, ...command];
  return [
    "unshare",
    [
      "--mount",
      "--pid",
      "--fork",
      "--kill-child",
      "sh",
      "-ec",
      script,
      "sh",
      root,
      "env",
      "-i",
      "PATH=/usr/sbin:/usr/bin",
      ...env,
      ...entered,
    ],
  ];
}
const run = (...args: readonly string[]) => {
  const [program, words] = inside([...image.entrypoint, ...args]);
  return spawnSync(program, words, { encoding: "utf8", timeout: 60_000 });
};
const node = (code: string) => {
  const [program, words] = inside([image.entrypoint[0] as string, "-p", code]);
  return spawnSync(program, words, { encoding: "utf8", timeout: 60_000 });
};

it("runs its verbs, as nobody, where nothing can be written", () => {
  const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { version: string };
  expect(run("--version")).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: "" });
  for (const verb of ["up", "gateway", "controller", "bridge", "validate", "simulate", "top"])
    expect(run(verb, "--help"), verb).toMatchObject({ status: 0, stdout: expect.stringContaining(`tidegate ${verb}`) });
  expect(node("[process.getuid(), process.getgid(), process.getgroups(), process.cwd()]").stdout).toBe(
    `[ 65532, 65532, [ 65532 ], '/' ]\n`,
  );
  expect(node("require('fs').writeFileSync('/app/a', '')").stderr).toContain("EROFS");
  expect(node("require('fs').writeFileSync('/var/lib/tidegate/a', 'a') ?? 'written'").stdout).toBe("written\n");
  expect(readdirSync(root)).not.toContain("src");
});

it("has the Kubernetes client, and nothing that only a build needs", () => {
  const packages = readdirSync(join(root, "app", "node_modules"));
  expect(packages).toEqual(expect.arrayContaining(["@kubernetes", "zod", "undici"]));
  for (const name of ["typescript", "vitest", "@biomejs", "esbuild", "playwright-core"]) expect(packages).not.toContain(name);
  const files = readdirSync(join(root, "app"), { recursive: true, encoding: "utf8" });
  expect(files.filter((file) => /\.(map|d\.ts)$/.test(file) && file.startsWith("node_modules"))).toEqual([]);
  const bytes = files.reduce(
    (sum, file) => sum + (statSync(join(root, "app", file)).isFile() ? statSync(join(root, "app", file)).size : 0),
    0,
  );
  process.stdout.write(`the image's own files: ${(bytes / 1e6).toFixed(0)} MB\n`);
  expect(bytes).toBeLessThan(100e6);
  // It is loaded, and finds no cluster.
  const bridge = run("bridge", "--custom-metrics", "--tls-cert", "/a", "--tls-key", "/b");
  expect(bridge).toMatchObject({ status: 2, stderr: expect.stringContaining("there is no kubeconfig and this is not a pod") });
});

it("serves by its own command, is healthy by its own check, and ends on SIGTERM", async () => {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  writeFileSync(
    join(config, "tidegate.yaml"),
    `apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: tiny }
spec:
  model: tiny
  engine: { kind: emulated, profile: 8B, coldStart: 1s }
  platform: { kind: process }
  replicas: { min: 1, max: 1 }
  policy: { kind: static, replicas: 1 }
`,
  );
  const env = { TIDEGATE_PORT: String(port), TIDEGATE_ADMIN_PORT: String(adminPort), TIDEGATE_HOST: "127.0.0.1" };
  const [program, args] = inside([...image.entrypoint, ...image.command], env);
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => (said += String(text)));
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const healthy = () => {
    const [probe, words] = inside(image.healthcheck, env);
    return spawnSync(probe, words, { encoding: "utf8" }).status;
  };
  try {
    expect(healthy()).toBe(1);
    await until(
      () => fetch(`http://127.0.0.1:${adminPort}/livez`),
      ({ status }) => status === 200,
      60_000,
    );
    expect(healthy()).toBe(0);
    const answer = await until(
      () =>
        fetch(`http://127.0.0.1:${port}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ model: "tiny", prompt: "hello", max_tokens: 4 }),
        }),
      ({ status }) => status === 200,
      60_000,
    );
    expect(await answer.json()).toMatchObject({ model: "tiny" });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${said}`);
  } finally {
    // The program is the only child of unshare, which hands no signals on.
    const pid = Number(spawnSync("ps", ["-o", "pid=", "--ppid", String(child.pid)], { encoding: "utf8" }).stdout);
    if (pid > 0) process.kill(pid, "SIGTERM");
    await ended;
  }
  expect(readdirSync(state)).toContain("history.sqlite");
}, 180_000);
