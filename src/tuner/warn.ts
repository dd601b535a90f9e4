import { formatDuration, type Ms } from "../model/index.ts";
import type { Staged } from "./outcome.ts";

/** How much there is in a stage. */
export interface DataFacts {
  readonly requests: number;
  readonly lengthMs: Ms;
}

interface Found {
  readonly before: Staged;
  readonly found: Staged;
  readonly data: Readonly<Record<"train" | "validation" | "test", DataFacts>>;
  readonly wanted: number;
  /** Knobs that ended at a bound. */
  readonly edges: readonly string[];
}

const DAY_MS: Ms = 86_400_000;
/** Late requests that a stage must allow before its share of them says something. */
const LEAST_LATE = 30;

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

/** What to know before the found policy is trusted: too little data, and an outcome that did not last. */
export function warningsOf({ before, found, data, wanted, edges }: Found): readonly string[] {
  const said: string[] = [];
  for (const stage of found.test === null ? (["train", "validation"] as const) : (["train", "validation", "test"] as const)) {
    const allowed = data[stage].requests * (1 - wanted);
    if (allowed < LEAST_LATE)
      said.push(
        `Too little data: ${stage} has ${data[stage].requests} requests, of which ${Math.floor(allowed)} may be late; with fewer than ${LEAST_LATE} the share of them is mostly luck. Give a longer trace.`,
      );
  }
  if (data.train.lengthMs < DAY_MS)
    said.push(
      `The search saw ${formatDuration(Math.round(data.train.lengthMs / 1000) * 1000)} of traffic: what comes by the time of day, or once a week, is not in it.`,
    );
  if (found.train.miss > 0)
    said.push(
      `Nothing that was tried holds ${percent(wanted)} on what it was tuned on; this misses least (${percent(found.train.attainment)}). Another policy, more replicas or a faster start may be what it takes.`,
    );
  else if (found.test !== null && found.test.miss > 0)
    said.push(
      `Over-fit: it holds ${percent(wanted)} on what it was tuned on, and ${percent(found.test.attainment)} on traffic that it had not seen (before: ${percent(before.test?.attainment ?? 0)}). Do not rely on it; tune on more traffic or ask for more than you need.`,
    );
  const savedOnTrain = 1 - found.train.gpuHours / before.train.gpuHours;
  const savedOnTest = found.test === null || before.test === null ? null : 1 - found.test.gpuHours / before.test.gpuHours;
  if (found.test?.miss === 0 && before.train.miss === 0 && savedOnTrain > 0.02 && savedOnTest !== null && savedOnTest < savedOnTrain / 2)
    said.push(
      `Over-fit: it saves ${percent(savedOnTrain)} of GPU-hours on what it was tuned on, and ${percent(savedOnTest)} on traffic that it had not seen.`,
    );
  for (const name of edges) said.push(`${name} ended at the bound of what was tried.`);
  return said;
}
