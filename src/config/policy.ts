import {
  type AnnouncedEvent,
  isSignalName,
  type PolicySpec,
  type Pool,
  parseDuration,
  type ScalingRules,
  SIGNAL_NAMES,
  SIGNALS,
  type SignalRule,
} from "../model/index.ts";
import { isTimeZone, parseCron, parseDateTime } from "../policy/index.ts";
import { DEFAULTS } from "./defaults.ts";
import type { Remark } from "./documents.ts";
import type { Path } from "./issue.ts";
import type { EndpointSpecDocument } from "./schema.ts";
import { meaning, nearest } from "./suggest.ts";
import { parsePercent } from "./units.ts";

type PolicyDocument = Exclude<NonNullable<EndpointSpecDocument["policy"]>, { readonly manifest: unknown }>;
type SloDocument = Extract<PolicyDocument, { kind: "slo" }>;
type RuleDocument = Extract<PolicyDocument, { kind: "signals" }>["rules"][number];

const GAUGES = SIGNAL_NAMES.filter((name) => SIGNALS[name].kind === "gauge");

/** What is wrong with `name` as a signal that rules or manifests can be about; `own`: names that the endpoint's queries give. */
export function signalRemark(name: string, own: readonly string[], path: Path): Remark | undefined {
  if (own.includes(name)) return undefined;
  if (!isSignalName(name)) {
    const near = nearest(name, [...GAUGES, ...own]);
    const wayOut = near === undefined ? `use one of: ${[...GAUGES, ...own].join(", ")}` : meaning(near);
    return { path, message: "is not a known signal", wayOut };
  }
  const { kind } = SIGNALS[name];
  if (kind === "gauge") return undefined;
  const wayOut = GAUGES.includes(`${name}_p95` as (typeof GAUGES)[number])
    ? `use ${name}_p50, ${name}_p95 or ${name}_p99`
    : "use a signal that is a gauge, such as output_tokens_per_second";
  return { path, message: `is a ${kind}, which has no single value`, wayOut };
}

/** Resolves a stated policy; what is wrong is added to `remarks`. Paths begin at the document's root. */
export function resolvePolicy(policy: PolicyDocument, pools: readonly Pool[], own: readonly string[], remarks: Remark[]): PolicySpec {
  const base: Path = ["spec", "policy"];
  switch (policy.kind) {
    case "static":
      return { kind: "static", replicas: staticReplicas(policy.replicas, pools, [...base, "replicas"], remarks) };
    case "slo": {
      const { interval, coldStart, zeroAfter, wakeUpPenalty } = policy;
      return {
        kind: "slo",
        spec: {
          intervalMs: interval,
          coldStartMs: coldStart,
          zeroAfterMs: zeroAfter,
          wakeUpPenaltyGpuMs: wakeUpPenalty === null ? null : wakeUpPenalty * 60_000,
          schedule: announcedEvents(policy.schedule, [...base, "schedule"], remarks),
        },
      };
    }
    case "signals":
      return {
        kind: "signals",
        spec: {
          rules: policy.rules.flatMap((rule, at) => resolveRule(rule, own, [...base, "rules", at], remarks)),
          tolerance: policy.tolerance,
          intervalMs: policy.interval,
          scaleUp: scalingRules(policy.behavior.scaleUp),
          scaleDown: scalingRules(policy.behavior.scaleDown),
          zeroAfterMs: policy.zeroAfter,
        },
      };
  }
}

function announcedEvents(events: SloDocument["schedule"], path: Path, remarks: Remark[]): readonly AnnouncedEvent[] {
  const names = new Set<string>();
  return events.flatMap((event, index) => {
    const own: Path = [...path, index];
    const refuse = (key: string | null, message: string, wayOut: string) => {
      remarks.push({ path: key === null ? own : [...own, key], hideValue: key === null, message, wayOut });
      return [];
    };
    const { cron, at, timezone, replicas, times } = event;
    if ((cron === undefined) === (at === undefined)) return refuse(null, "needs exactly one of cron and at", "say when it begins");
    if ((replicas === undefined) === (times === undefined))
      return refuse(null, "needs exactly one of replicas and times", "say how many replicas, or how many times the load");
    if (!isTimeZone(timezone))
      return refuse("timezone", "is not a time zone of the IANA database", "write for example Europe/Berlin or UTC");
    const atMs = at === undefined ? null : parseDateTime(at, timezone);
    if (atMs === undefined) return refuse("at", "is not a date and time", "write for example 2026-12-01T09:00");
    if (cron !== undefined) {
      try {
        parseCron(cron, { kind: "unix", withYear: false });
      } catch (error) {
        return refuse("cron", (error as Error).message, "write for example 0 9 * * MON-FRI");
      }
    }
    const name = event.name ?? cron ?? (at as string);
    if (names.has(name))
      return refuse(event.name === undefined ? null : "name", `is the second event called ${name}`, "give each a name of its own");
    names.add(name);
    return [{ name, cron: cron ?? null, atMs, timeZone: timezone, forMs: event.for, replicas: replicas ?? null, times: times ?? null }];
  });
}

function staticReplicas(
  stated: number | Record<string, number>,
  pools: readonly Pool[],
  path: Path,
  remarks: Remark[],
): Record<string, number> {
  const names = pools.map((pool) => pool.name);
  if (typeof stated === "number" && pools.length > 1) {
    remarks.push({ path, message: `is one count for ${pools.length} pools`, wayOut: `give each its own: { ${names.join(": 1, ")}: 1 }` });
    return {};
  }
  const byPool = typeof stated === "number" ? { [names[0] as string]: stated } : stated;
  for (const [name, replicas] of Object.entries(byPool)) {
    const pool = pools.find((candidate) => candidate.name === name);
    const where = typeof stated === "number" ? path : [...path, name];
    if (pool === undefined) {
      remarks.push({ path: where, onKey: true, message: "is not a pool of this endpoint", wayOut: `its pools: ${names.join(", ")}` });
    } else if (replicas < pool.min || replicas > pool.max) {
      const bound = replicas < pool.min ? `below min (${pool.min})` : `above max (${pool.max})`;
      remarks.push({ path: where, message: `is ${bound}`, wayOut: "change one of the two" });
    }
  }
  for (const name of names.filter((name) => !Object.hasOwn(byPool, name)))
    remarks.push({ path, hideValue: true, message: `says nothing of pool ${name}`, wayOut: `add ${name}: a count` });
  return byPool;
}

function resolveRule(rule: RuleDocument, own: readonly string[], path: Path, remarks: Remark[]): SignalRule[] {
  const kinds = (["target", "ceiling", "saturation"] as const).filter((kind) => rule[kind] !== undefined);
  if (kinds.length !== 1) {
    const message = kinds.length === 0 ? "says nothing to do" : `says ${kinds.join(" and ")} at once`;
    remarks.push({
      path,
      hideValue: true,
      message,
      wayOut: "write one rule for each: { signal, target }, { signal, ceiling } or { saturation }",
    });
    return [];
  }
  const [kind] = kinds as ["target" | "ceiling" | "saturation"];
  if (rule.maxStep !== undefined && kind !== "ceiling") {
    remarks.push({ path: [...path, "maxStep"], message: `belongs to a ceiling, not to ${kind}`, wayOut: "remove it" });
    return [];
  }
  if (kind === "saturation") {
    const saturation = rule.saturation as NonNullable<RuleDocument["saturation"]>;
    if (rule.signal !== undefined) {
      remarks.push({ path: [...path, "signal"], message: "does not belong to saturation", wayOut: "write saturation: { throughput: … }" });
      return [];
    }
    const remark = signalRemark(saturation.throughput, own, [...path, "saturation", "throughput"]);
    if (remark !== undefined) remarks.push(remark);
    return [{ kind: "saturation", ...saturation }];
  }
  if (rule.signal === undefined) {
    remarks.push({ path: [...path, "signal"], message: "is missing", wayOut: `name the signal that ${kind} speaks of` });
    return [];
  }
  const remark = signalRemark(rule.signal, own, [...path, "signal"]);
  if (remark !== undefined) {
    remarks.push(remark);
    return [];
  }
  const value = levelOf(rule[kind] as number | string, rule.signal, [...path, kind], remarks);
  if (value === undefined) return [];
  if (kind === "target") return [{ kind, signal: rule.signal, value }];
  return [{ kind, signal: rule.signal, value, maxStep: rule.maxStep ?? DEFAULTS.policy.ceiling.maxStep }];
}

/** Reads a level in the signal's own unit: a duration for seconds, 75 or "75%" for percent, 0.8 or "80%" for ratios, else a number. */
function levelOf(level: number | string, signal: string, path: Path, remarks: Remark[]): number | undefined {
  const unit = isSignalName(signal) ? SIGNALS[signal].unit : undefined;
  const refuse = (message: string, wayOut: string) => {
    remarks.push({ path, message, wayOut });
    return undefined;
  };
  let value: number | undefined;
  if (unit === "seconds") {
    if (typeof level === "number") return refuse(`needs a unit, since ${signal} is a time`, `write ${level}s if that is what you mean`);
    const ms = parseDuration(level);
    if (ms === undefined) return refuse(`is not a duration, which ${signal} needs`, "write for example 2s or 250ms");
    value = ms / 1_000;
  } else if (typeof level === "number") value = level;
  else {
    const percent = parsePercent(level);
    if (percent !== undefined && unit === "percent") value = percent;
    else if (percent !== undefined && unit === "ratio") value = percent / 100;
    else return refuse(`is not a number, which ${signal}${unit === undefined ? "" : ` (${unit})`} needs`, "write a bare number such as 75");
  }
  if (value <= 0) return refuse("is not above 0", "write the level to aim for");
  if (unit === "ratio" && value > 1) return refuse(`is above 1, but ${signal} runs from 0 to 1`, `write ${value / 100} or "${value}%"`);
  if (unit === "percent" && value > 100) return refuse(`is above 100, but ${signal} is a percentage`, "write a number up to 100");
  return value;
}

function scalingRules(direction: {
  stabilizationWindowSeconds: number;
  selectPolicy: ScalingRules["selectPolicy"];
  policies: readonly { type: "Pods" | "Percent"; value: number; periodSeconds: number }[];
}): ScalingRules {
  return {
    stabilizationWindowMs: direction.stabilizationWindowSeconds * 1_000,
    selectPolicy: direction.selectPolicy,
    policies: direction.policies.map(({ type, value, periodSeconds }) => ({ type, value, periodMs: periodSeconds * 1_000 })),
  };
}
