import { expect, it } from "vitest";
import { at, examplePod, is, type PodPart } from "./kubernetes.fixture.ts";
import type { ContainerStatus, Pod } from "./objects.ts";
import type { Provisioning } from "./provisioning.ts";
import { NEVER_SEEN, replicaState, type Seen } from "./replica-state.ts";

const nowMs = 1_000_000;
const look = (pod: Pod, more: { seen?: Seen; drainingSinceMs?: number | null; provisioning?: Provisioning | null; nowMs?: number } = {}) =>
  replicaState({ pod, seen: NEVER_SEEN, drainingSinceMs: null, provisioning: null, nowMs, ...more });
const engine = (part: Partial<ContainerStatus>): ContainerStatus => ({ name: "engine", ready: false, restartCount: 0, ...part });
const scheduled = is("PodScheduled", "True", 110);
const notReady = is("Ready", "False", 110);
const unschedulable = is("PodScheduled", "False", 101, { reason: "Unschedulable", message: "0/3 nodes: Insufficient nvidia.com/gpu" });
const comes: Provisioning = { verdict: "comes", by: "cluster-autoscaler", message: "1->2", atMs: 0 };
const probed = { containers: [{ name: "engine", startupProbe: {} }] };
const running = { state: { running: { startedAt: at(150) } } };

const rows: readonly { rule: string; pod: PodPart; provisioning?: Provisioning; told: object }[] = [
  {
    rule: "is scheduled first",
    pod: { node: null, status: { phase: "Pending" } },
    told: { state: "starting", stage: "schedule", readiness: null, entered: { starting: 100_000, schedule: 100_000 } },
  },
  {
    rule: "fits on no node",
    pod: { node: null, status: { phase: "Pending", conditions: [unschedulable] } },
    told: { state: "starting", stage: "schedule", trouble: { code: "unschedulable", sinceMs: 101_000 } },
  },
  {
    rule: "waits for a node that comes",
    pod: { node: null, status: { phase: "Pending", conditions: [unschedulable] } },
    provisioning: comes,
    told: { state: "starting", stage: "provision" },
  },
  {
    rule: "waits for a node that never comes",
    pod: { node: null, status: { phase: "Pending", conditions: [unschedulable] } },
    provisioning: { ...comes, verdict: "never" },
    told: { stage: "schedule", trouble: { code: "unschedulable" } },
  },
  {
    rule: "waits for a node that the cloud has not",
    pod: { node: null, status: { phase: "Pending", conditions: [unschedulable] } },
    provisioning: { ...comes, verdict: "stock-out" },
    told: { stage: "schedule", trouble: { code: "stock-out" } },
  },
  {
    rule: "pulls its image",
    pod: {
      status: {
        phase: "Pending",
        conditions: [scheduled, notReady],
        containerStatuses: [engine({ state: { waiting: { reason: "ContainerCreating" } } })],
      },
    },
    told: { state: "starting", stage: "pull", entered: { pull: 110_000 }, readiness: { status: false, sinceMs: 110_000 } },
  },
  {
    rule: "cannot pull its image",
    pod: {
      status: {
        phase: "Pending",
        conditions: [scheduled, notReady],
        containerStatuses: [engine({ state: { waiting: { reason: "ImagePullBackOff" } } })],
      },
    },
    told: { state: "starting", stage: "pull", trouble: { code: "pull" } },
  },
  {
    rule: "loads its model",
    pod: { status: { phase: "Running", conditions: [scheduled, notReady], containerStatuses: [engine({ ...running, started: true })] } },
    told: { state: "starting", stage: "load", entered: { pull: 110_000, load: 150_000 } },
  },
  {
    rule: "loads while its startup probe fails",
    pod: {
      spec: probed,
      status: { phase: "Running", conditions: [scheduled, notReady], containerStatuses: [engine({ ...running, started: false })] },
    },
    told: { stage: "load" },
  },
  {
    rule: "warms up after its startup probe",
    pod: {
      spec: probed,
      status: { phase: "Running", conditions: [scheduled, notReady], containerStatuses: [engine({ ...running, started: true })] },
    },
    told: { stage: "warmup", entered: { load: 150_000, warmup: nowMs } },
  },
  {
    rule: "is ready, with the cold start that the cluster saw",
    pod: {
      status: {
        phase: "Running",
        conditions: [scheduled, is("Ready", "True", 200)],
        containerStatuses: [engine({ ...running, ready: true })],
      },
    },
    told: { state: "ready", entered: { starting: 100_000, schedule: 100_000, pull: 110_000, load: 150_000, ready: 200_000 } },
  },
  {
    rule: "is told that it goes",
    pod: {
      status: {
        phase: "Running",
        conditions: [is("Ready", "True", 200), is("DisruptionTarget", "True", 300, { reason: "DeletionByTaintManager" })],
      },
    },
    told: { state: "ready", trouble: { code: "spot-notice", sinceMs: 300_000 } },
  },
  {
    rule: "crashes again and again",
    pod: {
      status: {
        phase: "Running",
        conditions: [scheduled, notReady],
        containerStatuses: [
          engine({
            restartCount: 4,
            state: { waiting: { reason: "CrashLoopBackOff" } },
            lastState: { terminated: { exitCode: 137, reason: "OOMKilled" } },
          }),
        ],
      },
    },
    told: { state: "failed", trouble: { code: "crash" }, message: expect.stringContaining("exit code 137 (OOMKilled)") },
  },
  { rule: "was evicted", pod: { status: { phase: "Failed", reason: "Evicted" } }, told: { state: "failed", trouble: { code: "crash" } } },
  { rule: "is being deleted", pod: { deleting: true }, told: { state: "draining" } },
];

it.each(rows)("a pod $rule", ({ pod, provisioning, told }) => {
  const answer = look(examplePod(pod), { provisioning: provisioning ?? null }).told;
  expect(answer).toMatchObject(told);
  if (!("trouble" in told)) expect(answer).not.toHaveProperty("trouble");
});

it("takes a pod that was ready and is not any more as failed, and as ready again when it is", () => {
  const first = look(examplePod());
  const lost = examplePod({
    status: { phase: "Running", conditions: [scheduled, is("Ready", "False", 300)], containerStatuses: [engine(running)] },
  });
  const second = look(lost, { seen: first.seen });
  expect(second.told).toMatchObject({ state: "failed", trouble: { code: "unhealthy" } });
  const third = look(examplePod({ status: { phase: "Running", conditions: [is("Ready", "True", 400)] } }), { seen: second.seen });
  expect(third.told).toMatchObject({ state: "ready", entered: { ready: 200_000 }, readiness: { status: true, sinceMs: 400_000 } });
  expect(third.told).not.toHaveProperty("trouble");
});

it("takes a container that was started anew as starting", () => {
  const first = look(examplePod());
  const again = examplePod({
    status: {
      phase: "Running",
      conditions: [scheduled, is("Ready", "False", 300)],
      containerStatuses: [engine({ ...running, restartCount: 1 })],
    },
  });
  expect(look(again, { seen: first.seen }).told).toMatchObject({ state: "starting", stage: "load" });
});

it("drains on our word before Kubernetes knows of it", () => {
  expect(look(examplePod(), { drainingSinceMs: 900_000 }).told).toMatchObject({
    state: "draining",
    readiness: { status: true },
    entered: { draining: 900_000 },
  });
});

it("keeps since when a trouble lasts", () => {
  const stuck = examplePod({
    status: { phase: "Pending", conditions: [scheduled], containerStatuses: [engine({ state: { waiting: { reason: "ErrImagePull" } } })] },
  });
  const first = look(stuck);
  expect(look(stuck, { seen: first.seen, nowMs: nowMs + 60_000 }).told.trouble).toEqual({ code: "pull", sinceMs: nowMs });
});

it("reads requests in the resources' own units", () => {
  const requests = { cpu: "1500m", memory: "2Gi", "nvidia.com/gpu": 1 };
  const pod = examplePod({ spec: { containers: [{ name: "engine", resources: { requests } }, { name: "sidecar" }] } });
  expect(look(pod).told.requests).toEqual({ engine: { cpu: 1.5, memory: 2 ** 31, "nvidia.com/gpu": 1 } });
});
