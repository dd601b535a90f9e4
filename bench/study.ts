import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { z } from "zod";

// `npm run bench -- study tune|report TRACES [SCENARIO…] [--again NAMES]`: rivals tuned before each split, and all of them after it. The
// plan is bench/study.yaml; what was found is kept in bench/tuned, and runs in .tidegate/study, so that both can be broken off and go on.

const planSchema = z.strictObject({
  rivals: z.array(z.string()),
  /** In the order in which they are tuned: what was found is tried first on those that come later. */
  scenarios: z.record(
    z.string(),
    z.strictObject({
      candidates: z.int().min(1),
      /** Tuned on what comes before it only. */
      to: z.string().optional(),
      seeds: z.int().min(1),
      referenceSeeds: z.int().min(0),
      referenceRuns: z.int().min(1).default(40),
      /** Rivals left out, for what they would take. */
      without: z.array(z.string()).default([]),
    }),
  ),
});
type Plan = z.output<typeof planSchema>;

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const scenariosFile = at("scenarios.yaml");
const tunedFolder = at("tuned");
const runsFolder = at("../.tidegate/study");

export async function bench(args: readonly string[]): Promise<void> {
  const [verb, traces, ...rest] = args;
  const marker = rest.indexOf("--again");
  const again = marker < 0 ? undefined : rest[marker + 1];
  const named = marker < 0 ? rest : rest.toSpliced(marker, 2);
  if ((verb !== "tune" && verb !== "report") || traces === undefined || (marker >= 0 && again === undefined))
    throw new Error("usage: npm run bench -- study tune|report TRACES [SCENARIO…] [--again NAMES]");
  const plan = planSchema.parse(parse(readFileSync(at("study.yaml"), "utf8")));
  const wanted = Object.keys(plan.scenarios).filter((name) => named.length === 0 || named.includes(name));
  mkdirSync(runsFolder, { recursive: true });
  for (const name of wanted) await (verb === "tune" ? tuneOne(name, plan, traces) : reportOne(name, plan, traces, again));
}

const rivalsOf = (plan: Plan, name: string) => plan.rivals.filter((rival) => !plan.scenarios[name]?.without.includes(rival));

async function tuneOne(name: string, plan: Plan, traces: string): Promise<void> {
  const { candidates, to } = plan.scenarios[name] as Plan["scenarios"][string];
  await tidegate(
    ["tune", "--scenarios", scenariosFile, "--traces", traces, "--only", name, "--policy", rivalsOf(plan, name).join(",")],
    ["--into", tunedFolder, "--also", tunedFolder, "--candidates", String(candidates), "--seeds", "1", "--no-explain", "--no-test"],
    [...(to === undefined ? [] : ["--to", to]), "--workers", "1"],
  );
}

async function reportOne(name: string, plan: Plan, traces: string, again: string | undefined): Promise<void> {
  const { seeds, referenceSeeds, referenceRuns } = plan.scenarios[name] as Plan["scenarios"][string];
  const references = ["--references", "--reference-seeds", String(referenceSeeds), "--reference-runs", String(referenceRuns)];
  const text = await tidegate(
    ["compare", "--scenarios", scenariosFile, "--traces", traces, "--only", name, "--policy", ["slo", ...rivalsOf(plan, name)].join(",")],
    ["--tuned", tunedFolder, "--seeds", String(seeds), "--learn-first", "--resume", `${runsFolder}/${name}.jsonl`, "--workers", "1"],
    [...(referenceSeeds === 0 ? [] : references), ...(again === undefined ? [] : ["--again", again]), "-o", "markdown"],
  );
  writeFileSync(`${runsFolder}/${name}.md`, text);
  process.stdout.write(`${text}\n`);
}

/** @returns what it printed; 99 is an objective missed, which is a result */
function tidegate(...args: readonly (readonly string[])[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [at("../src/cli/main.ts"), ...args.flat()], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 || code === 99 ? resolve(out) : reject(new Error(`tidegate ${args.flat().join(" ")} ended with ${code}`)),
    );
  });
}
