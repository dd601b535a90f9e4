import type { Ms } from "../model/index.ts";
import { azureConversationRows } from "./builtin-data.ts";
import type { TokenSizes, TraceRequest } from "./trace.ts";

interface Row extends TokenSizes {
  readonly gapMs: Ms;
}
const readRows = (): readonly Row[] =>
  azureConversationRows
    .trim()
    .split(/\s+/)
    .map((row) => {
      const [gapMs, promptTokens, outputTokens] = row.split(",").map(Number) as [number, number, number];
      return { gapMs, promptTokens, outputTokens };
    });

/** 700 joint prompt and output lengths of real conversations (Azure 2023; mean about 1160 and 240 tokens), to draw from. */
export function builtinSizes(): readonly TokenSizes[] {
  return readRows().map(({ promptTokens, outputTokens }) => ({ promptTokens, outputTokens }));
}

/** The demo's rate: [until, requests per second then], straight lines between; 0 to 0 is silence. */
const demoRate: readonly (readonly [untilMs: Ms, rps: number])[] = [
  [0, 0.4],
  [70_000, 0.8],
  [230_000, 5],
  [310_000, 5.5],
  [325_000, 11],
  [410_000, 11],
  [440_000, 5],
  [600_000, 1.2],
  [680_000, 0.5],
  [680_000, 0],
  [790_000, 0],
  [790_000, 0.8],
  [880_000, 0.8],
];

/**
 * The demo's traffic, about 15 minutes: a first request to an empty fleet, growth, a burst, decline, a silence of almost two minutes
 * (long enough to go to zero) and a small wake at the end.
 *
 * Made from 700 real requests (`builtin-data.ts`). Arrivals: their gaps, in order and over again, each divided by the mean of all,
 * walked through the rate above; so the spacing is as uneven as it really was, at rates of our choosing. Sizes: those of them with
 * a prompt of at least 500 and an answer of at most 128 tokens, in order and over again: much work for a GPU, little for the
 * laptop that streams the answers. Always the same rows.
 */
export function builtinTrace(): TraceRequest[] {
  const rows = readRows();
  const meanGapMs = rows.reduce((sum, { gapMs }) => sum + gapMs, 0) / rows.length;
  const sizes = rows.filter(({ promptTokens, outputTokens }) => promptTokens >= 500 && outputTokens <= 128);
  const requests: TraceRequest[] = [];
  const stepMs = 10;
  let due = 0;
  let gap = 0;
  let summed = 0;
  for (let leg = 1; leg < demoRate.length; leg++) {
    const [fromMs, fromRps] = demoRate[leg - 1]!;
    const [toMs, toRps] = demoRate[leg]!;
    for (let ms = fromMs; ms < toMs; ms += stepMs) {
      summed += ((fromRps + ((toRps - fromRps) * (ms - fromMs)) / (toMs - fromMs)) * stepMs) / 1000;
      while (due < summed) {
        const { promptTokens, outputTokens } = sizes[requests.length % sizes.length]!;
        requests.push({ arrivalMs: ms, promptTokens, outputTokens });
        due += rows[gap++ % rows.length]!.gapMs / meanGapMs;
      }
    }
  }
  return requests;
}
