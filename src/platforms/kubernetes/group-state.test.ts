import { expect, it } from "vitest";
import { groupState, type Member } from "./group-state.ts";
import type { Told } from "./replica-state.ts";

const nowMs = 1000;
const readyAt = (sinceMs: number): Told => ({
  state: "ready",
  entered: { starting: 100, schedule: 100, pull: 200, load: 300, ready: sinceMs },
  readiness: { status: true, sinceMs },
});
const loading: Told = {
  state: "starting",
  stage: "load",
  entered: { starting: 100, schedule: 100, pull: 250, load: 400 },
  readiness: { status: false, sinceMs: 400 },
};
const waiting: Told = { state: "starting", stage: "schedule", entered: { starting: 110, schedule: 110 }, readiness: null };
const stuck: Told = { ...waiting, trouble: { code: "unschedulable", sinceMs: 120 }, message: "w fits on no node" };
const crashed: Told = {
  state: "failed",
  entered: { starting: 100, failed: 500 },
  readiness: { status: false, sinceMs: 500 },
  trouble: { code: "crash", sinceMs: 500 },
  message: "w crashed",
};
const ending: Told = { ...readyAt(500), state: "draining" };

const state = (leader: Told, workers: readonly Told[], size: number, before: Told | null = null) =>
  groupState(
    { name: "leader", told: leader },
    workers.map((told, at): Member => ({ name: `w-${at}`, told })),
    size,
    before,
    nowMs,
  );

it.each<{ rule: string; leader: Told; workers: Told[]; size?: number; is: object }>([
  {
    rule: "ready when all are, since the last one is",
    leader: readyAt(500),
    workers: [readyAt(700)],
    is: { state: "ready", entered: { ready: 700 } },
  },
  {
    rule: "not ready while a pod is missing",
    leader: readyAt(500),
    workers: [],
    is: { state: "starting", stage: "schedule", readiness: { status: false } },
  },
  {
    rule: "as far as its slowest pod",
    leader: readyAt(500),
    workers: [loading, waiting],
    size: 3,
    is: { state: "starting", stage: "schedule" },
  },
  { rule: "loading with a worker that loads", leader: readyAt(500), workers: [loading], is: { state: "starting", stage: "load" } },
  {
    rule: "in the trouble of a worker",
    leader: loading,
    workers: [stuck],
    is: { state: "starting", stage: "schedule", trouble: { code: "unschedulable" }, message: "w fits on no node" },
  },
  {
    rule: "failed with a worker that crashes",
    leader: readyAt(500),
    workers: [crashed],
    is: { state: "failed", trouble: { code: "crash" }, message: "w crashed" },
  },
  { rule: "draining with its leader, whatever the workers do", leader: ending, workers: [crashed], is: { state: "draining" } },
  {
    rule: "not whole with a worker that is being deleted",
    leader: readyAt(500),
    workers: [ending],
    is: { state: "starting", stage: "schedule" },
  },
  {
    rule: "one pod alone where it takes no more",
    leader: readyAt(500),
    workers: [],
    size: 1,
    is: { state: "ready", entered: { ready: 500 } },
  },
])("a group is $rule", ({ leader, workers, size = 2, is }) => {
  expect(state(leader, workers, size)).toMatchObject(is);
});

it("is failed, not starting, when a worker of a group that served is lost, and ready again with the next one", () => {
  const whole = state(readyAt(500), [readyAt(700)], 2);
  const broken = state(readyAt(500), [], 2, whole);
  expect(broken).toMatchObject({
    state: "failed",
    trouble: { code: "unhealthy" },
    message: "leader is not whole any more: 1 of its 2 pods is gone",
  });
  expect(broken.stage).toBeUndefined();
  expect(state(readyAt(500), [loading], 2, broken).message).toBe("leader is not whole any more: w-0 is not ready");
  const again = state(readyAt(500), [readyAt(900)], 2, broken);
  expect(again).toMatchObject({ state: "ready", entered: { ready: 700 } });
  expect(again.trouble).toBeUndefined();
});

it("enters a stage when the last pod does, once", () => {
  const first = state(loading, [{ ...loading, entered: { ...loading.entered, load: 600 } }], 2);
  expect(first.entered).toMatchObject({ starting: 100, schedule: 100, pull: 250, load: 600 });
  expect(state(readyAt(500), [readyAt(950)], 2, first).entered).toMatchObject({ pull: 250, load: 600, ready: 950 });
});
