import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { realClock } from "../../clock/index.ts";
import { platformConformance, statusWhen } from "../conformance.ts";
import { createPlatform } from "../index.ts";
import { exampleContext, exampleEndpoint } from "../process/fixtures/example.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(status: () => number): Promise<{ url: string; server: Server }> {
  const server = createServer((_request, response) => {
    response.statusCode = status();
    response.end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

const make = (urls: readonly string[], log: string[] = []) =>
  createPlatform(
    exampleEndpoint({ platform: { kind: "static", target: null, urls } }),
    exampleContext("unused", { clock: realClock(50), log: (_level, message) => log.push(message) }),
  );

const notOurs = "static: the count is only recommended";
platformConformance("static", {
  pools: ["default"],
  make: async () => {
    const platform = await make([(await serve(() => 200)).url, (await serve(() => 200)).url]);
    return { platform, cleanUp: () => platform.close("leave") };
  },
  skip: {
    "marks the named victims first": notOurs,
    "keeps a draining replica until it is drained": notOurs,
    "refuses a count that is none": notOurs,
  },
});

it("goes from starting to ready, to failed with trouble, and back", async () => {
  let status = 503;
  const { url } = await serve(() => status);
  const platform = await make([url]);
  expect((await platform.status()).replicas).toMatchObject([{ id: "replica-1", state: "starting", url: url.slice(0, -1) }]);
  status = 200;
  await statusWhen(platform, ({ replicas }) => replicas[0]?.state === "ready");
  status = 500;
  const failed = await statusWhen(platform, ({ replicas }) => replicas[0]?.state === "failed");
  expect(failed.replicas[0]).toMatchObject({
    trouble: { code: "unhealthy" },
    readiness: { status: false },
    message: expect.stringContaining("/health: answered 500"),
  });
  status = 200;
  const back = await statusWhen(platform, ({ replicas }) => replicas[0]?.state === "ready");
  expect(back.replicas[0]).not.toHaveProperty("trouble");
  await platform.close("leave");
});

it("only recommends: answers refused, and says the number once", async () => {
  const log: string[] = [];
  const platform = await make([(await serve(() => 200)).url], log);
  expect(platform.acts).toBe(false);
  const want = { kind: "scale", replicas: 4, drain: [] } as const;
  expect([await platform.scale("default", want), await platform.scale("default", want)]).toEqual(["refused", "refused"]);
  expect(log.filter((line) => line.includes("4 replicas recommended"))).toHaveLength(1);
  expect((await platform.status()).pools).toEqual({ default: { wanted: 1, reported: 1, otherWriter: false } });
  await platform.close("leave");
});
