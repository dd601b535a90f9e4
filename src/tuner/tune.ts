import { type Knob, type PolicyDocument, placeOf, valueAtPlace, withValues } from "./knob.ts";
import { isBetterOutcome, type Outcome, outcomeOf, paretoFront, type Scored, type Staged } from "./outcome.ts";
import { search } from "./search/index.ts";
import { type DataFacts, warningsOf } from "./warn.ts";

/** Stretches of each case in order of time: searched on, chosen by, and looked at once, at the end. */
export const STAGES = ["train", "validation", "test"] as const;
export type Stage = (typeof STAGES)[number];

/** One run of the simulator that the tuner asks for. */
export interface Job {
  readonly document: PolicyDocument;
  readonly stage: Stage;
  /** Index of a case: a trace or a scenario. */
  readonly case: number;
  /** Of the simulator's luck. */
  readonly seed: number;
  /** A run that is hopeless may be broken off: what it would have come to is then an estimate. */
  readonly mayBreakOff?: true;
}

export interface TuneProgress {
  readonly phase: "search" | "choose" | "explain" | "test";
  /** Candidates tried, of those that will be. */
  readonly done: number;
  readonly of: number;
  /** Best so far; null: none yet. */
  readonly best: Outcome | null;
}

export interface TuneOptions {
  readonly document: PolicyDocument;
  readonly knobs: readonly Knob[];
  readonly cases: number;
  /** Share of requests that the objective asks for. */
  readonly attainment: number;
  /** Lucks that every candidate is tried with. */
  readonly seeds: number;
  /** Candidates of the search. */
  readonly budget: number;
  /** Of the search. */
  readonly seed: number;
  /** What there is to learn from, by stage, for warnings. */
  readonly data: Readonly<Record<Stage, DataFacts>>;
  /** Other documents of the same policy, such as what was found on similar traffic: tried first. */
  readonly also?: readonly PolicyDocument[];
  /** Whether changes are taken back one by one and explained, which costs two runs a knob and more; true unless stated. */
  readonly explains?: boolean;
  /** Whether the last stretch is looked at; true unless stated. Who reports on it otherwise leaves it alone here. */
  readonly tests?: boolean;
  /** Results in the order of the jobs; side by side where that is possible. */
  run(jobs: readonly Job[]): Promise<readonly Scored[]>;
  readonly onProgress?: (progress: TuneProgress) => void;
}

/** What one knob is worth: the found policy with this knob alone back where it was, on what the search knew. */
export interface Ablation {
  readonly knob: string;
  readonly before: number;
  readonly found: number;
  readonly without: Outcome;
}

export interface Tuned {
  readonly document: PolicyDocument;
  readonly before: Staged;
  readonly found: Staged;
  /** Of train and validation together: what `ablation` compares with. */
  readonly known: Outcome;
  /** Of the knobs that were changed, the dearest to miss first. */
  readonly ablation: readonly Ablation[];
  /** Whether that was looked into. */
  readonly explained: boolean;
  /** Of all that was tried, on train. */
  readonly front: readonly { readonly document: PolicyDocument; readonly outcome: Outcome }[];
  readonly warnings: readonly string[];
  readonly candidates: number;
}

/** Below the objective by more than this with one luck, a candidate is not tried with the others. */
const HOPELESS = 0.02;
/** Most that compete on validation; of a small budget a fifth. */
const FINALISTS = 8;
const FEW_FINALISTS = 3;
/**
 * Share of the error budget that what is tuned keeps in reserve on what it is tuned on and chosen by: what holds there by a hair does not
 * hold elsewhere.
 */
const RESERVE = 0.3;
/** A finalist may miss on train by as little: with more data it may hold. */
const NEAR = 0.002;
/** Where the first knob, which is a policy's level, is tried with all others as they are. */
const LEVEL_PLACES = [0.25, 0.4, 0.55, 0.7, 0.85] as const;
/** A change that saves less than this goes back to what it was. */
const WORTH = 0.005;

interface Candidate {
  readonly document: PolicyDocument;
  readonly values: readonly number[];
  readonly outcome: Outcome;
}

/**
 * Searches a policy's knobs for the least GPU-hours at the objective. Candidates are judged on the first stretch (train); the best of
 * them, and of those that serve more in time for more, compete on the second (validation); changes that turn out to be worth nothing are
 * taken back; and the one that is left meets the third (test) once, beside what there was before. The same options give the same answer,
 * however many runs go side by side.
 */
export async function tune(options: TuneOptions): Promise<Tuned> {
  const { document, knobs, budget, seed, attainment, also = [], explains = true, tests = true } = options;
  const wanted = 1 - (1 - RESERVE) * (1 - attainment);
  const judge = judgeOf(options, wanted);
  const starting = knobs.map((knob) => knob.read(document));
  const candidates: Candidate[] = [];
  let best: Outcome | null = null;
  const progress = (phase: TuneProgress["phase"], done: number, of: number) => options.onProgress?.({ phase, done, of, best });

  progress("search", 0, budget);
  await search({
    starts: startsOf(knobs, document, also),
    budget,
    seed,
    isBetter: isBetterOutcome,
    async evaluate(points) {
      const documents = points.map((point) => {
        const values = knobs.map((knob, at) => valueAtPlace(knob, point[at] as number));
        return { values, document: withValues(document, knobs, values) };
      });
      const outcomes = await judge.screen(documents.map((each) => each.document));
      outcomes.forEach((outcome, at) => {
        candidates.push({ ...(documents[at] as (typeof documents)[number]), outcome });
        if (best === null || isBetterOutcome(outcome, best)) best = outcome;
      });
      progress("search", candidates.length, budget);
      return outcomes;
    },
  });

  // The unchanged document is the first candidate as the search rounds it; as it is it takes part too.
  const [asItIs] = await judge.on("train", [document]);
  const before: Candidate = { document, values: starting, outcome: asItIs as Outcome };
  const front = paretoFront([before, ...candidates]);
  const most = Math.min(FINALISTS, Math.max(FEW_FINALISTS, Math.round(budget / 5)));
  const finalists = finalistsOf([before, ...candidates], front, wanted, most);
  progress("choose", 0, finalists.length);
  const validated = await judge.on(
    "validation",
    finalists.map((each) => each.document),
  );
  const together = finalists.map((candidate, at) => ({ candidate, known: both(candidate.outcome, validated[at] as Outcome) }));
  let { candidate: winner, known } = together.reduce((a, b) => (isBetterOutcome(b.known, a.known) ? b : a));
  progress("choose", finalists.length, finalists.length);

  // Take back what is worth nothing; what is left is explained by the same runs.
  const knownOf = async (of: PolicyDocument): Promise<Outcome> => {
    const [train] = await judge.on("train", [of]);
    const [validation] = await judge.on("validation", [of]);
    return both(train as Outcome, validation as Outcome);
  };
  const changed = new Set(knobs.flatMap((knob, at) => (knob.read(winner.document) === starting[at] ? [] : [at])));
  const restored = (values: readonly number[], at: number) =>
    values.map((value, index) => (index === at ? (starting[at] as number) : value));
  for (const at of explains ? [...changed] : []) {
    const values = restored(winner.values, at);
    const without = withChanges(document, knobs, values, changed, at);
    const outcome = await knownOf(without);
    if (outcome.miss <= known.miss && outcome.gpuHours <= known.gpuHours * (1 + WORTH)) {
      changed.delete(at);
      winner = { document: without, values, outcome };
      known = outcome;
    }
    progress("explain", 1 + knobs.indexOf(knobs[at] as Knob), 2 * knobs.length);
  }
  const ablation: Ablation[] = [];
  for (const at of explains ? changed : []) {
    const knob = knobs[at] as Knob;
    const without = await knownOf(withChanges(document, knobs, restored(winner.values, at), changed, at));
    ablation.push({ knob: knob.name, before: starting[at] as number, found: knob.read(winner.document), without });
    progress("explain", knobs.length + ablation.length, 2 * knobs.length);
  }
  ablation.sort((a, b) => (isBetterOutcome(a.without, b.without) ? 1 : isBetterOutcome(b.without, a.without) ? -1 : 0));

  if (tests) progress("test", 0, 1);
  const stages = async (of: PolicyDocument): Promise<Staged> => {
    const [[train], [validation], [test]] = [
      await judge.on("train", [of], attainment),
      await judge.on("validation", [of], attainment),
      tests ? await judge.on("test", [of], attainment) : [null],
    ];
    return { train: train as Outcome, validation: validation as Outcome, test: test as Outcome | null };
  };
  const found = await stages(winner.document);
  const was = await stages(document);
  if (tests) progress("test", 1, 1);
  return {
    document: winner.document,
    before: was,
    found,
    known,
    ablation,
    explained: explains,
    front: front.map(({ document: of, outcome }) => ({ document: of, outcome })),
    warnings: warningsOf({ before: was, found, data: options.data, wanted: attainment, edges: atEdge(knobs, changed, winner.document) }),
    candidates: candidates.length,
  };
}

/** As it is, what is known besides, and the level alone at several places: it matters most, and in a small budget is soon found. */
function startsOf(knobs: readonly Knob[], document: PolicyDocument, also: readonly PolicyDocument[]): readonly (readonly number[])[] {
  const placesOf = (of: PolicyDocument) => knobs.map((knob) => placeOf(knob, knob.read(of)));
  const own = placesOf(document);
  return [own, ...also.map(placesOf), ...LEVEL_PLACES.map((place) => own.map((other, at) => (at === 0 ? place : other)))];
}

/** The document with the values of those knobs that are changed, but for `except`. */
const withChanges = (
  document: PolicyDocument,
  knobs: readonly Knob[],
  values: readonly number[],
  changed: ReadonlySet<number>,
  except: number,
) => {
  const kept = knobs.map((_, at) => at).filter((at) => changed.has(at) && at !== except);
  return withValues(
    document,
    kept.map((at) => knobs[at] as Knob),
    kept.map((at) => values[at] as number),
  );
};

const both = (a: Outcome, b: Outcome): Outcome => ({
  gpuHours: a.gpuHours + b.gpuHours,
  attainment: Math.min(a.attainment, b.attainment),
  miss: a.miss + b.miss,
});

/** The best on train, and the cheapest of those that serve more in time: what holds by a hair there may miss elsewhere. */
function finalistsOf(all: readonly Candidate[], front: readonly Candidate[], wanted: number, most: number): readonly Candidate[] {
  const holding = front.filter(({ outcome }) => outcome.attainment >= wanted - NEAR).slice(0, most);
  const ranked = [...all].sort((a, b) => (isBetterOutcome(a.outcome, b.outcome) ? -1 : isBetterOutcome(b.outcome, a.outcome) ? 1 : 0));
  const chosen = new Map<string, Candidate>();
  for (const candidate of [...holding, ...ranked]) {
    if (chosen.size >= most) break;
    chosen.set(JSON.stringify(candidate.document), chosen.get(JSON.stringify(candidate.document)) ?? candidate);
  }
  return [...chosen.values()];
}

/** Knobs that ended at a bound of theirs, so that more of the same might be better still. */
const atEdge = (knobs: readonly Knob[], changed: ReadonlySet<number>, document: PolicyDocument): readonly string[] =>
  knobs.flatMap((knob, at) => {
    const place = placeOf(knob, knob.read(document));
    return changed.has(at) && !knob.integer && (place < 0.01 || place > 0.99) ? [knob.name] : [];
  });

/** Runs documents, each but once. */
function judgeOf({ run, cases, seeds }: TuneOptions, wanted: number) {
  const known = new Map<string, Scored>();
  const keyOf = (job: Job) => JSON.stringify([job.document, job.stage, job.case, job.seed]);
  const jobsOf = (document: PolicyDocument, stage: Stage, from: number, to: number): readonly Job[] =>
    Array.from({ length: cases }, (_, at) =>
      Array.from({ length: to - from }, (_, index): Job => ({ document, stage, case: at, seed: from + index + 1 })),
    ).flat();
  /** @param exactly runs that were broken off are run again, to their end */
  const complete = async (jobs: readonly Job[], exactly: boolean) => {
    const missing = new Map<string, Job>();
    for (const job of jobs) {
      const scored = known.get(keyOf(job));
      if (scored === undefined || (exactly && scored.isBrokenOff === true))
        missing.set(keyOf(job), exactly ? job : { ...job, mayBreakOff: true });
    }
    const results = await run([...missing.values()]);
    [...missing.keys()].forEach((key, at) => {
      known.set(key, results[at] as Scored);
    });
  };
  const outcome = (document: PolicyDocument, stage: Stage, share = wanted): Outcome => {
    const byCase = Array.from({ length: cases }, (_, at) =>
      Array.from({ length: seeds }, (_, index) => known.get(keyOf({ document, stage, case: at, seed: index + 1 }))).filter(
        (scored) => scored !== undefined,
      ),
    );
    return outcomeOf(byCase, share);
  };
  return {
    /** On train, with all lucks only where the first gives hope. */
    async screen(documents: readonly PolicyDocument[]): Promise<readonly Outcome[]> {
      await complete(
        documents.flatMap((document) => jobsOf(document, "train", 0, 1)),
        false,
      );
      const hopeful = documents.filter((document) => outcome(document, "train").miss <= HOPELESS);
      await complete(
        hopeful.flatMap((document) => jobsOf(document, "train", 1, seeds)),
        false,
      );
      return documents.map((document) => outcome(document, "train"));
    },
    /** `share`: what misses are counted from, the tuner's own unless told. */
    async on(stage: Stage, documents: readonly PolicyDocument[], share = wanted): Promise<readonly Outcome[]> {
      await complete(
        documents.flatMap((document) => jobsOf(document, stage, 0, seeds)),
        true,
      );
      return documents.map((document) => outcome(document, stage, share));
    },
  };
}
