import { expect, it } from "vitest";
import { fakeClock } from "../clock/index.ts";
import { exampleObject, writesTo } from "./server.fixture.ts";
import { statusWriter } from "./status-writer.ts";

function setUp(mayWrite = () => true) {
  const clock = fakeClock(1_000_000);
  const server = writesTo();
  const lines: string[] = [];
  const writer = statusWriter({ api: server.api, clock, log: (_level, message) => void lines.push(message), mayWrite });
  const statuses = () => server.asked.map(({ body }) => (body as { status: object }).status);
  return { clock, server, writer, lines, statuses };
}

it("applies a status under its own manager, guarded by the object's uid, and writes it once", async () => {
  const { clock, server, writer } = setUp();
  for (let second = 0; second < 60; second++) {
    writer.say(exampleObject("a"), { desired: 1 });
    await clock.advance(1_000);
  }
  expect(server.asked).toEqual([
    {
      ...{
        method: "PATCH",
        path: "/apis/tidegate.dev/v1alpha1/namespaces/llm/endpoints/a/status",
        contentType: "application/apply-patch+yaml",
      },
      query: { fieldManager: "tidegate-controller", force: true },
      body: {
        ...{ apiVersion: "tidegate.dev/v1alpha1", kind: "Endpoint" },
        ...{ metadata: { namespace: "llm", name: "a", uid: "uid-a" }, status: { desired: 1 } },
      },
    },
  ]);
});

it("writes a change at once after a quiet time, the newest of many after five seconds, and what drifts once a minute", async () => {
  const { clock, writer, statuses } = setUp();
  writer.say(exampleObject("a"), { desired: 1 }, { attainment: "99.0%" });
  await clock.advance(10_000);
  writer.say(exampleObject("a"), { desired: 2 }, { attainment: "99.0%" });
  await clock.advance(100);
  expect(statuses()).toHaveLength(2);
  for (let desired = 3; desired < 8; desired++) {
    writer.say(exampleObject("a"), { desired }, { attainment: "99.0%" });
    await clock.advance(900);
  }
  expect(statuses()).toHaveLength(2);
  await clock.advance(1_000);
  expect(statuses().at(-1)).toEqual({ desired: 7, attainment: "99.0%" });
  for (let second = 0; second < 120; second++) {
    writer.say(exampleObject("a"), { desired: 7 }, { attainment: `98.${second}%` });
    await clock.advance(1_000);
  }
  expect(statuses()).toHaveLength(5);
});

it("spreads 200 endpoints that change every second to 20 writes a second, and forgets none", async () => {
  const { clock, server, writer } = setUp();
  const seconds = 60;
  for (let second = 0; second < seconds; second++) {
    for (let at = 0; at < 200; at++) writer.say(exampleObject(String(at)), { desired: second });
    await clock.advance(1_000);
  }
  expect(server.asked.length).toBeLessThanOrEqual(20 * seconds);
  const newest = Map.groupBy(server.asked, ({ path }) => path);
  expect(newest.size).toBe(200);
  expect(Math.min(...[...newest.values()].map((writes) => writes.length))).toBeGreaterThanOrEqual(5);
}, 60_000);

it("writes nothing while another controller leads, and goes on where a write fails", async () => {
  let leads = false;
  const { clock, server, writer, lines } = setUp(() => leads);
  writer.say(exampleObject("a"), { desired: 1 });
  await clock.advance(10_000);
  expect(server.asked).toEqual([]);
  leads = true;
  server.fails = 403;
  await clock.advance(1_000);
  expect(server.asked).toHaveLength(1);
  await clock.advance(30_000);
  expect(server.asked).toHaveLength(1);
  expect(lines.filter((line) => line.includes("cannot be written"))).toHaveLength(1);
  server.fails = null;
  await clock.advance(60_000);
  expect(server.asked).toHaveLength(2);
  // Another object of that name: not ours to speak of.
  server.fails = 409;
  writer.say(exampleObject("a"), { desired: 2 });
  await clock.advance(120_000);
  expect(server.asked).toHaveLength(3);
});

it("does not write what stands there already, in whatever order, when a controller takes over", async () => {
  const { clock, writer, statuses } = setUp();
  writer.say(
    exampleObject("a"),
    { desired: 1, replicas: { ready: 1, starting: 0 } },
    { attainment: "99.0%" },
    {
      ...{ attainment: "99.0%", replicas: { starting: 0, ready: 1 }, desired: 1 },
    },
  );
  writer.say(exampleObject("b"), { desired: 1 }, {}, { desired: 2 });
  await clock.advance(10_000);
  expect(statuses()).toEqual([{ desired: 1 }]);
});
