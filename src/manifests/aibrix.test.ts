import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { aibrixReader } from "./aibrix.ts";
import { hpaReader } from "./hpa-reader.ts";
import { bareIntent } from "./intent.fixture.ts";

const read = (document: unknown) => {
  const result = aibrixReader.read(document);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result;
};
const issuesOf = (document: unknown) => {
  const result = aibrixReader.read(document);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path} ${message}`) : [];
};

const apa = parse(`
apiVersion: autoscaling.aibrix.ai/v1alpha1
kind: PodAutoscaler
metadata:
  name: deepseek-apa
  namespace: default
  labels: { app.kubernetes.io/name: aibrix }
  annotations:
    autoscaling.aibrix.ai/scale-up-tolerance: "0.1"
    autoscaling.aibrix.ai/scale-down-tolerance: "0.2"
    autoscaling.aibrix.ai/scale-down-cooldown-window: 2m
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  scalingStrategy: APA
  minReplicas: 1
  maxReplicas: 8
  observeWindowSeconds: 120
  metricsSources:
    - metricSourceType: pod
      protocolType: http
      port: "8000"
      path: metrics
      targetMetric: gpu_cache_usage_perc
      targetValue: "0.5"
  schedules:
    - name: day
      timezone: Europe/Berlin
      daysOfWeek: [Mon, Tue]
      startTime: "08:00"
      endTime: "18:00"
      minReplicas: 3
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: deepseek
`);

const changed = (change: (document: typeof apa) => void) => {
  const copy = structuredClone(apa);
  change(copy);
  return copy;
};

it("reads a PodAutoscaler, with the annotations that mean something", () => {
  const { manifest, target } = read(apa);
  expect(manifest.annotations).toEqual({
    "autoscaling.aibrix.ai/scale-up-tolerance": "0.1",
    "autoscaling.aibrix.ai/scale-down-tolerance": "0.2",
    "autoscaling.aibrix.ai/scale-down-cooldown-window": "2m",
  });
  expect(manifest.spec).toEqual(apa.spec);
  expect(target).toEqual({ apiVersion: "apps/v1", kind: "Deployment", name: "deepseek" });
  expect(aibrixReader.recognizes(apa)).toBe(true);
  expect(aibrixReader.recognizes({ ...apa, apiVersion: "autoscaling.internal.knative.dev/v1alpha1" })).toBe(false);
});

describe("refusing", () => {
  it.each([
    ["an unknown field", changed((d) => Object.assign(d.spec, { minReplica: 1 })), "spec.minReplica"],
    ["an unknown strategy", changed((d) => Object.assign(d.spec, { scalingStrategy: "VPA" })), "spec.scalingStrategy"],
    ["bounds that cross", changed((d) => Object.assign(d.spec, { minReplicas: 9 })), "spec.maxReplicas"],
    [
      "a target of nothing",
      changed((d) => Object.assign(d.spec.metricsSources[0], { targetValue: "0" })),
      "spec.metricsSources[0].targetValue",
    ],
    ["a pod source without port", changed((d) => delete d.spec.metricsSources[0].port), "spec.metricsSources[0].port"],
    ["a panic window longer than the other", changed((d) => Object.assign(d.spec, { panicWindowSeconds: 200 })), "spec.panicWindowSeconds"],
    [
      "a role of something that has none",
      changed((d) => Object.assign(d.spec, { subTargetSelector: { roleName: "prefill" } })),
      "subTargetSelector",
    ],
    [
      "an unknown annotation",
      changed((d) => Object.assign(d.metadata.annotations, { "autoscaling.aibrix.ai/panic": "2" })),
      "mend its name",
    ],
    [
      "a rate of nothing",
      changed((d) => Object.assign(d.metadata.annotations, { "autoscaling.aibrix.ai/max-scale-up-rate": "0" })),
      "above 0",
    ],
    ["a window over midnight", changed((d) => Object.assign(d.spec.schedules[0], { endTime: "07:00" })), "a window ends on its own day"],
    ["a time zone that is none", changed((d) => Object.assign(d.spec.schedules[0], { timezone: "Mars/Olympus" })), "IANA"],
    [
      "schedules that overlap",
      changed((d) => d.spec.schedules.push({ ...d.spec.schedules[0], name: "noon", startTime: "12:00" })),
      "overlaps schedule day",
    ],
  ])("%s", (_, document, says) => {
    const found = issuesOf(document);
    expect(found.join("\n")).toContain(says);
    expect(found).toHaveLength(1);
  });
});

describe("writing", () => {
  it("gives back the same manifest", () => {
    const first = read(apa);
    expect(read(aibrixReader.write(first.manifest, first.target))).toEqual(first);
  });

  it("turns any intent into a manifest that it reads", () => {
    const rule = fc.record({
      signal: fc.constantFrom("running", "kv_used", "cpu", "request_rate"),
      level: fc.integer({ min: 1, max: 100 }),
      of: fc.constantFrom("perReplica" as const, "endpoint" as const),
    });
    const rules = fc.option(
      fc.record({
        stabilizationWindowMs: fc.constantFrom(0, 300_000),
        selectPolicy: fc.constantFrom("Max" as const, "Min" as const, "Disabled" as const),
        policies: fc.array(
          fc.record({
            type: fc.constantFrom("Pods" as const, "Percent" as const),
            value: fc.integer({ min: 1, max: 200 }),
            periodMs: fc.constantFrom(10_000, 60_000),
          }),
          { maxLength: 2 },
        ),
      }),
    );
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 3 }),
        rules,
        rules,
        fc.option(fc.constantFrom(0, 0.1)),
        (list, scaleUp, scaleDown, tolerance) => {
          const first = read(aibrixReader.fromIntent({ ...bareIntent, rules: list, scaleUp, scaleDown, tolerance }).document);
          expect(read(aibrixReader.write(first.manifest, first.target))).toEqual(first);
        },
      ),
    );
  });
  it("takes an HPA's rules for APA, and says what it cannot hold", () => {
    const { document, lost } = aibrixReader.fromIntent({
      ...bareIntent,
      rules: [
        { signal: "running", level: 12, of: "perReplica" },
        { signal: "queue_depth", level: 4, of: "perReplica", total: true },
      ],
      scaleDown: { stabilizationWindowMs: 300_000, selectPolicy: "Max", policies: [{ type: "Percent", value: 50, periodMs: 10_000 }] },
    });
    expect(read(document).manifest).toMatchObject({
      annotations: { "autoscaling.aibrix.ai/max-scale-down-rate": "2", "autoscaling.aibrix.ai/scale-down-cooldown-window": "0s" },
      spec: { scalingStrategy: "APA", metricsSources: [{ targetMetric: "running", targetValue: "12" }] },
    });
    for (const part of ["queue_depth", "shrink sooner"]) expect(lost.join("\n")).toContain(part);
  });
  it("can be said as an HPA", () => {
    const { manifest, target } = read(apa);
    const { intent, lost } = aibrixReader.intent(manifest, target);
    expect(intent).toMatchObject({
      min: 1,
      max: 8,
      rules: [{ signal: "gpu_cache_usage_perc", level: 0.5, of: "perReplica" }],
      tolerance: 0.1,
    });
    expect(lost).toHaveLength(3);
    expect("issues" in hpaReader.read(hpaReader.fromIntent(intent).document)).toBe(false);
  });
});
