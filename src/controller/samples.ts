import type { Sample, Series, Subject } from "../model/index.ts";

/** Samples of one series that are kept for a decision that does not come; the oldest go first. */
const keptSamples = 1000;

/**
 * Series are read more often than the policy is asked, and each sample is handed out once: what comes between two decisions is
 * kept here, so that the next Observation has all of it.
 */
export interface SampleStore {
  /** A fresh look: its samples are added, and series that it no longer holds are forgotten. */
  add(series: readonly Series[]): void;
  /** The series of the last look, with every sample since the last call, oldest first. */
  take(): readonly Series[];
}

const keyOf = (name: string, subject: Subject) => JSON.stringify([name, subject]);

export function createSampleStore(): SampleStore {
  let latest: readonly Series[] = [];
  let waiting = new Map<string, readonly Sample[]>();
  return {
    add(series) {
      latest = series;
      waiting = new Map(
        series.map((one) => {
          const key = keyOf(one.name, one.subject);
          const before = waiting.get(key) ?? [];
          return [key, one.samples.length === 0 ? before : [...before, ...one.samples].slice(-keptSamples)];
        }),
      );
    },
    take() {
      const full = latest.map((one) => ({ ...one, samples: waiting.get(keyOf(one.name, one.subject)) ?? [] }));
      waiting = new Map();
      return full;
    },
  };
}
