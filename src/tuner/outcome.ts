/** What one run came to, of the stretch that counts. */
export interface Scored {
  /** Completed, failed and rejected. */
  readonly requests: number;
  readonly within: number;
  readonly gpuHours: number;
  /** So many were late that it was broken off: the share is that of what had ended, the hours are as if it had gone on so. */
  readonly isBrokenOff?: true;
  /** The policy's own reader or the config refused the document; nothing ran. */
  readonly refused?: string;
}

/** What a candidate came to over cases and seeds. */
export interface Outcome {
  /** Of all cases, each the mean of its seeds. */
  readonly gpuHours: number;
  /** Of the case that misses most, its seeds together. */
  readonly attainment: number;
  /** By how much the objective is missed, summed over cases; 0: it holds in all. */
  readonly miss: number;
}

/** Of one document in each stretch; null: not looked at. */
export interface Staged {
  readonly train: Outcome;
  readonly validation: Outcome;
  readonly test: Outcome | null;
}

/** @param byCase the runs of each case, one for each seed */
export function outcomeOf(byCase: readonly (readonly Scored[])[], wanted: number): Outcome {
  if (byCase.some((runs) => runs.some(({ refused }) => refused !== undefined)))
    return { gpuHours: Number.POSITIVE_INFINITY, attainment: 0, miss: Number.POSITIVE_INFINITY };
  let gpuHours = 0;
  let attainment = 1;
  let miss = 0;
  for (const runs of byCase) {
    const requests = runs.reduce((sum, run) => sum + run.requests, 0);
    const share = requests === 0 ? 1 : runs.reduce((sum, run) => sum + run.within, 0) / requests;
    gpuHours += runs.reduce((sum, run) => sum + run.gpuHours, 0) / Math.max(1, runs.length);
    attainment = Math.min(attainment, share);
    miss += Math.max(0, wanted - share);
  }
  return { gpuHours, attainment, miss };
}

/** A candidate that holds is better than one that misses; of two that hold the cheaper one, of two that miss the one that misses less. */
export function isBetterOutcome(a: Outcome, b: Outcome): boolean {
  if (a.miss > 0 || b.miss > 0) return a.miss < b.miss || (a.miss === b.miss && a.gpuHours < b.gpuHours);
  return a.gpuHours < b.gpuHours;
}

/** Those that nobody beats in both: cheapest first, and from there on each serves more in time than the one before. */
export function paretoFront<Of extends { readonly outcome: Outcome }>(candidates: readonly Of[]): readonly Of[] {
  const sorted = candidates
    .filter(({ outcome }) => Number.isFinite(outcome.gpuHours))
    .sort((a, b) => a.outcome.gpuHours - b.outcome.gpuHours || b.outcome.attainment - a.outcome.attainment);
  const front: Of[] = [];
  for (const candidate of sorted) {
    const last = front.at(-1);
    if (last === undefined || candidate.outcome.attainment > last.outcome.attainment) front.push(candidate);
  }
  return front;
}
