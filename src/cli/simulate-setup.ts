import { type Config, parseConfigFiles } from "../config/index.ts";
import { type EngineProfile, findProfile, GPUS, isProfileFile, PROFILES } from "../engine/index.ts";
import { openTrace } from "../load/index.ts";
import { type Endpoint, formatDuration, type Ms, type Pool, parseDuration, TidegateError } from "../model/index.ts";
import { busyMs, type Distribution, defaultEngine, type SimulationOptions } from "../simulator/index.ts";
import { overlayEach, slice, type TraceRequest } from "../traces/index.ts";
import { readFile, readText } from "./documents.ts";
import { readProfile } from "./profile-file.ts";
import { duration } from "./trace-output.ts";

export interface SimulateFlags {
  readonly endpoint?: string;
  readonly trace: string;
  readonly overlay: number;
  readonly seed: number;
  readonly from: string;
  readonly to?: string;
  readonly warmup: string;
  readonly split?: string;
  readonly policy?: string;
  readonly profile?: string;
  readonly gpu?: string;
  readonly coldStart?: string;
  readonly coldStartSigma?: number;
  readonly initial?: number;
  readonly patience?: string;
  readonly gateway: boolean;
  readonly output: "table" | "json" | "csv";
  readonly decisions?: string;
  readonly html?: string;
}

/** What nobody says of a cold start. */
const COLD_START_MS: Ms = 90_000;
const COLD_START_SIGMA = 0.25;

export interface SimulationSetup {
  readonly options: SimulationOptions;
  /** How long so many requests with so many tokens together keep one replica busy. */
  readonly busyMsOf: (requests: number, promptTokens: number, outputTokens: number) => Ms;
  readonly warnings: readonly string[];
}

/** From files and flags to a run. @throws TidegateError `usage` naming the flag, `config/…`, `trace/…`, `engine/profile` */
export async function simulationOf(files: readonly string[], flags: SimulateFlags): Promise<SimulationSetup> {
  const texts = files.map((file) => readText(file, readFile));
  const config = parseConfigFiles(texts, { env: process.env, readSecret: readFile });
  const endpoint = await withPolicy(endpointOf(config, flags.endpoint), flags.policy);
  const { formatIssue } = await import("../config/index.ts");
  const profiles = endpoint.pools.map((pool) => profileOf(endpoint, pool, flags));
  const coldStart = await coldStartOf(endpoint, flags);
  const rows = await rowsOf(flags);
  const trace = { [Symbol.iterator]: () => overlayEach(rows, flags.overlay, flags.seed)[Symbol.iterator]() };
  const splitMs = flags.split === undefined ? null : await duration(flags.split, "--split");
  const warmupMs = await duration(flags.warmup, "--warmup");
  const [profile] = profiles as [EngineProfile];
  const endMs = rows.at(-1)?.arrivalMs ?? 0;
  for (const [flag, ms] of [
    ["--split", splitMs ?? 0],
    ["--warmup", warmupMs],
  ] as const) {
    if (ms > 0 && ms >= endMs)
      throw new TidegateError(
        "usage",
        `${flag} (${formatDuration(ms)}) is not before the last arrival (${formatDuration(endMs)}); make it shorter`,
      );
  }
  return {
    options: {
      endpoint,
      trace,
      seed: flags.seed,
      pools: Object.fromEntries(
        endpoint.pools.map((pool, at) => [
          pool.name,
          {
            engine: defaultEngine(profiles[at] as EngineProfile),
            coldStart: { total: coldStart },
            ...(flags.initial === undefined ? {} : { initial: flags.initial }),
          },
        ]),
      ),
      ledgerSeen: flags.gateway,
      patienceMs: flags.patience === undefined ? null : await duration(flags.patience, "--patience"),
      warmupMs,
      splitMs,
    },
    busyMsOf: (requests, promptTokens, outputTokens) =>
      requests === 0 ? 0 : requests * busyMs(profile, { promptTokens: promptTokens / requests, outputTokens: outputTokens / requests }),
    warnings: config.warnings.map(formatIssue),
  };
}

function endpointOf({ endpoints }: Config, wanted: string | undefined): Endpoint {
  const names = endpoints.map(({ name }) => name).join(", ");
  if (wanted === undefined) {
    const [only] = endpoints;
    if (only !== undefined && endpoints.length === 1) return only;
    throw new TidegateError("usage", `the config has ${endpoints.length} endpoints (${names}); choose one with --endpoint NAME`);
  }
  const found = endpoints.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new TidegateError("usage", `--endpoint ${wanted} is not in the config; there is ${names}`);
}

/** The same endpoint under another policy, as `compare` names them; bounds, price and objective stay. */
async function withPolicy(endpoint: Endpoint, wanted: string | undefined): Promise<Endpoint> {
  if (wanted === undefined) return endpoint;
  const { contenderFor, readChoice } = await import("./compare-policies.ts");
  const { min = 0, max = 1 } = endpoint.pools[0] ?? {};
  const choice = await readChoice(wanted);
  const contender = contenderFor(choice, { bounds: { min, max }, objective: endpoint.objective });
  const { parseConfigDocuments } = await import("../config/index.ts");
  const { objective } = endpoint;
  const { endpoints } = parseConfigDocuments(
    [
      {
        apiVersion: "tidegate.dev/v1alpha1",
        kind: "Endpoint",
        metadata: { name: endpoint.name, namespace: endpoint.namespace },
        spec: {
          model: endpoint.model,
          engine: { kind: "emulated" },
          platform: { kind: "process" },
          objective: {
            attainment: objective.attainment,
            timeToFirstToken: `${objective.timeToFirstTokenMs}ms`,
            timePerOutputToken: `${objective.timePerOutputTokenMs}ms`,
          },
          pools: endpoint.pools.map(({ name, role, gpu, gpusPerReplica, min, max }) => ({ name, role, gpu, gpusPerReplica, min, max })),
          metrics: { ...endpoint.metrics, ...contender.metrics },
          policy: contender.policy,
        },
      },
    ],
    { env: {}, name: `--policy ${wanted}` },
  );
  const other = endpoints[0] as Endpoint;
  return { ...endpoint, policy: other.policy, metrics: other.metrics };
}

/** The value of a flag in the command that starts an emulated replica. */
function commandFlag({ platform }: Endpoint, flag: string): string | undefined {
  if (platform.kind !== "process") return undefined;
  const at = platform.command.indexOf(flag);
  return at < 0 ? undefined : platform.command[at + 1];
}

/** How fast a replica is: as flags say, else as the endpoint's model, GPU and tensor parallelism tell. @throws TidegateError `engine/profile` */
export function profileOf(endpoint: Endpoint, pool: Pool, flags: Pick<SimulateFlags, "profile" | "gpu">): EngineProfile {
  const gpu = flags.gpu ?? commandFlag(endpoint, "--gpu") ?? (Object.hasOwn(GPUS, pool.gpu.toLowerCase()) ? pool.gpu : undefined);
  const named = flags.profile ?? commandFlag(endpoint, "--profile");
  if (named !== undefined && isProfileFile(named)) return readProfile(named);
  if (named !== undefined) return named.includes("/") ? findProfile(named, flags.gpu) : findProfile(named, gpu);
  const model = endpoint.model.toLowerCase();
  const known = PROFILES.find((profile) => model.includes(profile.model.toLowerCase()));
  if (known === undefined)
    throw new TidegateError(
      "engine/profile",
      `nothing tells how fast ${endpoint.model} of endpoint ${endpoint.name} is; say it with --profile, one of ${[...new Set(PROFILES.map((one) => one.model))].join(", ")}`,
    );
  const same = PROFILES.find(
    (profile) => profile.model === known.model && profile.gpu === (gpu ?? known.gpu).toLowerCase() && profile.tp === pool.gpusPerReplica,
  );
  return same ?? findProfile(known.model, gpu ?? known.gpu);
}

async function coldStartOf(endpoint: Endpoint, flags: SimulateFlags): Promise<Distribution> {
  const stated = parseDuration(commandFlag(endpoint, "--cold-start") ?? "");
  const medianMs =
    flags.coldStart !== undefined
      ? await duration(flags.coldStart, "--cold-start")
      : (stated ?? (endpoint.policy.kind === "slo" ? endpoint.policy.spec.coldStartMs : COLD_START_MS));
  const sigma = flags.coldStartSigma ?? Number(commandFlag(endpoint, "--cold-start-sigma") ?? COLD_START_SIGMA);
  return sigma === 0 ? medianMs : { medianMs, sigma };
}

async function rowsOf(flags: SimulateFlags): Promise<readonly TraceRequest[]> {
  const fromMs = await duration(flags.from, "--from");
  const toMs = flags.to === undefined ? Number.POSITIVE_INFINITY : await duration(flags.to, "--to");
  const rows: TraceRequest[] = [];
  for await (const row of openTrace(flags.trace)) {
    if (row.arrivalMs >= toMs) break;
    rows.push(row);
  }
  const cut = fromMs === 0 ? rows : slice(rows, fromMs);
  if (cut.length === 0)
    throw new TidegateError("usage", `nothing of ${flags.trace} is left between --from ${flags.from} and --to ${flags.to ?? "its end"}`);
  return cut;
}
