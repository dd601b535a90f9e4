import { expect, it } from "vitest";
import { simulate } from "./index.ts";
import { endpoint, evenEngine, options, poisson, scripted, simulated } from "./world.fixture.ts";

const roomy = endpoint(undefined, {
  objective: { attainment: 0.5, timeToFirstTokenMs: 1e9, timePerOutputTokenMs: 1e9 },
  gateway: { maxHeld: 1e6, holdTimeoutMs: 1e12, upstreamTimeoutMs: 1e12, maxBodyBytes: 1, attempts: 1 },
});

it.each([0.5, 0.8, 0.9])("one engine that takes one request at a time waits as M/D/1 at a load of %d", (load) => {
  const serviceMs = 20;
  const trace = poisson((1000 * load) / serviceMs, load < 0.9 ? 60_000 : 200_000, 5, () => ({ promptTokens: 16, outputTokens: 1 }));
  const { whole } = simulate(options({ endpoint: roomy, trace, pools: { default: simulated({ engine: evenEngine(serviceMs, 1) }) } }));
  // Pollaczek and Khinchine.
  const waitMs = (load * serviceMs) / (2 * (1 - load));
  expect(((whole.ttft.meanMs as number) - serviceMs) / waitMs).toBeGreaterThan(0.94);
  expect(((whole.ttft.meanMs as number) - serviceMs) / waitMs).toBeLessThan(1.06);
});

/** The chance to wait in M/M/c. */
function erlangC(servers: number, load: number): number {
  let term = 1;
  let sum = 1;
  for (let at = 1; at < servers; at++) {
    term *= load / at;
    sum += term;
  }
  const last = ((term * load) / servers) * (servers / (servers - load));
  return last / (sum + last);
}

it.each([
  { servers: 4, utilization: 0.8 },
  { servers: 16, utilization: 0.85 },
])("an engine with $servers places and exponential answers waits as M/M/$servers at $utilization", ({ servers, utilization }) => {
  const stepMs = 1;
  const meanTokens = 400;
  const offered = servers * utilization;
  const perSecond = (1000 * offered) / (meanTokens * stepMs);
  const trace = poisson(perSecond, 200_000, 7, (u) => ({
    promptTokens: 16,
    outputTokens: Math.max(1, Math.round(-meanTokens * Math.log1p(-u))),
  }));
  const { whole } = simulate(options({ endpoint: roomy, trace, pools: { default: simulated({ engine: evenEngine(stepMs, servers) }) } }));
  const serviceMs = meanTokens * stepMs;
  const waitMs = (erlangC(servers, offered) * serviceMs) / (servers - offered);
  // Before its first step a request waits for half an iteration, and the first token comes after one.
  const measuredMs = (whole.ttft.meanMs as number) - 1.5 * stepMs;
  expect(measuredMs / waitMs).toBeGreaterThan(0.9);
  expect(measuredMs / waitMs).toBeLessThan(1.1);
});

it("has as many requests in it as arrive in the time that one takes (Little)", () => {
  const seen: Parameters<NonNullable<Parameters<typeof simulate>[0]["onDecision"]>>[0]["observation"][] = [];
  const trace = poisson(12, 30_000, 3, (u) => ({ promptTokens: 200 + Math.floor(1500 * u), outputTokens: 50 + Math.floor(300 * u) }));
  const { whole } = simulate(
    options({
      endpoint: roomy,
      trace,
      pools: { default: simulated({ initial: 3 }) },
      policy: scripted([], {}, seen),
    }),
  );
  const slots = seen.flatMap((one) => one.slots ?? []);
  const seconds = whole.toMs / 1000;
  const inSystem = slots.reduce((sum, slot) => sum + slot.inFlightMean + slot.heldMean, 0) / seconds;
  const expected = (30_000 / seconds) * ((whole.e2e.meanMs as number) / 1000);
  expect(inSystem / expected).toBeGreaterThan(0.99);
  expect(inSystem / expected).toBeLessThan(1.01);
});
