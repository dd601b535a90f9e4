import { parseConfigDocuments } from "../../config/index.ts";
import { type EngineProfile, findProfile } from "../../engine/index.ts";
import { type Endpoint, formatDuration, type Ms } from "../../model/index.ts";
import type { Fault } from "../faults.ts";
import { defaultEngine, type SimulationOptions } from "../options.ts";
import type { Scenario, ScenarioRun } from "../scenario/index.ts";
import { busyReplicas } from "./work.ts";

/** A policy as a config writes it: `spec.policy`, with the names that its manifest gives to our signals. */
export interface Contender {
  readonly name: string;
  readonly policy: Readonly<Record<string, unknown>>;
  readonly metrics?: Readonly<Record<string, string>>;
  /** As `spec.gateway`. */
  readonly gateway?: Readonly<Record<string, unknown>>;
}

/** What comes in it tells how many replicas there are when a scenario begins, and how much of their time it may take. */
const FIRST_MS: Ms = 300_000;
const FIRST_UTILIZATION = 0.7;
/** Our own policies have no tick that belongs to them: they decide at the scenario's interval unless they say another. */
const TAKES_INTERVAL: readonly unknown[] = ["slo", "signals"];

/**
 * The endpoint of a scenario under a policy: emulated replicas of the scenario's profile, one currency unit a GPU-hour. A policy with
 * bounds of its own keeps the narrower. @throws TidegateError `config/invalid` naming the contender, `engine/profile`
 */
export function endpointOf(scenario: Scenario, contender: Contender): Endpoint {
  const profile = profileOf(scenario);
  const { policy } = contender;
  const document = {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: { name: scenario.name },
    spec: {
      model: profile.model,
      engine: { kind: "emulated", ...(scenario.measured === null ? { profile: scenario.profile } : {}) },
      platform: { kind: "process" },
      objective: {
        attainment: scenario.objective.attainment,
        timeToFirstToken: `${scenario.objective.timeToFirstTokenMs}ms`,
        timePerOutputToken: `${scenario.objective.timePerOutputTokenMs}ms`,
      },
      pools: [
        {
          name: "default",
          gpu: profile.gpu,
          gpusPerReplica: profile.tp,
          price: { perReplicaHour: profile.tp },
          min: scenario.replicas.min,
          max: scenario.replicas.max,
          standby: scenario.standby?.count ?? 0,
        },
      ],
      metrics: contender.metrics ?? {},
      gateway: contender.gateway ?? {},
      policy:
        TAKES_INTERVAL.includes(policy["kind"]) && policy["interval"] === undefined
          ? { ...policy, interval: formatDuration(scenario.intervalMs) }
          : policy,
    },
  };
  const { endpoints } = parseConfigDocuments([document], { env: {}, name: `${scenario.name} under ${contender.name}` });
  return endpoints[0] as Endpoint;
}

export const profileOf = ({ profile, measured, gpu }: Scenario): EngineProfile => measured ?? findProfile(profile, gpu);

/** The run of one contender in one scenario with the luck of one seed. */
export function simulationOf(scenario: Scenario, contender: Contender, run: ScenarioRun, seed: number): SimulationOptions {
  const { standby, coldStart, faults } = scenario;
  const endpoint = endpointOf(scenario, contender);
  return {
    endpoint,
    trace: run.rows,
    seed,
    pools: {
      default: {
        engine: defaultEngine(profileOf(scenario)),
        coldStart: { total: coldStart, ...(standby === null ? {} : { wake: standby.wakeMs }) },
        initial: initialOf(scenario, endpoint, run),
        ...(standby === null ? {} : { standbyPriceShare: standby.priceShare }),
      },
    },
    faults: run.beginMs === 0 ? faults : faults.map((fault) => later(fault, run.beginMs)),
    ...(run.fromMs > 0 ? { splitMs: run.fromMs } : {}),
    durationMs: run.untilMs,
  };
}

/** Everyone begins alike, with what the first minutes need; only a fixed count is what it is from the beginning. */
function initialOf(scenario: Scenario, { policy }: Endpoint, { rows }: ScenarioRun): number {
  if (policy.kind === "static" && scenario.initial === null) return policy.replicas["default"] ?? scenario.replicas.min;
  const { min, max } = scenario.replicas;
  const wanted = scenario.initial ?? Math.ceil(busyReplicas(profileOf(scenario), rows, FIRST_MS) / FIRST_UTILIZATION);
  return Math.min(max, Math.max(min, wanted));
}

/** The same fault in a run that has something else before it. */
function later(fault: Fault, byMs: Ms): Fault {
  if ("fromMs" in fault) return { ...fault, fromMs: fault.fromMs + byMs };
  return "atMs" in fault ? { ...fault, atMs: fault.atMs + byMs } : fault;
}
