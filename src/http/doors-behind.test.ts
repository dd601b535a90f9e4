import { expect, it } from "vitest";
import { fakeClock } from "../clock/index.ts";
import { createLedger, type Ledger } from "../ledger/index.ts";
import { type Door, type DoorEndpoint, type Route, TidegateError } from "../model/index.ts";
import { doorAt, doorsBehind } from "./index.ts";

const endpoint: DoorEndpoint = {
  name: "chat",
  model: "tiny",
  objective: { attainment: 0.9, timeToFirstTokenMs: 1000, timePerOutputTokenMs: 100 },
  limits: { maxHeld: 1, holdTimeoutMs: 1000, upstreamTimeoutMs: 1000, maxBodyBytes: 1000, attempts: 1 },
};
const route = (state: Route["state"]): Route => ({ replica: "r", url: "http://127.0.0.1:1", state });

/** Gateways with ledgers of their own, and the addresses that the name leads to. */
function name(...addresses: string[]) {
  const clock = fakeClock(100_000);
  const gateways = new Map<string, { ledger: Ledger; routes: readonly Route[]; up: boolean; held: Set<(name: string) => void> }>();
  let listed = addresses;
  let failure: Error | null = null;
  const gateway = (url: string) => {
    const known = gateways.get(url) ?? {
      ledger: createLedger({ objective: endpoint.objective, id: url, classes: 4 }),
      routes: [],
      up: true,
      held: new Set<(name: string) => void>(),
    };
    gateways.set(url, known);
    return known;
  };
  const open = (url: string): Door => {
    const own = gateway(url);
    const mustBeUp = () => {
      if (!own.up) throw new TidegateError("admin/unreachable", `${url} is away`, { retryable: true });
    };
    return {
      async setRoutes(_endpoint, routes) {
        mustBeUp();
        own.routes = routes;
      },
      async report(_name, cursor) {
        mustBeUp();
        return own.ledger.report(clock.now(), cursor);
      },
      async forget() {
        mustBeUp();
        own.routes = [];
      },
      onHeld(listener) {
        own.held.add(listener);
        return () => void own.held.delete(listener);
      },
    };
  };
  const door = doorsBehind("dns+http://gateways.test:9090", {
    ...{ token: null, clock, log: () => {}, open, everyMs: 3_000 },
    resolve: async () => {
      if (failure !== null) throw failure;
      return listed;
    },
  });
  return {
    ...{ clock, door, gateway },
    list(...next: string[]) {
      listed = next;
    },
    fail(error: Error | null) {
      failure = error;
    },
  };
}
const url = (address: string) => `http://${address}:9090`;
const arrive = (ledger: Ledger, atMs: number) => ledger.arrive(atMs, { class: "default", promptTokens: 10, prefixHitTokens: 0 });

it("sums what every gateway behind the name reports, each by its own cursor", async () => {
  const { clock, door, gateway } = name("10.0.0.1", "10.0.0.2");
  await door.setRoutes(endpoint, [route("ready")]);
  expect(gateway(url("10.0.0.2")).routes).toHaveLength(1);
  arrive(gateway(url("10.0.0.1")).ledger, clock.now());
  arrive(gateway(url("10.0.0.2")).ledger, clock.now());
  await clock.advance(2_000);
  const first = await door.report("chat", null);
  expect(first.totals).toMatchObject({ arrived: 2 });
  expect(first.slots.reduce((sum, slot) => sum + slot.arrivals, 0)).toBe(2);
  await clock.advance(1_000);
  const next = await door.report("chat", first.cursor);
  expect(next.slots.reduce((sum, slot) => sum + slot.arrivals, 0)).toBe(0);
  expect(Object.keys(JSON.parse(next.cursor)).sort()).toEqual([url("10.0.0.1"), url("10.0.0.2")]);
});

it("tells a gateway that comes the routes at once, and hears its held requests", async () => {
  const { clock, door, gateway, list } = name("10.0.0.1");
  const heard: string[] = [];
  door.onHeld((endpointName) => heard.push(endpointName));
  await door.setRoutes(endpoint, [route("draining")]);
  list("10.0.0.1", "10.0.0.9");
  await clock.advance(3_000);
  await door.report("chat", null);
  await clock.advance(0);
  expect(gateway(url("10.0.0.9")).routes).toEqual([route("draining")]);
  for (const listener of gateway(url("10.0.0.9")).held) listener("chat");
  expect(heard).toEqual(["chat"]);
});

it("is silent while a gateway that the name leads to does not answer, and loses nothing by that", async () => {
  const { clock, door, gateway } = name("10.0.0.1", "10.0.0.2");
  const { cursor } = await door.report("chat", null);
  arrive(gateway(url("10.0.0.1")).ledger, clock.now());
  await clock.advance(2_000);
  gateway(url("10.0.0.2")).up = false;
  await expect(door.report("chat", cursor)).rejects.toMatchObject({ code: "admin/unreachable" });
  gateway(url("10.0.0.2")).up = true;
  const later = await door.report("chat", cursor);
  expect(later.slots.reduce((sum, slot) => sum + slot.arrivals, 0)).toBe(1);
});

it("asks a gateway that the name leads to no more until it is silent, and keeps what it did in the totals", async () => {
  const { clock, door, gateway, list } = name("10.0.0.1", "10.0.0.2");
  await door.report("chat", null);
  const leaving = gateway(url("10.0.0.2"));
  arrive(leaving.ledger, clock.now());
  list("10.0.0.1");
  await clock.advance(3_000);
  await door.report("chat", null);
  await clock.advance(0);
  expect((await door.report("chat", null)).totals).toMatchObject({ arrived: 1, failed: 0 });
  leaving.up = false;
  const { totals } = await door.report("chat", null);
  expect(totals).toMatchObject({ arrived: 1, failed: 1, inFlight: 0, held: 0 });
  await expect(door.setRoutes(endpoint, [])).resolves.toBeUndefined();
});

it("is unreachable, and not a door where nothing happens, while there is no gateway", async () => {
  const { clock, door, fail, list } = name();
  const first = door.report("chat", null).catch((error: unknown) => error);
  await clock.advance(2_000);
  expect(await first).toMatchObject({ code: "admin/unreachable" });
  list("10.0.0.1");
  await clock.advance(3_000);
  await door.report("chat", null).catch(() => {});
  await clock.advance(0);
  await expect(door.report("chat", null)).resolves.toMatchObject({ totals: { arrived: 0 } });
  // A name server that is away says nothing of the gateways.
  fail(Object.assign(new Error("queryA ETIMEOUT"), { code: "EAI_AGAIN" }));
  await clock.advance(3_000);
  await expect(door.report("chat", null)).resolves.toMatchObject({ totals: { arrived: 0 } });
});

it.each(["gateway:9090", "dns+http://", "ftp://gateway"])("refuses the address %s", (address) => {
  expect(() => doorAt(address, { token: null, clock: fakeClock(), log: () => {} })).toThrow(/--gateway is|names nobody/);
});

it("gives each gateway its part of a replica's bound, by how many there are", async () => {
  const { clock, door, gateway, list } = name("10.0.0.1");
  const bound = { maxInFlight: 10, maxPromptTokens: 1000, promptTokensPerSecond: 5000 };
  const bounded = (): Route[] => [{ ...route("ready"), bound }];
  await door.setRoutes(endpoint, bounded());
  expect(gateway(url("10.0.0.1")).routes[0]?.bound).toEqual(bound);
  list("10.0.0.1", "10.0.0.2");
  await clock.advance(3_000);
  await door.setRoutes(endpoint, bounded());
  for (const address of ["10.0.0.1", "10.0.0.2"])
    expect(gateway(url(address)).routes[0]?.bound).toMatchObject({ maxInFlight: 5, maxPromptTokens: 500 });
});
