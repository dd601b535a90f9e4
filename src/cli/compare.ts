import { Command, Option } from "commander";
import type { CellResult, Estimate, FigureName, ReferenceCell, Scenario, ScenarioComparison, Standing } from "../simulator/index.ts";
import type { PolicyChoice } from "./compare-policies.ts";
import type { CellTask } from "./compare-worker.ts";
import { EXIT } from "./exit.ts";
import { wholeAbove0 } from "./numbers.ts";

interface Flags {
  readonly scenarios?: string;
  readonly only?: readonly string[];
  readonly traces?: string;
  readonly policy: readonly string[];
  readonly seeds?: number;
  readonly learnFirst: boolean;
  readonly references: boolean;
  readonly referenceRuns: number;
  readonly referenceSeeds?: number;
  readonly tuned?: string;
  readonly profile?: string;
  readonly resume?: string;
  readonly again?: readonly string[];
  readonly workers?: number;
  readonly output: "table" | "json" | "csv" | "markdown";
  readonly html?: string;
}

/** Changes that a picture keeps of each policy in each scenario. */
const KEPT_CHANGES = 80;
/** Who is compared where nobody is named: what most people run today, and ours. */
const DEFAULT_POLICIES = ["hpa-gpu", "hpa-running", "hpa-waiting", "keda", "kpa", "slo"] as const;

const listed = (text: string, before: readonly string[] | undefined) => [
  ...(before ?? []),
  ...text
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== ""),
];

export function compareCommand(): Command {
  return new Command("compare")
    .description(
      "Run policies against each other in simulated situations, with the same luck for all: what each costs, and what it misses.",
    )
    .option(
      "--policy <name>",
      "a policy by name, static:N, FILE.yaml with a manifest or an Endpoint, or a folder of such; may be repeated, or a,b,c",
      listed,
      [],
    )
    .option("--scenarios <file>", "situations to compare in; three small ones of ours otherwise")
    .option("--only <names>", "only these scenarios, such as step,ramp", listed)
    .option("--traces <folder>", "where trace files that scenarios name are; the scenario file's own folder otherwise")
    .option("--seeds <n>", "runs of each, with luck of their own; as the scenario says otherwise", wholeAbove0)
    .option("--learn-first", "shapes without split: let each run see one like it first, so that a memory has something to remember", false)
    .option(
      "--references",
      "also what those who know the future need: a lower bound, a clairvoyant schedule, and a peek of one cold start",
      false,
    )
    .option("--reference-runs <n>", "most simulations in each search for the clairvoyant's schedule", wholeAbove0, 60)
    .option("--reference-seeds <n>", "seeds that the references are worked out for; all otherwise", wholeAbove0)
    .option(
      "--tuned <folder>",
      "policies by name: with the settings of FOLDER/SCENARIO/POLICY.yaml, as `tune --into` writes them, where there are some",
    )
    .option("--profile <name>", "whose speed a replica has, instead of what scenarios say: such as 8B, or a file that `calibrate` wrote")
    .option("--resume <file>", "keep every run in this file, and do not run again what is in it; a new version of ours needs a new file")
    .option("--again <names>", "policies to run again whatever --resume holds", listed)
    .option("--workers <n>", "threads; one for each core otherwise. The figures are the same with any number", wholeAbove0)
    .addOption(new Option("-o, --output <format>", "of the figures").choices(["table", "json", "csv", "markdown"]).default("table"))
    .option("--html <file>", "write a self-contained report too")
    .addHelpText(
      "after",
      `
Policies by name: static:N, and each at the defaults of its documentation: hpa-gpu, hpa-running, hpa-waiting, keda, kpa, ray-serve,
aibrix-kpa, aibrix-apa, llm-d-v2, dynamo, sageserve-lt-ua, skyserve, aws-target-tracking, azure, gcp, slo. "all" is all of them.

Exit codes: 0 ok, 1 failure, 2 usage, a config or a trace, 99 a policy missed the objective.`,
    )
    .action(async (flags: Flags) => {
      process.exitCode = await compare(flags);
    });
}

async function compare(flags: Flags): Promise<number> {
  const { FAMILY_NAMES, nameOf, policyNames, readChoice } = await import("./compare-policies.ts");
  const { readScenarios } = await import("./scenario-files.ts");
  const { only, profile } = flags;
  const { scenarios, traces } = await readScenarios({ file: flags.scenarios ?? null, only, traces: flags.traces, profile });
  const named = flags.policy.length === 0 ? DEFAULT_POLICIES : flags.policy;
  const choices: PolicyChoice[] = [];
  const withoutStatic = FAMILY_NAMES.filter((family) => family !== "static");
  for (const name of await policyNames(named, withoutStatic)) {
    const choice = await readChoice(name);
    if (!choices.some((other) => nameOf(other) === nameOf(choice))) choices.push(choice);
  }
  const comparisons = await comparisonsOf(scenarios, choices, traces, flags);
  if (flags.html !== undefined) await writeReport(flags.html, comparisons);
  const print = { json: asJson, csv: asCsv, markdown: asMarkdown, table: asTable }[flags.output];
  process.stdout.write(await print(comparisons));
  return comparisons.some(({ standings }) => standings.some(({ isMet, isReference }) => !isMet && !isReference))
    ? EXIT.objectiveMissed
    : EXIT.ok;
}

interface Entry {
  /** null: the references. */
  readonly name: string | null;
  readonly task: Omit<CellTask, "progress" | "at">;
}

async function comparisonsOf(
  scenarios: readonly Scenario[],
  choices: readonly PolicyChoice[],
  traces: string,
  flags: Flags,
): Promise<readonly ScenarioComparison[]> {
  const [{ contenderIn, nameOf, tunedChoice }, { runCells }, simulator, { availableParallelism }, { bookOf }] = await Promise.all([
    import("./compare-policies.ts"),
    import("./compare-pool.ts"),
    import("../simulator/index.ts"),
    import("node:os"),
    import("./run-book.ts"),
  ]);
  const { compareScenario, describeScenario, endpointOf } = simulator;
  const entries: Entry[] = [];
  for (const scenario of scenarios) {
    await mustHaveTraces(scenario, traces);
    const seeds = flags.seeds ?? scenario.seeds;
    const add = (name: string | null, policy: PolicyChoice | null, most: number) => {
      for (let seed = 1; seed <= Math.min(seeds, most); seed++) {
        const { learnFirst, referenceRuns } = flags;
        const keepChanges = flags.html === undefined || seed > 1 ? 0 : KEPT_CHANGES;
        entries.push({ name, task: { scenario, policy, seed, traces, learnFirst, referenceRuns, keepChanges } });
      }
    };
    if (flags.references) add(null, null, flags.referenceSeeds ?? seeds);
    for (const choice of choices) {
      const own = flags.tuned === undefined ? choice : await tunedChoice(choice, scenario, flags.tuned);
      // What is wrong with any of them is said before anything runs.
      endpointOf(scenario, contenderIn(own, scenario));
      add(nameOf(choice), own, seeds);
    }
  }
  const book = bookOf<CellResult | ReferenceCell>(flags.resume);
  // Traces are known by their names alone, so that a folder may move.
  const keyOf = ({ task: { traces: _traces, referenceRuns, ...task } }: Entry) =>
    task.policy === null ? { ...task, referenceRuns } : task;
  const results = entries.map((entry) => (entry.name !== null && flags.again?.includes(entry.name) ? undefined : book.get(keyOf(entry))));
  // Those of one seed together: they have the same requests.
  const missing = scenarios.flatMap((scenario) =>
    entries
      .filter((entry, at) => results[at] === undefined && entry.task.scenario === scenario)
      .sort((a, b) => Number(a.name === null) - Number(b.name === null) || a.task.seed - b.task.seed),
  );
  const { progressLine } = await import("./study-progress.ts");
  const line = progressLine();
  const fresh = await runCells(
    missing.map(({ task }) => task),
    flags.workers ?? availableParallelism(),
    line.show,
    (at, result) => book.keep(keyOf(missing[at] as Entry), result),
  ).finally(line.end);
  missing.forEach((entry, at) => {
    results[entries.indexOf(entry)] = fresh[at];
  });
  return scenarios.map((scenario) => {
    const of = (name: string | null) =>
      results.filter((_, at) => entries[at]?.task.scenario === scenario && entries[at]?.name === name) as readonly unknown[];
    const known = of(null) as readonly ReferenceCell[];
    return compareScenario(
      { scenario: scenario.name, describes: describeScenario(scenario), objective: scenario.objective },
      [
        ...choices.map((policy) => ({ policy: nameOf(policy), cells: of(nameOf(policy)) as readonly CellResult[] })),
        ...(known.length === 0
          ? []
          : [
              { policy: "clairvoyant", isReference: true, cells: known.map(({ clairvoyant }) => clairvoyant) },
              { policy: "peek", isReference: true, cells: known.map(({ peek }) => peek) },
              { policy: "best fixed count", isReference: true, cells: known.map(({ fixed }) => fixed) },
            ]),
      ],
      known.length === 0 ? null : known.map(({ references }) => references),
    );
  });
}

async function mustHaveTraces({ name, traffic }: Scenario, folder: string): Promise<void> {
  const file = traffic.kind === "trace" ? traffic.file : traffic.sizes;
  if (file === null || file === "builtin") return;
  const [{ existsSync }, { isAbsolute, join }, { TidegateError }] = await Promise.all([
    import("node:fs"),
    import("node:path"),
    import("../model/index.ts"),
  ]);
  const path = isAbsolute(file) ? file : join(folder, file);
  if (!existsSync(path))
    throw new TidegateError(
      "trace/unreadable",
      `scenario ${name} needs ${path}, which is not there; say where traces are with --traces FOLDER`,
    );
}

async function writeReport(file: string, comparisons: readonly ScenarioComparison[]): Promise<void> {
  const [{ comparisonReport }, { writeOut }] = await Promise.all([import("../report/index.ts"), import("./study-output.ts")]);
  writeOut(file, await comparisonReport({ title: "Policies compared", comparisons }), "--html");
}

/** What scripts read: everything but the picture's. */
function asJson(comparisons: readonly ScenarioComparison[]): string {
  const shown = comparisons.map(({ standings, ...rest }) => ({
    ...rest,
    standings: standings.map(({ course: _course, changes: _changes, ...standing }) => standing),
  }));
  return `${JSON.stringify({ scenarios: shown }, null, 2)}\n`;
}

async function asCsv(comparisons: readonly ScenarioComparison[]): Promise<string> {
  const [{ FIGURE_NAMES }, { csv }] = await Promise.all([import("../simulator/index.ts"), import("./study-table.ts")]);
  const heads = FIGURE_NAMES.flatMap((name) => [name, `${name}HalfWidth`]);
  return csv([
    ["scenario", "policy", "reference", "seeds", "objectiveMet", "onFrontier", ...heads, "toClairvoyant", "toClairvoyantHalfWidth"],
    ...comparisons.flatMap(({ scenario, seeds, standings }) =>
      standings.map(({ policy, isReference, isMet, isOnFrontier, figures, toClairvoyant }) => [
        scenario,
        policy,
        isReference,
        seeds,
        isMet,
        isOnFrontier,
        ...FIGURE_NAMES.flatMap((name) => [figures[name].mean, figures[name].halfWidth]),
        toClairvoyant?.mean ?? null,
        toClairvoyant?.halfWidth ?? null,
      ]),
    ),
  ]);
}

/** For documents: who met the objective first, cheapest first. */
async function asMarkdown(comparisons: readonly ScenarioComparison[]): Promise<string> {
  const { seconds } = await import("../console/index.ts");
  const withWidth = ({ mean, halfWidth }: Estimate, digits: number, factor = 1) =>
    mean === null ? "–" : `${(mean * factor).toFixed(digits)}${halfWidth === null ? "" : ` ± ${(halfWidth * factor).toFixed(digits)}`}`;
  const blocks = comparisons.map(({ scenario, describes, objective, seeds, references, standings }) => {
    const { attainment, timeToFirstTokenMs, timePerOutputTokenMs } = objective;
    const knows = standings.some(({ toClairvoyant }) => toClairvoyant !== null);
    const heads = [
      "policy",
      "objective",
      "attainment %",
      "GPU-hours",
      ...(knows ? ["× clairvoyant"] : []),
      "p95 to the first token",
      "minutes missed",
      "changes",
    ];
    const rows = standings.map(({ policy, isReference, isMet, figures, toClairvoyant }) => {
      const round = (name: FigureName) => (figures[name].mean === null ? "–" : (figures[name].mean as number).toFixed(0));
      const p95 = figures.ttftP95Ms.mean;
      return [
        isReference ? `*${policy}*` : policy === "slo" ? "**slo**" : policy,
        isMet ? "met" : "missed",
        withWidth(figures.attainment, 2, 100),
        withWidth(figures.gpuHours, 2),
        ...(knows ? [toClairvoyant === null ? "–" : withWidth(toClairvoyant, 2)] : []),
        seconds(p95 === null ? null : p95 / 1000),
        round("violationMinutes"),
        round("scaleEvents"),
      ];
    });
    const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
    const bounds = references?.flatMap(({ lowerBoundGpuHours }) => (lowerBoundGpuHours === null ? [] : [lowerBoundGpuHours])) ?? [];
    const bound =
      bounds.length === 0
        ? ""
        : ` Nobody can do with less than ${(bounds.reduce((sum, one) => sum + one, 0) / bounds.length).toFixed(2)} GPU-hours.`;
    return `### ${scenario}\n\n${describes}; ${100 * attainment} % within ${timeToFirstTokenMs / 1000} s and ${timePerOutputTokenMs} ms a token; ${seeds} ${seeds === 1 ? "seed" : "seeds"}.${bound}\n\n${line(heads)}${line(heads.map((_, at) => (at < 2 ? "---" : "---:")))}${rows.map(line).join("")}`;
  });
  return blocks.join("\n");
}

async function asTable(comparisons: readonly ScenarioComparison[]): Promise<string> {
  const { styleText } = await import("node:util");
  const { table } = await import("./study-table.ts");
  const { seconds } = await import("../console/index.ts");
  const bold = (text: string) => styleText("bold", text, { stream: process.stdout });
  const withWidth = ({ mean, halfWidth }: Estimate, digits: number, factor = 1) =>
    mean === null ? "–" : `${(mean * factor).toFixed(digits)}${halfWidth === null ? "" : ` ± ${(halfWidth * factor).toFixed(digits)}`}`;
  const mean = (values: readonly (number | null)[]) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length;
  const blocks = comparisons.map(({ scenario, describes, objective, seeds, references, standings }) => {
    const { attainment, timeToFirstTokenMs, timePerOutputTokenMs } = objective;
    const hasClairvoyant = standings.some(({ toClairvoyant }) => toClairvoyant !== null);
    const row = (standing: Standing) => {
      const { figures } = standing;
      const meanOf = (name: FigureName) => figures[name].mean;
      const count = (name: FigureName) => {
        const value = meanOf(name);
        return value === null ? "–" : Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(1);
      };
      const time = (name: FigureName) => {
        const ms = meanOf(name);
        return seconds(ms === null ? null : ms / 1000);
      };
      return [
        standing.policy,
        { text: standing.isMet ? "met" : "missed", style: standing.isMet ? ("green" as const) : ("red" as const) },
        `${withWidth(figures.attainment, 2, 100)} %`,
        withWidth(figures.gpuHours, 2),
        withWidth(figures.cost, 2),
        time("ttftP50Ms"),
        time("ttftP95Ms"),
        time("ttftP99Ms"),
        time("tpotP95Ms"),
        count("held"),
        count("failed"),
        count("scaleEvents"),
        count("reversals"),
        count("violationMinutes"),
        ...(hasClairvoyant ? [standing.toClairvoyant === null ? "–" : `${withWidth(standing.toClairvoyant, 2)} ×`] : []),
      ];
    };
    const heads = [
      ["policy", "left"],
      ["objective", "left"],
      ["attainment", "right"],
      ["GPU-hours", "right"],
      ["cost", "right"],
      ["TTFT p50", "right"],
      ["p95", "right"],
      ["p99", "right"],
      ["TPOT p95", "right"],
      ["held", "right"],
      ["failed", "right"],
      ["changes", "right"],
      ["reversals", "right"],
      ["minutes missed", "right"],
      ...(hasClairvoyant ? [["to clairvoyant", "right"] as const] : []),
    ] as const;
    const wanted = `${(100 * attainment).toFixed(attainment > 0.99 ? 1 : 0)} % within ${timeToFirstTokenMs / 1000} s and ${timePerOutputTokenMs} ms a token`;
    const bound = references === null ? "" : `lower bound ${mean(references.map((one) => one.lowerBoundGpuHours)).toFixed(2)} GPU-hours\n`;
    return `${bold(scenario)}  ${describes}; ${wanted}; ${seeds} ${seeds === 1 ? "seed" : "seeds"}\n${table(heads, standings.map(row))}${bound}`;
  });
  const note = comparisons.some(({ seeds }) => seeds > 1) ? "± is the 95 % confidence interval over seeds (Student's t).\n" : "";
  return `${blocks.join("\n")}${note}`;
}
