import { expect, it } from "vitest";
import { formatDuration, parseDuration } from "../model/index.ts";
import { parseBytes } from "./index.ts";
import { parsePercent } from "./units.ts";

it.each([
  ["0s", 0],
  ["250ms", 250],
  ["1.5s", 1_500],
  ["30s", 30_000],
  ["2m", 120_000],
  ["1h30m", 5_400_000],
  ["1d", 86_400_000],
  ["1h0m5s250ms", 3_605_250],
  ["0.1ms", 0.1],
])("reads %s as %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

it.each(["", "30", "30 s", "-5s", "s", "1,5s", "2 min", "2min", "1e3s", "∞", "5S"])("refuses %j as a duration", (text) =>
  expect(parseDuration(text)).toBeUndefined(),
);

it.each([0, 1, 999, 1_000, 61_000, 90_500, 3_600_000, 86_400_000 * 3 + 7, 0.25])("writes %d ms so that it reads back", (ms) =>
  expect(parseDuration(formatDuration(ms))).toBe(ms),
);

it.each([
  ["1B", 1],
  ["512kB", 512_000],
  ["10MiB", 10_485_760],
  ["1.5Gi", 1_610_612_736],
  ["2G", 2_000_000_000],
])("reads %s as %d bytes", (text, size) => expect(parseBytes(text)).toBe(size));
it.each(["10", "10 MiB", "MiB", "-1kB", "10mb", "1TiB"])("refuses %j as an amount of data", (text) =>
  expect(parseBytes(text)).toBeUndefined(),
);

it("reads a percentage", () => {
  expect(parsePercent("99.5%")).toBe(99.5);
  expect(parsePercent("99")).toBeUndefined();
});
