import type { Ms } from "../model/index.ts";

/** Times of day and of the calendar as cloud schedules state them: cron in a time zone. Time zones are IANA names. */

/** Whether a calendar day is one of a schedule's; `null`: every day. `weekday` is 0 for Sunday. */
type DayRule = ((date: CalendarDate) => boolean) | null;

interface CalendarDate {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
}

export interface Cron {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: readonly number[];
  /** `null`: every year. */
  readonly years: readonly number[] | null;
  readonly monthDays: DayRule;
  readonly weekDays: DayRule;
}

/**
 * - `unix`: minute, hour, day of month, month, day of week (0 to 7, Sunday is 0 and 7), and a year where `withYear`. Where both
 *   kinds of day are restricted, either is enough.
 * - `eventbridge`: as AWS writes it inside `cron(…)`, with a year; days of the week are 1 to 7 from Sunday, one of the two kinds of
 *   day is `?`, and `L`, `W` and `#` are known.
 */
export type CronForm = { readonly kind: "unix"; readonly withYear: boolean } | { readonly kind: "eventbridge" };

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"] as const;
const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] as const;
const YEARS = [1970, 2199] as const;
const DAY_MS = 86_400_000;

interface Field {
  readonly name: string;
  readonly first: number;
  readonly last: number;
  readonly names?: readonly string[];
  /** The number of the first name. */
  readonly namesFrom?: number;
}

/** @throws Error that says which field cannot be read and why */
export function parseCron(text: string, form: CronForm): Cron {
  const fields = text.trim().split(/\s+/);
  const least = form.kind === "unix" ? 5 : 6;
  const most = form.kind === "unix" && !form.withYear ? 5 : 6;
  if (fields.length < least || fields.length > most) {
    const expected = least === most ? `${least}` : `${least} or ${most}`;
    throw new Error(`is ${JSON.stringify(text)}, which has ${fields.length} fields; a schedule has ${expected}`);
  }
  const [minute, hour, monthDay, month, weekDay, year] = fields as [string, string, string, string, string, string | undefined];
  const cron = {
    minutes: numbersOf(minute, { name: "minute", first: 0, last: 59 }),
    hours: numbersOf(hour, { name: "hour", first: 0, last: 23 }),
    months: numbersOf(month, { name: "month", first: 1, last: 12, names: MONTHS, namesFrom: 1 }),
    years: year === undefined || year === "*" ? null : numbersOf(year, { name: "year", first: YEARS[0], last: YEARS[1] }),
  };
  if (form.kind === "unix") {
    const weekdays: Field = { name: "day of week", first: 0, last: 7, names: WEEKDAYS, namesFrom: 0 };
    return {
      ...cron,
      monthDays: isEvery(monthDay) ? null : dayIn(numbersOf(monthDay, MONTH_DAY)),
      weekDays: isEvery(weekDay) ? null : weekdayIn(numbersOf(weekDay, weekdays).map((day) => day % 7)),
    };
  }
  if ((monthDay === "?") === (weekDay === "?")) {
    throw new Error(`is ${JSON.stringify(text)}: exactly one of day of month and day of week is ?`);
  }
  return { ...cron, monthDays: eventbridgeMonthDay(monthDay), weekDays: eventbridgeWeekDay(weekDay) };
}

const MONTH_DAY: Field = { name: "day of month", first: 1, last: 31 };
const isEvery = (field: string) => field === "*" || field === "?";

/** A list of numbers, names, ranges and steps, in ascending order. */
function numbersOf(text: string, field: Field): readonly number[] {
  const refuse = (part: string): never => {
    throw new Error(`has ${JSON.stringify(part)} for the ${field.name}; it runs from ${field.first} to ${field.last}`);
  };
  const numberOf = (part: string): number => {
    const named = field.names?.indexOf(part.toUpperCase()) ?? -1;
    if (named >= 0) return named + (field.namesFrom ?? 0);
    const number = /^\d+$/.test(part) ? Number(part) : Number.NaN;
    return number >= field.first && number <= field.last ? number : refuse(part);
  };
  const found = new Set<number>();
  for (const part of text.split(",")) {
    const [range, stepText, ...rest] = part.split("/") as [string, string | undefined, ...string[]];
    const step = stepText === undefined ? 1 : /^[1-9]\d*$/.test(stepText) ? Number(stepText) : refuse(part);
    if (rest.length > 0) refuse(part);
    let [first, last] = [field.first, field.last];
    if (range !== "*") {
      const ends = range.split("-");
      if (ends.length > 2) refuse(part);
      first = numberOf(ends[0] as string);
      last = ends.length === 2 ? numberOf(ends[1] as string) : stepText === undefined ? first : field.last;
      if (last < first) refuse(part);
    }
    for (let value = first; value <= last; value += step) found.add(value);
  }
  return [...found].sort((a, b) => a - b);
}

const dayIn =
  (days: readonly number[]): DayRule =>
  ({ day }) =>
    days.includes(day);
const weekdayIn =
  (days: readonly number[]): DayRule =>
  (date) =>
    days.includes(weekdayOf(date));

const weekdayOf = ({ year, month, day }: CalendarDate) => new Date(Date.UTC(year, month - 1, day)).getUTCDay();
const daysIn = ({ year, month }: CalendarDate) => new Date(Date.UTC(year, month, 0)).getUTCDate();

function eventbridgeMonthDay(text: string): DayRule {
  if (isEvery(text)) return null;
  if (text === "L") return (date) => date.day === daysIn(date);
  const near = /^(L|\d{1,2})W$/.exec(text)?.[1];
  if (near === undefined) return dayIn(numbersOf(text, MONTH_DAY));
  if (near !== "L") numbersOf(near, MONTH_DAY);
  return (date) => date.day === nearestWorkday(date, near === "L" ? daysIn(date) : Number(near));
}

/** The day from Monday to Friday that is nearest to `day`, inside the same month. */
function nearestWorkday(date: CalendarDate, day: number): number {
  const last = daysIn(date);
  if (day > last) return Number.NaN;
  const weekday = weekdayOf({ ...date, day });
  if (weekday === 6) return day > 1 ? day - 1 : day + 2;
  if (weekday === 0) return day < last ? day + 1 : day - 2;
  return day;
}

function eventbridgeWeekDay(text: string): DayRule {
  if (isEvery(text)) return null;
  const field: Field = { name: "day of week", first: 1, last: 7, names: WEEKDAYS, namesFrom: 1 };
  if (text === "L") return weekdayIn([6]);
  const last = /^(\w+?)L$/.exec(text)?.[1];
  if (last !== undefined) {
    const weekday = (numbersOf(last, field)[0] as number) - 1;
    return (date) => weekdayOf(date) === weekday && date.day + 7 > daysIn(date);
  }
  const [, of, nth] = /^(\w+)#([1-5])$/.exec(text) ?? [];
  if (of !== undefined) {
    const weekday = (numbersOf(of, field)[0] as number) - 1;
    return (date) => weekdayOf(date) === weekday && Math.ceil(date.day / 7) === Number(nth);
  }
  return weekdayIn(numbersOf(text, field).map((day) => day - 1));
}

function isDay(cron: Cron, date: CalendarDate): boolean {
  if (!cron.months.includes(date.month) || (cron.years !== null && !cron.years.includes(date.year))) return false;
  const { monthDays, weekDays } = cron;
  if (monthDays === null) return weekDays === null || weekDays(date);
  return monthDays(date) || (weekDays?.(date) ?? false);
}

/** The latest time at which `cron` falls due in `(afterMs, untilMs]`; `null`: none. */
export function lastDue(cron: Cron, timeZone: string, afterMs: Ms, untilMs: Ms): Ms | null {
  const oldest = localDay(timeZone, afterMs);
  for (let day = localDay(timeZone, untilMs); day >= oldest; day -= DAY_MS) {
    if (!isDay(cron, dateOf(day))) continue;
    // Far from a clock change one offset holds for the whole day.
    const [before, after] = [offsetAt(timeZone, day - DAY_MS), offsetAt(timeZone, day + 2 * DAY_MS)];
    const instant = (local: Ms) => (before === after ? local - before : instantOf(timeZone, local));
    for (const hour of cron.hours.toReversed()) {
      for (const minute of cron.minutes.toReversed()) {
        const dueMs = instant(day + hour * 3_600_000 + minute * 60_000);
        if (dueMs > untilMs) continue;
        // Earlier minutes of the same day are earlier still.
        return dueMs > afterMs ? dueMs : null;
      }
    }
  }
  return null;
}

const dateOf = (day: Ms): CalendarDate => {
  const date = new Date(day);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
};
/** Midnight of the local day, as if local time were UTC. */
const localDay = (timeZone: string, atMs: Ms) => Math.floor((atMs + offsetAt(timeZone, atMs)) / DAY_MS) * DAY_MS;

/** Formatters are costly to make; one for each zone serves all. */
const formatters = new Map<string, Intl.DateTimeFormat>();

/** @throws RangeError for a zone that is not in the IANA database */
function formatterOf(timeZone: string): Intl.DateTimeFormat {
  const known = formatters.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formatters.set(timeZone, made);
  return made;
}

/** Whether the name is one of the IANA database (UTC offsets are not). */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    formatterOf(name);
    return true;
  } catch {
    return false;
  }
}

/** Local time minus UTC in ms. */
function offsetAt(timeZone: string, atMs: Ms): number {
  if (timeZone === "UTC") return 0;
  const wholeMs = Math.floor(atMs / 1000) * 1000;
  const part: Record<string, number> = {};
  for (const { type, value } of formatterOf(timeZone).formatToParts(wholeMs)) if (type !== "literal") part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second) - wholeMs;
}

/**
 * The instant of a local time, given as if it were UTC. A time that a clock change repeats is its first occurrence; one that it
 * skips is as long after the change as it would have been without.
 */
export function instantOf(timeZone: string, local: Ms): Ms {
  const before = offsetAt(timeZone, local - DAY_MS);
  const after = offsetAt(timeZone, local + DAY_MS);
  const early = local - before;
  if (before === after || offsetAt(timeZone, early) === before) return early;
  const late = local - after;
  return offsetAt(timeZone, late) === after ? late : early;
}

const DATE_TIME = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** ISO 8601 to an instant; without an offset it is local time in `timeZone`. `undefined`: no date and time. */
export function parseDateTime(text: string, timeZone: string): Ms | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12 || day < 1 || day > daysIn({ year, month, day }) || hour > 23 || minute > 59 || second > 59) return undefined;
  const local = Date.UTC(year, month - 1, day, hour, minute, second) + Math.round(Number(match[7] ?? 0) * 1000);
  const zone = match[8];
  if (zone === undefined) return instantOf(timeZone, local);
  if (zone === "Z") return local;
  const [, sign, hours, minutes] = /^([+-])(\d{2}):?(\d{2})$/.exec(zone) as unknown as [string, string, string, string];
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === "+" ? local - offset : local + offset;
}
