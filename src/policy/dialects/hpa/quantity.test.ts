import fc from "fast-check";
import { expect, it } from "vitest";
import { formatQuantity, milliOf, milliQuantity, parseQuantity, signOf, toNumber } from "./index.ts";

it.each([
  ["1500m", "1500m"],
  ["1.5", "1500m"],
  ["1000m", "1"],
  ["1000k", "1M"],
  ["0.5Ki", "512"],
  ["1024Ki", "1Mi"],
  ["1025Ki", "1025Ki"],
  ["-2Gi", "-2Gi"],
  ["1e4", "10e3"],
  ["0Ki", "0"],
])("prints %s as %s", (text, canonical) => {
  expect(formatQuantity(parseQuantity(text))).toBe(canonical);
});

it.each(["", ".", "-", "1K", "1i", "5 Gi", "1e", "1e+", "e3", "0x10", "NaN", "1e99999999999"])("refuses %j", (text) => {
  expect(() => parseQuantity(text)).toThrow(RangeError);
});

it("caps and rounds away from zero where the original does, and nowhere else", () => {
  expect(parseQuantity("12E").mantissa).toBe(12n);
  expect(parseQuantity("9223372036854775808").mantissa).toBe(9_223_372_036_854_775_807n);
  expect(milliOf(parseQuantity("-1n"))).toBe(-1);
  expect(milliOf(parseQuantity("-3Ei"))).toBe(-9_223_372_036_854_775_808n);
  expect(milliOf(parseQuantity("1e2000000000"))).toBe(9_223_372_036_854_775_807n);
  expect(parseQuantity("-0.0000000001")).toMatchObject({ mantissa: -1n, exponent: -9 });
  expect(toNumber(parseQuantity("100m"))).toBe(0.1);
  expect(signOf(parseQuantity("-0"))).toBe(0);
});

it("keeps the value when it is printed and read again", () => {
  fc.assert(
    fc.property(
      fc.maxSafeInteger(),
      fc.constantFrom("DecimalSI" as const, "BinarySI" as const, "DecimalExponent" as const),
      (milli, format) => {
        expect(milliOf(parseQuantity(formatQuantity(milliQuantity(milli, format))))).toBe(milli + 0);
      },
    ),
  );
});
