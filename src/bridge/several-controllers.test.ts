import { expect, it } from "vitest";
import { severalControllers } from "./several-controllers.ts";
import { fakeSource, llama, pool, timed } from "./source.fixture.ts";

const decided = (desired: number, atMs: number) => ({ pools: [{ ...pool("default", desired), desired: { ...timed(desired), atMs } }] });
const desiredOf = (source: ReturnType<typeof severalControllers>) => source.endpoints().map(({ pools }) => pools[0]?.desired?.value);

function setUp() {
  const [a, b] = [fakeSource([{ ...llama, ...decided(3, 1_000) }]), fakeSource([])];
  const fakes: Record<string, typeof a> = { "http://a": a, "http://b": b };
  const several = severalControllers((url) => (fakes[url] as typeof a).source);
  several.set(["http://a", "http://b"]);
  return { a, b, several };
}

it("believes the one that leads, and the next one once it has decided", () => {
  const { a, b, several } = setUp();
  expect(desiredOf(several)).toEqual([3]);
  b.state.endpoints = [{ ...llama, pools: [pool("default", null)] }];
  expect(desiredOf(several)).toEqual([3]);
  b.state.endpoints = [{ ...llama, ...decided(5, 2_000) }];
  expect(desiredOf(several)).toEqual([5]);
  a.state.endpoints = [];
  expect(desiredOf(several)).toEqual([5]);
});

it("asks for readings where the decision came from, and nobody where nobody knows the endpoint", async () => {
  const { a, b, several } = setUp();
  const reading = { subject: { kind: "endpoint" as const }, ...timed(7) };
  a.state.readings.set("llama/running", [reading]);
  b.state.unreachable = true;
  expect(await several.readings("llama", "running")).toEqual([reading]);
  await expect(several.readings("other", "running")).rejects.toMatchObject({ code: "admin/unreachable" });
});

it("tells what any of them says, and no more of one that is gone", () => {
  const { a, b, several } = setUp();
  const told: string[] = [];
  several.onChange((name) => told.push(name));
  b.tell("llama", {});
  several.set(["http://b"]);
  a.tell("llama", {});
  expect(told).toEqual(["llama"]);
  expect(several.endpoints()).toEqual([]);
});

it("is connected while one of them is heard", () => {
  const { a, b, several } = setUp();
  a.state.connected = false;
  expect(several.connected()).toBe(true);
  b.state.connected = false;
  expect(several.connected()).toBe(false);
});
