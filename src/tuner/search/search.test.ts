import { expect, it } from "vitest";
import { randomStreams } from "../../traces/index.ts";
import { search, sobol } from "./index.ts";

type Value = { readonly cost: number; readonly miss: number };
const isBetter = (a: Value, b: Value) => (a.miss !== b.miss && (a.miss > 0 || b.miss > 0) ? a.miss < b.miss : a.cost < b.cost);
const least = async (dimensions: number, budget: number, of: (x: readonly number[]) => Value, seed = 1) => {
  const starts = [new Array<number>(dimensions).fill(0.9)];
  const tried = await search({ starts, budget, seed, isBetter, evaluate: (points) => Promise.resolve(points.map(of)) });
  return { tried, best: tried.reduce((a, b) => (isBetter(b.value, a.value) ? b : a)) };
};
/** From the unit cube to [-2, 2]. */
const wide = (x: readonly number[]) => x.map((value) => 4 * value - 2);

it.each([1, 2, 5, 9])("finds the bottom of a sphere in %d dimensions", async (dimensions) => {
  const centre = 0.37;
  const { best } = await least(dimensions, 150 + 60 * dimensions, (x) => ({
    cost: x.reduce((sum, value) => sum + (value - centre) ** 2, 0),
    miss: 0,
  }));
  expect(best.value.cost).toBeLessThan(1e-3);
});

it.each([1, 2, 3])("follows Rosenbrock's valley (seed %d)", async (seed) => {
  const rosenbrock = (point: readonly number[]): Value => {
    const [x, y] = wide(point) as [number, number];
    return { cost: (1 - x) ** 2 + 100 * (y - x * x) ** 2, miss: 0 };
  };
  expect((await least(2, 800, rosenbrock, seed)).best.value.cost).toBeLessThan(0.01);
});

it("closes in on the border of one number in a dozen tries", async () => {
  const { tried, best } = await least(1, 14, ([x = 0]) => ({ cost: 1 - x, miss: Math.max(0, x - 0.37) }));
  expect(tried).toHaveLength(14);
  expect(best.value.miss).toBe(0);
  expect(best.point[0]).toBeGreaterThan(0.36);
});

it("ends on the border that a constraint draws", async () => {
  // Least x + y where x × y is at least 1/4: 1, at (1/2, 1/2).
  const { best } = await least(2, 500, ([x = 0, y = 0]) => ({ cost: x + y, miss: Math.max(0, 0.25 - x * y) }));
  expect(best.value.miss).toBe(0);
  expect(best.value.cost).toBeLessThan(1.02);
});

it("ranks by the miss where nothing keeps the constraint", async () => {
  const { best } = await least(2, 200, ([x = 0, y = 0]) => ({ cost: -x, miss: 1 + (x - 0.2) ** 2 + (y - 0.7) ** 2 }));
  expect(best.value.miss).toBeLessThan(1.001);
});

it("finds a step among whole numbers", async () => {
  const { best } = await least(3, 200, (x) => ({
    cost: x.reduce((sum, value, at) => sum + Math.abs(Math.round(8 * value) - 2 * at), 0),
    miss: 0,
  }));
  expect(best.value.cost).toBe(0);
});

it("tries the same points for the same seed, others for another, and never more than its budget", async () => {
  const flat = () => ({ cost: 1, miss: 0 });
  const points = async (seed: number) => (await least(4, 60, flat, seed)).tried.map(({ point }) => point);
  const first = await points(7);
  expect(await points(7)).toEqual(first);
  expect(await points(8)).not.toEqual(first);
  expect(first).toHaveLength(60);
  for (const point of first) for (const value of point) expect(value >= 0 && value <= 1).toBe(true);
});

it.each([1, 2, 7, 21, 24])("Sobol's points put one in each of 64 slices of every one of %d dimensions that it knows", (dimensions) => {
  const [uniform] = randomStreams(3, 1) as [() => number];
  const points = sobol(64, dimensions, uniform);
  for (let d = 0; d < Math.min(21, dimensions); d++) {
    expect(new Set(points.map((point) => Math.floor(64 * (point[d] as number)))).size).toBe(64);
  }
});
