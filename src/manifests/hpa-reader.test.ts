import fc from "fast-check";
import { expect, it } from "vitest";
import { hpaReader } from "./hpa-reader.ts";
import type { Intent } from "./index.ts";

const target = { apiVersion: "apps/v1", kind: "Deployment", name: "llm" };
const intent: Intent = {
  name: "llm",
  namespace: "n",
  target,
  min: 1,
  max: 8,
  rules: [{ signal: "gpu_utilization", level: 75, of: "perReplica" }],
  tolerance: null,
  scaleUp: null,
  scaleDown: null,
  zeroAfterMs: null,
  intervalMs: null,
};
const read = (document: unknown) => {
  const result = hpaReader.read(document);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result;
};

it.each([
  ["a mean per replica", { signal: "running", level: 12.5, of: "perReplica" }, "Pods"],
  ["a total shared among replicas", { signal: "queue_depth", level: 5, of: "perReplica", total: true }, "External"],
  ["a level of the endpoint", { signal: "ttft_p95", level: 2, of: "endpoint" }, "External"],
  ["CPU in percent of the request", { signal: "cpu", level: 60, of: "perReplica" }, "Resource"],
] as const)("writes %s and reads it back", (_, rule, type) => {
  const { document, lost } = hpaReader.fromIntent({ ...intent, rules: [rule] });
  const { manifest, target: found } = read(document);
  expect(manifest.spec["metrics"]).toMatchObject([{ type }]);
  expect(hpaReader.intent(manifest, found).intent.rules).toEqual([rule]);
  expect(lost).toEqual([]);
});

it("reads what it writes to the same manifest, whatever the intent", () => {
  const policies = fc.array(
    fc.record({
      type: fc.constantFrom("Pods" as const, "Percent" as const),
      value: fc.integer({ min: 1, max: 200 }),
      periodMs: fc.integer({ min: 1, max: 1800 }).map((seconds) => seconds * 1000),
    }),
    { minLength: 1, maxLength: 3 },
  );
  const rules = fc.option(
    fc.record({
      stabilizationWindowMs: fc.integer({ min: 0, max: 3600 }).map((seconds) => seconds * 1000),
      selectPolicy: fc.constantFrom("Max" as const, "Min" as const, "Disabled" as const),
      policies,
    }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 5, max: 50 }),
      rules,
      rules,
      fc.option(fc.constantFrom(0, 0.05, 0.1)),
      (min, max, scaleUp, scaleDown, tolerance) => {
        const { manifest } = read(hpaReader.fromIntent({ ...intent, min, max, scaleUp, scaleDown, tolerance }).document);
        expect(read(hpaReader.write(manifest, target)).manifest).toEqual(manifest);
        const back = hpaReader.intent(manifest, target).intent;
        if (scaleUp !== null) expect(back.scaleUp).toEqual(scaleUp);
        if (scaleDown !== null) expect(back.scaleDown).toEqual(scaleDown);
        expect(back.tolerance).toBe(tolerance);
        expect(back.max).toBe(max);
      },
    ),
  );
});

it.each([
  ["zero without a metric that exists at zero", { min: 0 }, "minReplicas is 1: an HPA goes to zero only by an Object or External metric."],
  ["an idle time", { zeroAfterMs: 600_000 }, "An HPA has no idle time (600 s) before zero."],
  ["an interval", { intervalMs: 5_000 }, "How often an HPA decides is the controller's setting (15 s), not the manifest's."],
  ["no rules", { rules: [] }, "There is no rule that an HPA could follow: without metrics it aims at 80 % CPU."],
  ["no target", { target: null }, "No target is known: scaleTargetRef is a Deployment named llm."],
])("says that it cannot carry %s", (_, change, sentence) => {
  expect(hpaReader.fromIntent({ ...intent, ...change }).lost).toContain(sentence);
});
