import type { Ms } from "../../model/index.ts";
import type { DecisionRecord } from "../options.ts";

/** A decision that changed something, with what its policy said about it. */
export interface Change {
  readonly atMs: Ms;
  readonly pool: string;
  readonly from: number;
  readonly to: number;
  readonly why: readonly string[];
}

/** Keeps so many changes; where there are more, every second one goes, and again. */
export class Changes {
  private readonly most: number;
  private readonly fromMs: Ms;
  private kept: Change[] = [];
  private stride = 1;
  /** All of them, kept or not. */
  count = 0;

  constructor(most: number, fromMs: Ms = 0) {
    this.most = most;
    this.fromMs = fromMs;
  }

  add({ observation, decision, orders }: DecisionRecord): void {
    if (observation.nowMs < this.fromMs) return;
    for (const { pool, from, to } of orders) {
      if (from === to || this.count++ % this.stride !== 0) continue;
      const why = decision.steps.filter((step) => step.pool === undefined || step.pool === pool).map(({ text }) => text);
      this.kept.push({ atMs: observation.nowMs, pool, from, to, why });
      if (this.kept.length <= this.most) continue;
      this.kept = this.kept.filter((_, at) => at % 2 === 0);
      this.stride *= 2;
    }
  }

  get list(): readonly Change[] {
    return this.kept;
  }
}
