import type { Ms } from "../../../../model/index.ts";
import { KedaError } from "../words.ts";

interface Field {
  readonly values: ReadonlySet<number>;
  /** Written as `*` or `?`: of day of month and day of week, the other one alone counts. */
  readonly isAny: boolean;
}

export interface CronSchedule {
  readonly minute: Field;
  readonly hour: Field;
  readonly dayOfMonth: Field;
  readonly month: Field;
  readonly dayOfWeek: Field;
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** Five fields: minute, hour, day of month, month, day of week (0 is Sunday). @throws KedaError */
export function parseCron(text: string): CronSchedule {
  const fields = text.trim().split(/\s+/);
  const [minute, hour, dayOfMonth, month, dayOfWeek] = fields;
  if (fields.length !== 5 || dayOfWeek === undefined) {
    throw new KedaError(`cron schedule ${JSON.stringify(text)} has ${text.trim() === "" ? 0 : fields.length} fields; it takes 5`);
  }
  return {
    minute: field(minute as string, 0, 59),
    hour: field(hour as string, 0, 23),
    dayOfMonth: field(dayOfMonth as string, 1, 31),
    month: field(month as string, 1, 12, MONTHS, 1),
    dayOfWeek: field(dayOfWeek, 0, 6, DAYS, 0),
  };
}

function field(text: string, lowest: number, highest: number, names: readonly string[] = [], first = 0): Field {
  const wrong = (part: string) =>
    new KedaError(`cron field ${JSON.stringify(text)} has ${JSON.stringify(part)}; use ${lowest} to ${highest}`);
  const numberOf = (part: string): number => {
    const named = names.indexOf(part.toLowerCase());
    if (named >= 0) return named + first;
    if (!/^\d+$/.test(part)) throw wrong(part);
    return Number(part);
  };
  const values = new Set<number>();
  let isAny = false;
  for (const part of text.split(",")) {
    const [range = "", stepText, ...more] = part.split("/");
    const [fromText = "", toText, ...beyond] = range.split("-");
    if (more.length > 0 || beyond.length > 0) throw wrong(part);
    const isStar = fromText === "*" || fromText === "?";
    if (isStar && toText !== undefined) throw wrong(part);
    const from = isStar ? lowest : numberOf(fromText);
    // A single number with a step runs to the end.
    const to = isStar ? highest : toText !== undefined ? numberOf(toText) : stepText !== undefined ? highest : from;
    const step = stepText === undefined ? 1 : /^\d+$/.test(stepText) ? Number(stepText) : 0;
    if (step === 0 || from < lowest || to > highest || from > to) throw wrong(part);
    if (isStar && step === 1) isAny = true;
    for (let value = from; value <= to; value += step) values.add(value);
  }
  return { values, isAny };
}

/** A moment on a zone's clock. */
interface Local {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
}

export interface TimeZone {
  readonly name: string;
  /** What is added to UTC at that moment. */
  offsetMs(utcMs: Ms): Ms;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** An IANA zone. @throws KedaError for a name that is none */
export function timeZone(name: string): TimeZone {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      ...{ year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" },
    });
  } catch {
    throw new KedaError(`timezone ${JSON.stringify(name)} is no IANA time zone, such as Europe/Berlin`);
  }
  return {
    name,
    offsetMs(utcMs) {
      const parts = Object.fromEntries(format.formatToParts(utcMs).map(({ type, value }) => [type, Number(value)]));
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
      return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(utcMs / 1000) * 1000;
    },
  };
}

function localOf(zone: TimeZone, utcMs: Ms): Local {
  const shown = new Date(utcMs + zone.offsetMs(utcMs));
  return {
    year: shown.getUTCFullYear(),
    month: shown.getUTCMonth() + 1,
    day: shown.getUTCDate(),
    hour: shown.getUTCHours(),
    minute: shown.getUTCMinutes(),
  };
}

/** As Go's time.Date resolves a local time, also one that a change of the clocks skips or repeats. */
function utcOf(zone: TimeZone, year: number, month: number, day: number): Ms {
  const asUtc = Date.UTC(year, month - 1, day);
  const first = zone.offsetMs(asUtc);
  return asUtc - zone.offsetMs(asUtc - first);
}

function dayMatches({ dayOfMonth, dayOfWeek }: CronSchedule, { year, month, day }: Local): boolean {
  const isDay = dayOfMonth.values.has(day);
  const isWeekday = dayOfWeek.values.has(new Date(Date.UTC(year, month - 1, day)).getUTCDay());
  return dayOfMonth.isAny || dayOfWeek.isAny ? isDay && isWeekday : isDay || isWeekday;
}

const YEARS_AHEAD = 5;

/**
 * The first firing after `afterMs`; `null`: none within five years. Where clocks go forward, firings inside of the gap fall out;
 * where they go back, those of the repeated hour come twice. Source: robfig/cron, SpecSchedule.Next.
 */
export function nextFiring(schedule: CronSchedule, zone: TimeZone, afterMs: Ms): Ms | null {
  let atMs = Math.floor(afterMs / MINUTE) * MINUTE + MINUTE;
  const lastYear = localOf(zone, atMs).year + YEARS_AHEAD;
  for (;;) {
    const local = localOf(zone, atMs);
    if (local.year > lastYear) return null;
    if (!schedule.month.values.has(local.month)) {
      atMs = local.month === 12 ? utcOf(zone, local.year + 1, 1, 1) : utcOf(zone, local.year, local.month + 1, 1);
    } else if (!dayMatches(schedule, local)) {
      const next = utcOf(zone, local.year, local.month, local.day + 1);
      // A midnight that does not exist may lie before the day's end.
      atMs = next > atMs ? next : atMs + HOUR;
    } else if (!schedule.hour.values.has(local.hour)) atMs += HOUR - local.minute * MINUTE;
    else if (!schedule.minute.values.has(local.minute)) atMs += MINUTE;
    else return atMs;
  }
}
