import { expect, it } from "vitest";
import { compileFormula } from "./formula.ts";

const values = { a: 4, b: 10, c: 0 };
const run = (source: string, given: Record<string, number | null> = values) =>
  compileFormula(source, Object.keys(given)).run(new Map(Object.entries(given)));

it.each<[string, number]>([
  ["a + b * 2", 24],
  ["(a + b) * 2", 28],
  ["-a + +b", 6],
  ["b / a", 2.5],
  ["2 ** 3 ** 2", 512],
  ["7 % 4", 3],
  ["a > 3 ? b : c", 10],
  ["a > 3 and not (b < 5) ? 1 : 2", 1],
  ["a > 9 || b == 10 ? 1 : 2", 1],
  ["a < 2 ? 1 : a < 5 ? 2 : 3", 2],
  ["if a > 9 { 1 } else if a > 3 { 2 } else { 3 }", 2],
  ["max(a, b, c)", 10],
  ["min([a, b, 7])", 0 + 4],
  ["sum([a, b])", 14],
  ["mean([a, b]) + avg(a, b)", 14],
  ["median([1, 9, 3, 5])", 4],
  ["len([a, b, c])", 3],
  ["count([a, b, c], # > 0)", 2],
  ["count([a, b, c], {# > 5})", 1],
  ["sum(filter([a, b, c], {# > 3}))", 14],
  ["sum(map([a, b], # * 2))", 28],
  ["[a, b, c] | filter(# > 0) | sum()", 14],
  ["any([a, b], # > 9) ? 1 : 0", 1],
  ["all([a, b], # > 9) ? 1 : 0", 0],
  ["none([a, b], # > 99) ? 1 : 0", 1],
  ["one([a, b], # > 9) ? 1 : 0", 1],
  ["find([a, b], # > 4) ?? 0", 10],
  ["[a, b][-1]", 10],
  ["sum(1..4)", 10],
  ["a in [4, 5] ? 1 : 0", 1],
  ["a not in [4, 5] ? 1 : 0", 0],
  ["ceil(a / 3) + floor(a / 3) + round(2.5) + abs(-1)", 2 + 1 + 3 + 1],
  ["int(2.9) + float('1.5')", 3.5],
  ["let half = b / 2; half * half", 25],
  ['$env["a"] + 1', 5],
  ["1_000 + 0x10 + .5 + 1e2", 1116.5],
  ["float(a) // as KEDA would wrap it", 4],
  ["0.1 + 0.2 == 0.3 ? 1 : 0", 0],
])("%s is %d", (source, result) => {
  expect(run(source)).toBe(result);
});

it.each<[string, Record<string, number | null>, number | null]>([
  ["a ?? b ?? 8", { a: null, b: null }, 8],
  ["a ?? b ?? 8", { a: null, b: 2 }, 2],
  ["a ?? b", { a: null, b: null }, null],
  ["1 + (a ?? 5)", { a: null }, 6],
  ["a == nil ? 3 : a ?? 0", { a: null }, 3],
])("%s with %o is %o", (source, given, result) => {
  expect(run(source, given)).toBe(result);
});

it.each<[string, string]>([
  ["a + d", "unknown name d; the names here are a, b, c"],
  ["a +", "where a value is expected"],
  ["a b", "where the end is expected"],
  ["a > 1", "the result needs a number, not false"],
  ["a ?? b + 1", "wrap either in parentheses"],
  ["a ? 1 : 2", "a condition needs true or false"],
  ["a @ b", "no part of an expression"],
  ["fetch('http://x')", "unknown function fetch"],
  ["a.constructor", "where the end is expected"],
  ["1 / 0", "comes to Infinity"],
  ["[a][3]", "outside of a list of 1"],
  ["sum(1..9999999)", "longer than"],
  ["(".repeat(500), "nests deeper"],
])("refuses %s", (source, message) => {
  expect(() => compileFormula(source.slice(0, 600), ["a", "b", "c"])).toThrow(message);
});

it("fails on nil in arithmetic, only when it comes to that", () => {
  const formula = compileFormula("a + b", ["a", "b"]);
  expect(() =>
    formula.run(
      new Map([
        ["a", 1],
        ["b", null],
      ]),
    ),
  ).toThrow("needs a number, not nil");
});
