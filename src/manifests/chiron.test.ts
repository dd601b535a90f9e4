import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { CHIRON_DEFAULTS } from "../policy/dialects/chiron/index.ts";
import { chironReader } from "./chiron.ts";
import { cacheIntent } from "./intent.fixture.ts";

const read = (text: string) => chironReader.read(parse(text));
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
  it("fills in what the artifact has, under its names", () => {
    expect(manifestOf("chiron: {}")).toEqual({ name: "", namespace: "default", spec: CHIRON_DEFAULTS });
    expect(manifestOf("version: paper\ninstances: { gpu-a: batch }").spec).toMatchObject({
      version: "paper",
      instances: { "gpu-a": "batch" },
    });
  });
  it.each([
    ["an unknown field", "chiron: { ibp: 0.5 }", "chiron.ibp: is not a field"],
    ["a kind of instance that is none", "chiron: { instances: { a: spare } }", "chiron.instances.a"],
    ["a threshold of nothing", "chiron: { ibp_threshold: 0 }", "chiron.ibp_threshold"],
    ["bounds the wrong way round", "chiron: { max_instances: 1 }", "is below min_instances (2)"],
  ])("refuses %s", (_, text, issue) => {
    expect(issuesOf(text)).toContain(issue);
  });
});

it("recognizes its own key only", () => {
  expect(["chiron: {}", "version: paper", "apiVersion: v1\nchiron: {}"].map((text) => chironReader.recognizes(parse(text)))).toEqual([
    true,
    false,
    false,
  ]);
});
it.each(["chiron: { version: paper, max_instances: 4 }", "metadata: { name: x, namespace: y }\nchiron: { overheads: { spin_up: 60 } }"])(
  "writes what reads back the same",
  (text) => {
    const result = read(text);
    if ("issues" in result) throw new Error();
    expect(chironReader.read(JSON.parse(JSON.stringify(chironReader.write(result.manifest, null))))).toEqual(result);
  },
);
it("has no level of a signal to say, and takes bounds and interval", () => {
  expect(chironReader.intent(manifestOf("chiron: {}"), null)).toMatchObject({ intent: { rules: [], min: 2, max: 10, intervalMs: 5000 } });
  const written = chironReader.fromIntent(cacheIntent);
  expect(chironReader.read(written.document)).toMatchObject({
    manifest: { name: "llm", spec: { version: "paper", min_instances: 0, max_instances: 6, tick_seconds: 15 } },
  });
  expect(written.lost.join(" ")).toMatch(/kv_used.*cpu.*tolerance/s);
});
