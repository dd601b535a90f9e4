import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly process: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves once the text was printed on either stream. */
  saw(text: string | RegExp, timeoutMs?: number): Promise<void>;
  ended: Promise<Ended>;
}

/** Starts `tidegate ARGS` as a user would, with its output kept. */
export function start(args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd?: string): Running {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const watch of watchers) watch();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    for (const watch of watchers) watch();
  });
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
  return {
    process: child,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    saw: (text, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const there = () =>
          typeof text === "string" ? stdout.includes(text) || stderr.includes(text) : text.test(stdout) || text.test(stderr);
        const finish = (settle: () => void) => {
          clearTimeout(timer);
          watchers.delete(watch);
          settle();
        };
        const watch = () => there() && finish(resolve);
        const timer = setTimeout(
          () => finish(() => reject(new Error(`never printed ${text}; stdout:\n${stdout}\nstderr:\n${stderr}`))),
          timeoutMs,
        );
        watchers.add(watch);
        void ended.then(() =>
          finish(() =>
            there() ? resolve() : reject(new Error(`ended before it printed ${text}; stdout:\n${stdout}\nstderr:\n${stderr}`)),
          ),
        );
        watch();
      }),
  };
}

export const run = (args: readonly string[], env?: Readonly<Record<string, string>>, cwd?: string): Promise<Ended> =>
  start(args, env, cwd).ended;

/** A folder of the test's own, removed by `remove`. */
export function folder(): { readonly path: string; write(name: string, text: string): string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "tidegate-test-"));
  return {
    path,
    write(name, text) {
      const file = join(path, name);
      writeFileSync(file, text);
      return file;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

export function freePorts(count: number): Promise<readonly number[]> {
  return Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<number>((resolve) => {
          const server = createServer();
          server.listen(0, "127.0.0.1", () => {
            const address = server.address();
            server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
          });
        }),
    ),
  );
}

/** Asks again until `good` holds. @throws the last answer when time is over */
export async function until<T>(ask: () => Promise<T>, good: (answer: T) => boolean, timeoutMs = 20_000): Promise<T> {
  const endMs = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < endMs) {
    try {
      const answer = await ask();
      if (good(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not in time: ${last instanceof Error ? last.message : JSON.stringify(last)?.slice(0, 2000)}`);
}

export const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
