import { expect, it } from "vitest";
import { jsonError } from "./json-error.ts";

it.each([
  ["", 0, "Expecting value"],
  ["   ", 3, "Expecting value"],
  ["nul", 0, "Expecting value"],
  ["-", 0, "Expecting value"],
  ["01", 1, "Extra data"],
  ["1.", 1, "Extra data"],
  ['{"a":1} x', 8, "Extra data"],
  ["{", 1, "Expecting property name enclosed in double quotes"],
  ["{a:1}", 1, "Expecting property name enclosed in double quotes"],
  ['{"a":1,}', 7, "Expecting property name enclosed in double quotes"],
  ['{"a" 1}', 5, "Expecting ':' delimiter"],
  ['{"a":1 "b":2}', 7, "Expecting ',' delimiter"],
  ["[1,2", 4, "Expecting ',' delimiter"],
  ["[1,]", 3, "Expecting value"],
  ['[[], {"a": [-1.5e+3, nope]}]', 21, "Expecting value"],
  ['"abc', 0, "Unterminated string starting at"],
  ['"abc\\', 0, "Unterminated string starting at"],
  ['{"a":"b', 5, "Unterminated string starting at"],
  ['{"a":"\\x"}', 6, "Invalid \\escape"],
  ['{"a":"\\u12"}', 7, "Invalid \\uXXXX escape"],
  ['{"a":"x\ty"}', 7, "Invalid control character at"],
  ['{"é":}', 5, "Expecting value"],
  ['{"😀":}', 5, "Expecting value"],
])("of %j Python says at %i: %s", (text, at, message) => {
  expect(jsonError(text)).toEqual({ at, message });
});

it("does not fall over a nesting deeper than the stack", () => {
  expect(jsonError("[".repeat(1_000_000)).message).toBe("Expecting value");
});
