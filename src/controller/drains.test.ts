import { expect, it } from "vitest";
import { createLedger } from "../ledger/index.ts";
import type { DoorReport, Route } from "../model/index.ts";
import { createDrains } from "./drains.ts";

const objective = { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 };
const empty = createLedger({ objective }).report(0, null);
const report = (inFlight: number): DoorReport => ({
  ...empty,
  replicas: [{ replica: "r", inFlight, completed: 0, failed: 0, outputTokens: 0 }],
});
const routes = (state: Route["state"]): readonly Route[] => [{ replica: "r", url: "http://r", state }];

it.each([
  { rule: "gateways were never told", said: [], asked: 10, inFlight: 0, idle: false },
  { rule: "it is still routed to", said: [["ready", 5]], asked: 10, inFlight: 0, idle: false },
  { rule: "the report was asked for before they were told", said: [["draining", 5]], asked: 4, inFlight: 0, idle: false },
  { rule: "something is in flight", said: [["draining", 5]], asked: 5, inFlight: 1, idle: false },
  { rule: "nothing is in flight", said: [["draining", 5]], asked: 5, inFlight: 0, idle: true },
  {
    rule: "routes were said again since, which changes nothing",
    said: [
      ["draining", 5],
      ["draining", 9],
    ],
    asked: 6,
    inFlight: 0,
    idle: true,
  },
  {
    rule: "it was routed to in between",
    said: [
      ["draining", 5],
      ["ready", 7],
      ["draining", 9],
    ],
    asked: 8,
    inFlight: 0,
    idle: false,
  },
] as const)("idle is $idle where $rule", ({ said, asked, inFlight, idle }) => {
  const drains = createDrains();
  for (const [state, atMs] of said) drains.said(routes(state), atMs);
  expect(drains.idle("r", report(inFlight), asked)).toBe(idle);
});

it("a gateway that did not answer says nothing; one that never saw the replica has nothing on it", () => {
  const drains = createDrains();
  drains.said(routes("draining"), 5);
  expect(drains.idle("r", null, 10)).toBe(false);
  expect(drains.idle("r", empty, 10)).toBe(true);
});
