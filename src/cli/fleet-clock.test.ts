import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { fleetClock } from "./fleet-clock.ts";

const temporary = () => {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-clock-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const save = (folder: string, text: string) => writeFileSync(join(folder, "clock.json"), text);

it("goes on where the first start began to run, so that no restart turns time back", () => {
  const folder = join(temporary(), "state");
  const first = fleetClock(folder, 50);
  expect(Math.abs(fleetClock(folder, 50).now() - first.now())).toBeLessThan(50 * 20);
  const hourAgoMs = Date.now() - 3_600_000;
  save(folder, JSON.stringify({ speed: 50, epochMs: hourAgoMs }));
  expect(fleetClock(folder, 50).now() - Date.now()).toBeGreaterThan(48 * 3_600_000);
});

it.each([
  ["another speed", JSON.stringify({ speed: 5, epochMs: 1_000 })],
  ["half a file", '{"speed": 50, "epo'],
  ["a time to come", JSON.stringify({ speed: 50, epochMs: Date.now() + 3_600_000 })],
])("begins anew after %s", (_, text) => {
  const folder = temporary();
  save(folder, text);
  expect(Math.abs(fleetClock(folder, 50).now() - Date.now())).toBeLessThan(50 * 200);
});

it("is the wall clock at speed 1", () => {
  const folder = temporary();
  save(folder, JSON.stringify({ speed: 1, epochMs: 1_000 }));
  expect(Math.abs(fleetClock(folder, 1).now() - Date.now())).toBeLessThan(20);
});
