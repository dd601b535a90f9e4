import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const children: ChildProcess[] = [];
let orphan: number | null = null;
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  if (orphan !== null) process.kill(orphan, "SIGKILL");
  orphan = null;
});

function tidegate(...args: string[]) {
  const child = spawn(process.execPath, [main, "engine", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  const said = { out: "", err: "" };
  child.stdout.on("data", (text) => {
    said.out += text;
  });
  child.stderr.on("data", (text) => {
    said.err += text;
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { child, said, ended };
}

it.each([
  { flags: ["--port", "70000"], names: /--port is "70000".*65535/ },
  { flags: ["--profile", "9B"], names: /profile "9B".*8B, 70B/ },
  { flags: ["--gpu", "tpu"], names: /"8B" on GPU "tpu"/ },
  { flags: ["--max-num-seqs", "1.5"], names: /--max-num-seqs is "1.5"; give a whole number/ },
  { flags: ["--max-num-batched-tokens", "10"], names: /\(10\) is below max-num-seqs \(256\)/ },
  { flags: ["--speed", "fast"], names: /--speed is "fast"/ },
  { flags: ["--cold-start", "soon"], names: /--cold-start is "soon".*90s/ },
  { flags: ["--fault", "melt"], names: /--fault is "melt".*hang/ },
  { flags: ["--colour", "red"], names: /unknown option '--colour'/ },
])("$flags ends with code 2 and one line", async ({ flags, names }) => {
  const { said, ended } = tidegate(...flags);
  expect(await ended).toBe(2);
  expect(said.err.trim()).toMatch(names);
  expect(said.err.trim().split("\n")).toHaveLength(1);
});

it("an occupied port ends with code 2 and its number", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { said, ended } = tidegate("--port", String(port));
  expect(await ended).toBe(2);
  expect(said.err).toContain(`:${port} (it is taken)`);
  server.close();
});

it("tells where it listens and its stages, serves, and ends with code 0 on SIGTERM though a request runs", async () => {
  const { child, said, ended } = tidegate("--port", "0", "--model", "m", "--speed", "20", "--cold-start", "2s", "--profile", "8B");
  await expect.poll(() => said.out, { timeout: 10_000 }).toMatch(/ready\n/);
  const lines = said.out.trim().split("\n");
  expect(lines.filter((line) => line.startsWith("tidegate-stage ")).map((line) => line.split(" ")[1])).toEqual([
    "provision",
    "pull",
    "load",
    "warmup",
    "ready",
  ]);
  const url = /listening on (http:\S+)/.exec(said.out)?.[1];
  const answer = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "x", max_tokens: 100_000, ignore_eos: true, stream: true }),
  });
  expect(answer.status).toBe(200);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
  await expect(answer.text()).rejects.toThrow();
});

it("ends when the process that started it is gone, if told so", async () => {
  const parent = spawn(
    process.execPath,
    [
      "-e",
      `const child = require("node:child_process").spawn(process.execPath, ${JSON.stringify([main, "engine", "--port", "0", "--die-with-parent"])}, { stdio: ["ignore", "pipe", "ignore"], detached: true });
       child.stdout.on("data", (text) => process.stdout.write(child.pid + " " + text));`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  children.push(parent);
  let out = "";
  parent.stdout.on("data", (text) => {
    out += text;
  });
  await expect.poll(() => out, { timeout: 10_000 }).toMatch(/listening on/);
  const pid = Number(out.split(" ")[0]);
  orphan = pid;
  parent.kill("SIGKILL");
  await expect
    .poll(
      () => {
        try {
          process.kill(pid, 0);
          return "runs";
        } catch {
          return "gone";
        }
      },
      { timeout: 5000 },
    )
    .toBe("gone");
  orphan = null;
});
