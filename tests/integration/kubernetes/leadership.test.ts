import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { realClock } from "../../../src/clock/index.ts";
import { type Controller, startController, type Turns, takeTurns } from "../../../src/controller/index.ts";
import type { Endpoint } from "../../../src/model/index.ts";
import { connectKubernetes } from "../../../src/platforms/index.ts";
import { applyWorkload, endpointOn, planeForFile, platformSpec, scaleOf, waitFor } from "./workload.ts";

const plane = planeForFile();

interface Member {
  readonly turns: Turns<Controller>;
  readonly lines: string[];
}

async function member(identity: string, lease: string, endpoint: Endpoint): Promise<Member> {
  const stateFolder = mkdtempSync(join(tmpdir(), "tidegate-leader-"));
  const api = await connectKubernetes({ kubeconfig: plane().kubeconfig, context: null });
  const clock = realClock();
  const lines: string[] = [];
  const log = (_level: string, message: string) => void lines.push(message);
  const turns = takeTurns<Controller>({
    ...{ api, namespace: "default", name: lease, identity, clock, log, leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 500 },
    start: (turn) =>
      startController({ endpoints: [endpoint], fleet: null, doors: [], stateFolder, clock: turn.clock, log, version: "test", turn }),
  });
  onTestFinished(async () => {
    await turns.close();
    api.close();
    rmSync(stateFolder, { recursive: true, force: true });
  });
  return { turns, lines };
}

const endpoint = (name: string, replicas: number): Endpoint => ({
  ...endpointOn(platformSpec(name, plane().kubeconfig)),
  policy: { kind: "static", replicas: { default: replicas } },
});
const seqOf = ({ turns }: Member) => turns.current()?.view().endpoints[0]?.decisions.at(-1)?.seq ?? 0;

it("has one leader, and the hand-over alone changes no count", async () => {
  await applyWorkload(plane(), "led", { replicas: 1 });
  const a = await member("a", "led", endpoint("led", 3));
  await waitFor(
    "a leads",
    () => a.turns.leadership.leads(),
    (leads) => leads,
  );
  const b = await member("b", "led", endpoint("led", 3));
  await waitFor(
    "the count",
    () => scaleOf(plane(), "led"),
    (count) => count === 3,
  );
  expect(b.turns.leadership.leads()).toBe(false);
  expect(b.turns.current()).toBeNull();
  const seq = await waitFor(
    "a decision",
    () => seqOf(a),
    (number) => number > 0,
  );
  await a.turns.close();
  await waitFor(
    "b acts",
    () => b.turns.current(),
    (running) => running !== null,
  );
  expect(a.turns.current()).toBeNull();
  await waitFor(
    "b goes on counting where a stopped",
    () => seqOf(b),
    (number) => number > seq,
  );
  expect(await scaleOf(plane(), "led")).toBe(3);
  expect(b.lines.filter((line) => line.includes("scaled from"))).toEqual([]);
});

it("stops acting within the renew deadline of the API server's silence, and one of both goes on after", async () => {
  await applyWorkload(plane(), "silent", { replicas: 2 });
  const members = [await member("a", "silent", endpoint("silent", 2)), await member("b", "silent", endpoint("silent", 2))];
  const leaders = () => members.filter(({ turns }) => turns.leadership.leads());
  await waitFor("one leads", leaders, (all) => all.length === 1);
  const silentAtMs = performance.now();
  await plane().stopApiServer();
  await waitFor("nobody leads", leaders, (all) => all.length === 0);
  expect(performance.now() - silentAtMs).toBeLessThan(2_500);
  await waitFor(
    "nobody acts",
    () => members.filter(({ turns }) => turns.current() !== null),
    (all) => all.length === 0,
  );
  await plane().startApiServer();
  await waitFor(
    "one acts",
    () => members.filter(({ turns }) => turns.current() !== null),
    (all) => all.length === 1,
  );
  expect(leaders()).toHaveLength(1);
  expect(await scaleOf(plane(), "silent")).toBe(2);
});
