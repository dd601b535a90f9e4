import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Unix seconds after which CI builds no more, so that it ends in time; people have no limit. */
const untilS = Number(process.env["TIDEGATE_BUILD_UNTIL"] ?? Number.POSITIVE_INFINITY);
const tooLate = "was not built by the time at which CI gives up (TIDEGATE_BUILD_UNTIL)";

/** `wrong`: null where it went well, else what it said, or that CI's time for building is over. */
export interface GoAnswer {
  readonly wrong: string | null;
  readonly output: string;
}

/** Runs `go ARGS` in a folder, with the lowest priority: tests run beside it. */
export function go(args: readonly string[], cwd: string): Promise<GoAnswer> {
  const leftMs = untilS * 1000 - Date.now();
  if (leftMs <= 0) return Promise.resolve({ wrong: tooLate, output: "" });
  mkdirSync(cwd, { recursive: true });
  return new Promise((resolve) => {
    const env = { ...process.env, GOFLAGS: "-mod=readonly -buildvcs=false", GOWORK: "off" };
    // A group of its own, so that the compilers that it started end with it.
    const child = spawn("nice", ["-n", "19", "go", ...args], { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {} // it has ended
    };
    let late = false;
    const timer = Number.isFinite(leftMs)
      ? setTimeout(() => {
          late = true;
          end();
        }, leftMs)
      : undefined;
    process.on("exit", end);
    let [output, said] = ["", ""];
    child.stdout.on("data", (text) => {
      output += text;
    });
    child.stderr.on("data", (text) => {
      said = `${said}${text}`.slice(-4000);
    });
    const settle = (wrong: string | null) => {
      clearTimeout(timer);
      process.off("exit", end);
      resolve({ wrong: late ? tooLate : wrong, output });
    };
    child.on("error", (error) => settle(error.message));
    child.on("close", (code) => settle(code === 0 ? null : (said || output).trim().slice(-600)));
  });
}

export interface GoProgram {
  readonly name: string;
  /** The folder of the module of ours that pins it. */
  readonly module: string;
  readonly path: string;
  readonly ldflags?: string;
}

/** Builds what is not in the folder yet. @returns null, or why it could not be had */
export async function buildPrograms(folder: string, programs: readonly GoProgram[]): Promise<string | null> {
  const missing = () => programs.filter(({ name }) => !existsSync(join(folder, name)));
  if (missing().length === 0) return null;
  if (spawnSync("go", ["version"]).status !== 0) return `go, which builds ${missing().map(({ name }) => name)}, is not on PATH`;
  return inTurn(folder, async () => {
    mkdirSync(folder, { recursive: true });
    for (const { name, module, path, ldflags } of missing()) {
      const startedAt = performance.now();
      process.stdout.write(`building ${name} …\n`);
      const part = join(folder, `${name}.${process.pid}`);
      const { wrong } = await go(["build", "-trimpath", "-ldflags", ["-s", "-w", ldflags].join(" ").trim(), "-o", part, path], module);
      if (wrong !== null) return `go build of ${name} (${path}): ${wrong}`;
      renameSync(part, join(folder, name));
      process.stdout.write(`built ${name} (${((performance.now() - startedAt) / 1000).toFixed(0)} s)\n`);
    }
    return null;
  });
}

/** Twelve characters for the contents of files: what is built of others is built anew. */
export const keyOf = (files: readonly string[], more = ""): string =>
  createHash("sha256")
    .update(Buffer.concat(files.map((file) => readFileSync(file))))
    .update(more)
    .digest("hex")
    .slice(0, 12);

/** One process at a time builds into a folder; the others wait for it, and find there what it built. */
export async function inTurn<Result>(folder: string, build: () => Promise<Result>): Promise<Result> {
  mkdirSync(dirname(folder), { recursive: true });
  const lock = `${folder}.lock`;
  const mine = `${lock}.${process.pid}`;
  let waits = false;
  writeFileSync(mine, String(process.pid));
  try {
    while (!taken(mine, lock)) {
      if (!waits) process.stdout.write(`waiting for the build in ${folder} …\n`);
      waits = true;
      if (!isHeld(lock)) rmSync(lock, { force: true });
      else await new Promise((resolve) => setTimeout(resolve, 500));
    }
  } finally {
    rmSync(mine, { force: true });
  }
  const leave = () => rmSync(lock, { force: true });
  process.on("exit", leave);
  try {
    return await build();
  } finally {
    process.off("exit", leave);
    leave();
  }
}

function taken(mine: string, lock: string): boolean {
  try {
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Whether the process that took it still runs. */
function isHeld(lock: string): boolean {
  try {
    if (!existsSync(lock)) return false;
    process.kill(Number(readFileSync(lock, "utf8")), 0);
    return true;
  } catch {
    return false;
  }
}
