import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, Endpoint, Json, Manifest, Observation, Outcome, Policy, Replica, Series } from "../../../model/index.ts";
import { hpaPolicy } from "./index.ts";

const START = 1_700_000_000_000;

const endpoint: Endpoint = {
  name: "llm",
  namespace: "llm-serving",
  model: "m",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target: null, urls: [] },
  pools: [{ name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 1, min: 2, max: 10, standby: 0 }],
  objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 50 },
  policy: { kind: "static", replicas: {} },
  metrics: { dcgm_gpu_utilization: "gpu_utilization", queue: "queue_depth" },
  prometheus: null,
  scrapeEveryMs: 1000,
  staleAfterMs: 30_000,
  gateway: { maxHeld: 1, holdTimeoutMs: 1, upstreamTimeoutMs: 1, maxBodyBytes: 1, attempts: 1 },
  dryRun: false,
};

/** The manifest of the example: mean GPU utilization 75 on two to ten pods. */
const gpuManifest: Manifest = {
  name: "llm-inference-hpa",
  namespace: "llm-serving",
  spec: {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "llm-inference-deployment" },
    minReplicas: 2,
    maxReplicas: 10,
    metrics: [{ type: "Pods", pods: { metric: { name: "dcgm_gpu_utilization" }, target: { type: "AverageValue", averageValue: 75 } } }],
    behavior: {
      scaleUp: {
        stabilizationWindowSeconds: 60,
        policies: [
          { type: "Percent", value: 50, periodSeconds: 30 },
          { type: "Pods", value: 2, periodSeconds: 30 },
        ],
        selectPolicy: "Max",
      },
      scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] },
    },
  },
};
const manifest = (spec: Manifest["spec"]): Manifest => ({ ...gpuManifest, spec: { maxReplicas: 10, ...spec } });

const replica = (index: number, change: Partial<Replica> = {}): Replica => ({
  id: `r${index}`,
  pool: "default",
  state: "ready",
  entered: { starting: START - 3_600_000, ready: START - 3_500_000 },
  readiness: { status: true, sinceMs: START - 3_500_000 },
  ...change,
});
const replicas = (count: number) => Array.from({ length: count }, (_, index) => replica(index));
const reading = (name: string, subject: Series["subject"], value: number, atMs: number): Series => ({
  name,
  subject,
  samples: [],
  latest: { atMs, windowMs: 15_000, value },
  fault: null,
});
const gpu = (id: string, value: number, atMs: number) => reading("gpu_utilization", { kind: "replica", id }, value, atMs);

interface Moment {
  readonly atMs: number;
  readonly wanted: number;
  readonly replicas?: readonly Replica[];
  readonly series?: readonly Series[];
  readonly otherWriter?: boolean;
}
let seq = 0;
const observe = ({ atMs, wanted, replicas: listed, series, otherWriter }: Moment): Observation => ({
  seq: ++seq,
  nowMs: atMs,
  cause: "tick",
  pools: { default: { wanted, reported: listed?.length ?? wanted, otherWriter: otherWriter ?? false } },
  replicas: listed ?? replicas(wanted),
  series: series ?? [],
  slots: null,
});
const busy = (atMs: number, wanted: number, utilization: number): Moment => ({
  atMs,
  wanted,
  series: replicas(wanted).map(({ id }) => gpu(id, utilization, atMs)),
});

/** A loop that keeps its state as text, as a restart would. */
function loop(policy: Policy<Json>) {
  let state: string | null = null;
  return {
    state: () => JSON.parse(state ?? "null"),
    step(moment: Moment, result: Outcome["result"] | null = "accepted"): Decision {
      const observation = observe(moment);
      const before: Json = state === null ? policy.start(observation) : JSON.parse(state);
      const { state: decided, decision } = policy.decide(before, observation);
      const want = decision.wants["default"];
      const moves = want?.kind === "scale" && want.replicas !== moment.wanted;
      const after =
        moves && result !== null
          ? policy.settle(JSON.parse(JSON.stringify(decided)), { seq: observation.seq, pool: "default", atMs: moment.atMs, result }).state
          : decided;
      expect(JSON.parse(JSON.stringify(after))).toEqual(after);
      state = JSON.stringify(after);
      return decision;
    },
  };
}
const wantOf = (decision: Decision) => decision.wants["default"];
const scale = (count: number) => ({ kind: "scale", replicas: count, drain: [] });
const codes = (decision: Decision) => decision.steps.map(({ code }) => code);
const reason = (decision: Decision, type: string) => decision.conditions.find((condition) => condition.type === type)?.reason;

describe("GPU utilization 75 on two to ten pods", () => {
  it("says what it reads, how often it looks, and that nothing wakes it", () => {
    const policy = hpaPolicy(endpoint, gpuManifest);
    expect(policy.needs).toEqual([{ name: "gpu_utilization", per: "replica", sampleEveryMs: 15_000 }]);
    expect(policy.wakesOn).toEqual(["config"]);
    expect(loop(policy).step(busy(START, 4, 75)).nextAtMs).toBe(START + 15_000);
  });

  it("rises once both windows agree, no faster than its policies allow", () => {
    const fleet = loop(hpaPolicy(endpoint, gpuManifest));
    // The history starts with the current count: a rise has to last for the scale-up window first.
    expect(wantOf(fleet.step(busy(START, 4, 200)))).toEqual(scale(4));
    const held = fleet.step(busy(START + 45_000, 4, 200));
    expect(codes(held)).toEqual(["metric", "stabilized", "desired"]);
    const rise = fleet.step(busy(START + 60_000, 4, 200));
    expect(wantOf(rise)).toEqual(scale(6));
    expect(rise.steps[0]).toMatchObject({ numbers: { value: 200, target: 75, proposed: 11, current: 4 } });
    expect(rise.steps[0]?.text).toBe("pods metric dcgm_gpu_utilization: 200 over 4 of 4 pods against 75, ratio 2.667: 11 instead of 4.");
    // The rise of 2 counts against the next 30 s.
    const limited = fleet.step(busy(START + 75_000, 6, 200));
    expect(wantOf(limited)).toEqual(scale(6));
    expect(codes(limited)).toContain("limited");
    expect(reason(limited, "ScalingLimited")).toBe("ScaleUpLimit");
  });

  it("falls by one pod a minute after five quiet minutes, and never below two", () => {
    const fleet = loop(hpaPolicy(endpoint, gpuManifest));
    let wanted = 5;
    const counts: number[] = [];
    for (let atMs = START; atMs <= START + 900_000; atMs += 15_000) {
      const want = wantOf(fleet.step(busy(atMs, wanted, 10)));
      if (want?.kind === "scale" && want.replicas !== wanted) counts.push(atMs - START, want.replicas);
      wanted = want?.kind === "scale" ? want.replicas : wanted;
    }
    expect(counts).toEqual([300_000, 4, 360_000, 3, 420_000, 2]);
  });

  it("holds without readings, and on stale ones: they are never 0", () => {
    for (const series of [[], replicas(4).map(({ id }) => gpu(id, 0, START - 30_001))]) {
      const decision = loop(hpaPolicy(endpoint, gpuManifest)).step({ atMs: START, wanted: 4, series });
      expect(wantOf(decision)).toEqual({ kind: "hold" });
      expect(codes(decision)).toEqual(["metric-failed", "no-data"]);
      expect(reason(decision, "ScalingActive")).toBe("FailedGetPodsMetric");
    }
  });

  it("takes one missing pod for a pod at its target on the way down, and for an idle one on the way up", () => {
    const fleet = loop(hpaPolicy(endpoint, manifest({ ...gpuManifest.spec, behavior: undefined })));
    const readings = (values: readonly number[]) => values.map((value, index) => gpu(`r${index}`, value, START));
    const down = fleet.step({ atMs: START, wanted: 4, series: readings([30, 30, 30]) });
    expect(down.steps[0]).toMatchObject({ numbers: { proposed: 3 } });
    expect(down.steps[0]?.text).toContain("over 3 of 4 pods, 1 without a reading");
    const up = fleet.step({ atMs: START, wanted: 4, series: readings([90, 90, 90]) });
    expect(up.steps[0]).toMatchObject({ numbers: { proposed: 4 } });
  });

  it("counts neither draining, failed nor sleeping replicas, and takes starting ones for unready", () => {
    const listed = [
      replica(0),
      replica(1, { state: "draining" }),
      replica(2, { state: "failed" }),
      replica(3, { state: "standby" }),
      replica(4, { state: "starting", stage: "pull", readiness: null }),
    ];
    const series = listed.map(({ id }) => gpu(id, 150, START));
    const decision = loop(hpaPolicy(endpoint, gpuManifest)).step({ atMs: START, wanted: 2, replicas: listed, series });
    // One ready at twice the target, one pending that counts as idle: 150 / 2 is the target.
    expect(decision.steps[0]).toMatchObject({ numbers: { proposed: 2 } });
    expect(decision.steps[0]?.text).toContain("over 1 of 2 pods, 1 not ready");
  });
});

describe("what became of a change", () => {
  const behavior: Json = { scaleUp: { policies: [{ type: "Pods", value: 2, periodSeconds: 600 }] } };
  const spec = { ...gpuManifest.spec, behavior };

  it.each(["refused", "conflict", "unreachable"] as const)("remembers no event of a change that was %s", (result) => {
    const fleet = loop(hpaPolicy(endpoint, manifest(spec)));
    expect(wantOf(fleet.step(busy(START, 2, 300), result))).toEqual(scale(4));
    expect(fleet.state().memory).toMatchObject({ scaleUpEvents: [], lastScaleMs: null });
    // So the same rise is still allowed.
    const again = fleet.step(busy(START + 15_000, 2, 300));
    expect(wantOf(again)).toEqual(scale(4));
    expect(fleet.state().memory).toMatchObject({ scaleUpEvents: [{ replicaChange: 2 }], lastScaleMs: START + 15_000 });
  });

  it("remembers nothing of a change that was never carried out", () => {
    const fleet = loop(hpaPolicy(endpoint, manifest(spec)));
    fleet.step(busy(START, 2, 300), null);
    expect(fleet.state().memory.scaleUpEvents).toEqual([]);
  });

  it("tells by its conditions whether the count was taken", () => {
    const policy = hpaPolicy(endpoint, manifest(spec));
    const observation = observe(busy(START, 2, 300));
    const { state } = policy.decide(policy.start(observation), observation);
    const settled = (result: Outcome["result"]) =>
      policy.settle(state, { seq: observation.seq, pool: "default", atMs: START, result }).conditions[0];
    expect(settled("accepted")).toMatchObject({ type: "AbleToScale", status: "True", reason: "SucceededRescale" });
    expect(settled("refused")).toMatchObject({ type: "AbleToScale", status: "False", reason: "FailedUpdateScale" });
    const late = policy.settle(state, { seq: observation.seq - 1, pool: "default", atMs: START, result: "accepted" });
    expect(late.state).toEqual(state);
  });
});

describe("metrics from outside of the pods", () => {
  const external: Json = {
    type: "External",
    external: {
      metric: { name: "queue", selector: { matchLabels: { tier: "gold" } } },
      target: { type: "AverageValue", averageValue: "10" },
    },
  };
  const object: Json = {
    type: "Object",
    object: {
      describedObject: { apiVersion: "v1", kind: "Service", name: "door" },
      metric: { name: "hits" },
      target: { type: "Value", value: "100" },
    },
  };
  const first = (metric: Json, moment: Partial<Moment>) =>
    loop(hpaPolicy(endpoint, manifest({ metrics: [metric] }))).step({ atMs: START, wanted: 2, ...moment }).steps[0];
  const outer = (labels: Record<string, string>, value: number, atMs = START) =>
    reading("queue_depth", { kind: "external", labels }, value, atMs);

  it("sums the external series that pass the selector; one that is stale fails the metric", () => {
    const series = [outer({ tier: "gold", zone: "a" }, 20), outer({ tier: "gold", zone: "b" }, 15), outer({ tier: "lead" }, 900)];
    expect(first(external, { series })).toMatchObject({ numbers: { proposed: 4 } });
    expect(first(external, { series: [...series, outer({ tier: "gold" }, 0, START - 60_000)] })?.code).toBe("metric-failed");
    expect(first(external, { series: [outer({ tier: "lead" }, 900)] })?.code).toBe("metric-failed");
  });

  it("reads the endpoint's own signal of that name where nobody else answers", () => {
    expect(first(external, { series: [reading("queue_depth", { kind: "endpoint" }, 55, START)] })).toMatchObject({
      numbers: { proposed: 6 },
    });
    expect(first(external, {})?.text).toContain("no source has answered");
  });

  it("reads an object's value by kind and name, times the ready pods", () => {
    const series = [reading("hits", { kind: "object", ref: "Service/door" }, 250, START)];
    expect(first(object, { series })).toMatchObject({ numbers: { proposed: 5 } });
    expect(first(object, { series: [reading("hits", { kind: "object", ref: "Service/other" }, 250, START)] })?.code).toBe("metric-failed");
  });

  it("asks for each series where it is to be found", () => {
    const pods: Json = { type: "Pods", pods: { metric: { name: "own" }, target: { type: "AverageValue", averageValue: "1" } } };
    const other: Json = { type: "External", external: { metric: { name: "sqs" }, target: { type: "Value", value: "1" } } };
    const { needs } = hpaPolicy(endpoint, manifest({ metrics: [external, object, pods, other] }));
    expect(needs.map(({ per, name }) => `${per}/${name}`)).toEqual(["endpoint/queue_depth", "object/hits", "replica/own", "external/sqs"]);
  });
});

it("relates a resource to the replicas' requests, by container", () => {
  const cpu = (metric: Json) => manifest({ metrics: [metric] });
  const target = { type: "Utilization", averageUtilization: 50 };
  const listed = replicas(2).map((entry) => ({ ...entry, requests: { engine: { cpu: 2 }, proxy: { cpu: 0.5 } } }));
  const series = listed.flatMap(({ id }) => [
    reading("cpu", { kind: "replica", id, container: "engine" }, 2, START),
    reading("cpu", { kind: "replica", id, container: "proxy" }, 0.1, START),
  ]);
  const step = (metric: Json, replicas: readonly Replica[] = listed) =>
    loop(hpaPolicy(endpoint, cpu(metric))).step({ atMs: START, wanted: 2, replicas, series }).steps[0];
  expect(step({ type: "Resource", resource: { name: "cpu", target } })).toMatchObject({ numbers: { value: 84, proposed: 4 } });
  expect(step({ type: "ContainerResource", containerResource: { name: "cpu", container: "proxy", target } })).toMatchObject({
    numbers: { value: 20, proposed: 1 },
  });
  expect(step({ type: "Resource", resource: { name: "cpu", target } }, replicas(2))?.text).toContain("missing request for cpu");
});

describe("zero", () => {
  const metrics: Json = [
    { type: "External", external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "10" } } },
  ];
  const queue = (atMs: number, wanted: number, depth: number, otherWriter = false): Moment => ({
    atMs,
    wanted,
    otherWriter,
    series: [reading("queue_depth", { kind: "endpoint" }, depth, atMs)],
  });
  const sleepy = () =>
    loop(hpaPolicy(endpoint, manifest({ minReplicas: 0, metrics, behavior: { scaleDown: { stabilizationWindowSeconds: 0 } } })));

  it("starts a fleet that nobody has set at minReplicas, which is no scale event", () => {
    const fleet = loop(hpaPolicy(endpoint, gpuManifest));
    const decision = fleet.step({ atMs: START, wanted: 0 });
    expect(wantOf(decision)).toEqual(scale(2));
    expect(codes(decision)).toEqual(["first-start"]);
    expect(fleet.state()).toMatchObject({ fresh: false, memory: { scaleUpEvents: [] } });
  });

  it("wakes what it put to sleep itself, and pauses at a zero that somebody else set", () => {
    const fleet = sleepy();
    expect(wantOf(fleet.step(queue(START, 0, 12)))).toEqual(scale(2));
    fleet.step(queue(START + 15_000, 2, 0));
    const asleep = fleet.step(queue(START + 30_000, 2, 0));
    expect(wantOf(asleep)).toEqual(scale(0));
    expect(fleet.state().memory.conditions).toContainEqual(expect.objectContaining({ type: "ScaledToZero", status: "True" }));
    expect(wantOf(fleet.step(queue(START + 45_000, 0, 0)))).toEqual(scale(0));
    expect(wantOf(fleet.step(queue(START + 60_000, 0, 30)))).toEqual(scale(3));
    const paused = fleet.step(queue(START + 75_000, 0, 30, true));
    expect(wantOf(paused)).toEqual({ kind: "hold" });
    expect(codes(paused)).toEqual(["disabled"]);
  });

  it("leaves a fleet alone that somebody set to zero before", () => {
    expect(wantOf(loop(hpaPolicy(endpoint, gpuManifest)).step({ atMs: START, wanted: 0, otherWriter: true }))).toEqual({ kind: "hold" });
  });
});

describe("for any load", () => {
  const moments = fc.array(fc.record({ load: fc.integer({ min: 0, max: 3000 }), lost: fc.integer({ min: 0, max: 3 }) }), {
    minLength: 1,
    maxLength: 60,
  });
  const moment = (atMs: number, wanted: number, load: number, lost: number): Moment => ({
    atMs,
    wanted,
    series: replicas(wanted)
      .slice(lost)
      .map(({ id }) => gpu(id, load / Math.max(1, wanted), atMs)),
  });

  it("keeps to the bounds and to its rates in every window, from any count inside the bounds", () => {
    fc.assert(
      fc.property(moments, fc.integer({ min: 2, max: 10 }), (loads, first) => {
        const fleet = loop(hpaPolicy(endpoint, gpuManifest));
        const counts = [first];
        for (const [at, { load, lost }] of loads.entries()) {
          const wanted = counts.at(-1) as number;
          const want = wantOf(fleet.step(moment(START + at * 15_000, wanted, load, lost)));
          counts.push(want?.kind === "scale" ? want.replicas : wanted);
        }
        for (const [at, count] of counts.entries()) {
          expect(count).toBeGreaterThanOrEqual(2);
          expect(count).toBeLessThanOrEqual(10);
          // A period begins after the change that is exactly as old as it: 30 s are two syncs, 60 s are four.
          const from = (syncs: number) => counts[Math.max(0, at - syncs)] as number;
          if (count > from(1)) expect(count).toBeLessThanOrEqual(Math.max(from(2) + 2, Math.ceil(from(2) * 1.5)));
          if (count < from(1)) expect(count).toBeGreaterThanOrEqual(from(4) - 1);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("proposes no less for more load while all replicas exist and report", () => {
    const proposed = (load: number, wanted: number) =>
      loop(hpaPolicy(endpoint, gpuManifest)).step(moment(START, wanted, load, 0)).steps[0]?.numbers["proposed"] as number;
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 10 }), fc.nat(3000), fc.nat(3000), (wanted, a, b) => {
        expect(proposed(Math.max(a, b), wanted)).toBeGreaterThanOrEqual(proposed(Math.min(a, b), wanted));
      }),
    );
  });

  it("decides the same whatever the order of replicas and series, and whatever else is reported", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 2, maxLength: 8 }), fc.nat(), (values, turn) => {
        const wanted = values.length;
        const series = values.map((value, index) => gpu(`r${index}`, value, START));
        const rotated = <T>(list: readonly T[]) => [...list.slice(turn % wanted), ...list.slice(0, turn % wanted)];
        const noise = reading("running", { kind: "replica", id: "r0" }, 9, START);
        const stranger = gpu("not-ours", 100, START);
        const plain = loop(hpaPolicy(endpoint, gpuManifest)).step({ atMs: START, wanted, series });
        const other = loop(hpaPolicy(endpoint, gpuManifest)).step({
          atMs: START,
          wanted,
          replicas: rotated(replicas(wanted)),
          series: [noise, ...rotated(series), stranger],
        });
        expect({ ...other, seq: 0 }).toEqual({ ...plain, seq: 0 });
      }),
    );
  });
});
