import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { SAGESERVE_DEFAULTS } from "../policy/dialects/sageserve/index.ts";
import { cacheIntent } from "./intent.fixture.ts";
import { sageserveReader } from "./sageserve.ts";

const read = (text: string) => sageserveReader.read(parse(text));
const manifestOf = (text: string) => {
  const result = read(text);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result.manifest;
};
const issuesOf = (text: string) => {
  const result = read(text);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path}: ${message}`).join("\n") : "";
};

describe("reading", () => {
  it("fills in what the simulator has, under its names", () => {
    expect(manifestOf("sageserve: {}")).toEqual({ name: "", namespace: "default", spec: SAGESERVE_DEFAULTS });
    expect(manifestOf("strategy: lt-u\nmodel_tps: { h100: 9000 }").spec).toMatchObject({ strategy: "lt-u", model_tps: { h100: 9000 } });
    expect(manifestOf("metadata: { name: a, namespace: b }\nsageserve: { overheads: { spin_up: 9 } }")).toMatchObject({
      name: "a",
      namespace: "b",
      spec: { overheads: { spin_up: 9, reclaim_spot: 65 } },
    });
  });
  it.each([
    ["an unknown field", "sageserve: { strategie: lt-u }", "sageserve.strategie: is not a field"],
    ["a field beside it", "sageserve: {}\nchiron: {}", "chiron: is not a field"],
    ["a strategy that is none", "sageserve: { strategy: lt-x }", "sageserve.strategy"],
    ["thresholds the wrong way round", "sageserve: { scale_up_utilization: 0.2 }", "is not below scale_up_utilization (0.2)"],
    ["a window the wrong way round", "sageserve: { forecast_window: [60, 30] }", "ends (30) before it begins (60)"],
    ["bounds the wrong way round", "sageserve: { max_instances: 1 }", "is below min_instances (2)"],
    ["what is no mapping", "[]", "is not a mapping"],
  ])("refuses %s", (_, text, issue) => {
    expect(issuesOf(text)).toContain(issue);
  });
});

it("recognizes its own key only", () => {
  expect(
    ["sageserve: {}", "strategy: lt-u", "kind: X\nsageserve: {}", "null"].map((text) => sageserveReader.recognizes(parse(text))),
  ).toEqual([true, false, false, false]);
});
it.each(["sageserve: { strategy: reactive, max_instances: 4 }", "metadata: { name: x }\nsageserve: { gpu_cost: { a: 3 } }"])(
  "writes what reads back the same",
  (text) => {
    const result = read(text);
    if ("issues" in result) throw new Error();
    expect(sageserveReader.read(JSON.parse(JSON.stringify(sageserveReader.write(result.manifest, null))))).toEqual(result);
  },
);
it("says its thresholds as one level, and takes one", () => {
  const { intent, lost } = sageserveReader.intent(manifestOf("sageserve: {}"), null);
  expect(intent.rules).toEqual([{ signal: "kv_used", level: 0.375, of: "perReplica" }]);
  expect(lost.join(" ")).toMatch(/hourly plan.*no maximum/s);
  const written = sageserveReader.fromIntent(cacheIntent);
  expect(sageserveReader.read(written.document)).toMatchObject({
    manifest: {
      name: "llm",
      spec: {
        strategy: "reactive",
        scale_up_utilization: 0.6,
        scale_down_utilization: 0.3,
        min_instances: 1,
        max_instances: 6,
        tick_seconds: 15,
      },
    },
  });
  expect(written.lost.join(" ")).toMatch(/cpu.*tolerance.*zero/s);
});
