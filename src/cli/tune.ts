import { Command, Option } from "commander";
import type { Endpoint, Ms, Objective } from "../model/index.ts";
import type { Scenario } from "../simulator/index.ts";
import type { DataFacts, Job, PolicyDocument, Scored, Stage, Tuned, TuneProgress } from "../tuner/index.ts";
import type { Printed, WriteFormat } from "./documents.ts";
import { EXIT } from "./exit.ts";
import { above0, from0, wholeAbove0, wholeFrom0 } from "./numbers.ts";
import type { SimulateFlags } from "./simulate-setup.ts";
import type { ThreadPool } from "./thread-pool.ts";
import type { TuneCase, TuneTask } from "./tune-worker.ts";

interface Flags {
  readonly trace: readonly string[];
  readonly fromHistory?: string;
  readonly scenarios?: string;
  readonly only?: readonly string[];
  readonly traces?: string;
  readonly state: string;
  readonly endpoint?: string;
  readonly policy?: string;
  readonly into?: string;
  readonly also?: string;
  readonly knobs?: readonly string[];
  readonly explain: boolean;
  readonly test: boolean;
  readonly overlay: number;
  readonly from: string;
  readonly to?: string;
  readonly profile?: string;
  readonly gpu?: string;
  readonly coldStart?: string;
  readonly coldStartSigma?: number;
  readonly gateway: boolean;
  readonly candidates: number;
  readonly seeds: number;
  readonly seed: number;
  readonly workers?: number;
  readonly resume?: string;
  readonly output: WriteFormat | "table";
}

const listed = (text: string, before: readonly string[]) => [...before, text];
const namesIn = (text: string) =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

export function tuneCommand(): Command {
  return new Command("tune")
    .description(
      "Find the settings of a policy that cost least at the objective, on recorded traffic, and show them on traffic not tuned on.",
    )
    .argument("[config...]", "tidegate.yaml, with the manifest beside it that is to be tuned")
    .option("--trace <file>", "traffic: CSV, JSONL (.gz too), Parquet or builtin; may be repeated, then all count", listed, [])
    .option("--from-history <endpoint>", "traffic that the controller recorded of an endpoint")
    .option("--state <folder>", "state folder of the controller, for --from-history", ".tidegate")
    .option("--scenarios <file>", "tune --policy on the scenarios of a file instead, as `compare` reads it")
    .option("--only <names>", "only these scenarios, such as step,ramp", namesIn)
    .option("--traces <folder>", "where trace files that scenarios name are; the scenario file's own folder otherwise")
    .option(
      "--into <folder>",
      "scenarios: tune each policy that --policy names (a,b,c, a folder or all) for each of them alone, and write FOLDER/SCENARIO/POLICY.yaml; those there stay",
    )
    .option("--also <folder>", "try first what FOLDER/*/POLICY.yaml holds: settings found on other traffic")
    .option("--knobs <words>", "turn only what has one of these words in its name, such as averageValue,stabilizationWindow", namesIn)
    .option("--endpoint <name>", "which endpoint, where the config has several")
    .option("--policy <name>", "tune another policy for it, from its documented default: hpa-waiting, keda, kpa, slo … as in `compare`")
    .option("--overlay <k>", "lay so many copies of the trace over each other", above0, 1)
    .option("--from <d>", "leave out what arrives before", "0s")
    .option("--to <d>", "leave out what arrives from there on; of a scenario before its split too")
    .option("--profile <name>", "whose speed a replica has, such as 8B or MODEL/GPU/TP; told by the config otherwise")
    .option("--gpu <type>", "on which GPU; the pools' own otherwise")
    .option("--cold-start <d>", "from request to ready, the median; told by the config otherwise, else 90s")
    .option("--cold-start-sigma <x>", "its spread (lognormal); 0 is always the same", from0)
    .option("--no-gateway", "no gateway of ours is in the path: the policy sees only what engines report")
    .option("--candidates <n>", "settings to try in the search", wholeAbove0, 100)
    .option("--seeds <n>", "runs of each, with luck of their own", wholeAbove0, 2)
    .option("--seed <n>", "of the search; the same seed finds the same settings", wholeFrom0, 1)
    .option("--workers <n>", "threads; one for each core otherwise. What is found is the same with any number", wholeAbove0)
    .option("--no-explain", "do not take changes back one by one, nor say what each is worth: a third of the runs less")
    .option("--no-test", "leave the last stretch unseen, for who reports on it otherwise")
    .option("--resume <file>", "keep every run in this file, and do not run again what is in it")
    .addOption(new Option("-o, --output <format>", "of what was found").choices(["yaml", "json"]).default("yaml"))
    .addHelpText(
      "after",
      `
The first half of the traffic is tuned on, the next quarter chooses among the best, and the last quarter, which nobody has seen, is
what the result is judged by. Exit codes: 0 ok, 1 failure, 2 usage, a config or a trace, 99 what was found misses the objective there.`,
    )
    .action(async (files: readonly string[], flags: Flags) => {
      process.exitCode = await run(files, flags);
    });
}

async function run(files: readonly string[], flags: Flags): Promise<number> {
  const { TidegateError } = await import("../model/index.ts");
  if (flags.into !== undefined) return tuneEach(flags.into, flags);
  if (flags.scenarios !== undefined) {
    const { scenarios, traces } = await scenariosOf(flags.scenarios, flags);
    if (flags.policy === undefined) throw new TidegateError("usage", "scenarios have no policy of their own; name one with --policy");
    return printed(await scenarioSetting(scenarios, traces, flags.policy, await factsOf(scenarios, traces, flags), flags), flags);
  }
  if (files.length === 0) throw new TidegateError("usage", "there is no endpoint to tune for; give a config, or --scenarios FILE");
  if (flags.trace.length === 0 && flags.fromHistory === undefined)
    throw new TidegateError("usage", "there is no traffic to tune on; give --trace FILE or --from-history ENDPOINT");
  for (const name of [...files, ...flags.trace])
    if (name === "-") throw new TidegateError("usage", "tune reads its files several times, so none can be standard input; give a file");
  const history = flags.fromHistory === undefined ? null : await recorded(flags.fromHistory, flags.state, flags.seed);
  try {
    const traces = [...flags.trace, ...(history === null ? [] : [history.file])];
    return await printed(await traceSetting(traces, files, flags), flags);
  } finally {
    history?.remove();
  }
}

/** What is tuned, and on what. */
interface Setting {
  readonly name: string;
  readonly attainment: number;
  readonly bounds: { readonly min: number; readonly max: number };
  readonly subject: Subject;
  readonly cases: readonly TuneCase[];
  readonly facts: readonly Readonly<Record<Stage, DataFacts>>[];
  /** All that a run depends on beside its job, for `--resume`. */
  readonly key: unknown;
}

async function traceSetting(traces: readonly string[], files: readonly string[], flags: Flags): Promise<Setting> {
  const [{ simulationOf }, { TidegateError }, stages] = await Promise.all([
    import("./simulate-setup.ts"),
    import("../model/index.ts"),
    import("./tune-stages.ts"),
  ]);
  const each = traces.map(
    (trace): SimulateFlags => ({
      trace,
      overlay: flags.overlay,
      seed: 1,
      from: flags.from,
      warmup: "0s",
      gateway: flags.gateway,
      output: "table",
      ...(flags.to === undefined ? {} : { to: flags.to }),
      ...(flags.endpoint === undefined ? {} : { endpoint: flags.endpoint }),
      ...(flags.profile === undefined ? {} : { profile: flags.profile }),
      ...(flags.gpu === undefined ? {} : { gpu: flags.gpu }),
      ...(flags.coldStart === undefined ? {} : { coldStart: flags.coldStart }),
      ...(flags.coldStartSigma === undefined ? {} : { coldStartSigma: flags.coldStartSigma }),
    }),
  );
  const setups = await Promise.all(each.map((one) => simulationOf(files, one)));
  const [{ options, warnings }] = setups as [(typeof setups)[number]];
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const { endpoint } = options;
  const [pool, ...others] = endpoint.pools;
  if (pool === undefined || others.length > 0)
    throw new TidegateError(
      "usage",
      `endpoint ${endpoint.name} has ${endpoint.pools.length} pools; tune finds settings for endpoints of one`,
    );
  return {
    name: endpoint.name,
    attainment: endpoint.objective.attainment,
    bounds: { min: pool.min, max: pool.max },
    subject: await subjectOf(files, endpoint, flags.policy),
    cases: each.map((one) => ({ kind: "trace", files, flags: one })),
    facts: setups.map((setup) => stages.factsOf(setup.options)),
    key: [each, endpoint, await sizesOf(traces)],
  };
}

async function scenariosOf(file: string, { only, traces, profile }: Flags) {
  const { readScenarios } = await import("./scenario-files.ts");
  return readScenarios({ file, only, traces, profile });
}

type Facts = Setting["facts"];

async function untilOf({ to }: Flags): Promise<Ms | null> {
  if (to === undefined) return null;
  const { duration } = await import("./trace-output.ts");
  return duration(to, "--to");
}

async function factsOf(scenarios: readonly Scenario[], traces: string, flags: Flags): Promise<Facts> {
  const { scenarioFacts } = await import("./tune-stages.ts");
  const untilMs = await untilOf(flags);
  return Promise.all(scenarios.map((scenario) => scenarioFacts(scenario, traces, untilMs, flags.test)));
}

async function scenarioSetting(
  scenarios: readonly Scenario[],
  traces: string,
  policy: string,
  facts: Facts,
  flags: Flags,
): Promise<Setting> {
  const untilMs = await untilOf(flags);
  const bounds = {
    min: Math.max(...scenarios.map(({ replicas }) => replicas.min)),
    max: Math.min(...scenarios.map(({ replicas }) => replicas.max)),
  };
  const [first] = scenarios as [Scenario];
  return {
    name: scenarios.map(({ name }) => name).join(", "),
    attainment: Math.max(...scenarios.map(({ objective }) => objective.attainment)),
    bounds,
    subject: await familySubject(policy, bounds, first.objective),
    cases: scenarios.map((scenario) => ({ kind: "scenario", scenario, traces, untilMs })),
    facts,
    key: [scenarios, traces, untilMs],
  };
}

/** Each policy for each scenario alone, as a file of its own; what is there already stays, so that a search that was broken off goes on. */
async function tuneEach(folder: string, flags: Flags): Promise<number> {
  const [{ TidegateError }, { nameOf, policyNames, readChoice }, { existsSync, mkdirSync }, { join }, { writeOut }] = await Promise.all([
    import("../model/index.ts"),
    import("./compare-policies.ts"),
    import("node:fs"),
    import("node:path"),
    import("./study-output.ts"),
  ]);
  if (flags.scenarios === undefined || flags.policy === undefined)
    throw new TidegateError("usage", "--into needs --scenarios FILE and --policy a,b,c");
  const { scenarios, traces } = await scenariosOf(flags.scenarios, flags);
  const policies = await policyNames(namesIn(flags.policy));
  const pool = await poolOf(flags);
  let code: number = EXIT.ok;
  try {
    for (const scenario of scenarios) {
      mkdirSync(join(folder, scenario.name), { recursive: true });
      let facts: Facts | null = null;
      for (const policy of policies) {
        const name = nameOf(await readChoice(policy));
        const file = join(folder, scenario.name, `${name}.yaml`);
        if (existsSync(file)) continue;
        facts ??= await factsOf([scenario], traces, flags);
        const setting = await scenarioSetting([scenario], traces, policy, facts, flags);
        process.stderr.write(`${scenario.name}, ${name}\n`);
        const tuned = await search(setting, flags, pool, name);
        writeOut(file, (await shown(tuned, setting, flags, "yaml")).out, "--into");
        if (missesObjective(tuned)) code = EXIT.objectiveMissed;
      }
    }
  } finally {
    await pool.end();
  }
  return code;
}

/** What FOLDER/SCENARIO/POLICY.yaml hold for other scenarios, as policies. */
async function foundElsewhere(folder: string, policy: string, own: PolicyDocument): Promise<readonly PolicyDocument[]> {
  const [{ globSync }, { join }, { plainDocuments, readFile, readText }, { policyInDocument }] = await Promise.all([
    import("node:fs"),
    import("node:path"),
    import("./documents.ts"),
    import("./compare-policies.ts"),
  ]);
  const files = globSync(join(folder, "*", `${policy}.yaml`)).toSorted();
  const documents = await Promise.all(files.map((file) => plainDocuments(readText(file, readFile))));
  return documents.flatMap(([document]) => (document === undefined ? [] : [policyInDocument(own, document.value) as PolicyDocument]));
}

async function sizesOf(traces: readonly string[]): Promise<readonly (number | null)[]> {
  const { existsSync, statSync } = await import("node:fs");
  return traces.map((trace) => (existsSync(trace) ? statSync(trace).size : null));
}

type Pool = ThreadPool<TuneTask, Scored>;

async function poolOf({ workers }: Flags): Promise<Pool> {
  const { threadPool } = await import("./thread-pool.ts");
  return threadPool<TuneTask, Scored>("tune-worker", workers ?? null);
}

async function printed(setting: Setting, flags: Flags): Promise<number> {
  const pool = await poolOf(flags);
  try {
    const tuned = await search(setting, flags, pool, flags.policy);
    const { print } = await import("./documents.ts");
    print(await shown(tuned, setting, flags, flags.output === "json" ? "json" : "yaml"));
    return missesObjective(tuned) ? EXIT.objectiveMissed : EXIT.ok;
  } finally {
    await pool.end();
  }
}

/** On the last stretch; where that was left alone, on what was chosen by. */
const missesObjective = ({ found }: Tuned) => (found.test ?? found.validation).miss > 0;

async function search(
  { attainment, bounds, subject, cases, facts, key }: Setting,
  flags: Flags,
  pool: Pool,
  policy: string | undefined,
): Promise<Tuned> {
  const [tuner, { TidegateError }] = await Promise.all([import("../tuner/index.ts"), import("../model/index.ts")]);
  const all = tuner.knobsOf({ policy: subject.policy, metrics: subject.metrics, bounds });
  const words = flags.knobs;
  const knobs = words === undefined ? all : all.filter(({ name }) => words.some((word) => name.includes(word)));
  if (all.length > 0 && knobs.length === 0)
    throw new TidegateError("usage", `--knobs ${words?.join(",")} names none of its knobs: ${all.map(({ name }) => name).join(", ")}`);
  if (knobs.length === 0)
    throw new TidegateError("usage", `policy ${String(subject.policy["kind"])} has nothing that tune can turn; name another with --policy`);
  if (flags.also !== undefined && policy === undefined) throw new TidegateError("usage", "--also needs --policy, whose files it reads");
  const also = flags.also === undefined ? [] : await foundElsewhere(flags.also, policy as string, subject.policy);

  const leastOf = (stage: (typeof tuner.STAGES)[number]) => ({
    requests: Math.min(...facts.map((of) => of[stage].requests)),
    lengthMs: Math.max(...facts.map((of) => of[stage].lengthMs)),
  });
  const { bookOf } = await import("./run-book.ts");
  const book = bookOf<Scored>(flags.resume);
  const keyOf = (job: Job) => [key, subject.metrics, job];
  const line = progressOf();
  try {
    return await tuner.tune({
      document: subject.policy,
      knobs,
      cases: cases.length,
      attainment,
      seeds: flags.seeds,
      budget: flags.candidates,
      seed: flags.seed,
      also,
      explains: flags.explain,
      tests: flags.test,
      data: { train: leastOf("train"), validation: leastOf("validation"), test: leastOf("test") },
      run: (jobs) =>
        Promise.all(
          jobs.map(async (job) => {
            const known = book.get(keyOf(job));
            if (known !== undefined) return known;
            const scored = await pool.run({ on: cases[job.case] as TuneCase, metrics: subject.metrics, job });
            book.keep(keyOf(job), scored);
            return scored;
          }),
        ),
      onProgress: line.show,
    });
  } finally {
    line.end();
  }
}

/** The policy to tune, as the document that its system writes. */
interface Subject {
  readonly policy: PolicyDocument;
  readonly metrics: Readonly<Record<string, string>>;
  /** The document to print for a policy. */
  readonly print: (policy: PolicyDocument) => unknown;
  readonly notes: readonly string[];
}

const ofPolicy = (policy: PolicyDocument) => ("manifest" in policy ? policy["manifest"] : { policy });

/** Another policy, from where its documentation or its file begins. */
async function familySubject(wanted: string, bounds: Setting["bounds"], objective: Objective): Promise<Subject> {
  const { contenderFor, readChoice } = await import("./compare-policies.ts");
  const { policy, metrics = {} } = contenderFor(await readChoice(wanted), { bounds, objective });
  const named = Object.entries(metrics).map(([from, to]) => `${from}: ${to}`);
  return {
    policy: policy as PolicyDocument,
    metrics,
    print: ofPolicy,
    notes: named.length === 0 ? [] : [`The Endpoint needs spec.metrics: { ${named.join(", ")} }`],
  };
}

async function subjectOf(files: readonly string[], endpoint: Endpoint, wanted: string | undefined): Promise<Subject> {
  const { min = 0, max = 1 } = endpoint.pools[0] ?? {};
  if (wanted !== undefined) return familySubject(wanted, { min, max }, endpoint.objective);
  const { plainDocuments, readFile, readText } = await import("./documents.ts");
  const documents = (await Promise.all(files.map((file) => plainDocuments(readText(file, readFile))))).flat();
  const own = documents
    .map(
      ({ value }) =>
        value as { readonly kind?: string; readonly metadata?: { readonly name?: string }; readonly spec?: Record<string, unknown> },
    )
    .find(({ kind, metadata }) => kind === "Endpoint" && metadata?.name === endpoint.name);
  const stated = own?.spec?.["policy"] as PolicyDocument | undefined;
  if (stated !== undefined) {
    const print = (policy: PolicyDocument) => ({ ...own, spec: { ...own?.spec, policy } });
    return { policy: stated, metrics: endpoint.metrics, print, notes: [] };
  }
  const { policy } = endpoint;
  const of = (document: PolicyDocument): Subject => ({
    policy: document,
    metrics: endpoint.metrics,
    print: ofPolicy,
    notes: [],
  });
  if (!("manifest" in policy)) return of({ kind: policy.kind });
  const { readerOf } = await import("../manifests/index.ts");
  const target = endpoint.platform.target;
  const manifest = readerOf(policy.kind).write(policy.manifest, target) as PolicyDocument;
  return of({ kind: policy.kind, manifest });
}

/** What was found, for people or as data; warnings go to standard error too. */
async function shown(tuned: Tuned, { subject, name }: Setting, flags: Flags, format: WriteFormat): Promise<Printed> {
  const [{ printDocuments }, { explainTuned }] = await Promise.all([import("./documents.ts"), import("../tuner/index.ts")]);
  const document = subject.print(tuned.document);
  const err = tuned.warnings.map((warning) => `warning: ${warning}\n`).join("");
  if (format === "json") {
    const { before, found, ablation, front, warnings, candidates } = tuned;
    const report = { endpoint: name, document, before, found, ablation, front, warnings, candidates };
    return { out: `${JSON.stringify(report, null, 2)}\n`, err };
  }
  const how =
    flags.into === undefined
      ? []
      : [`For scenario ${name}; --seeds ${flags.seeds}, --seed ${flags.seed}${flags.to === undefined ? "" : `, --to ${flags.to}`}.`];
  const notes = [...explainTuned(tuned), ...how, ...tuned.warnings.map((warning) => `Warning: ${warning}`), ...subject.notes];
  return { out: (await printDocuments([{ document, notes }], format)).out, err };
}

const PHASES: Readonly<Record<TuneProgress["phase"], string>> = {
  search: "searching",
  choose: "choosing by the next stretch",
  explain: "taking changes back one by one",
  test: "looking at the last stretch",
};

/** On standard error: one line that is written over on a terminal, a line for each phase elsewhere. */
function progressOf(): { readonly show: (progress: TuneProgress) => void; end(): void } {
  const { stderr } = process;
  const overwrites = stderr.isTTY === true && process.env["CI"] === undefined;
  const beganMs = performance.now();
  let phase = "";
  return {
    show({ phase: now, done, of, best }) {
      const leftMs = now === "search" && done > 0 ? ((performance.now() - beganMs) / done) * (of - done) : null;
      const words = [
        `${PHASES[now]}: ${done} of ${of}`,
        ...(best === null ? [] : [`best ${best.gpuHours.toFixed(2)} GPU-hours at ${(100 * best.attainment).toFixed(2)} %`]),
        ...(leftMs === null || leftMs < 1000 ? [] : [`about ${Math.round(leftMs / 1000)} s left`]),
      ].join(", ");
      if (overwrites) stderr.write(`\r${words}\u001b[K`);
      else if (now !== phase || done === of) stderr.write(`${words}\n`);
      phase = now;
    },
    end: () => void (overwrites && stderr.write("\r\u001b[K")),
  };
}

/** What the controller recorded, as a trace file that threads can read. */
async function recorded(endpoint: string, state: string, seedOf: number): Promise<{ readonly file: string; remove(): void }> {
  const [
    { openHistory, recordedTraffic },
    { formatCsvTrace, resample },
    { mkdtempSync, rmSync, writeFileSync },
    { tmpdir },
    { join },
    model,
  ] = await Promise.all([
    import("../history/index.ts"),
    import("../traces/index.ts"),
    import("node:fs"),
    import("node:os"),
    import("node:path"),
    import("../model/index.ts"),
  ]);
  const history = openHistory(state, { readOnly: true });
  try {
    if (!history.endpoints().includes(endpoint))
      throw new model.TidegateError(
        "usage",
        `no endpoint ${JSON.stringify(endpoint)} in ${history.file}; it holds ${history.endpoints().join(", ") || "none"}`,
      );
    const rows = [
      ...resample(
        recordedTraffic(() => history.entries(endpoint)),
        seedOf,
      ),
    ];
    const folder = mkdtempSync(join(tmpdir(), "tidegate-tune-"));
    const file = join(folder, "history.csv");
    writeFileSync(file, formatCsvTrace(rows));
    return { file, remove: () => rmSync(folder, { recursive: true, force: true }) };
  } finally {
    history.close();
  }
}
