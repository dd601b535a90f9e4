import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../../plant.fixture.ts";
import { advanceTrend, correctTrend, fitArima, fitLinear, forecastArima, kpss, solve, startTrend, updateArima } from "./index.ts";

/** Normal noise that is the same for the same seed. */
const noise = (seed: number) => {
  const draw = random(seed);
  return () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
};
const process = (seed: number, count: number, next: (past: readonly number[], shock: number, shocks: readonly number[]) => number) => {
  const draw = noise(seed);
  const [values, shocks]: [number[], number[]] = [[], []];
  for (let at = 0; at < count; at++) {
    const shock = draw();
    values.push(next(values, shock, shocks));
    shocks.push(shock);
  }
  return values;
};

describe("linear algebra", () => {
  it("solves what it was made from", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 3 }), ([a, b, c]) => {
        const matrix = [
          [0, 2, 1],
          [1, -2, -3],
          [-1, 1, 2],
        ];
        const x = [a, b, c] as number[];
        const right = matrix.map((row) => row.reduce((sum, value, at) => sum + value * (x[at] as number), 0));
        for (const [at, value] of (solve(matrix, right) ?? []).entries()) expect(value).toBeCloseTo(x[at] as number, 9);
      }),
    );
  });
  it("says that a singular system has no solution", () => {
    expect(
      solve(
        [
          [1, 2],
          [2, 4],
        ],
        [1, 2],
      ),
    ).toBeNull();
  });
  it("fits a plane", () => {
    const rows = [0, 1, 2, 3, 4].flatMap((a) => [0, 5, 7].map((b) => [a, b]));
    const fit = fitLinear(
      rows,
      rows.map(([a, b]) => 3 + 2 * (a as number) - 0.5 * (b as number)),
    );
    expect(fit.intercept).toBeCloseTo(3, 6);
    expect(fit.slopes[0]).toBeCloseTo(2, 6);
    expect(fit.slopes[1]).toBeCloseTo(-0.5, 6);
  });
  it("gives a feature that never varied no slope, and two that are the same an equal share", () => {
    expect(fitLinear([[5], [5], [5]], [1, 2, 3])).toEqual({ intercept: 2, slopes: [0] });
    const { slopes } = fitLinear(
      [1, 2, 3, 4].map((x) => [x, x]),
      [2, 4, 6, 8],
    );
    expect(slopes[0]).toBeCloseTo(1, 5);
    expect(slopes[1]).toBeCloseTo(1, 5);
  });
});

describe("auto-ARIMA", () => {
  it("sees a level in noise and none in a walk", () => {
    expect(kpss(process(1, 300, (_, shock) => shock))).toBeLessThan(0.463);
    expect(kpss(process(2, 300, (past, shock) => (past.at(-1) ?? 0) + shock))).toBeGreaterThan(0.463);
    expect(kpss([4, 4, 4, 4])).toBe(0);
  });
  it("finds the coefficient of a first-order autoregression", () => {
    const model = fitArima(process(3, 800, (past, shock) => 10 + 0.7 * ((past.at(-1) ?? 10) - 10) + shock));
    expect(model.d).toBe(0);
    expect(model.mean).toBeCloseTo(10, 0);
    // Whatever orders were chosen, the next value after a departure comes back by 0.7.
    const departed = updateArima(model, 20);
    expect(forecastArima(departed, 1)[0]).toBeGreaterThan(14);
    expect(forecastArima(departed, 1)[0]).toBeLessThan(19);
    expect(forecastArima(model, 200).at(-1)).toBeCloseTo(model.mean, 1);
  });
  it("follows a moving average for one step only", () => {
    const model = fitArima(process(4, 1500, (_, shock, shocks) => 5 + shock + 0.6 * (shocks.at(-1) ?? 0)));
    const next = forecastArima(updateArima(model, 15), 30);
    expect(next[0]).toBeGreaterThan(6.5);
    expect(next[29]).toBeCloseTo(5, 0);
  });
  it("goes on with a line", () => {
    const model = fitArima(Array.from({ length: 40 }, (_, at) => 100 + 3 * at));
    expect(model.d).toBeGreaterThan(0);
    for (const [at, value] of forecastArima(model, 5).entries()) expect(value).toBeCloseTo(100 + 3 * (40 + at), 3);
  });
  it.each([[[1]], [[1, 2]], [[3, 3, 3, 4, 3]], [[0, 0, 5, 0, 0, 9]]])("gives a finite forecast of as little as %j", (series) => {
    for (const value of forecastArima(fitArima(series), 10)) expect(Number.isFinite(value)).toBe(true);
  });
  it("gives the same after an update as its own forecast said when that came true, and survives JSON", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 60 }), (series) => {
        const model = fitArima(series);
        expect(forecastArima(JSON.parse(JSON.stringify(model)), 2)).toEqual(forecastArima(model, 2));
        const [first, second] = forecastArima(model, 2) as [number, number];
        expect(Number.isFinite(first) && Number.isFinite(second)).toBe(true);
        expect(forecastArima(updateArima(model, first), 1)[0]).toBeCloseTo(second, 4);
      }),
      { numRuns: 60 },
    );
  });
});

describe("level and trend", () => {
  const settings = { qLevel: 1, qTrend: 0.1, r: 10 };
  it("learns the slope of a line", () => {
    let trend = startTrend(0);
    for (let at = 1; at <= 60; at++) trend = correctTrend(advanceTrend(trend, settings), 5 * at, settings);
    expect(trend.trend).toBeCloseTo(5, 2);
    expect(advanceTrend(trend, settings).level).toBeCloseTo(305, 1);
  });
  it("is as the textbook's matrices", () => {
    // P after the first prediction: F·1000·I·Fᵀ + Q.
    expect(advanceTrend(startTrend(7), settings)).toEqual({ level: 7, trend: 0, p: [2001, 1000, 1000.1] });
  });
});
