import type { Json, Manifest, Ms } from "../../../model/index.ts";
import { goDurationMs } from "../kpa/index.ts";

type Strategy = "HPA" | "KPA" | "APA";
type SourceType = "pod" | "resource" | "custom" | "external" | "domain";

export interface MetricSource {
  readonly type: SourceType;
  readonly metric: string;
  /** Of each pod; for an external source, of each replica wanted. > 0. */
  readonly target: number;
}

/** Other bounds at some hours of some days. */
export interface Schedule {
  readonly name: string;
  /** IANA name. */
  readonly timezone: string;
  /** 0 is Sunday; null: every day. */
  readonly days: readonly number[] | null;
  /** Minutes of the day, the second one excluded. */
  readonly fromMinute: number;
  readonly toMinute: number;
  readonly min: number | null;
  readonly max: number | null;
}

/** What the annotations say, defaults filled in. */
export interface Tuning {
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  readonly upTolerance: number;
  readonly downTolerance: number;
  /** Panic average over stable average. */
  readonly panicThreshold: number;
  readonly upCooldownMs: Ms;
  readonly downCooldownMs: Ms;
}

export interface AibrixSettings extends Tuning {
  readonly strategy: Strategy;
  readonly min: number;
  readonly max: number;
  readonly schedules: readonly Schedule[];
  readonly sources: readonly MetricSource[];
  readonly observeWindowMs: Ms;
  readonly panicWindowMs: Ms;
}

export const AIBRIX_PREFIX = "autoscaling.aibrix.ai/";
export const RESYNC_MS = 10_000;

const positive = (text: string) => (Number(text) > 0 ? Number(text) : undefined);
const natural = (text: string) => (text.trim() !== "" && Number(text) >= 0 ? Number(text) : undefined);

/** Annotation (without prefix) → the setting, what it reads, what it is by default and what it may be. */
export const ANNOTATIONS = {
  "max-scale-up-rate": { field: "maxScaleUpRate", parse: positive, value: 2, range: "a number above 0, such as 2 for twice as many" },
  "max-scale-down-rate": { field: "maxScaleDownRate", parse: positive, value: 2, range: "a number above 0, such as 2 for half as many" },
  "scale-up-tolerance": { field: "upTolerance", parse: natural, value: 0.1, range: "a number of at least 0, such as 0.1 for 10 %" },
  "scale-down-tolerance": { field: "downTolerance", parse: natural, value: 0.1, range: "a number of at least 0, such as 0.1 for 10 %" },
  "panic-threshold": { field: "panicThreshold", parse: positive, value: 2, range: "a number above 0" },
  "scale-up-cooldown-window": { field: "upCooldownMs", parse: goDurationMs, value: 0, range: "a duration with unit, such as 30s" },
  "scale-down-cooldown-window": { field: "downCooldownMs", parse: goDurationMs, value: 300_000, range: "a duration with unit, such as 5m" },
} as const satisfies Record<
  string,
  { readonly field: keyof Tuning; readonly parse: (text: string) => number | undefined; readonly value: number; readonly range: string }
>;

const MINUTE_OF = (time: string) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5));
export const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

interface SpecJson {
  readonly scalingStrategy: Strategy;
  readonly minReplicas?: number;
  readonly maxReplicas: number;
  readonly observeWindowSeconds?: number;
  readonly panicWindowSeconds?: number;
  readonly metricsSources: readonly {
    readonly metricSourceType: SourceType;
    readonly targetMetric: string;
    readonly targetValue: string;
  }[];
  readonly schedules?: readonly {
    readonly name: string;
    readonly timezone?: string;
    readonly daysOfWeek?: readonly string[];
    readonly startTime: string;
    readonly endTime: string;
    readonly minReplicas?: number;
    readonly maxReplicas?: number;
  }[];
}

/** Expects what the reader has validated. */
export function settingsOf(manifest: Manifest): AibrixSettings {
  const spec = manifest.spec as unknown as SpecJson;
  const tuning = Object.fromEntries(
    Object.entries(ANNOTATIONS).map(([name, { field, parse, value }]) => {
      const text = manifest.annotations?.[AIBRIX_PREFIX + name];
      return [field, (text === undefined ? undefined : parse(text)) ?? value];
    }),
  ) as unknown as Tuning;
  return {
    ...tuning,
    strategy: spec.scalingStrategy,
    min: spec.minReplicas ?? 1,
    max: spec.maxReplicas,
    schedules: (spec.schedules ?? []).map((schedule) => ({
      name: schedule.name,
      timezone: schedule.timezone ?? "UTC",
      days: schedule.daysOfWeek?.map((day) => WEEKDAYS.indexOf(day.toLowerCase() as (typeof WEEKDAYS)[number])) ?? null,
      fromMinute: MINUTE_OF(schedule.startTime),
      toMinute: MINUTE_OF(schedule.endTime),
      min: schedule.minReplicas ?? null,
      max: schedule.maxReplicas ?? null,
    })),
    sources: spec.metricsSources.map(({ metricSourceType, targetMetric, targetValue }) => ({
      type: metricSourceType,
      metric: targetMetric,
      target: Number(targetValue),
    })),
    observeWindowMs: (spec.observeWindowSeconds ?? 180) * 1000,
    panicWindowMs: (spec.panicWindowSeconds ?? 60) * 1000,
  };
}

/** The same spec with every bound in it put through `move`. */
export function withMovedBounds(
  manifest: Manifest,
  move: { readonly min: (count: number) => number; readonly max: (count: number) => number },
): Manifest {
  const spec = manifest.spec as unknown as SpecJson;
  const moved = {
    ...spec,
    minReplicas: move.min(spec.minReplicas ?? 1),
    maxReplicas: move.max(spec.maxReplicas),
    ...(spec.schedules === undefined
      ? {}
      : {
          schedules: spec.schedules.map((schedule) => ({
            ...schedule,
            ...(schedule.minReplicas === undefined ? {} : { minReplicas: move.min(schedule.minReplicas) }),
            ...(schedule.maxReplicas === undefined ? {} : { maxReplicas: move.max(schedule.maxReplicas) }),
          })),
        }),
  };
  return { ...manifest, spec: moved as unknown as { readonly [key: string]: Json | undefined } };
}
