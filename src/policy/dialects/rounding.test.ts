import { expect, it } from "vitest";
import { ceilOf, floorOf } from "./rounding.ts";

it.each([
  ["up", ceilOf, (3 * 0.7) / 0.3, 7],
  ["up", ceilOf, 7.001, 8],
  ["up", ceilOf, -1.5, -1],
  ["up, and zero has no sign", ceilOf, -0.4, 0],
  ["down", floorOf, 0.1 * 3 * 10, 3],
  ["down", floorOf, 2.9999999999999996, 3],
  ["down", floorOf, 2.99, 2],
])("rounds %s: a hair off a whole number is that number", (_, round, value, whole) => expect(round(value)).toBe(whole));
