import { type ConfigText, readChecked } from "../../config/index.ts";
import type { EngineProfile } from "../../engine/index.ts";
import type { Ms, Objective } from "../../model/index.ts";
import { TidegateError } from "../../model/index.ts";
import type { Shape } from "../../traces/index.ts";
import type { Distribution } from "../distribution.ts";
import type { Fault } from "../faults.ts";
import { type ScenarioDocument, type ScenariosDocument, scenariosSchema } from "./schema.ts";

/** Where a scenario's requests come from. */
export type Traffic =
  | { readonly kind: "trace"; readonly file: string; readonly overlay: number; readonly perClientEndpoint: boolean }
  | {
      readonly kind: "shape";
      readonly shape: Shape;
      /** A trace file whose token sizes are drawn; null: conversations of ours. */
      readonly sizes: string | null;
      readonly longPrompts: { readonly times: number; readonly fromMs: Ms; readonly toMs: Ms } | null;
    };

/** One situation that policies are compared in, every default filled in. */
export interface Scenario {
  readonly name: string;
  readonly traffic: Traffic;
  readonly profile: string;
  /** What `profile` is where it is no built-in one: whoever reads files puts it here. */
  readonly measured: EngineProfile | null;
  readonly gpu: string | undefined;
  readonly objective: Objective;
  readonly replicas: { readonly min: number; readonly max: number };
  readonly coldStart: Distribution;
  readonly standby: { readonly count: number; readonly wakeMs: Ms; readonly priceShare: number } | null;
  /** How often policies without an interval of their own decide. */
  readonly intervalMs: Ms;
  readonly seeds: number;
  /** Tune before it, report after it; null: tune on a sibling of the trace (other seed, height and time). */
  readonly splitMs: Ms | null;
  /** Figures begin here where nothing is split; null: ten minutes of a shape (a third of a short one), nothing of a trace. */
  readonly warmupMs: Ms | null;
  /** Replicas ready when it begins; null: what the first minutes keep busy, with some room. */
  readonly initial: number | null;
  readonly faults: readonly Fault[];
  readonly work: number | null;
}

/** What `defaults` of a file leaves open. */
const DEFAULTS = {
  profile: "8B",
  ttftMs: 2_000,
  tpotMs: 100,
  attainment: 0.99,
  intervalMs: 15_000,
  replicas: { min: 1, max: 64 },
  coldStart: { median: 90_000, sigma: 0.25 },
  seeds: 10,
} as const;

/** Reads a file of scenarios. @throws TidegateError `config/invalid`, with every problem on a line of its own */
export function parseScenarios(text: ConfigText): readonly Scenario[] {
  const { defaults, scenarios } = readChecked(scenariosSchema, text, "a file of scenarios");
  return Object.entries(scenarios).map(([name, document]) => resolve(name, document, defaults, text.file));
}

function resolve(name: string, document: ScenarioDocument, defaults: ScenariosDocument["defaults"], file: string): Scenario {
  const said = { ...defaults, ...withoutUndefined(document) } as ScenarioDocument;
  const traffic = trafficOf(name, document, file);
  return {
    name,
    traffic,
    profile: said.profile ?? DEFAULTS.profile,
    measured: null,
    gpu: said.gpu,
    objective: {
      attainment: said.attainment ?? DEFAULTS.attainment,
      timeToFirstTokenMs: said.ttft ?? DEFAULTS.ttftMs,
      timePerOutputTokenMs: said.tpot ?? DEFAULTS.tpotMs,
    },
    replicas: said.replicas ?? DEFAULTS.replicas,
    coldStart: lognormal(said.coldStart ?? DEFAULTS.coldStart),
    standby:
      said.standby === undefined ? null : { count: said.standby.count, wakeMs: said.standby.wake, priceShare: said.standby.priceShare },
    intervalMs: said.interval ?? DEFAULTS.intervalMs,
    seeds: said.seeds ?? DEFAULTS.seeds,
    splitMs: said.split ?? null,
    warmupMs: said.warmup ?? null,
    initial: said.initial ?? null,
    faults: faultsOf(said),
    work: said.work ?? null,
  };
}

const withoutUndefined = <T extends object>(value: T): Partial<T> =>
  Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Partial<T>;

const lognormal = ({ median, sigma }: { readonly median: Ms; readonly sigma: number }): Distribution =>
  sigma === 0 ? median : { medianMs: median, sigma };

function faultsOf({ crash, faults = [] }: ScenarioDocument): readonly Fault[] {
  return [
    ...(crash === undefined ? [] : [{ kind: "crash", atMs: crash.at, share: crash.share } as const]),
    ...faults.map((fault): Fault => {
      if ("missing" in fault) return { kind: "missing", share: fault.missing };
      if ("lag" in fault) return { kind: "lag", lagMs: fault.lag };
      return { kind: "outage", fromMs: fault.at ?? fault.every ?? 0, forMs: fault.outage, everyMs: fault.every ?? null };
    }),
  ];
}

function trafficOf(name: string, document: ScenarioDocument, file: string): Traffic {
  if ("trace" in document) {
    const { trace, overlay, perClientEndpoint } = document;
    return { kind: "trace", file: trace, overlay, perClientEndpoint };
  }
  const shape = shapeOf(document);
  const long = document.shape === "steady" ? document : undefined;
  if ((long?.promptsTimes === undefined) !== (long?.during === undefined))
    throw new TidegateError("config/invalid", `${file} scenarios.${name}: promptsTimes and during belong together; state both or none`);
  const [from, to] = long?.during ?? [0, 0];
  return {
    kind: "shape",
    shape,
    sizes: document.sizes ?? null,
    longPrompts:
      long?.promptsTimes === undefined
        ? null
        : { times: long.promptsTimes, fromMs: from * durationOf(shape), toMs: to * durationOf(shape) },
  };
}

function shapeOf(document: Exclude<ScenarioDocument, { trace: string }>): Shape {
  switch (document.shape) {
    case "steady":
      return { kind: "steady", rps: document.rate, durationMs: document.for };
    case "ramp":
      return { kind: "ramp", from: document.from, to: document.to, overMs: document.over, leadMs: document.lead, holdMs: document.hold };
    case "step":
      return { kind: "step", from: document.from, to: document.to, leadMs: document.lead, holdMs: document.hold, tailMs: document.tail };
    case "on-off":
      return {
        kind: "on-off",
        base: document.base,
        burst: document.burst,
        everyMs: document.every,
        forMs: document.for,
        jitterMs: document.jitter,
        durationMs: document.hours * 3_600_000,
      };
    case "flash":
      return {
        kind: "flash",
        base: document.base,
        peak: document.peak,
        leadMs: document.lead,
        riseMs: document.rise,
        holdMs: document.hold,
        decayMs: document.decay,
        tailMs: document.tail,
      };
    case "diurnal":
      return {
        kind: "diurnal",
        low: document.low,
        high: document.high,
        durationMs: document.days * 86_400_000,
        weekends: document.weekends,
        burstsPerDay: document.bursts,
      };
  }
}

/** How long a shape's trace is. */
export function durationOf(shape: Shape): Ms {
  switch (shape.kind) {
    case "ramp":
      return shape.leadMs + shape.overMs + shape.holdMs;
    case "step":
      return shape.leadMs + shape.holdMs + shape.tailMs;
    case "flash":
      return shape.leadMs + shape.riseMs + shape.holdMs + shape.tailMs;
    default:
      return shape.durationMs;
  }
}
