import type { Ms, Sample, Series, Subject } from "../model/index.ts";

/** Samples nobody collects are kept up to this number. */
const mostSamples = 1000;

interface Entry {
  readonly name: string;
  readonly subject: Subject;
  samples: Sample[];
  latest: Sample | null;
  fault: Series["fault"];
}

/** Series that grow by samples and keep their last good value through a fault. */
export interface SeriesBook {
  add(name: string, subject: Subject, sample: Sample): void;
  /** Marks a series, and makes it known when it is not; a fault that goes on keeps the time of its start. */
  fail(name: string, subject: Subject, code: string, sinceMs: Ms): void;
  /** Takes the mark off a series that is well but has nothing to say. */
  clear(name: string, subject: Subject): void;
  has(name: string, subject: Subject): boolean;
  drop(subject: Subject): void;
  /** All series, each with the samples added since the last call. */
  take(): Series[];
}

const keyOf = (subject: Subject) => JSON.stringify(subject);

export function createSeriesBook(): SeriesBook {
  const books = new Map<string, Map<string, Entry>>();
  const entry = (name: string, subject: Subject) => {
    const book = books.get(keyOf(subject)) ?? new Map<string, Entry>();
    books.set(keyOf(subject), book);
    const found = book.get(name) ?? { name, subject, samples: [], latest: null, fault: null };
    book.set(name, found);
    return found;
  };
  return {
    add(name, subject, sample) {
      const one = entry(name, subject);
      one.samples.push(sample);
      if (one.samples.length > mostSamples) one.samples.shift();
      one.latest = sample;
      one.fault = null;
    },
    fail(name, subject, code, sinceMs) {
      const one = entry(name, subject);
      if (one.fault?.code !== code) one.fault = { code, sinceMs };
    },
    clear(name, subject) {
      const one = books.get(keyOf(subject))?.get(name);
      if (one !== undefined) one.fault = null;
    },
    has: (name, subject) => books.get(keyOf(subject))?.has(name) ?? false,
    drop: (subject) => void books.delete(keyOf(subject)),
    take() {
      const all: Series[] = [];
      for (const book of books.values()) {
        for (const one of book.values()) {
          all.push({ name: one.name, subject: one.subject, samples: one.samples, latest: one.latest, fault: one.fault });
          one.samples = [];
        }
      }
      return all;
    },
  };
}
