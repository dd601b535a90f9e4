import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../config/index.ts";
import { exportFiles } from "./export.ts";
import { importFiles } from "./import.ts";

const examples = new URL("../../examples/", import.meta.url);
const hpa = readFileSync(new URL("hpa-gpu-utilization.yaml", examples), "utf8");
const from = (texts: Readonly<Record<string, string>>) => (path: string) => {
  const text = texts[path];
  if (text === undefined) throw new Error("ENOENT: no such file");
  return text;
};

it("imports a manifest into an Endpoint that is valid, and gives it back as it was", async () => {
  const { out } = await importFiles(["h.yaml"], "yaml", from({ "h.yaml": hpa }));
  const { endpoints, warnings } = parseConfig(out, { file: "e.yaml", env: {} });
  expect(warnings).toEqual([]);
  expect(endpoints[0]).toMatchObject({
    pools: [{ min: 2, max: 10 }],
    policy: { kind: "hpa" },
    metrics: { dcgm_gpu_utilization: "gpu_utilization" },
  });
  const back = await exportFiles(["e.yaml"], { as: "hpa" }, from({ "e.yaml": out }));
  const again = await importFiles(["b.yaml"], "yaml", from({ "b.yaml": back.out }));
  expect(parse(back.out).spec.metrics).toEqual([
    { type: "Pods", pods: { metric: { name: "dcgm_gpu_utilization" }, target: { type: "AverageValue", averageValue: "75" } } },
  ]);
  expect(again.out).toBe(out);
});

it("takes apart the List that kubectl prints", async () => {
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: [parse(hpa), parse(hpa)] });
  const { out } = await importFiles(["l.json"], "json", from({ "l.json": list }));
  expect(JSON.parse(out)).toHaveLength(2);
});

it.each([
  [
    "another kind",
    "apiVersion: v1\nkind: Pod\n",
    "x.yaml:1: kind Pod of v1 is no file of an autoscaler that Tidegate reads; see tidegate import --help",
  ],
  [
    "a broken manifest",
    hpa.replace("maxReplicas: 10", "maxReplicas: 1"),
    /^x\.yaml:\d+ spec\.maxReplicas: .*must be greater than or equal to `?minReplicas/,
  ],
  ["broken YAML", "a: [", /^x\.yaml:1: is not valid YAML or JSON/],
  ["nothing", "", "x.yaml: holds no document"],
])("refuses %s by file and line", async (_, text, message) => {
  await expect(importFiles(["x.yaml"], "yaml", from({ "x.yaml": text }))).rejects.toThrow(message);
});

it("names a file that is not there, and an endpoint that is not in it", async () => {
  await expect(importFiles(["none.yaml"], "yaml", from({}))).rejects.toThrow("cannot read none.yaml (ENOENT: no such file)");
  const read = from({ "d.yaml": readFileSync(new URL("demo.yaml", examples), "utf8") });
  await expect(exportFiles(["d.yaml"], { as: "hpa", endpoint: "other" }, read)).rejects.toThrow(
    "--endpoint other: no such endpoint; there are llama-3-8b",
  );
});

it("follows a policy of ours through the count that it publishes", async () => {
  const read = from({ "d.yaml": readFileSync(new URL("demo.yaml", examples), "utf8") });
  const { out } = await exportFiles(["d.yaml"], { as: "hpa" }, read);
  expect(parse(out).spec).toMatchObject({
    minReplicas: 0,
    metrics: [{ external: { metric: { name: "tidegate_desired_replicas" }, target: { type: "AverageValue", averageValue: "1" } } }],
    behavior: {
      scaleUp: { tolerance: "0", stabilizationWindowSeconds: 0 },
      scaleDown: { tolerance: "0", stabilizationWindowSeconds: 0, policies: [{ type: "Pods", value: 6, periodSeconds: 15 }] },
    },
  });
});
