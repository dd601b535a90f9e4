import { describe, expect, it } from "vitest";
import { instantOf, isTimeZone, lastDue, parseCron, parseDateTime } from "./schedule.ts";

const at = (text: string) => Date.parse(text);
const unix = (text: string) => parseCron(text, { kind: "unix", withYear: true });
const eventbridge = (text: string) => parseCron(text, { kind: "eventbridge" });
const YEAR = 366 * 86_400_000;
const last = (cron: ReturnType<typeof unix>, until: string, zone = "UTC", back = YEAR) => {
  const dueMs = lastDue(cron, zone, at(until) - back, at(until));
  return dueMs === null ? null : new Date(dueMs).toISOString().replace(":00.000Z", "Z");
};

describe("when a schedule was due last", () => {
  it.each([
    ["every working day at eight", "0 8 * * 1-5", "2026-11-23T07:59Z", "2026-11-20T08:00Z"],
    ["the minute itself is due", "0 8 * * 1-5", "2026-11-23T08:00Z", "2026-11-23T08:00Z"],
    ["steps and lists", "*/20 6,18 * * *", "2026-11-23T18:45Z", "2026-11-23T18:40Z"],
    ["a step from a number runs to the end", "5/25 * * * *", "2026-11-23T18:45Z", "2026-11-23T18:30Z"],
    ["names of months and days", "30 9 * JAN,JUL MON", "2026-08-01T00:00Z", "2026-07-27T09:30Z"],
    ["seven is Sunday too", "0 0 * * 7", "2026-11-24T00:00Z", "2026-11-22T00:00Z"],
    ["either kind of day is enough", "0 0 13 * 5", "2026-11-16T00:00Z", "2026-11-13T00:00Z"],
    ["either kind of day is enough, by weekday", "0 0 13 * 5", "2026-11-21T00:00Z", "2026-11-20T00:00Z"],
    ["29 February", "0 0 29 2 *", "2028-12-31T00:00Z", "2028-02-29T00:00Z"],
    ["a year of its own", "0 0 1 1 * 2026", "2026-06-01T00:00Z", "2026-01-01T00:00Z"],
  ])("%s", (_, cron, until, due) => expect(last(unix(cron), until)).toBe(due));

  it.each([
    ["weekdays from Sunday as 1", "0 8 ? * 2-6 *", "2026-11-22T12:00Z", "2026-11-20T08:00Z"],
    ["the last day of a month", "0 0 L * ? *", "2026-03-05T00:00Z", "2026-02-28T00:00Z"],
    ["the working day nearest to the 15th (a Sunday)", "0 0 15W * ? *", "2026-11-24T00:00Z", "2026-11-16T00:00Z"],
    ["the working day nearest to the 1st (a Sunday) stays in its month", "0 0 1W * ? *", "2026-11-24T00:00Z", "2026-11-02T00:00Z"],
    ["the last working day (the 31st is a Saturday)", "0 0 LW * ? *", "2026-11-24T00:00Z", "2026-10-30T00:00Z"],
    ["the last Friday", "0 0 ? * 6L *", "2026-11-24T00:00Z", "2026-10-30T00:00Z"],
    ["the third Monday", "0 0 ? * MON#3 *", "2026-11-24T00:00Z", "2026-11-16T00:00Z"],
  ])("as AWS writes it: %s", (_, cron, until, due) => expect(last(eventbridge(cron), until)).toBe(due));

  it("looks no further back than it is asked to, the beginning excluded", () => {
    const cron = unix("0 8 * * *");
    expect(lastDue(cron, "UTC", at("2026-11-23T08:00Z"), at("2026-11-24T07:59Z"))).toBeNull();
    expect(lastDue(cron, "UTC", at("2026-11-23T07:59Z"), at("2026-11-24T07:59Z"))).toBe(at("2026-11-23T08:00Z"));
    expect(last(unix("0 0 31 2 *"), "2026-11-24T00:00Z")).toBeNull();
  });

  it("follows a time zone through its clock changes", () => {
    const eight = unix("0 8 * * *");
    expect(last(eight, "2026-01-15T12:00Z", "Europe/Berlin")).toBe("2026-01-15T07:00Z");
    expect(last(eight, "2026-07-15T12:00Z", "Europe/Berlin")).toBe("2026-07-15T06:00Z");
    expect(last(eight, "2026-07-15T12:00Z", "Asia/Kolkata")).toBe("2026-07-15T02:30Z");
    // 02:30 does not exist on 29 March, and is there twice on 25 October.
    const night = unix("30 2 * * *");
    expect(last(night, "2026-03-29T12:00Z", "Europe/Berlin")).toBe("2026-03-29T01:30Z");
    expect(last(night, "2026-10-25T12:00Z", "Europe/Berlin")).toBe("2026-10-25T00:30Z");
  });
});

it.each([
  ["0 8 * *", /has 4 fields/],
  ["60 8 * * *", /"60" for the minute/],
  ["0 8 * * MOO", /"MOO" for the day of week/],
  ["0 8-6 * * *", /"8-6" for the hour/],
  ["0 8 */0 * *", /"\*\/0" for the day of month/],
  ["", /has 1 fields/],
])("refuses %s", (text, message) => expect(() => unix(text)).toThrow(message));

it.each([
  ["0 8 * * * *", /exactly one of day of month and day of week is \?/],
  ["0 8 ? * 0 *", /"0" for the day of week/],
  ["0 8 32W * ? *", /"32" for the day of month/],
])("refuses %s of AWS", (text, message) => expect(() => eventbridge(text)).toThrow(message));

it.each([
  ["2026-11-23T08:00:00Z", "UTC", "2026-11-23T08:00:00Z"],
  ["2026-11-23T08:00:00+02:00", "UTC", "2026-11-23T06:00:00Z"],
  ["2026-11-23T08:00:00.250Z", "UTC", "2026-11-23T08:00:00.250Z"],
  ["2026-07-01T08:00", "America/New_York", "2026-07-01T12:00:00Z"],
  ["2026-07-01", "UTC", "2026-07-01T00:00:00Z"],
])("reads the date %s in %s", (text, zone, instant) => expect(parseDateTime(text, zone)).toBe(at(instant)));

it.each(["2026-13-01T00:00", "2026-02-30", "tomorrow", "2026-01-01T25:00"])("refuses the date %s", (text) =>
  expect(parseDateTime(text, "UTC")).toBeUndefined(),
);

it("knows zones by their IANA names", () => {
  expect(["UTC", "Europe/Berlin", "Mars/Olympus", "+02:00", ""].map(isTimeZone)).toEqual([true, true, false, false, false]);
  expect(instantOf("Pacific/Kiritimati", Date.UTC(2026, 0, 1))).toBe(at("2025-12-31T10:00Z"));
});
