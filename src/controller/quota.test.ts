import { expect, it } from "vitest";
import type { Endpoint, Fleet, Replica } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";
import { createQuota } from "./quota.ts";

const endpoint = (name: string): Endpoint =>
  ({
    name,
    pools: [
      { name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 0, min: 0, max: 9, standby: 0 },
    ],
  }) as unknown as Endpoint;
const fleet: Fleet = { name: "lab", gpus: 4, priorities: { chat: 1 } };
const status = (wanted: number, draining = 0): PlatformStatus => ({
  pools: { default: { wanted, reported: wanted, otherWriter: false } },
  replicas: Array.from({ length: wanted + draining }, (_, at) => ({
    id: String(at),
    pool: "default",
    state: (at < wanted ? "ready" : "draining") as Replica["state"],
    entered: {},
    readiness: null,
    url: null,
  })),
});

it("lets the higher priority grow only as the lower one lets go, and calls each when its turn has come", () => {
  const called: string[] = [];
  const quota = createQuota((name) => called.push(name));
  quota.configure(fleet, [endpoint("chat"), endpoint("batch")]);
  expect(quota.grant("batch", { default: 4 })).toEqual({ default: 4 });
  quota.holds("batch", status(4));

  // Chat's share is 3, but batch still holds everything: nothing yet, and batch is called to give 3 back.
  expect(quota.grant("chat", { default: 3 })).toEqual({ default: 0 });
  expect(called).toEqual(["batch"]);
  expect(quota.grant("batch", { default: 4 })).toEqual({ default: 1 });

  // What drains is still held.
  quota.holds("batch", status(1, 3));
  expect(quota.grant("chat", { default: 3 })).toEqual({ default: 0 });
  called.length = 0;
  quota.holds("batch", status(1));
  expect(called).toEqual(["chat"]);
  expect(quota.grant("chat", { default: 3 })).toEqual({ default: 3 });

  // And back, when chat needs less.
  quota.holds("chat", status(3));
  called.length = 0;
  expect(quota.grant("chat", { default: 1 })).toEqual({ default: 1 });
  quota.holds("chat", status(1));
  expect(called).toEqual(["batch"]);
  expect(quota.grant("batch", { default: 4 })).toEqual({ default: 3 });
});

it("keeps what is held and asked for through a change of budget and endpoints, and grants everything without one", () => {
  const called: string[] = [];
  const quota = createQuota((name) => called.push(name));
  quota.configure(null, [endpoint("chat"), endpoint("batch")]);
  expect(quota.grant("batch", { default: 9 })).toEqual({ default: 9 });
  quota.holds("batch", status(3));
  quota.configure(fleet, [endpoint("chat"), endpoint("batch"), endpoint("new")]);
  quota.grant("batch", { default: 3 });
  expect(quota.grant("new", { default: 3 })).toEqual({ default: 1 });
  quota.configure(fleet, [endpoint("chat"), endpoint("new")]);
  expect(quota.grant("new", { default: 3 })).toEqual({ default: 3 });
});
