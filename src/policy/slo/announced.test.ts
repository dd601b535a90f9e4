import { describe, expect, it } from "vitest";
import type { AnnouncedEvent, Ms } from "../../model/index.ts";
import { calendarOf, comingOf, noAnnounced } from "./announced.ts";

const HOUR: Ms = 3_600_000;
const event = (over: Partial<AnnouncedEvent>): AnnouncedEvent => ({
  name: "launch",
  cron: null,
  atMs: null,
  timeZone: "UTC",
  forMs: HOUR,
  replicas: null,
  times: null,
  ...over,
});
const horizonMs = 120_000;

describe("an announced event", () => {
  const calendar = calendarOf([event({ atMs: 10 * HOUR, replicas: 8 })]);
  it.each([
    { nowMs: 10 * HOUR - horizonMs - 1, is: "not yet in sight", replicas: undefined },
    { nowMs: 10 * HOUR - horizonMs, is: "prepared for a horizon ahead", replicas: 8 },
    { nowMs: 11 * HOUR - 1, is: "on until its time is over", replicas: 8 },
    { nowMs: 11 * HOUR, is: "over", replicas: undefined },
  ])("is $is", ({ nowMs, replicas }) => {
    expect(comingOf(calendar, noAnnounced, nowMs, horizonMs, 1).coming[0]?.replicas).toBe(replicas);
  });

  it("recurs by cron in its time zone", () => {
    const workdays = calendarOf([event({ cron: "0 9 * * MON-FRI", timeZone: "Europe/Berlin", replicas: 3 })]);
    const on = (text: string) => comingOf(workdays, noAnnounced, Date.parse(text), horizonMs, 1).coming.length === 1;
    expect(on("2026-11-24T08:01:00Z")).toBe(true);
    expect(on("2026-07-21T07:01:00Z")).toBe(true);
    expect(on("2026-11-24T07:01:00Z")).toBe(false);
    expect(on("2026-11-28T08:01:00Z")).toBe(false);
  });

  it("multiplies the load that was there before it, not its own", () => {
    const threefold = calendarOf([event({ atMs: HOUR, times: 3 })]);
    const first = comingOf(threefold, noAnnounced, HOUR - horizonMs, horizonMs, 2);
    expect(first.coming[0]?.work).toBe(6);
    const on = comingOf(threefold, first.announced, HOUR + 60_000, horizonMs, 6);
    expect(on.coming[0]?.work).toBe(6);
    expect(comingOf(threefold, on.announced, 3 * HOUR, horizonMs, 2).announced).toEqual({});
  });

  it("multiplies nothing while nobody knows the load", () => {
    const blind = comingOf(calendarOf([event({ atMs: HOUR, times: 3 })]), noAnnounced, HOUR, horizonMs, null);
    expect(blind.coming[0]?.work).toBe(0);
    expect(blind.announced).toEqual({});
  });
});
