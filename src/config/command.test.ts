import { expect, it } from "vitest";
import { emulatedCommand, splitCommand } from "./index.ts";

it.each([
  ["vllm serve {model} --port {port}", ["vllm", "serve", "{model}", "--port", "{port}"]],
  [`a "b c" 'd "e"' f\\ g`, ["a", "b c", 'd "e"', "f g"]],
  [`a "" ''`, ["a", "", ""]],
  [`--x='{"a": 1}'`, ['--x={"a": 1}']],
  [`"a\\"b" "c\\d"`, ['a"b', "c\\d"]],
  ["a \\\n  b\n c", ["a", "b", "c"]],
  ["  ", []],
])("splits %j as a shell would", (line, words) => expect(splitCommand(line)).toEqual({ words }));

it.each([
  ["a | b", "has |, which only a shell understands"],
  ["a $HOME", "has $, which only a shell understands"],
  ["a 'b", "has a ' that is never closed"],
  ["a \\", "ends in a backslash"],
])("refuses %j", (line, problem) => expect(splitCommand(line)).toEqual({ problem }));

it("gives an emulated engine the flags that were asked for, and a seed of its own for each replica", () => {
  const short = emulatedCommand({ profile: "8B", coldStart: 20_000, seed: 7 });
  expect(short.join(" ")).toBe(
    "{tidegate} engine --port {port} --host {host} --model {model} --profile 8B --cold-start 20s --seed 7{index} --speed {speed} --epoch {epoch}",
  );
  const long = emulatedCommand({
    ...{ profile: "8B", gpu: "h100", coldStart: 90_000, coldStartSigma: 0.2, seed: 1 },
    ...{ maxNumSeqs: 64, maxNumBatchedTokens: 2048, kvTokens: 100_000, maxModelLen: 8192 },
  }).join(" ");
  expect(long).toContain("--gpu h100 --max-num-seqs 64 --max-num-batched-tokens 2048 --kv-tokens 100000 --max-model-len 8192");
  expect(long).toContain("--cold-start 1m30s --cold-start-sigma 0.2");
});
