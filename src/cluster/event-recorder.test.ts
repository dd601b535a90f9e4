import { expect, it } from "vitest";
import { fakeClock } from "../clock/index.ts";
import { type ClusterEvent, eventRecorder } from "./event-recorder.ts";
import { exampleObject, writesTo } from "./server.fixture.ts";

function setUp() {
  const clock = fakeClock(Date.parse("2026-01-01T00:00:00Z"));
  const server = writesTo();
  const recorder = eventRecorder({ api: server.api, identity: "me", clock, log: () => {}, mayWrite: () => true });
  const posted = () => server.asked.filter(({ method }) => method === "POST");
  const patched = () => server.asked.filter(({ method }) => method === "PATCH");
  return { clock, server, recorder, posted, patched };
}
const rescale = (from: number, to: number, reason = "load"): ClusterEvent => ({
  ...{ type: "Normal", reason: "SuccessfulRescale", action: "Rescale", note: `New size: ${to}, from ${from}; reason: ${reason}` },
});
const conflict = (seconds: number): ClusterEvent => ({
  ...{
    type: "Warning",
    reason: "FailedRescale",
    action: "Rescale",
    note: `conflict: somebody sets its count; left alone for ${seconds} s`,
  },
});

it("writes an event of events.k8s.io about the object", async () => {
  const { clock, server, recorder } = setUp();
  recorder.record(exampleObject("a"), rescale(1, 2));
  await clock.advance(0);
  expect(server.asked).toMatchObject([
    {
      method: "POST",
      path: "/apis/events.k8s.io/v1/namespaces/llm/events",
      body: {
        ...{ apiVersion: "events.k8s.io/v1", kind: "Event", type: "Normal", reason: "SuccessfulRescale", action: "Rescale" },
        ...{ eventTime: "2026-01-01T00:00:00.000000Z", reportingController: "tidegate.dev/controller", reportingInstance: "me" },
        regarding: { apiVersion: "tidegate.dev/v1alpha1", kind: "Endpoint", namespace: "llm", name: "a", uid: "uid-a" },
        note: "New size: 2, from 1; reason: load",
      },
    },
  ]);
});

it("counts what comes again as one series, written once a minute, and begins anew after six quiet minutes", async () => {
  const { clock, recorder, posted, patched } = setUp();
  for (let at = 0; at < 40; at++) {
    recorder.record(exampleObject("a"), conflict(60 - at));
    await clock.advance(5_000);
  }
  expect(posted()).toHaveLength(1);
  expect(patched().length).toBeLessThanOrEqual(4);
  await clock.advance(120_000);
  expect(patched().at(-1)).toMatchObject({ body: { series: { count: 40, lastObservedTime: "2026-01-01T00:03:15.000000Z" } } });
  await clock.advance(360_000);
  recorder.record(exampleObject("a"), conflict(60));
  await clock.advance(0);
  expect(posted()).toHaveLength(2);
});

it("takes the same change for another reason as the same event, and another change as its own", async () => {
  const { clock, recorder, posted } = setUp();
  recorder.record(exampleObject("a"), rescale(1, 2, "9 in flight"));
  recorder.record(exampleObject("a"), rescale(1, 2, "11 in flight"));
  recorder.record(exampleObject("a"), rescale(2, 1));
  recorder.record(exampleObject("b"), rescale(1, 2));
  await clock.advance(0);
  expect(posted()).toHaveLength(3);
});

it("cuts an object short that says too much, without silencing others", async () => {
  const { clock, recorder, posted } = setUp();
  for (let at = 0; at < 200; at++) recorder.record(exampleObject("loud"), rescale(at, at + 1));
  recorder.record(exampleObject("quiet"), rescale(1, 2));
  await clock.advance(0);
  expect(posted()).toHaveLength(26);
  await clock.advance(15_000);
  recorder.record(exampleObject("loud"), rescale(500, 501));
  await clock.advance(0);
  expect(posted()).toHaveLength(27);
});

it("keeps a note within what the API takes", async () => {
  const { clock, recorder, posted } = setUp();
  recorder.record(exampleObject("a"), { type: "Warning", reason: "InvalidSpec", action: "ReadSpec", note: "→".repeat(2_000) });
  await clock.advance(0);
  expect(Buffer.byteLength((posted()[0]!.body as { note: string }).note)).toBeLessThanOrEqual(1024);
});
