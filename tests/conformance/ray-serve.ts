import {
  type AggregationFunction,
  AUTOSCALING_DEFAULTS,
  type AutoscalingConfig,
  addPoint,
  aggregate,
  alignToGang,
  applyBounds,
  applyDelay,
  applyScalingFactors,
  averageOf,
  type DesiredReplicas,
  decideApplication,
  decideGangReplicas,
  decideReplicas,
  type MetricsStore,
  mergeTotal,
  NO_POLICY_STATE,
  type PolicyState,
  pruneBefore,
  queueLengthPolicy,
  RAY_SERVE_NEWEST,
  RAY_SERVE_VERSIONS,
  type RayServeFeatures,
  type StepSeries,
  timeWeightedAverage,
} from "../../src/policy/dialects/ray-serve/index.ts";
import { type Fields, Near, type Runner } from "./expect.ts";

/** The control loop's period, in seconds. */
const TICK_S = 0.1;
const NEWEST: RayServeFeatures = RAY_SERVE_VERSIONS[RAY_SERVE_NEWEST];

const POLICIES: Readonly<Record<string, DesiredReplicas>> = {
  "queue-length": queueLengthPolicy,
  "custom:3-if-traffic-else-0": ({ totalNumRequests }) => (totalNumRequests > 0 ? 3 : 0),
};

type ConfigCase = Partial<AutoscalingConfig>;
interface Seen {
  readonly totalNumRequests: number;
  readonly currentNumReplicas: number;
  readonly targetNumReplicas: number;
}
interface Policed {
  readonly policy: string;
  readonly config: ConfigCase;
}
type PointCase = { readonly t: number; readonly v: number };

const configOf = (config: ConfigCase): AutoscalingConfig => ({ ...AUTOSCALING_DEFAULTS, ...config });
const seriesOf = (points: readonly PointCase[]): StepSeries => points.map(({ t, v }) => ({ atS: t, value: v }));
const near = (value: number | null, expected: Fields) => (value === null ? null : new Near(value, Number(expected["tolerance"] ?? 0)));

/** One policy and its memory; each call gives the next decision. */
function session({ policy, config }: Policed) {
  const desired = POLICIES[policy];
  if (desired === undefined) throw new Error(`no policy ${policy}`);
  let state: PolicyState = NO_POLICY_STATE;
  return (seen: Seen, nowS: number): number => {
    const verdict = decideReplicas(desired, { config: configOf(config), ...seen }, state, nowS, NEWEST);
    state = verdict.state;
    return verdict.decision;
  };
}

const RUN = {
  "policy-sequence": (input) => {
    const { steps, ...policed } = input as unknown as Policed & { readonly steps: readonly (Seen & { readonly at: number })[] };
    const decide = session(policed);
    return { decisions: steps.map(({ at, ...seen }) => decide(seen, at)) };
  },
  "policy-feedback": (input) => {
    const { startReplicas, totalNumRequests, iterations, ...policed } = input as unknown as Policed & {
      readonly startReplicas: number;
      readonly totalNumRequests: number;
      readonly iterations: number;
    };
    const decide = session(policed);
    let replicas = startReplicas;
    for (let call = 0; call < iterations; call++) {
      replicas = decide({ totalNumRequests, currentNumReplicas: replicas, targetNumReplicas: replicas }, call * TICK_S);
    }
    return { finalReplicas: replicas };
  },
  "delay-flow": (input, expected) => {
    const { segments, tickSeconds, ...policed } = input as unknown as Policed & {
      readonly tickSeconds: number;
      readonly segments: readonly (Seen & { readonly calls: number })[];
    };
    const decide = session(policed);
    const wanted = expected["decisions"] as readonly (number | null)[];
    let call = 0;
    const decisions = segments.map(({ calls, ...seen }, at) => {
      const given = Array.from({ length: calls }, () => decide(seen, call++ * tickSeconds));
      if (wanted[at] === null) return null;
      return given.find((decision) => decision !== wanted[at]) ?? given[0];
    });
    return { decisions };
  },
  "delay-logic": (input) => {
    const { config, steps } = input as unknown as {
      readonly config: ConfigCase;
      readonly steps: readonly { readonly at: number; readonly desired: number; readonly currentTarget: number }[];
    };
    let state: PolicyState = NO_POLICY_STATE;
    const decisions = steps.map(({ at, desired, currentTarget }) => {
      const delayed = applyDelay(desired, currentTarget, configOf(config), state, at);
      state = delayed.state;
      return delayed.decision;
    });
    return { decisions };
  },
  "delay-fire-time": (input, expected) => {
    const { config, desired, currentTarget, iterationSeconds } = input as unknown as {
      readonly config: ConfigCase;
      readonly desired: number;
      readonly currentTarget: number;
      readonly iterationSeconds: number;
    };
    const limitS = Number(expected["firesNotAfterSeconds"]) + 2 * iterationSeconds;
    let [state, firesAtS]: [PolicyState, number] = [NO_POLICY_STATE, Number.POSITIVE_INFINITY];
    for (let call = 0; call * iterationSeconds <= limitS && firesAtS === Number.POSITIVE_INFINITY; call++) {
      const delayed = applyDelay(desired, currentTarget, configOf(config), state, call * iterationSeconds);
      state = delayed.state;
      if (delayed.decision !== currentTarget) firesAtS = call * iterationSeconds;
    }
    const [from, to] = [Number(expected["firesNotBeforeSeconds"]), Number(expected["firesNotAfterSeconds"])];
    // A range cannot be compared field by field: a time inside it stands for both of its ends.
    return firesAtS >= from && firesAtS <= to + 1e-9
      ? { firesNotBeforeSeconds: from, firesNotAfterSeconds: to }
      : { firesNotBeforeSeconds: firesAtS, firesNotAfterSeconds: firesAtS };
  },
  "scaling-factors": (input) => {
    const { desiredNumReplicas, currentNumReplicas, config } = input as unknown as {
      readonly desiredNumReplicas: number;
      readonly currentNumReplicas: number;
      readonly config: ConfigCase;
    };
    return { replicas: applyScalingFactors(desiredNumReplicas, currentNumReplicas, configOf(config)) };
  },
  "app-policy": (input) => {
    const { desired, deployments } = input as unknown as {
      readonly desired: Readonly<Record<string, number>>;
      readonly deployments: Readonly<Record<string, Seen & { readonly config: ConfigCase }>>;
    };
    const contexts = new Map(Object.entries(deployments).map(([name, seen]) => [name, { ...seen, config: configOf(seen.config) }]));
    const verdicts = decideApplication(() => new Map(Object.entries(desired)), contexts, new Map(), 0, NEWEST);
    return { decisions: Object.fromEntries([...verdicts].map(([name, { decision }]) => [name, decision])) };
  },
  "gang-align": (input) => ({ replicas: alignToGang(Number(input["decision"]), Number(input["gangSize"])) }),
  "gang-bounded": (input) => ({
    replicas: applyBounds(alignToGang(Number(input["decision"]), Number(input["gangSize"])), {
      lower: Number(input["min_replicas"]),
      upper: Number(input["max_replicas"]),
    }),
  }),
  "gang-to-zero": (input, expected) => {
    const { gangSize, config, startReplicas, desired, sinceVersion } = input as unknown as {
      readonly gangSize: number;
      readonly config: ConfigCase;
      readonly startReplicas: number;
      readonly desired: number;
      readonly sinceVersion?: keyof typeof RAY_SERVE_VERSIONS;
    };
    const features = RAY_SERVE_VERSIONS[sinceVersion ?? RAY_SERVE_NEWEST];
    let [state, replicas]: [PolicyState, number] = [NO_POLICY_STATE, startReplicas];
    const decisions = (expected["decisions"] as readonly number[]).map((_, call) => {
      const context = { config: configOf(config), totalNumRequests: 0, currentNumReplicas: replicas, targetNumReplicas: replicas };
      const verdict = decideGangReplicas(() => desired, context, gangSize, state, call * TICK_S, features);
      state = verdict.state;
      replicas = verdict.decision;
      return replicas;
    });
    return { decisions };
  },
  "warmup-hold": (input) => {
    const { startTarget, calls, totalNumRequests, currentNumReplicas, ...policed } = input as unknown as Policed &
      Omit<Seen, "targetNumReplicas"> & { readonly startTarget: number; readonly calls: number };
    const decide = session(policed);
    let target = startTarget;
    for (let call = 0; call < calls; call++) {
      target = decide({ totalNumRequests, currentNumReplicas, targetNumReplicas: target }, call * TICK_S);
    }
    return { finalTarget: target };
  },
  merge: (input, expected) => {
    const series = (input["series"] as readonly (readonly PointCase[])[]).map(seriesOf);
    const tolerance = Number(expected["timeTolerance"] ?? 0);
    return {
      points: mergeTotal(series).map(({ atS, value }) => ({ t: new Near(atS, tolerance), v: value })),
      timeTolerance: expected["timeTolerance"],
    };
  },
  "time-weighted-average": (input, expected) => {
    const { series, windowStart, windowEnd, lastWindowSeconds } = input as unknown as {
      readonly series: readonly PointCase[];
      readonly windowStart: number | null;
      readonly windowEnd: number | null;
      readonly lastWindowSeconds: number;
    };
    const window = { startS: windowStart, endS: windowEnd, lastWindowS: lastWindowSeconds };
    return { value: near(timeWeightedAverage(seriesOf(series), window), expected), tolerance: expected["tolerance"] };
  },
  aggregate: (input, expected) => {
    const {
      series,
      function: how,
      lastWindowSeconds,
      windowStart,
    } = input as unknown as {
      readonly series: readonly PointCase[];
      readonly function: AggregationFunction;
      readonly lastWindowSeconds: number;
      readonly windowStart: number | null;
    };
    const value = aggregate(seriesOf(series), how, { startS: windowStart, lastWindowS: lastWindowSeconds });
    return { value: near(value, expected), tolerance: expected["tolerance"] };
  },
  "store-average": (input) => {
    const {
      points,
      pruneBefore: startS,
      keys,
    } = input as unknown as {
      readonly points: readonly { readonly t: number; readonly values: Readonly<Record<string, number>> }[];
      readonly pruneBefore: number | null;
      readonly keys: readonly string[];
    };
    const full = points.reduce<MetricsStore>((store, { t, values }) => addPoint(store, t, values), {});
    return averageOf(startS === null ? full : pruneBefore(full, startS), keys);
  },
} satisfies Readonly<Record<string, Runner>>;

export const RAY_SERVE_RUNNERS: Readonly<Record<string, Runner>> = RUN;
