import { expect, it } from "vitest";
import { realClock } from "../../../src/clock/index.ts";
import { statusWhen } from "../../../src/platforms/conformance.ts";
import { createPlatform, type PlatformStatus } from "../../../src/platforms/index.ts";
import { applyWorkload, endpointOn, grant, openPlatform, planeForFile, platformSpec, rule, scaleOf } from "./workload.ts";

const plane = planeForFile();
const ask = (replicas: number) => ({ kind: "scale", replicas, drain: [] }) as const;
const ready = ({ replicas }: PlatformStatus) => replicas.filter(({ state }) => state === "ready");

/** As docs/kubernetes.md says. */
const neededRights = [
  rule(["apps"], ["deployments/scale"], ["get", "patch"]),
  rule([""], ["pods"], ["list", "watch", "patch"]),
  rule([""], ["pods/status"], ["patch"]),
];

const openAs = (user: string, name: string) => {
  const endpoint = endpointOn(platformSpec(name, plane().kubeconfigFor(user)));
  return createPlatform(endpoint, { stateFolder: "unused", clock: realClock(), log: () => {} });
};

it("works with exactly the rights that the documentation names", async () => {
  await applyWorkload(plane(), "least");
  await grant(plane(), "least", neededRights);
  const platform = await openAs("least", "least");
  expect(await platform.scale("default", ask(2))).toBe("accepted");
  const up = await statusWhen(platform, (status) => ready(status).length === 2);
  await platform.scale("default", ask(1));
  const victim = (await platform.status()).replicas.find(({ state }) => state === "draining")!.id;
  platform.drained(victim);
  await statusWhen(platform, (status) => status.replicas.some(({ id, state }) => id === victim && state === "gone"));
  expect(up.replicas).toHaveLength(2);
  await platform.close("leave");
});

it.each([
  { missing: "deployments/scale", rules: neededRights.slice(1), verb: "get" },
  { missing: "pods", rules: neededRights.slice(0, 1), verb: "list" },
])("names the right that is missing: $verb $missing", async ({ missing, rules, verb }) => {
  const user = `without-${missing.replace("/", "-")}`;
  await applyWorkload(plane(), user);
  await grant(plane(), user, rules);
  const opened = openAs(user, user);
  await expect(opened).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining(`cannot ${verb} resource "${missing}"`),
  });
});

it("refuses to scale where patching the scale is denied, and changes nothing", async () => {
  await applyWorkload(plane(), "reads-only", { replicas: 1 });
  await grant(plane(), "reads-only", [rule(["apps"], ["deployments/scale"], ["get"]), rule([""], ["pods"], ["list", "watch"])]);
  const platform = await openAs("reads-only", "reads-only");
  await expect(platform.scale("default", ask(3))).rejects.toMatchObject({ code: "platform/refused" });
  expect(await scaleOf(plane(), "reads-only")).toBe(1);
  expect((await platform.status()).pools["default"]).toMatchObject({ wanted: 1 });
  await platform.close("leave");
});

it.each([
  { what: "an unknown object", target: { apiVersion: "apps/v1", kind: "Deployment", name: "nowhere" }, says: /not found/ },
  {
    what: "an unknown kind",
    target: { apiVersion: "apps/v1", kind: "Deploymnt", name: "x" },
    says: /has no kind Deploymnt; it has .*Deployment/,
  },
  {
    what: "an unknown API",
    target: { apiVersion: "no.such/v1", kind: "X", name: "x" },
    says: /does not serve no\.such\/v1: install its CRD/,
  },
  { what: "what has no scale", target: { apiVersion: "apps/v1", kind: "DaemonSet", name: "x" }, says: /has no scale subresource/ },
])("says what is wrong with $what", async ({ target, says }) => {
  await expect(openPlatform(plane(), "wrong", { target })).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringMatching(says),
  });
});

it.each([60_000, -60_000])("cuts no drain short for a clock that is wrong by %i ms, and tells times on that clock", async (skewMs) => {
  const name = skewMs > 0 ? "ahead" : "behind";
  await applyWorkload(plane(), name, { replicas: 1 });
  const first = await openPlatform(plane(), name, { drainTimeoutMs: 6_000 });
  await statusWhen(first.platform, (status) => ready(status).length === 1);
  await first.platform.scale("default", ask(0));
  const drainingAtMs = Date.now();
  await first.platform.close("leave");
  const second = await openPlatform(plane(), name, { drainTimeoutMs: 6_000 }, skewMs);
  const [replica] = (await second.platform.status()).replicas;
  expect(replica).toMatchObject({ state: "draining" });
  expect(Math.abs(replica!.entered.draining! - skewMs - drainingAtMs)).toBeLessThan(3_000);
  await statusWhen(second.platform, (status) => status.replicas.some(({ state }) => state === "gone"), 15_000);
  expect(Date.now() - drainingAtMs).toBeGreaterThan(4_000);
  await second.platform.close("leave");
});

it("holds while the API server is down, and goes on by watch when it is back", async () => {
  await applyWorkload(plane(), "away", { replicas: 3 });
  const { platform, lines } = await openPlatform(plane(), "away");
  const before = await statusWhen(platform, (status) => ready(status).length === 3);
  await platform.scale("default", ask(2));
  const draining = (await platform.status()).replicas.find(({ state }) => state === "draining")!.id;
  await plane().stopApiServer();
  await expect(platform.scale("default", ask(1))).rejects.toMatchObject({ code: "platform/unreachable", retryable: true });
  platform.drained(draining);
  await expect
    .poll(
      () =>
        platform.status().then(
          () => "well",
          (error) => error.code,
        ),
      { timeout: 15_000 },
    )
    .toBe("platform/unreachable");
  await plane().startApiServer();
  await expect
    .poll(
      () =>
        platform.status().then(
          () => "well",
          (error) => error.code,
        ),
      { timeout: 20_000 },
    )
    .toBe("well");
  // What it was told while the server was away is asked again by the controller; nothing else has changed.
  expect((await platform.status()).pools["default"]).toMatchObject({ wanted: 2, otherWriter: false });
  platform.drained(draining);
  const after = await statusWhen(
    platform,
    (status) => status.replicas.some(({ id, state }) => id === draining && state === "gone"),
    90_000,
  );
  expect(
    ready(after)
      .map(({ id }) => id)
      .sort(),
  ).toEqual(
    before.replicas
      .map(({ id }) => id)
      .filter((id) => id !== draining)
      .sort(),
  );
  expect(await scaleOf(plane(), "away")).toBe(2);
  await platform.scale("default", ask(4));
  await statusWhen(platform, (status) => ready(status).length === 4, 20_000);
  expect(lines.filter((line) => line.includes("listing again")).length).toBeLessThanOrEqual(1);
  await platform.close("leave");
});
