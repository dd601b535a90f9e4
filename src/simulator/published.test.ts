import { expect, it } from "vitest";
import { builtinSizes } from "../traces/index.ts";
import { defaultEngine, simulate } from "./index.ts";
import { endpoint, options, poisson, profile, scripted, simulated } from "./world.fixture.ts";

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

it("is near what vidur published of one A100 with Llama-3-8B, conversations at 6.45 requests/s and chunks of 512", () => {
  // 512 requests, and sizes of the same conversations (Azure 2023), ours of a sample of them: so within a third, p95 within a half.
  const sizes = builtinSizes();
  const runs = Array.from(
    { length: 15 },
    (_, seed) =>
      simulate(
        options({
          endpoint: endpoint(),
          trace: poisson(6.45, 512, 100 + seed, (u) => sizes[Math.floor(u * sizes.length)]!),
          policy: scripted([]),
          pools: {
            default: simulated({ engine: { ...defaultEngine(profile), maxNumBatchedTokens: 512, maxNumSeqs: 128, overheadMs: 0 } }),
          },
        }),
      ).whole,
  );
  const of = (read: (whole: (typeof runs)[number]) => number | null) => median(runs.map((whole) => read(whole) as number));
  const measured = {
    ttftP50: of(({ ttft }) => ttft.p50Ms),
    ttftP95: of(({ ttft }) => ttft.p95Ms),
    tpotP50: of(({ tpot }) => tpot.p50Ms),
    tpotP99: of(({ tpot }) => tpot.p99Ms),
    e2eP50: of(({ e2e }) => e2e.p50Ms),
    e2eP95: of(({ e2e }) => e2e.p95Ms),
  };
  const within = (value: number, published: number, share: number) => {
    expect(value).toBeGreaterThan(published / (1 + share));
    expect(value).toBeLessThan(published * (1 + share));
  };
  within(measured.ttftP50, 770, 0.33);
  within(measured.ttftP95, 1950, 0.5);
  within(measured.tpotP50, 46, 0.33);
  within(measured.tpotP99, 53, 0.33);
  within(measured.e2eP50, 7_000, 0.33);
  within(measured.e2eP95, 23_000, 0.33);
});
