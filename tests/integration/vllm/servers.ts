import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "../../e2e/tidegate.ts";
import { maxModelLen } from "./model.ts";

const main = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));

/** The name that both serve the model under. */
export const modelName = "tiny";

const home = process.env["TIDEGATE_VLLM_HOME"] ?? "";

/** `vllm serve` of our model on the CPU, with `{host}` and `{port}` as an Endpoint's command has them. */
export const vllmCommand: readonly string[] = [
  join(home, "python", "bin", "vllm"),
  "serve",
  join(home, "model"),
  ...["--served-model-name", modelName],
  ...["--load-format", "dummy"],
  ...["--host", "{host}"],
  ...["--port", "{port}"],
  ...["--max-model-len", String(maxModelLen)],
  ...["--max-num-seqs", "8"],
  ...["--block-size", "32"], // the least that its CPU attention takes
  ...["--dtype", "bfloat16"],
  "--enforce-eager",
];

/** Nothing is asked of a hub, nothing is reported home, and every replica is content with one thread and a gigabyte of KV cache. */
export const vllmEnv: Readonly<Record<string, string>> = {
  HF_HUB_OFFLINE: "1",
  VLLM_NO_USAGE_STATS: "1",
  DO_NOT_TRACK: "1",
  VLLM_CACHE_ROOT: join(home, "vllm-cache"),
  VLLM_HOST_IP: "127.0.0.1",
  VLLM_CPU_KVCACHE_SPACE: "1",
  VLLM_CPU_OMP_THREADS_BIND: "nobind",
  OMP_NUM_THREADS: "1",
};

export interface Server {
  readonly url: string;
  /** Answers of `/health` while it started, each once, in order; 0: no connection. */
  readonly health: readonly number[];
  stop(): Promise<void>;
}

/** Starts a server and waits until it is healthy. @throws with the end of its log where it ends or takes too long */
async function start(
  name: string,
  [file, ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Server> {
  const [port] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const log = join(home, `${name}.log`);
  const output = openSync(log, "w");
  const child: ChildProcess = spawn(
    file as string,
    args.map((arg) => arg.replace("{host}", "127.0.0.1").replace("{port}", String(port))),
    // A group of its own: where the server dies badly, its workers are ended with it.
    { env: { ...process.env, ...env }, stdio: ["ignore", output, output], detached: true },
  );
  closeSync(output);
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const signal = (what: NodeJS.Signals) => {
    try {
      process.kill(-(child.pid as number), what);
    } catch {
      // the group is gone
    }
  };
  const stop = async () => {
    child.kill("SIGTERM");
    const late = setTimeout(() => signal("SIGKILL"), 30_000);
    await ended;
    clearTimeout(late);
    signal("SIGKILL");
  };
  const health: number[] = [];
  for (const endMs = Date.now() + timeoutMs; ; ) {
    const status = await fetch(`${url}/health`).then(
      (answer) => answer.status,
      () => 0,
    );
    if (health.at(-1) !== status) health.push(status);
    if (status === 200) return { url, health, stop };
    if (child.exitCode !== null || Date.now() > endMs) {
      await stop();
      throw new Error(`${name} is not healthy after ${health}; its log ends:\n${readFileSync(log, "utf8").slice(-4000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const startVllm = (): Promise<Server> => start("vllm", vllmCommand, vllmEnv, 240_000);

export const startEmulated = (): Promise<Server> =>
  start(
    "emulated",
    [
      process.execPath,
      main,
      "engine",
      ...["--model", modelName],
      ...["--host", "{host}"],
      ...["--port", "{port}"],
      ...["--max-model-len", String(maxModelLen)],
      ...["--max-num-seqs", "8"],
      ...["--cold-start", "2s"],
    ],
    {},
    30_000,
  );
