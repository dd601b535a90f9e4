import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { fillCommand, fillText } from "./command.ts";
import { urlOf } from "./ports.ts";
import { pruneLogs, replicaLog } from "./replica-log.ts";
import { stageOf } from "./stages.ts";

const temporary = () => {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

it.each([
  { line: "tidegate-stage pull", engine: "other", stage: "pull" },
  { line: "tidegate-stage ready", engine: "other", stage: null },
  {
    line: "(EngineCore_0) INFO [gpu_model_runner.py:2602] Starting to load model meta-llama/Llama-3.1-8B...",
    engine: "vllm",
    stage: "load",
  },
  { line: "INFO [default_loader.py:267] Loading weights took 2.31 seconds", engine: "vllm", stage: "load" },
  { line: "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):   0%|", engine: "vllm", stage: "warmup" },
  { line: "srv    load_model: loading model 'tiny.gguf'", engine: "llamacpp", stage: "load" },
  { line: "common_init_from_params: warming up the model with an empty run - please wait ...", engine: "llamacpp", stage: "warmup" },
  { line: "srv    load_model: loading model 'tiny.gguf'", engine: "vllm", stage: null },
] as const)("reads stage $stage of $engine from: $line", ({ line, engine, stage }) => {
  expect(stageOf(line, engine)).toBe(stage);
});

it("expands {tidegate} to items of its own, or to words inside a text", () => {
  const values = { port: 1, host: "h", id: "a-1", index: 0, model: "m", speed: 1, epoch: 5, pool: "default" };
  expect(fillCommand(["{tidegate}", "engine", "--port={port}"], values, ["node", "main.ts"])).toEqual([
    "node",
    "main.ts",
    "engine",
    "--port=1",
  ]);
  expect(fillText("{tidegate} {epoch} {constructor}", values, ["node", "main.ts"])).toBe("node main.ts 5 {constructor}");
});

it.each([
  { host: "127.0.0.1", url: "http://127.0.0.1:80" },
  { host: "0.0.0.0", url: "http://127.0.0.1:80" },
  { host: "::", url: "http://[::1]:80" },
])("$host is reached as $url", ({ host, url }) => {
  expect(urlOf(host, 80)).toBe(url);
});

it("follows a file by whole lines, and keeps the last ones", () => {
  const path = join(temporary(), "a.log");
  const seen: string[] = [];
  const log = replicaLog(path, (line) => seen.push(line), { keepLines: 2 });
  log.read();
  writeFileSync(path, "one\ntwo\nthr");
  log.read();
  expect(seen).toEqual(["one", "two"]);
  appendFileSync(path, "ee\nfour");
  log.read();
  expect(log.lines).toEqual(["two", "three"]);
  log.read(true);
  expect(log.lines).toEqual(["three", "four"]);
});

it("rotates a file that grew too large, and goes on following it", () => {
  const path = join(temporary(), "a.log");
  const log = replicaLog(path, () => {}, { maxBytes: 10 });
  writeFileSync(path, "0123456789abc\n");
  log.read();
  expect([statSync(path).size, readFileSync(`${path}.1`, "utf8")]).toEqual([0, "0123456789abc\n"]);
  appendFileSync(path, "next\n");
  log.read();
  expect(log.lines.at(-1)).toBe("next");
});

it("removes the oldest logs, those of living replicas never", () => {
  const folder = temporary();
  const paths = ["1", "2", "3"].map((name) => join(folder, `${name}.log`));
  for (const path of paths) writeFileSync(path, "");
  pruneLogs(folder, new Set([paths[0]!]), 0);
  expect(paths.map((path) => statSync(path, { throwIfNoEntry: false }) !== undefined)).toEqual([true, false, false]);
});
