import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { loadCommand } from "./load.ts";
import { traceCommand } from "./trace.ts";

let folder: string;
let printed: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidegate-load-"));
  printed = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += text;
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  await rm(folder, { recursive: true });
});

const load = (...args: string[]) => loadCommand().exitOverride().parseAsync(args, { from: "user" });
const trace = (...args: string[]) => traceCommand().exitOverride().parseAsync(args, { from: "user" });

async function answering<T>(status: number, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.writeHead(status).end('data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n'));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

it("ends with 0, 1 or 99 by what happened", async () => {
  const args = (url: string) => ["builtin", "--url", url, "--model", "m", "--limit", "3", "--speed", "1000"];
  await answering(200, async (url) => {
    await load(...args(url), "--ttft", "1h", "--tpot", "1h");
    expect(process.exitCode).toBe(0);
    expect(printed).toMatch(/3 ok, 0 failed[\s\S]*time to first token[\s\S]*Objective {1}TTFT ≤ .* met with 100\.00 %/);
    printed = "";
    await load(...args(url), "--ttft", "1ms", "-o", "json");
    expect(process.exitCode).toBe(99);
    expect(JSON.parse(printed)).toMatchObject({ sent: 3, ok: 3, objective: { met: false, attained: 0 } });
  });
  await answering(500, async (url) => {
    await load(...args(url));
    expect(process.exitCode).toBe(1);
    expect(printed).toContain("3 with status 500");
  });
});

it("refuses an unknown column, a missing file and a bound without a unit", async () => {
  const file = join(folder, "bad.csv");
  await writeFile(file, "arrival_s,prompt_tokenz,output_tokens\n0,1,1\n");
  const server = ["--url", "http://127.0.0.1:1", "--model", "m"];
  await expect(load(file, ...server)).rejects.toMatchObject({
    code: "trace/invalid",
    message: expect.stringContaining(`${file}:1:11: column "prompt_tokenz" is not known; did you mean "prompt_tokens"?`),
  });
  await expect(load(join(folder, "none.csv"), ...server)).rejects.toMatchObject({
    code: "trace/unreadable",
    message: expect.stringContaining("there is no such file"),
  });
  await expect(load(folder, ...server)).rejects.toMatchObject({ code: "trace/unreadable" });
  await expect(load("builtin", ...server, "--ttft", "2")).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining("--ttft (2)"),
  });
});

it("overlays, slices, converts and inspects files, packed or not", async () => {
  const packed = join(folder, "two.csv.gz");
  await trace("overlay", "builtin", "--copies", "2", "--out", packed);
  expect(gunzipSync(await readFile(packed)).toString()).toMatch(/^arrival_s,prompt_tokens,output_tokens\n0\.000,/);
  const cut = join(folder, "cut.jsonl");
  await trace("slice", packed, "--from", "5m", "--to", "6m", "--out", cut);
  const lines = (await readFile(cut, "utf8")).trimEnd().split("\n");
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({ arrival_s: expect.any(Number) });
  await trace("inspect", cut, "-o", "json");
  expect(JSON.parse(printed)).toMatchObject({ requests: lines.length });
  const made = join(folder, "made.csv");
  await trace("generate", "steady", "--rate", "120/m", "--duration", "10m", "--sizes", cut, "--out", made);
  printed = "";
  await trace("inspect", made);
  expect(printed).toMatch(/Requests {5}1,[12]\d\d in 10\.0 min/);
  await expect(trace("generate", "ramp", "--from", "1/s")).rejects.toThrow("the ramp shape needs --to");
});
