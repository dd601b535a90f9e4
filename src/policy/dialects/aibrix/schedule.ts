import type { Ms } from "../../../model/index.ts";
import type { AibrixSettings, Schedule } from "./settings.ts";

/** Bounds of a moment; `schedule`: the one that gives them; `warms`: it states a minimum of its own, so it may wake from zero. */
export interface Effective {
  readonly min: number;
  readonly max: number;
  readonly schedule: string | null;
  readonly warms: boolean;
}

const DAY_NAMES = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const MINUTE_MS = 60_000;

/** Bound once to the settings, since telling local time is dear; within a minute of the clock the answer is the same. */
export function effectiveBounds({ min, max, schedules }: Pick<AibrixSettings, "min" | "max" | "schedules">): (nowMs: Ms) => Effective {
  const base: Effective = { min, max, schedule: null, warms: false };
  if (schedules.length === 0) return () => base;
  const clocks = schedules.map((schedule) => ({ schedule, clock: localClock(schedule.timezone) }));
  let known = { minute: Number.NaN, bounds: base };
  return (nowMs) => {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (known.minute === minute) return known.bounds;
    const active = clocks.find(({ schedule, clock }) => isActive(schedule, clock(nowMs)))?.schedule;
    const bounds =
      active === undefined ? base : { min: active.min ?? min, max: active.max ?? max, schedule: active.name, warms: active.min !== null };
    known = { minute, bounds };
    return bounds;
  };
}

interface LocalTime {
  readonly day: number;
  readonly minute: number;
}

/** @throws RangeError for a time zone that does not exist */
export function localClock(timeZone: string): (atMs: Ms) => LocalTime {
  const format = new Intl.DateTimeFormat("en-US", { timeZone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return (atMs) => {
    const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
    return { day: DAY_NAMES.indexOf(parts["weekday"] ?? ""), minute: Number(parts["hour"]) * 60 + Number(parts["minute"]) };
  };
}

function isActive({ days, fromMinute, toMinute }: Schedule, { day, minute }: LocalTime): boolean {
  return (days === null || days.includes(day)) && minute >= fromMinute && minute < toMinute;
}
