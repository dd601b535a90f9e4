import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { chartFiles, chartValues } from "../../scripts/chart.ts";
import { createMetrics } from "../../src/controller/metrics.ts";
import { createMetrics as createGatewayMetrics } from "../../src/gateway/metrics.ts";
import { ROUTINGS } from "../../src/routing/index.ts";

const read = (file: string) => readFileSync(new URL(`../../deploy/helm/tidegate/files/${file}`, import.meta.url), "utf8");
/** Every name on our pages, with what histograms are called on the wire. Who leads is said by the process, not by the loop. */
const names = new Set(
  [createMetrics().registry, createGatewayMetrics(() => []).registry]
    .flatMap((registry) => registry.getMetricsAsArray())
    .flatMap(({ name }) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`])
    .concat("tidegate_leader"),
);
const used = (text: string) => [...new Set(text.match(/\btidegate_[a-z_]+/g))];

it.each(["grafana-dashboard.json", "alerts.yaml"])("%s asks only for metrics that there are", (file) => {
  const asked = used(read(file));
  expect(asked.length).toBeGreaterThan(3);
  expect(asked.filter((name) => !names.has(name))).toEqual([]);
});

it("the dashboard shows every kind of metric that there is", () => {
  const asked = used(read("grafana-dashboard.json")).map((name) => name.replace(/_bucket$/, ""));
  const own = [createMetrics().registry, createGatewayMetrics(() => []).registry].flatMap((registry) =>
    registry.getMetricsAsArray().map(({ name }) => name),
  );
  const left = ["tidegate_gateway_ready_replicas", "tidegate_gateway_refused_total"];
  expect(own.filter((name) => name.startsWith("tidegate_") && !asked.includes(name) && !left.includes(name))).toEqual([]);
});

it("the dashboard is JSON with a title for each panel, and the alerts have summaries", () => {
  const dashboard = JSON.parse(read("grafana-dashboard.json")) as { panels: { title: string; gridPos: { x: number; w: number } }[] };
  for (const { title, gridPos } of dashboard.panels) {
    expect(title).not.toBe("");
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  }
  const { groups } = parse(read("alerts.yaml")) as { groups: { rules: { alert: string; annotations: { summary?: string } }[] }[] };
  for (const { annotations } of groups.flatMap(({ rules }) => rules)) expect(annotations.summary).toBeDefined();
});

it("the chart names each of its values, and what is generated of it is up to date", async () => {
  for (const [file, text] of Object.entries(await chartFiles()))
    expect(readFileSync(new URL(`../../deploy/helm/tidegate/${file}`, import.meta.url), "utf8"), `${file}: npm run chart`).toBe(text);
  expect(chartValues().length).toBeGreaterThan(120);
});

it("the chart is of the package's version", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  const { appVersion } = parse(readFileSync(new URL("../../deploy/helm/tidegate/Chart.yaml", import.meta.url), "utf8")) as {
    appVersion: string;
  };
  expect(appVersion).toBe(version);
});

it("the chart offers the routings that there are", () => {
  const schema = JSON.parse(readFileSync(new URL("../../deploy/helm/tidegate/values.schema.json", import.meta.url), "utf8"));
  expect(schema.properties.gateway.properties.routing.enum.toSorted()).toEqual([...ROUTINGS].toSorted());
});
