import type { Ms } from "../../model/index.ts";
import { LogHistogram } from "../log-histogram.ts";
import { summaryOf } from "../recorder.ts";
import type { Figures, RequestCounts, SimulationResult } from "../result.ts";

/** The figures that are reported of a run: after its split where there is one. */
export const reportedFigures = ({ afterSplit, whole }: SimulationResult): Figures => afterSplit ?? whole;

/** Several endpoints side by side as one: counts and money add up, latencies are those of all requests. */
export function sumOf(results: readonly SimulationResult[]): Figures {
  const all = results.map(reportedFigures);
  const [first] = all;
  if (first === undefined) throw new RangeError("there is nothing to sum");
  if (all.length === 1) return first;
  const sum = (of: (figures: Figures) => number) => all.reduce((total, figures) => total + of(figures), 0);
  const merged = (of: "ttft" | "tpot" | "e2e") => {
    const histogram = new LogHistogram();
    for (const { latencies } of results) histogram.merge(latencies[of]);
    return summaryOf(histogram);
  };
  const count = (key: keyof RequestCounts) => sum(({ requests }) => requests[key]);
  const requests = {
    arrived: count("arrived"),
    completed: count("completed"),
    failed: count("failed"),
    cancelled: count("cancelled"),
    rejected: count("rejected"),
    open: count("open"),
  };
  const judged = requests.completed + requests.failed + requests.rejected;
  const withinObjective = sum((figures) => figures.withinObjective);
  return {
    fromMs: Math.min(...all.map(({ fromMs }) => fromMs)),
    toMs: Math.max(...all.map(({ toMs }) => toMs)),
    requests,
    promptTokens: sum((figures) => figures.promptTokens),
    outputTokens: sum((figures) => figures.outputTokens),
    withinObjective,
    attainment: judged === 0 ? null : withinObjective / judged,
    ttft: merged("ttft"),
    tpot: merged("tpot"),
    e2e: merged("e2e"),
    held: sum((figures) => figures.held),
    retries: sum((figures) => figures.retries),
    gpuHours: sum((figures) => figures.gpuHours),
    cost: sum((figures) => figures.cost),
    readyMean: sum((figures) => figures.readyMean),
    scaleUps: sum((figures) => figures.scaleUps),
    scaleDowns: sum((figures) => figures.scaleDowns),
    reversals: sum((figures) => figures.reversals),
    violationMinutes: sum((figures) => figures.violationMinutes),
  };
}

/** Whether the share that should was within the objective; of no request at all, yes. */
export const isMet = (attainment: number | null, wanted: number): boolean => attainment === null || attainment >= wanted;

/** What a plot shows of a run: columns of equal length, each value the mean of its stretch. */
export interface Course {
  readonly stepMs: Ms;
  readonly atMs: readonly Ms[];
  /** Replicas that what arrives would keep busy. */
  readonly demand: readonly number[];
  readonly wanted: readonly number[];
  readonly ready: readonly number[];
  /** Ready, starting and draining: what is paid for, standby aside. */
  readonly billed: readonly number[];
  readonly queue: readonly number[];
  /** null: nothing arrived. */
  readonly attainment: readonly (number | null)[];
}

/**
 * The course of a run in at most `points` stretches of whole minutes; of several endpoints their sum.
 * @param busyMsOf how long `requests` with so many tokens together keep one replica busy
 */
export function courseOf(
  results: readonly SimulationResult[],
  busyMsOf: (requests: number, promptTokens: number, outputTokens: number) => Ms,
  points = 360,
): Course {
  const minuteMs = 60_000;
  const length = Math.max(0, ...results.map(({ minutes }) => minutes.atMs.length));
  const span = Math.max(1, Math.ceil(length / points));
  const bins = Math.ceil(length / span);
  const column = (of: (result: SimulationResult["minutes"], at: number) => number) =>
    Array.from({ length: bins }, (_, bin) => {
      const [from, to] = [bin * span, Math.min(length, (bin + 1) * span)];
      let sum = 0;
      for (const { minutes } of results) for (let at = from; at < Math.min(to, minutes.atMs.length); at++) sum += of(minutes, at);
      return sum / (to - from);
    });
  const column0 = (name: "wanted" | "ready" | "starting" | "draining" | "queue") => column((minutes, at) => minutes[name][at] as number);
  const [ready, starting, draining] = [column0("ready"), column0("starting"), column0("draining")];
  const judged = column((minutes, at) => (minutes.attainment[at] === null ? 0 : (minutes.arrivals[at] as number)));
  const within = column((minutes, at) => (minutes.attainment[at] ?? 0) * (minutes.arrivals[at] as number));
  return {
    stepMs: span * minuteMs,
    atMs: Array.from({ length: bins }, (_, bin) => bin * span * minuteMs),
    demand: column(
      (minutes, at) =>
        busyMsOf(minutes.arrivals[at] as number, minutes.promptTokens[at] as number, minutes.outputTokens[at] as number) / minuteMs,
    ),
    wanted: column0("wanted"),
    ready,
    billed: ready.map((value, at) => value + (starting[at] as number) + (draining[at] as number)),
    queue: column0("queue"),
    attainment: judged.map((count, at) => (count === 0 ? null : (within[at] as number) / count)),
  };
}
