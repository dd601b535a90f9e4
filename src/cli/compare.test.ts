import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compareCommand } from "./compare.ts";
import { simulateCommand } from "./simulate.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidegate-compare-"));
  await writeFile(join(folder, "s.yaml"), scenarios);
  await writeFile(join(folder, "t.csv"), `arrival_s,prompt_tokens,output_tokens,client\n${rows.join("")}`);
  await writeFile(join(folder, "tidegate.yaml"), endpoint);
  await writeFile(join(folder, "hpa.yaml"), hpa);
});
afterAll(() => rm(folder, { recursive: true }));

const scenarios = `
defaults: { replicas: { min: 1, max: 4 }, coldStart: { median: 20s, sigma: 0.25 }, seeds: 2 }
scenarios:
  up: { shape: step, from: 1/s, to: 8/s, lead: 2m, hold: 2m, tail: 1m, warmup: 1m }
  clients: { trace: t.csv, perClientEndpoint: true, replicas: { min: 0, max: 2 } }
`;
const rows = Array.from({ length: 60 }, (_, at) => `${at * 3},300,20,${at % 2 === 0 ? "a" : "b"}\n`);
const profile = `
apiVersion: tidegate.dev/v1alpha1
kind: EngineProfile
metadata: { name: measured }
spec:
  model: some-8b
  gpu: a100
  gpusPerReplica: 1
  decode: { baseMs: 12, usPerSequence: 40, usPer1kContextTokens: 98 }
  mixed: { baseMs: 10, usPerPrefillToken: 70, usPerSequence: 40, usPer1kContextTokens: 98 }
  kvCapacityTokens: 400000
`;
const endpoint = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: meta-llama/Llama-3.1-8B-Instruct
  engine: { kind: vllm }
  platform: { kind: static, urls: ["http://127.0.0.1:1"], target: { apiVersion: apps/v1, kind: Deployment, name: chat } }
  replicas: { min: 1, max: 4 }
  objective: { attainment: 0.9, timeToFirstToken: 2s, timePerOutputToken: 100ms }
`;
const hpa = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: chat-hpa }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: chat }
  maxReplicas: 4
  metrics: [{ type: Pods, pods: { metric: { name: running }, target: { type: AverageValue, averageValue: "5" } } }]
`;

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
const tidegate = (...args: string[]): Promise<Said> =>
  new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: "1" } }, (error, out, err) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err }),
    );
  });

it("compares policies by name and by file, in JSON, with the same bytes on any number of threads", async () => {
  const args = ["compare", "--scenarios", "s.yaml", "--policy", "static:2,hpa-running", "--policy", "hpa.yaml", "-o", "json"];
  const [one, three] = await Promise.all([tidegate(...args, "--workers", "1"), tidegate(...args, "--workers", "3")]);
  expect(one.err).toBe("");
  expect(three.out).toBe(one.out);
  const { scenarios: found } = JSON.parse(one.out);
  expect(found.map(({ scenario }: { scenario: string }) => scenario)).toEqual(["up", "clients"]);
  const [up] = found;
  expect(up).toMatchObject({ seeds: 2, objective: { attainment: 0.99 } });
  const names = up.standings.map(({ policy }: { policy: string }) => policy);
  expect(names.toSorted()).toEqual(["hpa", "hpa-running", "static:2"]);
  const fixed = up.standings.find(({ policy }: { policy: string }) => policy === "static:2");
  expect(fixed.figures.attainment.values).toHaveLength(2);
  // Two replicas of one GPU each from 1 min to 5 min.
  expect(fixed.figures.gpuHours.mean).toBeCloseTo((2 * 4) / 60, 6);
  const missed = found.some(({ standings }: { standings: { isMet: boolean }[] }) => standings.some(({ isMet }) => !isMet));
  expect(one.code).toBe(missed ? 99 : 0);
}, 30_000);

it("ends with 0 where all meet the objective and 99 where one misses it; CSV has a row each", async () => {
  const args = ["compare", "--scenarios", "s.yaml", "--only", "up", "--seeds", "1", "-o", "csv", "--policy"];
  const [met, missed] = await Promise.all([
    tidegate(...args, "static:4"),
    tidegate(...args, "static:4,static:1", "--references", "--reference-runs", "8"),
  ]);
  expect([met.code, missed.code]).toEqual([0, 99]);
  const lines = missed.out.trim().split("\n");
  expect(lines).toHaveLength(6);
  expect(lines[0]).toMatch(/^scenario,policy,reference,seeds,objectiveMet,onFrontier,gpuHours,gpuHoursHalfWidth,cost,/);
  expect(lines.map((line) => line.split(",")[1])).toEqual([
    "policy",
    "static:4",
    "static:1",
    ...lines.slice(3).map((line) => line.split(",")[1]),
  ]);
  expect(lines.slice(3).every((line) => line.split(",")[2] === "true")).toBe(true);
}, 30_000);

it("keeps runs in a file and does not run them again, but for those that are named", async () => {
  const args = [
    "compare",
    "--scenarios",
    "s.yaml",
    "--only",
    "up",
    "--policy",
    "static:2,static:3",
    "--resume",
    "runs.jsonl",
    "-o",
    "json",
  ];
  const first = await tidegate(...args, "--references", "--reference-seeds", "1", "--reference-runs", "4");
  const lines = async () => (await readFile(join(folder, "runs.jsonl"), "utf8")).trim().split("\n").length;
  expect(await lines()).toBe(2 * 2 + 1);
  const [up] = JSON.parse(first.out).scenarios;
  expect(
    up.standings.filter(({ isReference }: { isReference: boolean }) => isReference).map(({ policy }: { policy: string }) => policy),
  ).toEqual(expect.arrayContaining(["clairvoyant", "peek", "best fixed count"]));
  expect(up.standings.find(({ policy }: { policy: string }) => policy === "static:2").toClairvoyant.values).toHaveLength(1);
  const again = await tidegate(...args, "--references", "--reference-seeds", "1", "--reference-runs", "4");
  expect(again.out).toBe(first.out);
  expect(await lines()).toBe(5);
  await tidegate(...args, "--again", "static:3");
  expect(await lines()).toBe(7);
}, 30_000);

it("takes a measured profile instead of what scenarios say, and theirs from beside them; prints Markdown", async () => {
  const twice = profile.replaceAll(/usPerPrefillToken: 70/g, "usPerPrefillToken: 140");
  await writeFile(join(folder, "slow.yaml"), twice);
  await writeFile(join(folder, "fast.yaml"), profile);
  await writeFile(join(folder, "s3.yaml"), scenarios.replace("seeds: 2", "seeds: 1, profile: fast.yaml"));
  const args = ["compare", "--scenarios", "s3.yaml", "--only", "up", "--policy", "static:1", "-o", "json"];
  const [fast, slow, markdown] = await Promise.all([
    tidegate(...args),
    tidegate(...args, "--profile", "slow.yaml"),
    tidegate(...args.slice(0, -1), "markdown"),
  ]);
  const p95 = ({ out }: Said) => JSON.parse(out).scenarios[0].standings[0].figures.ttftP95Ms.mean;
  expect(p95(slow)).toBeGreaterThan(p95(fast));
  expect(markdown.out).toMatch(/^### up\n\n.*fast\.yaml.*; 1 seed\.\n\n\| policy \| objective \|/);
  const { err, code } = await tidegate(...args, "--profile", "none.yaml");
  expect(err).toContain("cannot read none.yaml");
  expect(code).toBe(2);
}, 30_000);

it("prints a table for people, and a report as one file", async () => {
  const { out } = await tidegate(
    "compare",
    "--scenarios",
    "s.yaml",
    "--only",
    "up",
    "--policy",
    "slo,static:2",
    "--html",
    "r.html",
    "--learn-first",
  );
  expect(out).toMatch(
    /^up {2}1\/s, at once 8\/s for 2m; 8B; 1 to 4 replicas; cold start 20s; 99 % within 2 s and 100 ms a token; 2 seeds\npolicy/,
  );
  expect(out).toMatch(/\d ± \d/);
  const page = await readFile(join(folder, "r.html"), "utf8");
  expect(page).toContain('id="why-up-slo"');
}, 30_000);

it.each([
  { wrong: ["--policy", "hpaa"], says: "--policy hpaa is neither a policy nor a file; use one of static, hpa-gpu," },
  { wrong: ["--policy", "none.yaml"], says: "cannot read none.yaml" },
  { wrong: ["--policy", "s.yaml"], says: "s.yaml holds no policy; give an Endpoint with spec.policy" },
  { wrong: ["--policy", "static:9"], says: "up under static:9 spec.policy.replicas: is above max (4)" },
  { wrong: ["--only", "down"], says: "--only down is no scenario of s.yaml; there is up, clients" },
  {
    wrong: ["--traces", "elsewhere"],
    says: "scenario clients needs elsewhere/t.csv, which is not there; say where traces are with --traces FOLDER",
  },
  { wrong: ["--seeds", "0"], says: "option '--seeds <n>' argument '0' is invalid. It must be a whole number from 1 on." },
  { wrong: ["--html", "no/r.html", "--only", "up", "--seeds", "1", "--policy", "static:1"], says: "--html no/r.html cannot be written" },
])("compare says $says", async ({ wrong, says }) => {
  const inFolder = wrong.map((one) => (/yaml|html$|elsewhere/.test(one) && !one.startsWith("--") ? join(folder, one) : one));
  const run = compareCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  const all = ["--scenarios", join(folder, "s.yaml"), ...inFolder];
  const told = await run.parseAsync(all, { from: "user" }).catch((error: Error) => error.message);
  expect(String(told).replaceAll(`${folder}/`, "")).toContain(says);
});

it("says a broken trace's place, from a thread too", async () => {
  await writeFile(join(folder, "t2.csv"), "arrival_s,prompt_tokens,output_tokens\n0,0,5\n");
  await writeFile(join(folder, "s2.yaml"), "scenarios: { a: { trace: t2.csv } }");
  const { code, err } = await tidegate("compare", "--scenarios", "s2.yaml", "--policy", "slo");
  expect(err).toContain('tidegate: a: t2.csv:2:3: "prompt_tokens" (0)');
  expect(code).toBe(2);
}, 30_000);

it("runs an endpoint's own manifest unchanged on a trace: figures, plot, decisions and report", async () => {
  const args = ["simulate", "tidegate.yaml", "hpa.yaml", "--trace", "t.csv", "--cold-start", "10s", "--initial", "1"];
  const { code, out, err } = await tidegate(...args, "--decisions", "d.jsonl", "--html", "one.html");
  expect(err).toBe("");
  expect(code).toBe(0);
  expect(out).toMatch(/^chat +t\.csv\npolicy +hpa chat-hpa\n/);
  expect(out).toMatch(/objective +met: 100 % of 90\.00 % within 2\.00 s and 100 ms a token/);
  expect(out).toContain("█ replicas ready");
  const decisions = (await readFile(join(folder, "d.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(decisions).toHaveLength(12);
  expect(decisions[0]).toMatchObject({ atMs: 0, seq: 1, cause: expect.any(String), orders: [], wants: { default: {} } });
  expect(decisions.every(({ steps }) => steps.length > 0)).toBe(true);
  expect(await readFile(join(folder, "one.html"), "utf8")).toContain("chat simulated");
}, 30_000);

it("prints JSON and CSV; another policy, a stretch and a split may be asked for", async () => {
  const args = ["simulate", "tidegate.yaml", "hpa.yaml", "--trace", "t.csv", "--policy", "static:2", "--initial", "2"];
  const [json, csv] = await Promise.all([
    tidegate(...args, "--from", "60s", "--split", "30s", "-o", "json"),
    tidegate(...args, "--to", "60s", "-o", "csv"),
  ]);
  const result = JSON.parse(json.out);
  expect(result).toMatchObject({
    endpoint: "chat",
    policy: "static",
    objectiveMet: true,
    afterSplit: { fromMs: 30_000, requests: { arrived: 30 } },
  });
  expect(result.whole.requests.arrived).toBe(40);
  const [heads, figures] = csv.out
    .trim()
    .split("\n")
    .map((line) => line.split(","));
  expect(figures?.[heads?.indexOf("arrived") as number]).toBe("20");
  expect([json.code, csv.code]).toEqual([0, 0]);
}, 30_000);

it.each([
  { args: ["--trace", "t.csv", "--endpoint", "chut"], says: "--endpoint chut is not in the config; there is chat" },
  { args: ["--trace", "none.csv"], says: "trace none.csv cannot be read: there is no such file" },
  { args: ["--trace", "t.csv", "--from", "9h"], says: "nothing of t.csv is left between --from 9h and --to its end" },
  { args: ["--trace", "t.csv", "--cold-start", "90"], says: "--cold-start (90) is not a duration" },
  { args: ["--trace", "t.csv", "--split", "9m"], says: "--split (9m) is not before the last arrival (2m57s)" },
  { args: ["--trace", "t.csv", "--profile", "9B"], says: 'no engine profile "9B"' },
  { args: ["--trace", "t.csv", "--decisions", "no/d.jsonl"], says: "--decisions no/d.jsonl cannot be written" },
  { args: [], says: "required option '--trace <file>' not specified" },
])("simulate says $says", async ({ args, says }) => {
  const inFolder = args.map((one) => (/csv$|jsonl$/.test(one) ? join(folder, one) : one));
  const run = simulateCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  const files = ["tidegate.yaml", "hpa.yaml"].map((file) => join(folder, file));
  const told = await run.parseAsync([...files, ...inFolder], { from: "user" }).catch((error: Error) => error.message);
  expect(String(told).replaceAll(`${folder}/`, "")).toContain(says);
});
