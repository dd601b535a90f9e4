import type { Ms } from "../../model/index.ts";
import { builtinSizes, generate, overlayEach, randomStreams, type Shape, type TraceRequest } from "../../traces/index.ts";
import { durationOf, type Scenario } from "./scenario.ts";

/** `tune`: what policies may be fitted on; `report`: what their figures are of. */
export type Part = "tune" | "report";

/** Rows of a trace file, whole. */
export type OpenTrace = (file: string) => Promise<readonly TraceRequest[]>;

/** A scenario's requests for one seed, and which stretch of them counts. */
export interface ScenarioRun {
  /** The same each time they are gone through. */
  readonly rows: Iterable<TraceRequest>;
  /** Figures are of what comes from here on, up to the end. */
  readonly fromMs: Ms;
  /** When the scenario itself begins: after what is there to learn from. */
  readonly beginMs: Ms;
  /** null: to the last arrival. */
  readonly untilMs: Ms | null;
}

/** Seeds of siblings that policies are tuned on, away from those that are reported. */
const TUNE_SEED = 1_000_003;

export interface ScenarioRunOptions {
  /** Where nothing is split, the sibling that policies are tuned on comes first, so that those with a memory have one. */
  readonly learnFirst?: boolean;
}

/** Left out of a shape's figures unless its scenario says otherwise: until then a fleet finds its size. */
const WARMUP_MS: Ms = 600_000;

/**
 * What a policy meets: with a split, the one trace before or after it; without, the shape itself to report on, and a sibling of other
 * height, other times and other luck to tune on. Lazy: the same rows each time they are gone through.
 */
export async function scenarioRun(
  scenario: Scenario,
  part: Part,
  seed: number,
  open: OpenTrace,
  { learnFirst = false }: ScenarioRunOptions = {},
): Promise<readonly ScenarioRun[]> {
  const { traffic, splitMs, name } = scenario;
  const tunes = part === "tune";
  const untilMs = tunes ? splitMs : null;
  if (traffic.kind === "trace") {
    const rows = await open(traffic.file);
    const each = traffic.perClientEndpoint ? [...Map.groupBy(rows, ({ client }) => client ?? "").values()] : [rows];
    // Clients end together, whenever their last request was.
    const endMs = traffic.perClientEndpoint && !tunes ? (rows.at(-1)?.arrivalMs ?? 0) : untilMs;
    const fromMs = tunes ? 0 : (splitMs ?? scenario.warmupMs ?? 0);
    const ownSeed = tunes && splitMs === null ? seed + TUNE_SEED : seed;
    return each.map((own) => ({
      rows: again(() => cut(overlayEach(own, traffic.overlay, ownSeed), untilMs)),
      fromMs,
      beginMs: 0,
      untilMs: endMs,
    }));
  }
  const sizes = traffic.sizes === null ? builtinSizes() : await open(traffic.sizes);
  const { longPrompts } = traffic;
  const made = (shape: Shape, ownSeed: number) =>
    generate(shape, { seed: ownSeed, sizes, ...(longPrompts === null ? {} : { longPrompts }) });
  const relative = sibling(traffic.shape, name);
  const shape = tunes && splitMs === null ? relative : traffic.shape;
  const lengthMs = durationOf(shape);
  const warmupMs = splitMs === null ? (scenario.warmupMs ?? Math.min(WARMUP_MS, lengthMs / 3)) : 0;
  const ownSeed = tunes && splitMs === null ? seed + TUNE_SEED : seed;
  if (learnFirst && !tunes && splitMs === null) {
    const beginMs = Math.ceil(durationOf(relative));
    const rows = again(() => oneAfterAnother(made(relative, seed + TUNE_SEED), made(shape, ownSeed), beginMs));
    return [{ rows, fromMs: beginMs + warmupMs, beginMs, untilMs: beginMs + lengthMs }];
  }
  const fromMs = tunes ? warmupMs : (splitMs ?? warmupMs);
  return [{ rows: again(() => cut(made(shape, ownSeed), untilMs)), fromMs, beginMs: 0, untilMs: untilMs ?? lengthMs }];
}

function* oneAfterAnother(first: Iterable<TraceRequest>, second: Iterable<TraceRequest>, afterMs: Ms): Generator<TraceRequest> {
  yield* cut(first, afterMs);
  for (const row of second) yield { ...row, arrivalMs: row.arrivalMs + afterMs };
}

/** An iterable that begins anew each time it is gone through. */
const again = (make: () => Iterable<TraceRequest>): Iterable<TraceRequest> => ({ [Symbol.iterator]: () => make()[Symbol.iterator]() });

function* cut(rows: Iterable<TraceRequest>, untilMs: Ms | null): Generator<TraceRequest> {
  for (const row of rows) {
    if (untilMs !== null && row.arrivalMs >= untilMs) return;
    yield row;
  }
}

/** The same kind of shape at another height (within a fifth) and other times (leads and holds within a third), by the scenario's name. */
function sibling(shape: Shape, name: string): Shape {
  let hash = 2_166_136_261;
  for (const char of name) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 16_777_619);
  const [uniform] = randomStreams(hash >>> 0, 1) as [() => number];
  const height = 0.8 + 0.4 * uniform();
  const time = () => 0.67 + 0.66 * uniform();
  switch (shape.kind) {
    case "steady":
      return { ...shape, rps: shape.rps * height };
    case "ramp":
      return { ...shape, from: shape.from * height, to: shape.to * height, leadMs: shape.leadMs * time(), holdMs: shape.holdMs * time() };
    case "step":
      return { ...shape, from: shape.from * height, to: shape.to * height, leadMs: shape.leadMs * time(), holdMs: shape.holdMs * time() };
    case "flash":
      return {
        ...shape,
        base: shape.base * height,
        peak: shape.peak * height,
        leadMs: shape.leadMs * time(),
        holdMs: shape.holdMs * time(),
      };
    case "on-off":
      return { ...shape, base: shape.base * height, burst: shape.burst * height };
    case "diurnal":
      return { ...shape, low: shape.low * height, high: shape.high * height };
  }
}
