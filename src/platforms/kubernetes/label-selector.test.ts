import { expect, it } from "vitest";
import { parseLabelSelector } from "./label-selector.ts";

it.each([
  { selector: "app=chat", yes: [{ app: "chat" }], no: [{}, { app: "other" }] },
  { selector: "app==chat,tier!=gold", yes: [{ app: "chat" }, { app: "chat", tier: "iron" }], no: [{ app: "chat", tier: "gold" }] },
  { selector: "app.kubernetes.io/name in (a, b),run", yes: [{ "app.kubernetes.io/name": "b", run: "" }], no: [{ run: "" }] },
  { selector: "tier notin (gold,iron)", yes: [{}, { tier: "tin" }], no: [{ tier: "iron" }] },
  { selector: "!canary", yes: [{}], no: [{ canary: "true" }] },
  { selector: "app=", yes: [{ app: "" }], no: [{}, { app: "x" }] },
])("$selector picks as the server would", ({ selector, yes, no }) => {
  const matches = parseLabelSelector(selector);
  expect(yes.map((labels) => matches?.(labels))).toEqual(yes.map(() => true));
  expect(no.map((labels) => matches?.(labels))).toEqual(no.map(() => false));
});

it.each(["", "app>3", "a in", "!a=b", "a=b,,c"])("leaves %j to the server", (selector) => {
  expect(parseLabelSelector(selector)).toBeNull();
});
