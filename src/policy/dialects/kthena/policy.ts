import type { Decision, Endpoint, Json, Manifest, Policy, Step, Want } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import { needOf } from "../aibrix/index.ts";
import { type Block, dealOut, scalingOrder } from "./blocks.ts";
import { type Corrected, correct, EMPTY_MEMORY, type Memory } from "./correct.ts";
import { enforceRatio } from "./ratio.ts";
import { type MetricReader, metricName, metricReader } from "./readings.ts";
import { recommend } from "./recommend.ts";
import { type KthenaSettings, type Metric, SYNC_MS, settingsOf, type Target, type Unit, unitsOf } from "./settings.ts";

/** What is remembered of each unit; of heterogeneous ones, which are counted together, under one name. */
interface State {
  readonly units: Readonly<Record<string, Memory>>;
}
const TOGETHER = "all";

/** Which pool of the endpoint is which unit: the one of that name, else of that role, else the one at the same place. */
function poolsOf(endpoint: Endpoint, target: Target): readonly string[] {
  if (target.kind === "homogeneous") return [endpoint.pools[0]?.name ?? "default"];
  return target.units.map(({ name }, at) => {
    const named = endpoint.pools.find((pool) => pool.name === name) ?? endpoint.pools.find((pool) => pool.role === name);
    return (named ?? endpoint.pools[at])?.name ?? name;
  });
}

/** A Kthena AutoscalingPolicy: one group, several groups of different cost, or the roles of one disaggregated deployment. */
export function kthenaPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const settings = settingsOf(manifest);
  const { target } = settings;
  const units = unitsOf(target);
  const pools = poolsOf(endpoint, target);
  const order = target.kind === "heterogeneous" ? scalingOrder(target.units, target.costExpansionPercent) : [];

  return {
    kind: "kthena",
    needs: needsOf(endpoint, units),
    wakesOn: ["config"],
    start: () => write({ units: {} }),

    decide(before, observation) {
      const { nowMs, seq } = observation;
      const finish = (
        state: State,
        wants: Readonly<Record<string, Want>>,
        steps: readonly Step[],
      ): { state: Json; decision: Decision } => ({
        state: write(state),
        decision: { seq, wants, steps, conditions: [], nextAtMs: nowMs + SYNC_MS },
      });
      const state = read(before);
      const hold = Object.fromEntries(pools.map((pool) => [pool, { kind: "hold" } as const]));
      const counts = pools.map((pool) => observation.pools[pool]?.wanted);
      const unknown = pools.find((_, at) => counts[at] === undefined);
      if (unknown !== undefined) {
        const text = `The platform does not say how many replicas pool ${unknown} has: the counts stay.`;
        return finish(state, hold, [{ code: "no-scale", pool: unknown, text, numbers: {} }]);
      }
      const current = counts as readonly number[];
      const sync: Sync = { settings, reader: metricReader(endpoint, observation), nowMs };
      const outcome =
        target.kind === "heterogeneous"
          ? syncTogether(sync, state, { units, pools, current, order })
          : syncEach(sync, state, { units, pools, current });
      if (outcome.counts === null) return finish(state, hold, outcome.steps);
      const wants = Object.fromEntries(
        pools.map((pool, at) => [pool, { kind: "scale", replicas: outcome.counts?.[at] as number, drain: [] } as const]),
      );
      return finish(outcome.state, wants, outcome.steps);
    },

    // Counts are remembered as decided, whatever became of them.
    settle: (state) => ({ state, conditions: [] }),
  };
}

interface Sync {
  readonly settings: KthenaSettings;
  readonly reader: MetricReader;
  readonly nowMs: number;
}
interface Group {
  readonly units: readonly Unit[];
  readonly pools: readonly string[];
  readonly current: readonly number[];
}
/** `counts` in the order of the pools; null: a metric is missing, so nothing changes and nothing is remembered. */
interface Synced {
  readonly counts: readonly number[] | null;
  readonly state: State;
  readonly steps: readonly Step[];
}

/** Groups of different cost are counted as one, and the total dealt out along the order of cost. */
function syncTogether(sync: Sync, state: State, { units, pools, current, order }: Group & { readonly order: readonly Block[] }): Synced {
  const sum = (of: (unit: Unit, at: number) => number) => units.reduce((total, unit, at) => total + of(unit, at), 0);
  const bounds = { min: sum(({ min }) => min), max: sum(({ max }) => max) };
  const total = sum((_, at) => current[at] as number);
  const one = countOne(sync, state.units[TOGETHER] ?? EMPTY_MEMORY, units[0]?.metrics ?? [], pools, total, bounds, undefined);
  if (one.corrected === null) return { counts: null, state, steps: one.steps };
  const counts = dealOut(units, order, one.corrected.replicas);
  const shares = units.map(({ name, cost }, at) => `${counts[at]} ${name} (cost ${cost})`).join(", ");
  const numbers = Object.fromEntries(pools.map((pool, at) => [`replicas_${pool}`, counts[at] as number]));
  const dealt: Step = {
    code: "dealt-out",
    text: `${replicas(one.corrected.replicas)} along the order of cost: ${shares}.`,
    numbers: { total: one.corrected.replicas, ...numbers },
  };
  return { counts, state: { units: { ...state.units, [TOGETHER]: one.corrected.memory } }, steps: [...one.steps, dealt] };
}

/** Each unit by itself; roles of one deployment are then brought into the ratio that is asked for. */
function syncEach(sync: Sync, state: State, { units, pools, current }: Group): Synced {
  const { target } = sync.settings;
  const memories: Record<string, Memory> = { ...state.units };
  const counts: number[] = [];
  const steps: Step[] = [];
  for (const [at, unit] of units.entries()) {
    const pool = pools[at] as string;
    if (target.kind === "disaggregated" && unit.min === unit.max && unit.max > 0) {
      counts.push(unit.min);
      steps.push({ code: "fixed", pool, text: `${unit.name} is fixed at ${unit.min}.`, numbers: { desired: unit.min } });
      continue;
    }
    const one = countOne(sync, memories[unit.name] ?? EMPTY_MEMORY, unit.metrics, [pool], current[at] as number, unit, pool);
    steps.push(...one.steps);
    if (one.corrected === null) return { counts: null, state, steps };
    counts.push(one.corrected.replicas);
    memories[unit.name] = one.corrected.memory;
  }
  if (target.kind !== "disaggregated" || target.ratio === null) return { counts, state: { units: memories }, steps };

  const { ratio } = target;
  const [top, bottom] = [ratio.numerator, ratio.denominator].map((role) => units.findIndex(({ name }) => name === role)) as [
    number,
    number,
  ];
  const side = (at: number) => ({ replicas: counts[at] as number, min: units[at]?.min ?? 0, max: units[at]?.max ?? 0 });
  const fitted = enforceRatio(ratio, side(top), side(bottom));
  const range = `${num(ratio.minMilli / 1000, 3)} to ${num(ratio.maxMilli / 1000, 3)}`;
  if (fitted === null) {
    const text = `No counts within the bounds have ${ratio.numerator} at ${range} of ${ratio.denominator}: the counts stay.`;
    return { counts: null, state, steps: [...steps, { code: "ratio-impossible", text, numbers: {} }] };
  }
  if (fitted.adjusted) {
    const text = `${ratio.numerator} has to be at ${range} of ${ratio.denominator}: ${counts[top]} and ${counts[bottom]} become ${fitted.numerator} and ${fitted.denominator}.`;
    steps.push({ code: "ratio", text, numbers: { numerator: fitted.numerator, denominator: fitted.denominator } });
  }
  counts[top] = fitted.numerator;
  counts[bottom] = fitted.denominator;
  return { counts, state: { units: memories }, steps };
}

/** One count: what the metrics recommend, then what the behavior makes of it. */
function countOne(
  { settings, reader, nowMs }: Sync,
  memory: Memory,
  metrics: readonly Metric[],
  pools: readonly string[],
  current: number,
  { min, max }: { readonly min: number; readonly max: number },
  pool: string | undefined,
): { readonly corrected: Corrected | null; readonly steps: readonly Step[] } {
  const step = (code: string, text: string, numbers: Readonly<Record<string, number>>): Step =>
    pool === undefined ? { code, text, numbers } : { code, pool, text, numbers };
  const asked = metrics.map((metric) => ({ name: metric.name, target: metric.target, reading: reader.read(metric, pools) }));
  const recommended = recommend(current, { min, max, tolerance: settings.tolerance }, asked);
  const steps = recommended.toBound
    ? []
    : asked.map(({ name, target, reading }): Step => {
        const wanted = recommended.byMetric[name];
        if (wanted === undefined) return step("metric-failed", `${name} has no answer: it is left out.`, { current, target });
        if (reading.kind === "external") {
          const text = `${name}: ${num(reading.value)} in all against ${num(target)} a replica: ${wanted}.`;
          return step("metric", text, { current, value: reading.value, target, proposed: wanted });
        }
        const { sum, reporters, missing, unready } =
          reading.kind === "pods" ? reading.pods : { sum: 0, reporters: 0, missing: 0, unready: 0 };
        const among = `${reporters} reporting${missing > 0 ? `, ${missing} silent` : ""}${unready > 0 ? `, ${unready} not ready` : ""}`;
        const text = `${name}: ${num(sum / reporters)} a replica (${among}) against ${num(target)}: ${wanted}.`;
        return step("metric", text, { current, value: sum / reporters, target, reporters, missing, unready, proposed: wanted });
      });
  if (recommended.replicas === null) {
    steps.push(step("no-data", `No metric has an answer: the count stays at ${current}.`, { current }));
    return { corrected: null, steps };
  }
  if (recommended.toBound) {
    const text = `${replicas(current)} are outside ${min} to ${max}: ${recommended.replicas}, without looking at metrics.`;
    steps.push(step("bound", text, { current, min, max, proposed: recommended.replicas }));
  }
  const corrected = correct(memory, settings.behavior, { min, max, current, recommended: recommended.replicas, nowMs });
  if (corrected.panicking) {
    const heldMs = (corrected.memory.panicUntilMs ?? nowMs) - nowMs;
    const text = `Panic for another ${seconds(heldMs)}, since ${settings.behavior.panic.thresholdPercent} % of the present count were wanted: the count does not fall.`;
    steps.push(
      step("panic", text, { current, proposed: recommended.replicas, thresholdPercent: settings.behavior.panic.thresholdPercent }),
    );
  } else if (corrected.stabilized !== recommended.replicas) {
    const [which, windowMs] = recommended.replicas < current ? ["highest", settings.behavior.down] : ["lowest", settings.behavior.up];
    const text = `The ${which} recommendation of the last ${seconds(windowMs.stabilizationWindowMs)} counts: ${corrected.stabilized} instead of ${recommended.replicas}.`;
    steps.push(step("stabilized", text, { current, proposed: recommended.replicas, stabilized: corrected.stabilized }));
  }
  if (corrected.replicas !== corrected.stabilized) {
    const text = `Limited from ${corrected.stabilized} to ${corrected.replicas}: no more is allowed in one period, or by the bounds (${min} to ${max}).`;
    steps.push(step("limited", text, { current, stabilized: corrected.stabilized, limited: corrected.replicas, min, max }));
  }
  const text = corrected.replicas === current ? `The count stays at ${current}.` : `From ${current} to ${corrected.replicas}.`;
  steps.push(step("desired", text, { current, desired: corrected.replicas }));
  return { corrected, steps };
}

function needsOf(endpoint: Endpoint, units: readonly Unit[]) {
  const needs = units
    .flatMap(({ metrics }) => metrics)
    .filter(({ source }) => source !== null)
    .map((metric) => needOf(endpoint, metricName(endpoint, metric), metric.source === "pod" ? "replica" : "outside", SYNC_MS));
  return [...new Map(needs.map((need) => [`${need.per}/${need.name}`, need])).values()];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
