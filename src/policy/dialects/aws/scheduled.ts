import type { Ms } from "../../../model/index.ts";
import { type Cron, lastDue, parseCron, parseDateTime } from "../../schedule.ts";
import type { ScheduledGroupAction, ScheduledTargetAction } from "./words.ts";

/** What a scheduled action sets, once, whenever it falls due. */
export interface ScheduledChange {
  readonly name: string;
  readonly min: number | null;
  readonly max: number | null;
  readonly desired: number | null;
  /** The latest time in `(afterMs, untilMs]` at which it falls due. */
  dueIn(afterMs: Ms, untilMs: Ms): Ms | null;
}

type When =
  | { readonly kind: "once"; readonly atMs: Ms }
  | { readonly kind: "every"; readonly everyMs: Ms; readonly fromMs: Ms }
  | { readonly kind: "cron"; readonly cron: Cron };

const UNIT_MS: Readonly<Record<string, Ms>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** `at(…)`, `rate(…)` or `cron(…)` of Application Auto Scaling. @throws Error that says what cannot be read */
export function parseSchedule(text: string, timeZone: string, fromMs: Ms): When {
  const [, kind, inner] = /^(at|rate|cron)\((.*)\)$/.exec(text.trim()) ?? [];
  if (kind === "cron") return { kind: "cron", cron: parseCron(inner as string, { kind: "eventbridge" }) };
  if (kind === "at") {
    const atMs = parseDateTime((inner as string).trim(), timeZone);
    if (atMs !== undefined) return { kind: "once", atMs };
  }
  if (kind === "rate") {
    const [, value, unit] = /^\s*([1-9]\d*)\s+(minute|hour|day)s?\s*$/.exec(inner as string) ?? [];
    if (unit !== undefined) return { kind: "every", everyMs: Number(value) * (UNIT_MS[unit] as Ms), fromMs };
  }
  throw new Error(`is ${JSON.stringify(text)}; write at(yyyy-mm-ddThh:mm:ss), rate(5 minutes) or cron(0 8 ? * MON-FRI *)`);
}

interface Span {
  readonly fromMs: Ms;
  readonly untilMs: Ms;
}
function lastOf(when: When, timeZone: string, span: Span, afterMs: Ms, untilMs: Ms): Ms | null {
  const [after, until] = [Math.max(afterMs, span.fromMs - 1), Math.min(untilMs, span.untilMs)];
  if (until <= after) return null;
  switch (when.kind) {
    case "once":
      return when.atMs > after && when.atMs <= until ? when.atMs : null;
    case "every": {
      const dueMs = when.fromMs + Math.floor((until - when.fromMs) / when.everyMs) * when.everyMs;
      return dueMs > after ? dueMs : null;
    }
    case "cron":
      return lastDue(when.cron, timeZone, after, until);
  }
}

const spanOf = (start: string | undefined, end: string | undefined): Span => ({
  fromMs: (start === undefined ? undefined : parseDateTime(start, "UTC")) ?? Number.MIN_SAFE_INTEGER,
  untilMs: (end === undefined ? undefined : parseDateTime(end, "UTC")) ?? Number.MAX_SAFE_INTEGER,
});

/** Without a recurrence it falls due once, at its start. */
export function groupChange(action: ScheduledGroupAction): ScheduledChange {
  const span = spanOf(action.StartTime, action.EndTime);
  const timeZone = action.TimeZone ?? "UTC";
  const when: When =
    action.Recurrence === undefined
      ? { kind: "once", atMs: span.fromMs }
      : { kind: "cron", cron: parseCron(action.Recurrence, { kind: "unix", withYear: false }) };
  return {
    name: action.ScheduledActionName,
    min: action.MinSize ?? null,
    max: action.MaxSize ?? null,
    desired: action.DesiredCapacity ?? null,
    dueIn: (afterMs, untilMs) => lastOf(when, timeZone, span, afterMs, untilMs),
  };
}

export function targetChange(action: ScheduledTargetAction): ScheduledChange {
  const span = spanOf(action.StartTime, action.EndTime);
  const timeZone = action.Timezone ?? "UTC";
  const when = parseSchedule(action.Schedule, timeZone, Math.max(0, span.fromMs));
  return {
    name: action.ScheduledActionName,
    min: action.ScalableTargetAction?.MinCapacity ?? null,
    max: action.ScalableTargetAction?.MaxCapacity ?? null,
    desired: null,
    dueIn: (afterMs, untilMs) => lastOf(when, timeZone, span, afterMs, untilMs),
  };
}
