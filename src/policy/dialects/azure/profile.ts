import type { Ms } from "../../../model/index.ts";
import { type Cron, lastDue, parseDateTime } from "../../schedule.ts";
import { parseIsoDuration } from "./iso-duration.ts";
import { zoneOfWindows } from "./windows-zones.ts";
import type { AutoscaleProfile, ScaleRule } from "./words.ts";

const WEEK_MS = 7 * 86_400_000;
export const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;

/** A rule with its times in ms and its numbers as numbers. */
export interface Rule {
  readonly trigger: ScaleRule["metricTrigger"];
  readonly grainMs: Ms;
  readonly windowMs: Ms;
  readonly action: ScaleRule["scaleAction"];
  readonly amount: number;
  readonly cooldownMs: Ms;
}

/** Since when a profile is on at a moment; `null`: it is not. */
type Starts = (nowMs: Ms) => Ms | null;

export interface Profile {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly default: number;
  readonly rules: readonly Rule[];
  readonly when: { readonly kind: "always" } | { readonly kind: "fixed" | "recurring"; readonly startedMs: Starts };
}

/** Expects a profile that the reader has validated. */
export function compileProfile(profile: AutoscaleProfile): Profile {
  const { capacity, fixedDate, recurrence } = profile;
  return {
    name: profile.name,
    min: Number(capacity.minimum),
    max: Number(capacity.maximum),
    default: Number(capacity.default),
    rules: profile.rules.map(({ metricTrigger, scaleAction }) => ({
      trigger: metricTrigger,
      grainMs: parseIsoDuration(metricTrigger.timeGrain) ?? 60_000,
      windowMs: parseIsoDuration(metricTrigger.timeWindow) ?? 600_000,
      action: scaleAction,
      amount: Number(scaleAction.value),
      cooldownMs: parseIsoDuration(scaleAction.cooldown) ?? 300_000,
    })),
    when:
      fixedDate !== undefined
        ? { kind: "fixed", startedMs: duringDates(fixedDate) }
        : recurrence !== undefined
          ? { kind: "recurring", startedMs: sinceLastStart(recurrence.schedule) }
          : { kind: "always" },
  };
}

/** Both ends are inside. */
function duringDates({ timeZone, start, end }: NonNullable<AutoscaleProfile["fixedDate"]>): Starts {
  const zone = zoneOfWindows(timeZone) ?? "UTC";
  const [fromMs, untilMs] = [parseDateTime(start, zone), parseDateTime(end, zone)];
  return (nowMs) => (fromMs !== undefined && untilMs !== undefined && fromMs <= nowMs && nowMs <= untilMs ? fromMs : null);
}

function sinceLastStart({ timeZone, days, hours, minutes }: NonNullable<AutoscaleProfile["recurrence"]>["schedule"]): Starts {
  const zone = zoneOfWindows(timeZone) ?? "UTC";
  const wanted = days.map((day) => WEEKDAYS.findIndex((name) => name.toLowerCase() === day.toLowerCase()));
  const cron: Cron = {
    minutes: minutes.toSorted((a, b) => a - b),
    hours: hours.toSorted((a, b) => a - b),
    months: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    years: null,
    monthDays: null,
    weekDays: ({ year, month, day }) => wanted.includes(new Date(Date.UTC(year, month - 1, day)).getUTCDay()),
  };
  // A clock change makes a week up to an hour longer.
  return (nowMs) => lastDue(cron, zone, nowMs - WEEK_MS - 3_600_000, nowMs);
}

/**
 * The profile that holds: one of fixed dates before a recurring one before the one without dates; of several the one that started
 * last, then the first listed. A recurring profile has only a start: it lasts until another one starts.
 */
export function activeProfile(profiles: readonly Profile[], nowMs: Ms): Profile | null {
  for (const kind of ["fixed", "recurring"] as const) {
    let found: { readonly profile: Profile; readonly startedMs: Ms } | null = null;
    for (const profile of profiles) {
      if (profile.when.kind !== kind) continue;
      const startedMs = profile.when.startedMs(nowMs);
      if (startedMs !== null && (found === null || startedMs > found.startedMs)) found = { profile, startedMs };
    }
    if (found !== null) return found.profile;
  }
  return profiles.find(({ when }) => when.kind === "always") ?? null;
}
