import { spawn } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Unix seconds after which CI builds no more, so that it ends in time; people have no limit. */
const untilS = Number(process.env["TIDEGATE_BUILD_UNTIL"] ?? Number.POSITIVE_INFINITY);
const tooLate = "was not built by the time at which CI gives up (TIDEGATE_BUILD_UNTIL)";

/**
 * Runs `go ARGS` in a module's folder, with the lowest priority: tests run beside it.
 * @returns null, or what it said, or that CI's time for building is over
 */
export function go(args: readonly string[], cwd: string): Promise<string | null> {
  const leftMs = untilS * 1000 - Date.now();
  if (leftMs <= 0) return Promise.resolve(tooLate);
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
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text) => {
        said = `${said}${text}`.slice(-4000);
      });
    }
    const settle = (result: string | null) => {
      clearTimeout(timer);
      process.off("exit", end);
      resolve(late ? tooLate : result);
    };
    child.on("error", (error) => settle(error.message));
    child.on("close", (code) => settle(code === 0 ? null : said.trim().slice(-600)));
  });
}

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
