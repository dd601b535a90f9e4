import { parseConfigDocuments } from "../../config/index.ts";
import { type EngineProfile, findProfile } from "../../engine/index.ts";
import type { Endpoint } from "../../model/index.ts";
import { defaultEngine, type SimulationOptions } from "../options.ts";
import type { Scenario, ScenarioRun } from "../scenario/index.ts";

/** A policy as a config writes it: `spec.policy`, with the names that its manifest gives to our signals. */
export interface Contender {
  readonly name: string;
  readonly policy: Readonly<Record<string, unknown>>;
  readonly metrics?: Readonly<Record<string, string>>;
}

/**
 * The endpoint of a scenario under a policy: emulated replicas of the scenario's profile, one currency unit a GPU-hour. A policy with
 * bounds of its own keeps the narrower. @throws TidegateError `config/invalid` naming the contender, `engine/profile`
 */
export function endpointOf(scenario: Scenario, contender: Contender): Endpoint {
  const profile = profileOf(scenario);
  const document = {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: { name: scenario.name },
    spec: {
      model: scenario.profile,
      engine: { kind: "emulated", profile: scenario.profile },
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
      policy: contender.policy,
    },
  };
  const { endpoints } = parseConfigDocuments([document], { env: {}, name: `${scenario.name} under ${contender.name}` });
  return endpoints[0] as Endpoint;
}

const profileOf = ({ profile, gpu }: Scenario): EngineProfile => findProfile(profile, gpu);

/** The run of one contender in one scenario with the luck of one seed. */
export function simulationOf(scenario: Scenario, contender: Contender, run: ScenarioRun, seed: number): SimulationOptions {
  const { standby, coldStart, faults } = scenario;
  return {
    endpoint: endpointOf(scenario, contender),
    trace: run.rows,
    seed,
    pools: {
      default: {
        engine: defaultEngine(profileOf(scenario)),
        coldStart: { total: coldStart, ...(standby === null ? {} : { wake: standby.wakeMs }) },
        ...(standby === null ? {} : { standbyPriceShare: standby.priceShare }),
      },
    },
    faults,
    ...(run.fromMs > 0 ? { splitMs: run.fromMs } : {}),
    durationMs: run.untilMs,
  };
}
