import { expect, it } from "vitest";
import { fakeClock } from "../clock/index.ts";
import { followAddresses, isFollowed } from "./followed-addresses.ts";

function setUp() {
  const clock = fakeClock();
  const world = { addresses: ["10.0.0.2", "10.0.0.1"] as readonly string[] | Error, lines: [] as string[], told: [] as string[][] };
  const resolve = async (name: string) => {
    expect(name).toBe("gateways.tidegate.svc");
    if (world.addresses instanceof Error) throw world.addresses;
    return world.addresses;
  };
  const log = (_level: string, message: string) => void world.lines.push(message);
  const stop = followAddresses("dns+http://gateways.tidegate.svc:9090", { clock, log, resolve, everyMs: 5_000 }, (urls) =>
    world.told.push([...urls]),
  );
  return { clock, world, stop };
}

it("tells every address, in one order, and again only when they change", async () => {
  const { clock, world } = setUp();
  await clock.advance(10_000);
  world.addresses = ["10.0.0.1", "10.0.0.2"];
  await clock.advance(5_000);
  world.addresses = ["10.0.0.2", "fd00::1"];
  await clock.advance(5_000);
  expect(world.told).toEqual([
    ["http://10.0.0.1:9090", "http://10.0.0.2:9090"],
    ["http://10.0.0.2:9090", "http://[fd00::1]:9090"],
  ]);
});

it("goes on with those that it knew while the name cannot be resolved, and says so once", async () => {
  const { clock, world } = setUp();
  await clock.advance(1);
  world.addresses = new Error("ENOTFOUND");
  await clock.advance(20_000);
  world.addresses = ["10.0.0.1", "10.0.0.2"];
  await clock.advance(5_000);
  expect(world.told).toHaveLength(1);
  expect(world.lines).toEqual(["gateways.tidegate.svc cannot be resolved: ENOTFOUND", "gateways.tidegate.svc resolves again"]);
});

it("looks no more once it is ended", async () => {
  const { clock, world, stop } = setUp();
  await clock.advance(1);
  stop();
  world.addresses = ["10.0.0.9"];
  await clock.advance(60_000);
  expect(world.told).toHaveLength(1);
});

it("knows its own kind of URL, and finds the addresses of a real name", async () => {
  expect([isFollowed("dns+https://a:1"), isFollowed("http://a:1")]).toEqual([true, false]);
  expect(() => followAddresses("dns+a", { clock: fakeClock(), log: () => {} }, () => {})).toThrow("write dns+http://NAME:PORT");
  const clock = fakeClock();
  const urls = await new Promise<readonly string[]>((resolve) => {
    const stop = followAddresses("dns+http://localhost:9090/", { clock, log: () => {} }, (found) => {
      stop();
      resolve(found);
    });
  });
  expect(urls.length).toBeGreaterThan(0);
  expect(["http://127.0.0.1:9090", "http://[::1]:9090"]).toEqual(expect.arrayContaining([...urls]));
});
