import type { Objective } from "../../model/index.ts";
import type { Figures } from "../result.ts";
import type { Change } from "./changes.ts";
import { type Course, isMet } from "./outcome.ts";
import { type Estimate, estimate } from "./statistics.ts";

/** One run: a policy in a scenario with the luck of one seed. */
export interface CellResult {
  readonly figures: Figures;
  /** Of the first seed only, where somebody wants to draw it. */
  readonly course: Course | null;
  readonly changes: { readonly count: number; readonly list: readonly Change[] } | null;
}

/** What it would have cost with the arrivals known beforehand; null: not worked out. */
export interface References {
  readonly lowerBoundGpuHours: number | null;
  readonly clairvoyantGpuHours: number | null;
}

/** The figures of a table, in the order of its columns. */
export const FIGURE_NAMES = [
  "gpuHours",
  "cost",
  "attainment",
  "ttftP50Ms",
  "ttftP95Ms",
  "ttftP99Ms",
  "tpotP50Ms",
  "tpotP95Ms",
  "arrived",
  "held",
  "failed",
  "rejected",
  "retries",
  "scaleEvents",
  "reversals",
  "violationMinutes",
  "readyMean",
] as const;
export type FigureName = (typeof FIGURE_NAMES)[number];

export const FIGURES: Readonly<Record<FigureName, (figures: Figures) => number | null>> = {
  gpuHours: ({ gpuHours }) => gpuHours,
  cost: ({ cost }) => cost,
  attainment: ({ attainment }) => attainment,
  ttftP50Ms: ({ ttft }) => ttft.p50Ms,
  ttftP95Ms: ({ ttft }) => ttft.p95Ms,
  ttftP99Ms: ({ ttft }) => ttft.p99Ms,
  tpotP50Ms: ({ tpot }) => tpot.p50Ms,
  tpotP95Ms: ({ tpot }) => tpot.p95Ms,
  arrived: ({ requests }) => requests.arrived,
  held: ({ held }) => held,
  failed: ({ requests }) => requests.failed,
  rejected: ({ requests }) => requests.rejected,
  retries: ({ retries }) => retries,
  scaleEvents: ({ scaleUps, scaleDowns }) => scaleUps + scaleDowns,
  reversals: ({ reversals }) => reversals,
  violationMinutes: ({ violationMinutes }) => violationMinutes,
  readyMean: ({ readyMean }) => readyMean,
};

/** A policy in one scenario over all seeds. */
export interface Standing {
  readonly policy: string;
  /** It knows the future: no policy, and nobody's rival. */
  readonly isReference: boolean;
  readonly isMet: boolean;
  /** Nobody is cheaper without being worse. */
  readonly isOnFrontier: boolean;
  readonly figures: Readonly<Record<FigureName, Estimate>>;
  /** GPU-hours over the clairvoyant's with the same luck; null where that is not known. */
  readonly toClairvoyant: Estimate | null;
  readonly course: Course | null;
  readonly changes: CellResult["changes"];
}

export interface ScenarioComparison {
  readonly scenario: string;
  readonly describes: string;
  readonly objective: Objective;
  readonly seeds: number;
  readonly references: readonly References[] | null;
  /** Who met the objective first, cheapest first; then the others, nearest first; references last. */
  readonly standings: readonly Standing[];
}

/** @param runs of each policy, by seed */
export function compareScenario(
  about: Pick<ScenarioComparison, "scenario" | "describes" | "objective">,
  runs: readonly { readonly policy: string; readonly isReference?: boolean; readonly cells: readonly CellResult[] }[],
  references: readonly References[] | null = null,
): ScenarioComparison {
  const standings = runs.map(({ policy, isReference = false, cells }): Standing => {
    const figures = Object.fromEntries(
      FIGURE_NAMES.map((name) => [name, estimate(cells.map((cell) => FIGURES[name](cell.figures)))]),
    ) as Record<FigureName, Estimate>;
    const ratios = references?.map(({ clairvoyantGpuHours }, seed) => {
      const hours = cells[seed]?.figures.gpuHours;
      return clairvoyantGpuHours === null || clairvoyantGpuHours === 0 || hours === undefined ? null : hours / clairvoyantGpuHours;
    });
    return {
      policy,
      isReference,
      isMet: isMet(figures.attainment.mean, about.objective.attainment),
      isOnFrontier: false,
      figures,
      toClairvoyant: ratios === undefined || ratios.every((ratio) => ratio === null) ? null : estimate(ratios),
      course: cells[0]?.course ?? null,
      changes: cells[0]?.changes ?? null,
    };
  });
  const cost = ({ figures }: Standing) => figures.cost.mean ?? 0;
  const share = ({ figures }: Standing) => figures.attainment.mean ?? 1;
  const beaten = (one: Standing) =>
    standings.some(
      (other) =>
        !other.isReference &&
        cost(other) <= cost(one) &&
        share(other) >= share(one) &&
        (cost(other) < cost(one) || share(other) > share(one)),
    );
  return {
    ...about,
    seeds: Math.max(0, ...runs.map(({ cells }) => cells.length)),
    references,
    standings: standings
      .map((standing) => ({ ...standing, isOnFrontier: !standing.isReference && !beaten(standing) }))
      .sort(
        (a, b) =>
          Number(a.isReference) - Number(b.isReference) ||
          Number(b.isMet) - Number(a.isMet) ||
          (a.isMet ? cost(a) - cost(b) : share(b) - share(a)) ||
          cost(a) - cost(b),
      ),
  };
}
