import { expect, it } from "vitest";
import { endpointStatusSchema } from "../config/status.ts";
import { endpointStatus, type StatusInput } from "./endpoint-status.ts";
import type { DesiredView, EndpointView } from "./view.ts";

const nowMs = Date.parse("2026-01-01T12:00:00Z");
type ReplicaPart = Partial<EndpointView["replicas"][number]> & { readonly message?: string };
const replica = (id: string, part: ReplicaPart = {}): EndpointView["replicas"][number] => ({
  ...{ id, pool: "default", state: "ready", entered: {}, readiness: null, url: null, inFlight: null, ...part },
});
const line = (seq: number, from: number, to: number): EndpointView["decisions"][number] => ({
  ...{
    seq,
    atMs: nowMs - 60_000,
    cause: "tick",
    from,
    to,
    changed: from !== to,
    reason: `because ${seq}`,
    otherwise: null,
    steps: [],
    actions: [],
  },
});
function view(part: Partial<EndpointView> = {}): EndpointView {
  const replicas = part.replicas ?? [replica("a"), replica("b", { state: "starting", stage: "load" })];
  const count = (state: string) => replicas.filter((one) => one.state === state).length;
  return {
    ...{ name: "chat", namespace: "llm", model: "tiny", engine: "vllm", platform: "kubernetes", policy: "slo" },
    objective: { attainment: 0.99, timeToFirstTokenMs: 1000, timePerOutputTokenMs: 50 },
    ...{ bounds: { min: 1, max: 8 }, pools: [{ name: "default", selector: "app=llm", otherWriter: null }], replicas },
    now: { wanted: 2, ready: count("ready"), starting: count("starting") } as EndpointView["now"],
    ...{ totals: null, attainment: null, cost: { total: 0, perHour: 0, replicaHours: 0 }, coldStarts: [], coldStartP90Ms: null },
    ...{ decisions: [line(3, 2, 2), line(2, 1, 2)], conditions: [], limitedByFleet: [], dryRun: false },
    ...{ pausedUntilMs: null, pin: null, nextAtMs: null, trouble: [], ...part },
  };
}
const desired: DesiredView = {
  ...{ name: "chat", namespace: "llm", metrics: {}, staleAfterMs: 30_000, desiredAtMs: nowMs, held: null, replicas: [] },
  pools: [
    {
      ...{ name: "default", gpu: "", min: 1, max: 8, current: 2, desired: 3 },
      target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm" },
    },
  ],
};
const told = (part: Partial<StatusInput> = {}) =>
  endpointStatus({
    ...{ generation: 4, problem: null, warnings: [], view: view(), desired, policy: "slo", waiting: null, before: {}, nowMs },
    ...part,
  });
const condition = (type: string, part: Partial<StatusInput> = {}) => told(part).status.conditions?.find((one) => one.type === type);

it("tells counts by state, what decides, and the last decision that changed the count", () => {
  const { status, drift } = told({ view: view({ attainment: 0.9876, coldStartP90Ms: 41_400 }) });
  expect(status).toMatchObject({
    ...{ observedGeneration: 4, desired: 3, current: 2, bounds: { min: 1, max: 8 }, policy: "slo" },
    replicas: { ready: 1, starting: 1, draining: 0, failed: 0, standby: 0 },
    pools: [{ name: "default", target: "deployment.apps/llm", selector: "app=llm", desired: 3, current: 2, ready: 1, starting: 1 }],
    lastDecision: { time: "2026-01-01T11:59:00Z", from: 1, to: 2, reason: "because 2" },
  });
  expect(drift).toEqual({ attainment: "98.8%", coldStartP90: "41s" });
  expect(endpointStatusSchema.safeParse({ ...status, ...drift }).error).toBeUndefined();
});

it("leaves out what is not known, and keeps what stood there before a controller knew anything", () => {
  const before = {
    lastDecision: { time: "2025-12-31T00:00:00Z", from: 1, to: 5, reason: "before" },
    coldStartP90: "50s",
    attainment: "97.0%",
  };
  const unseen = told({ before, desired: null, view: view({ now: null, decisions: [], replicas: [] }) });
  expect(unseen.status).toMatchObject({ lastDecision: before.lastDecision });
  for (const key of ["desired", "current", "replicas", "pools"]) expect(unseen.status).not.toHaveProperty(key);
  expect(unseen.drift).toEqual({ attainment: "97.0%", coldStartP90: "50s" });
});

it("keeps a condition's time while its status is the same", () => {
  const first = told().status;
  const later = told({
    before: first,
    nowMs: nowMs + 60_000,
    view: view({ trouble: [{ code: "scale", text: "no", sinceMs: nowMs }] }),
  }).status;
  const timeOf = (status: typeof first, type: string) => status.conditions?.find((one) => one.type === type)?.lastTransitionTime;
  expect(timeOf(later, "Ready")).toBe("2026-01-01T12:00:00Z");
  expect(timeOf(later, "AbleToScale")).toBe("2026-01-01T12:01:00Z");
});

const trouble = (code: string) => [{ code, text: `trouble of ${code}`, sinceMs: nowMs }];
it.each([
  {
    type: "Valid",
    part: { problem: { reason: "ConfigInvalid", message: "spec.x: is wrong" } },
    is: "False ConfigInvalid: spec.x: is wrong",
  },
  { type: "Valid", part: { warnings: ["mind this"] }, is: "True ConfigValid: the spec is valid\nmind this" },
  { type: "Ready", part: {}, is: "True Serving: at least one replica is ready" },
  {
    type: "Ready",
    part: { view: view({ replicas: [replica("a", { state: "starting" })] }) },
    is: "False NoReplicaReady: replicas are wanted and none is ready",
  },
  { type: "Ready", part: { view: view({ trouble: trouble("platform") }) }, is: "Unknown PlatformUnseen: trouble of platform" },
  {
    type: "Ready",
    part: { view: null, waiting: { name: "chat", text: "no such target", sinceMs: 0 } },
    is: "False CannotStart: no such target",
  },
  { type: "AbleToScale", part: {}, is: "True ReadyForNewScale: ready for new scale" },
  { type: "AbleToScale", part: { view: view({ trouble: trouble("platform") }) }, is: "False FailedGetScale: trouble of platform" },
  { type: "AbleToScale", part: { view: view({ trouble: trouble("scale") }) }, is: "False FailedUpdateScale: trouble of scale" },
  {
    type: "AbleToScale",
    part: { view: view({ pools: [{ name: "default", selector: null, otherWriter: "kubectl sets its count" }] }) },
    is: "False OtherWriter: kubectl sets its count",
  },
  {
    type: "AbleToScale",
    part: { view: view({ dryRun: true }) },
    is: "False DryRun: dryRun is set: decisions are recorded, not carried out",
  },
  {
    type: "AbleToScale",
    part: { waiting: { name: "chat", text: "no such target", sinceMs: 0 } },
    is: "False CannotTakeOver: the new spec cannot be taken, the last one goes on: no such target",
  },
  { type: "ScalingActive", part: { view: view({ trouble: trouble("gateway") }) }, is: "False GatewayUnreachable: trouble of gateway" },
  {
    type: "ScalingActive",
    part: { view: view({ conditions: [{ type: "ScalingActive", status: "False", reason: "FailedGetPodsMetric", sinceMs: 0 }] }) },
    is: "False FailedGetPodsMetric: failed get pods metric",
  },
  {
    type: "ScalingActive",
    part: { view: view({ pin: { replicas: 3, untilMs: nowMs + 1 } }) },
    is: "False Pinned: pinned at 3 by a person; tidegate unpin ends it",
  },
  {
    type: "ScalingActive",
    part: { view: view({ pausedUntilMs: nowMs + 1 }) },
    is: "False Paused: paused by a person; tidegate resume ends it",
  },
  {
    type: "ScalingLimited",
    part: { view: view({ limitedByFleet: ["default"] }) },
    is: "True FleetQuota: the fleet's budget leaves fewer than are wanted",
  },
  {
    type: "ScalingLimited",
    part: { view: view({ conditions: [{ type: "ScalingLimited", status: "True", reason: "TooManyReplicas", sinceMs: 0 }] }) },
    is: "True TooManyReplicas: too many replicas",
  },
  {
    type: "CapacityAvailable",
    part: { view: view({ replicas: [replica("a", { trouble: { code: "stock-out", sinceMs: 0 }, message: "a waits for a node" })] }) },
    is: "False StockOut: a waits for a node",
  },
  {
    type: "ReplicasHealthy",
    part: { view: view({ replicas: [replica("a", { trouble: { code: "pull", sinceMs: 0 } })] }) },
    is: "False FailedPull: replica a is in trouble",
  },
] satisfies { type: string; part: Partial<StatusInput>; is: string }[])("says $type $is", ({ type, part, is }) => {
  const said = condition(type, part);
  expect(`${said?.status} ${said?.reason}: ${said?.message}`).toBe(is);
});

it("is Ready at zero replicas that are wanted so", () => {
  const asleep = view({ replicas: [], now: { wanted: 0, ready: 0 } as EndpointView["now"] });
  expect(condition("Ready", { view: asleep })).toMatchObject({ status: "True", reason: "ScaledToZero" });
});
