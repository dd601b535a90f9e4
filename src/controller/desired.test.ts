import { expect, it } from "vitest";
import { parseConfigDocuments } from "../config/index.ts";
import type { Series } from "../model/index.ts";
import { desiredCounts, desiredView, readingsOf } from "./desired.ts";
import type { Order } from "./step.ts";

const pools = { a: { wanted: 2, reported: 2, otherWriter: false }, b: { wanted: 5, reported: 4, otherWriter: false } };
const order = (by: Order["by"], replicas: number): Order => ({ pool: "a", replicas, drain: [], by });

it.each([
  { rule: "without an order a pool should have what it was asked for", orders: [], a: 2 },
  { rule: "an order of the policy counts", orders: [order("policy", 4)], a: 4 },
  { rule: "so does one to zero", orders: [order("policy", 0)], a: 0 },
  { rule: "a dry run leaves the order to the follower", orders: [order("dry-run", 4)], a: 4 },
  { rule: "a platform that only recommends leaves it too", orders: [order("recommend-only", 4)], a: 4 },
  { rule: "a pin counts", orders: [order("pin", 7)], a: 7 },
  { rule: "what a quota leaves counts", orders: [order("quota", 3)], a: 3 },
  { rule: "a pause keeps what there is", orders: [order("paused", 4)], a: 2 },
])("$rule", ({ orders, a }) => {
  expect(desiredCounts(pools, orders)).toEqual({ a, b: 5 });
});

const gauge = (name: string, subject: Series["subject"], value: number, atMs = 90_000): Series => {
  const sample = { atMs, windowMs: 0, value };
  return { name, subject, samples: [sample], latest: sample, fault: null };
};
const endpoint = parseConfigDocuments(
  [
    {
      apiVersion: "tidegate.dev/v1alpha1",
      kind: "Endpoint",
      metadata: { name: "chat", namespace: "llm" },
      spec: {
        model: "m",
        engine: { kind: "other" },
        platform: { kind: "static", urls: ["http://127.0.0.1:1"], target: { apiVersion: "apps/v1", kind: "Deployment", name: "chat" } },
        replicas: { min: 1, max: 3 },
        policy: { kind: "slo" },
      },
    },
  ],
  { env: {}, name: "chat" },
).endpoints[0] as NonNullable<ReturnType<typeof parseConfigDocuments>["endpoints"][0]>;

it("says of each pool what it is, has and should have, and nothing of what is not known", () => {
  const unknown = desiredView(endpoint, { status: null, desired: null, desiredAtMs: null, series: [], nowMs: 100_000 });
  const pool = { name: "default", target: { apiVersion: "apps/v1", kind: "Deployment", name: "chat" }, min: 1, max: 3 };
  expect(unknown).toMatchObject({ name: "chat", namespace: "llm", desiredAtMs: null, held: null });
  expect(unknown.pools).toMatchObject([{ ...pool, current: null, desired: null }]);
  const status = { pools: { default: { wanted: 2, reported: 2, otherWriter: false } }, replicas: [] };
  const replica = { kind: "replica" as const, id: "r1" };
  const series = [gauge("held", { kind: "endpoint" }, 4), gauge("running", replica, 1), gauge("waiting", replica, 1)];
  const known = desiredView(endpoint, { status, desired: { default: 3 }, desiredAtMs: 99_000, series, nowMs: 100_000 });
  expect(known).toMatchObject({ held: 4, replicas: ["r1"], pools: [{ ...pool, current: 2, desired: 3 }] });
  const later = { status, desired: { default: 3 }, desiredAtMs: 99_000, series, nowMs: 90_001 + endpoint.staleAfterMs };
  expect(desiredView(endpoint, later).held).toBeNull();
});

it("on Kubernetes the namespace and each pool's target are the platform's", () => {
  const target = { apiVersion: "apps/v1", kind: "StatefulSet", name: "prefill" };
  const on = {
    ...endpoint,
    platform: {
      ...{ kind: "kubernetes" as const, target: null, targets: { default: target }, namespace: "elsewhere", kubeconfig: null },
      ...{ context: null, port: null, drainTimeoutMs: 1000 },
    },
  };
  const view = desiredView(on, { status: null, desired: null, desiredAtMs: null, series: [], nowMs: 0 });
  expect(view).toMatchObject({ namespace: "elsewhere", pools: [{ target }] });
});

it("hands on the newest number of each subject, and neither histograms nor what was never read", () => {
  const histogram = { bounds: [1], counts: [1, 0], sum: 0.5 };
  const replica = { kind: "replica" as const, id: "r1" };
  const series: Series[] = [
    gauge("running", replica, 3),
    gauge("running", { kind: "endpoint" }, Number.NaN),
    gauge("waiting", replica, 9),
    { ...gauge("running", { kind: "replica", id: "r2" }, 0), latest: null },
    { ...gauge("running", { kind: "replica", id: "r3" }, 0), latest: { atMs: 0, windowMs: 0, value: histogram } },
  ];
  expect(readingsOf(series, "running")).toEqual([{ name: "running", subject: replica, atMs: 90_000, windowMs: 0, value: 3 }]);
});
