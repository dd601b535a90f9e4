import { Command, Option } from "commander";
import type { Endpoint, Ms } from "../model/index.ts";
import type { Changes, Course, Figures, SimulationResult } from "../simulator/index.ts";
import { EXIT } from "./exit.ts";
import { above0, from0, wholeFrom0 } from "./numbers.ts";
import type { SimulateFlags } from "./simulate-setup.ts";

/** Changes that a picture keeps. */
const KEPT_CHANGES = 400;
const STRIDE = 20_000;

export function simulateCommand(): Command {
  return new Command("simulate")
    .description("Run an endpoint's own policy on a trace in virtual time: what it would have cost, and what it would have missed.")
    .argument("<config...>", "tidegate.yaml, with the manifests beside it that it needs")
    .requiredOption("--trace <file>", 'a CSV or JSONL file (.gz too), Parquet, "-" for standard input, or "builtin"')
    .option("--endpoint <name>", "which endpoint, where the config has several")
    .option("--policy <name>", "another policy instead: by name as in `compare`, static:N, or FILE.yaml")
    .option("--overlay <k>", "lay so many copies of the trace over each other", above0, 1)
    .option("--seed <n>", "of everything random", wholeFrom0, 1)
    .option("--from <d>", "leave out what arrives before, such as 15m; time begins there", "0s")
    .option("--to <d>", "leave out what arrives from there on")
    .option("--warmup <d>", "figures leave out the beginning", "0s")
    .option("--split <d>", "figures are of what comes after it: what you tuned on stays out")
    .option("--profile <name>", "whose speed a replica has, such as 8B or MODEL/GPU/TP; told by the config otherwise")
    .option("--gpu <type>", "on which GPU; the pools' own otherwise")
    .option("--cold-start <d>", "from request to ready, the median; told by the config otherwise, else 90s")
    .option("--cold-start-sigma <x>", "its spread (lognormal); 0 is always the same", from0)
    .option("--initial <n>", "replicas ready when it begins; the minimum otherwise", wholeFrom0)
    .option("--patience <d>", "clients leave after so long without a first token")
    .option("--no-gateway", "no gateway of ours is in the path: the policy sees only what engines report")
    .addOption(new Option("-o, --output <format>", "of the figures").choices(["table", "json", "csv"]).default("table"))
    .option("--decisions <file>", "write every decision with its explanation, as JSON lines")
    .option("--html <file>", "write a self-contained report too")
    .addHelpText("after", "\nExit codes: 0 ok, 1 failure, 2 usage, a config or a trace, 99 the objective was missed.")
    .action(async (files: readonly string[], flags: SimulateFlags) => {
      process.exitCode = await simulate(files, flags);
    });
}

async function simulate(files: readonly string[], flags: SimulateFlags): Promise<number> {
  const [{ createSimulation, courseOf, Changes: ChangeList, reportedFigures, isMet }, { simulationOf }, { decisionFile }] =
    await Promise.all([import("../simulator/index.ts"), import("./simulate-setup.ts"), import("./study-output.ts")]);
  const { options, busyMsOf, warnings } = await simulationOf(files, flags);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const { endpoint } = options;
  const changes = new ChangeList(KEPT_CHANGES, options.splitMs ?? options.warmupMs ?? 0);
  const file = flags.decisions === undefined ? null : decisionFile(flags.decisions);
  const simulation = createSimulation({
    ...options,
    onDecision: (record) => {
      changes.add(record);
      file?.write(record);
    },
  });
  const tell = progress(options.durationMs ?? null);
  while (simulation.step(STRIDE)) tell(simulation.nowMs, simulation.arrived);
  tell(null, 0);
  file?.close();
  const result = simulation.result();
  const course = courseOf([result], busyMsOf);
  const figures = reportedFigures(result);
  if (flags.html !== undefined) await writeReport(flags, endpoint, result, course, changes);
  if (flags.output === "json") process.stdout.write(asJson(flags, endpoint, result));
  else if (flags.output === "csv") process.stdout.write(await asCsv(endpoint, figures));
  else process.stdout.write(await asTable(flags, endpoint, result, course));
  return isMet(figures.attainment, endpoint.objective.attainment) ? EXIT.ok : EXIT.objectiveMissed;
}

/** A line on standard error for runs that take their time. */
function progress(endMs: Ms | null): (nowMs: Ms | null, arrived: number) => void {
  const { stderr } = process;
  let saidMs = performance.now();
  let hasSaid = false;
  return (nowMs, arrived) => {
    if (nowMs === null) {
      if (hasSaid && stderr.isTTY) stderr.write("\r\u001b[K");
      return;
    }
    if (performance.now() - saidMs < (stderr.isTTY ? 1000 : 10_000)) return;
    saidMs = performance.now();
    hasSaid = true;
    const share = endMs === null ? "" : ` (${Math.floor((100 * nowMs) / endMs)} %)`;
    const text = `${(nowMs / 3_600_000).toFixed(1)} h simulated${share}, ${arrived.toLocaleString("en-US")} requests`;
    stderr.write(stderr.isTTY ? `\r${text}\u001b[K` : `${text}\n`);
  };
}

const policyName = ({ policy }: Endpoint) =>
  "manifest" in policy && policy.manifest.name !== "" ? `${policy.kind} ${policy.manifest.name}` : policy.kind;

async function writeReport(
  flags: SimulateFlags,
  endpoint: Endpoint,
  result: SimulationResult,
  course: Course,
  { count, list }: Changes,
): Promise<void> {
  const [{ comparisonReport }, { writeOut }, { compareScenario, reportedFigures }] = await Promise.all([
    import("../report/index.ts"),
    import("./study-output.ts"),
    import("../simulator/index.ts"),
  ]);
  const comparison = compareScenario(
    {
      scenario: endpoint.name,
      describes: `${flags.trace}${flags.overlay === 1 ? "" : ` × ${flags.overlay}`}`,
      objective: endpoint.objective,
    },
    [{ policy: policyName(endpoint), cells: [{ figures: reportedFigures(result), course, changes: { count, list } }] }],
  );
  writeOut(flags.html as string, await comparisonReport({ title: `${endpoint.name} simulated`, comparisons: [comparison] }), "--html");
}

function asJson(flags: SimulateFlags, endpoint: Endpoint, { latencies: _latencies, ...result }: SimulationResult): string {
  const figures = result.afterSplit ?? result.whole;
  return `${JSON.stringify(
    {
      endpoint: endpoint.name,
      policy: policyName(endpoint),
      trace: flags.trace,
      overlay: flags.overlay,
      seed: flags.seed,
      objective: endpoint.objective,
      objectiveMet: figures.attainment === null || figures.attainment >= endpoint.objective.attainment,
      ...result,
    },
    null,
    2,
  )}\n`;
}

async function asCsv(endpoint: Endpoint, figures: Figures): Promise<string> {
  const [{ FIGURE_NAMES, FIGURES }, { csv }] = await Promise.all([import("../simulator/index.ts"), import("./study-table.ts")]);
  return csv([
    ["endpoint", "policy", ...FIGURE_NAMES],
    [endpoint.name, policyName(endpoint), ...FIGURE_NAMES.map((name) => FIGURES[name](figures))],
  ]);
}

async function asTable(flags: SimulateFlags, endpoint: Endpoint, result: SimulationResult, course: Course): Promise<string> {
  const [{ table }, { number, percent, seconds }, { replicaPlot }, { isMet, reportedFigures }] = await Promise.all([
    import("./study-table.ts"),
    import("../console/index.ts"),
    import("./replica-plot.ts"),
    import("../simulator/index.ts"),
  ]);
  const figures = reportedFigures(result);
  const { objective } = endpoint;
  const { requests, ttft, tpot, e2e } = figures;
  const time = (ms: number | null) => seconds(ms === null ? null : ms / 1000);
  const quantiles = (of: typeof ttft) => `p50 ${time(of.p50Ms)}, p95 ${time(of.p95Ms)}, p99 ${time(of.p99Ms)}`;
  const met = isMet(figures.attainment, objective.attainment);
  const hours = (figures.toMs - figures.fromMs) / 3_600_000;
  const rows = [
    ["policy", policyName(endpoint)],
    ["time", `${hours.toFixed(2)} h${figures.fromMs > 0 ? `, from ${(figures.fromMs / 3_600_000).toFixed(2)} h on` : ""}`],
    ["requests", `${number(requests.arrived)} (${number(requests.arrived / Math.max(1, hours * 3600), 2)} a second)`],
    ["GPU-hours", number(figures.gpuHours, 2)],
    ["cost", number(figures.cost, 2)],
    [
      "objective",
      {
        text: `${met ? "met" : "missed"}: ${percent(figures.attainment)} of ${percent(objective.attainment)} within ${time(objective.timeToFirstTokenMs)} and ${time(objective.timePerOutputTokenMs)} a token`,
        style: met ? ("green" as const) : ("red" as const),
      },
    ],
    ["time to first token", quantiles(ttft)],
    ["time per output token", quantiles(tpot)],
    ["end to end", quantiles(e2e)],
    ["held", number(figures.held)],
    ["failed, rejected, left", `${number(requests.failed)}, ${number(requests.rejected)}, ${number(requests.cancelled)}`],
    ["changes of the count", `${number(figures.scaleUps)} up, ${number(figures.scaleDowns)} down, ${number(figures.reversals)} reversals`],
    ["minutes missed", number(figures.violationMinutes)],
    ["decisions", number(result.decisions)],
  ] as const;
  const width = Math.max(20, Math.min(100, (process.stdout.columns ?? 80) - 8));
  return `${table(
    [
      [endpoint.name, "left"],
      [`${flags.trace}${flags.overlay === 1 ? "" : ` × ${flags.overlay}`}`, "left"],
    ],
    rows,
  )}\n${replicaPlot(course, { width, height: 8 })}`;
}
