import { Command, InvalidArgumentError, Option } from "commander";
import type { Ms, Stage } from "../model/index.ts";
import type { ColdStart, SimulationOptions } from "../simulator/index.ts";
import type { MeasuredStart, Ran } from "./advice.ts";
import { wholeFrom0 } from "./numbers.ts";
import type { SimulateFlags } from "./simulate-setup.ts";

interface Flags {
  readonly trace: string;
  readonly endpoint?: string;
  readonly state: string;
  readonly stage: Stage;
  readonly save: readonly string[];
  readonly standby: number;
  readonly standbyPrice: number;
  readonly wake: string;
  readonly overlay: number;
  readonly from: string;
  readonly warmup: string;
  readonly to?: string;
  readonly policy?: string;
  readonly profile?: string;
  readonly gpu?: string;
  readonly coldStart?: string;
  readonly initial?: number;
  readonly gateway: boolean;
  readonly seeds: number;
  readonly output: "table" | "json";
}

interface Variant extends Ran {
  readonly name: string;
  readonly startMedianMs: Ms | null;
  readonly gpuHours: number;
  /** Of the cost of the same attainment without it; null where that is not to be had by a floor. */
  readonly saving: number | null;
}

/** Floors of replicas that today's settings are tried with, to know what attainment costs without faster starts. */
const mostFloors = 6;
/** Assumed spread where nothing was measured. */
const assumedSigma = 0.25;

const above0 = (text: string) => {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
};
const share = (text: string) => {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("It must be a share from 0 to 1.");
  return value;
};

export function adviseCommand(): Command {
  return new Command("advise")
    .description("Say what a faster start or a standby would be worth, from cold starts as they were measured and by simulation.")
    .argument("<config...>", "tidegate.yaml, with the manifests beside it that it needs")
    .requiredOption("--trace <file>", 'a CSV or JSONL file (.gz too), Parquet, or "builtin"')
    .option("--state <folder>", "state folder of the controller, whose history has the starts", ".tidegate")
    .option("--endpoint <name>", "which endpoint, where the config has several")
    .addOption(
      new Option("--stage <stage>", "which stage is made faster")
        .choices(["schedule", "provision", "pull", "load", "warmup"])
        .default("load"),
    )
    .option("--save <d,d,…>", "by how much", (text: string) => text.split(","), ["10s", "20s", "40s"])
    .option("--standby <n>", "replicas asleep that are tried", wholeFrom0, 1)
    .option("--standby-price <share>", "of a replica's price while it sleeps", share, 0.3)
    .option("--wake <d>", "from asleep to ready", "5s")
    .option("--overlay <k>", "lay so many copies of the trace over each other", above0, 1)
    .option("--from <d>", "leave out what arrives before; time begins there", "0s")
    .option("--warmup <d>", "figures leave out the beginning, which is about how many replicas there are when it begins", "5m")
    .option("--to <d>", "leave out what arrives from there on")
    .option("--policy <name>", "another policy instead: by name as in `compare`, or FILE.yaml")
    .option("--profile <name>", "whose speed a replica has, or a file of `tidegate calibrate`")
    .option("--gpu <type>", "on which GPU; the pools' own otherwise")
    .option("--cold-start <d>", "median start to assume instead of the measured ones")
    .option("--initial <n>", "replicas ready when it begins; the minimum otherwise", wholeFrom0)
    .option("--no-gateway", "no gateway of ours is in the path")
    .option("--seeds <n>", "runs of each, with other luck", above0, 3)
    .addOption(new Option("-o, --output <format>", "of the advice").choices(["table", "json"]).default("table"))
    .action(advise);
}

async function advise(files: readonly string[], flags: Flags): Promise<void> {
  const [{ simulationOf }, { stageShares, withFaster, savingOf }, { simulate }, { duration }, { formatDuration, TidegateError }] =
    await Promise.all([
      import("./simulate-setup.ts"),
      import("./advice.ts"),
      import("../simulator/index.ts"),
      import("./trace-output.ts"),
      import("../model/index.ts"),
    ]);
  const simulated: SimulateFlags = { ...flags, seed: 1, output: "table" };
  const { options, warnings } = await simulationOf(files, simulated);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const starts = flags.coldStart === undefined ? await startsOf(flags.state, options.endpoint.name) : [];
  const saves = await Promise.all(flags.save.map((text) => duration(text.trim(), "--save")));
  const wakeMs = await duration(flags.wake, "--wake");
  const wake = { wakeMs, priceShare: flags.standbyPrice };

  /** Means over the seeds. */
  const run = (change: {
    readonly coldStart?: ColdStart;
    readonly floor?: number;
    readonly standby?: number;
  }): Ran & { gpuHours: number } => {
    const results = Array.from({ length: flags.seeds }, (_, at) => simulate(changed(options, change, wake, at + 1)).whole);
    const mean = (of: (one: (typeof results)[number]) => number) => results.reduce((sum, one) => sum + of(one), 0) / results.length;
    return {
      attainment: results.some(({ attainment }) => attainment === null) ? null : mean(({ attainment }) => attainment ?? 0),
      cost: mean(({ cost }) => cost),
      gpuHours: mean(({ gpuHours }) => gpuHours),
    };
  };
  const medianOf = (of: readonly MeasuredStart[]): Ms | null => {
    const sorted = of.map(({ totalMs }) => totalMs).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? null;
  };
  const assumed = starts.length === 0;
  const today = assumed ? assumedStarts(options, flags.stage) : starts;
  if (!today.some(({ stages }) => (stages[flags.stage] ?? 0) > 0))
    throw new TidegateError(
      "usage",
      `none of ${today.length} measured starts has a stage ${flags.stage}; choose another with --stage: ${stageShares(today)
        .map(({ stage }) => stage)
        .join(", ")}`,
    );
  const base = run({ coldStart: startOf(today, wakeMs) });
  const floors: Ran[] = [base];
  const { min = 0, max = 1 } = options.endpoint.pools[0] ?? {};
  for (const floor of floorsBetween(min, max)) {
    const tried = run({ coldStart: startOf(today, wakeMs), floor });
    floors.push(tried);
    if (tried.attainment !== null && tried.attainment >= 0.9999) break;
  }
  const variant = (name: string, of: readonly MeasuredStart[], ran: Ran & { gpuHours: number }): Variant => ({
    name,
    startMedianMs: medianOf(of),
    ...ran,
    saving: savingOf(ran, floors),
  });
  const variants = [
    { ...variant("as it is", today, base), saving: 0 },
    ...saves.map((savedMs) => {
      const faster = withFaster(today, flags.stage, savedMs);
      return variant(`${flags.stage} ${formatDuration(savedMs)} faster`, faster, run({ coldStart: startOf(faster, wakeMs) }));
    }),
    ...(flags.standby === 0
      ? []
      : [
          variant(
            `${flags.standby} standby, awake in ${flags.wake}`,
            today,
            run({ coldStart: startOf(today, wakeMs), standby: flags.standby }),
          ),
        ]),
  ];
  const shares = stageShares(today);
  if (flags.output === "json") {
    process.stdout.write(
      `${JSON.stringify({ endpoint: options.endpoint.name, starts: starts.length, assumed, medianMs: medianOf(today), stages: shares, floors, variants }, null, 2)}\n`,
    );
    return;
  }
  const { table } = await import("./study-table.ts");
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const lines = [
    assumed
      ? `No start was measured; a median of ${formatDuration(Math.round(medianOf(today) ?? 0))} is assumed, and how it divides into stages too.`
      : `${starts.length} starts measured, median ${formatDuration(Math.round(medianOf(today) ?? 0))}: ${shares.map((one) => `${one.stage} ${Math.round(100 * one.share)} %`).join(", ")}.`,
    "",
    table(
      [
        ["", "left"],
        ["start", "right"],
        ["within objective", "right"],
        ["GPU-hours", "right"],
        ["cost", "right"],
        ["saves", "right"],
      ],
      variants.map((one) => [
        one.name,
        one.startMedianMs === null ? "–" : formatDuration(Math.round(one.startMedianMs / 100) * 100),
        one.attainment === null ? "–" : percent(one.attainment),
        one.gpuHours.toFixed(2),
        one.cost.toFixed(2),
        one.saving === null ? "–" : percent(one.saving),
      ]),
    ).trimEnd(),
    "",
    ...variants
      .slice(1)
      .map((one) => sentence(one, variants[0] as Variant, shares.find(({ stage }) => stage === flags.stage)?.share ?? 0, flags)),
    `"saves" is against what today's start needs for the same attainment: the same policy with a larger floor of replicas. Means of ${flags.seeds} seeds.`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function sentence(one: Variant, base: Variant, stageShare: number, { stage, standby, standbyPrice }: Flags): string {
  const percent = (value: number) => `${(100 * value).toFixed(Math.abs(value) < 0.1 ? 1 : 0)} %`;
  const isStandby = one.name.includes("standby");
  const what = isStandby
    ? `${standby} standby at ${percent(standbyPrice)} of a replica's price`
    : `${stage} takes ${percent(stageShare)} of the start: ${one.name.split(" ")[1]} less`;
  const attained =
    one.attainment === null || base.attainment === null ? "" : ` (${percent(base.attainment)} before, ${percent(one.attainment)} with it)`;
  if (one.saving === null) return `${what} reaches an attainment that no floor of replicas does${attained}.`;
  if (Math.abs(one.saving) < 0.005) return `${what} changes the cost of the same attainment by less than 0.5 %${attained}.`;
  return `${what} ${one.saving > 0 ? "saves" : "costs"} ${percent(Math.abs(one.saving))} ${one.saving > 0 ? "of cost" : "more"} at the same attainment${attained}.`;
}

/** The run with other starts, a floor, or replicas asleep. */
function changed(
  options: SimulationOptions,
  { coldStart, floor, standby }: { readonly coldStart?: ColdStart; readonly floor?: number; readonly standby?: number },
  wake: { readonly priceShare: number },
  runSeed: number,
): SimulationOptions {
  const { endpoint } = options;
  const pools = endpoint.pools.map((pool) => ({
    ...pool,
    min: Math.max(pool.min, Math.min(pool.max, floor ?? 0)),
    ...(standby === undefined ? {} : { standby }),
  }));
  return {
    ...options,
    seed: runSeed,
    endpoint: { ...endpoint, pools },
    pools: Object.fromEntries(
      Object.entries(options.pools).map(([name, pool]) => [
        name,
        {
          ...pool,
          ...(coldStart === undefined ? {} : { coldStart }),
          ...(standby === undefined ? {} : { standbyPriceShare: wake.priceShare }),
          ...(floor === undefined ? {} : { initial: Math.max(pool.initial ?? 0, floor) }),
        },
      ]),
    ),
  };
}

/** Each stage as often as it was measured; what no stage accounts for is waiting to be scheduled. */
function startOf(starts: readonly MeasuredStart[], wakeMs: Ms): ColdStart {
  const names = new Set(starts.flatMap(({ stages }) => Object.keys(stages) as Stage[]));
  const known = ({ stages }: MeasuredStart) => Object.values(stages).reduce((sum, ms) => sum + (ms ?? 0), 0);
  return {
    stages: {
      ...Object.fromEntries([...names].map((stage) => [stage, { valuesMs: starts.map(({ stages }) => stages[stage] ?? 0) }])),
      schedule: { valuesMs: starts.map((start) => Math.max(0, start.totalMs - known(start)) + (start.stages.schedule ?? 0)) },
      wake: wakeMs,
    },
  };
}

/** Nothing was measured: the config's or the flag's median with a usual spread, of which the stage takes 70 %. */
function assumedStarts({ pools }: SimulationOptions, stage: Stage): readonly MeasuredStart[] {
  const [pool] = Object.values(pools);
  const total = pool !== undefined && "total" in pool.coldStart ? pool.coldStart.total : 90_000;
  const [medianMs, sigma] =
    typeof total === "number" ? [total, 0] : "medianMs" in total ? [total.medianMs, total.sigma] : [total.valuesMs[0] ?? 0, assumedSigma];
  return [-1.3, -0.67, -0.32, 0, 0.32, 0.67, 1.3].map((z) => {
    const totalMs = medianMs * Math.exp(sigma * z);
    return { totalMs, stages: { [stage]: 0.7 * totalMs } };
  });
}

async function startsOf(folder: string, endpoint: string): Promise<readonly MeasuredStart[]> {
  const [{ existsSync }, { join }, { openHistory }, { measuredStarts }] = await Promise.all([
    import("node:fs"),
    import("node:path"),
    import("../history/index.ts"),
    import("./advice.ts"),
  ]);
  if (!existsSync(join(folder, "history.sqlite"))) return [];
  const history = openHistory(folder, { readOnly: true });
  try {
    function* looks() {
      for (const entry of history.entries(endpoint)) if (entry.kind === "decision") yield entry.observation.replicas;
    }
    return measuredStarts(looks());
  } finally {
    history.close();
  }
}

/** A few counts above `min`, closer together where they are small. */
function floorsBetween(min: number, max: number): readonly number[] {
  const floors = new Set<number>();
  for (let at = 1; at <= mostFloors; at++) floors.add(Math.round(min + (max - min) * (at / mostFloors) ** 1.6));
  floors.delete(min);
  return [...floors];
}
