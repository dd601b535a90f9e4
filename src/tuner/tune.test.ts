import { expect, it } from "vitest";
import { explainTuned } from "./explain.ts";
import { knobsOf } from "./knobs.ts";
import { isBetterOutcome, type Outcome, outcomeOf, paretoFront, type Scored } from "./outcome.ts";
import { type Job, type TuneOptions, tune } from "./tune.ts";

const document = {
  kind: "hpa",
  manifest: {
    spec: {
      minReplicas: 1,
      maxReplicas: 16,
      metrics: [{ type: "Pods", pods: { metric: { name: "running" }, target: { type: "AverageValue", averageValue: "100" } } }],
    },
  },
} as const;
const bounds = { min: 1, max: 16 };
const knobs = knobsOf({ policy: document, metrics: {}, bounds });
const [levelKnob, leastKnob, , downKnob] = knobs as [(typeof knobs)[0], (typeof knobs)[0], (typeof knobs)[0], (typeof knobs)[0]];

/** A world of formulas: lower levels cost more and serve better, a minimum only costs, the windows do nothing. */
function world({ document: of, stage, seed }: Job, harder = 0): Scored {
  const level = levelKnob.read(of);
  const late = Math.max(0, (level - 40) / 1000 + (stage === "test" ? harder : 0) + seed * 1e-5);
  return { requests: 10_000, within: Math.round(10_000 * (1 - late)), gpuHours: 400 / level + leastKnob.read(of) / 4 };
}
const data = { requests: 100_000, lengthMs: 4 * 86_400_000 };
const options = (more: Partial<TuneOptions> = {}): TuneOptions => ({
  document,
  knobs,
  cases: 1,
  attainment: 0.99,
  seeds: 2,
  budget: 120,
  seed: 1,
  data: { train: data, validation: data, test: data },
  run: (jobs) => Promise.resolve(jobs.map((job) => world(job))),
  ...more,
});

it("finds the dearest level that holds the objective, and leaves alone what is worth nothing", async () => {
  const tuned = await tune(options());
  // Late is (level - 40) / 1000 and the mean luck of two seeds: 0.7 %, which leaves a reserve, at about 46.98.
  expect(levelKnob.read(tuned.document)).toBeGreaterThan(44.5);
  expect(levelKnob.read(tuned.document)).toBeLessThanOrEqual(47);
  expect(leastKnob.read(tuned.document)).toBe(1);
  expect(downKnob.read(tuned.document)).toBe(300);
  expect(tuned.ablation.map(({ knob }) => knob)).toEqual([levelKnob.name]);
  expect(tuned.found.test?.miss).toBe(0);
  expect(tuned.before.test?.miss).toBeGreaterThan(0);
  expect(tuned.warnings).toEqual([]);
});

it("is the same for the same options, however the runs come back", async () => {
  const slow = options({
    run: async (jobs) => {
      await Promise.resolve();
      return jobs.map((job) => world(job));
    },
  });
  expect(await tune(slow)).toEqual(await tune(options()));
  expect((await tune(options({ seed: 2 }))).front).not.toEqual((await tune(options())).front);
});

it("asks for each run but once, and for the test stretch only at the end", async () => {
  const jobs: Job[] = [];
  await tune(
    options({
      run: (asked) => {
        jobs.push(...asked);
        return Promise.resolve(asked.map((job) => world(job)));
      },
    }),
  );
  expect(new Set(jobs.map((job) => JSON.stringify(job))).size).toBe(jobs.length);
  const first = jobs.findIndex(({ stage }) => stage === "test");
  expect(jobs.slice(first).filter(({ stage }) => stage === "train")).toEqual([]);
  expect(jobs.filter(({ stage }) => stage === "test")).toHaveLength(4);
});

it("says that it is over-fit where unseen traffic is served worse", async () => {
  const { warnings } = await tune(options({ run: (jobs) => Promise.resolve(jobs.map((job) => world(job, 0.03))) }));
  expect(warnings).toEqual([expect.stringMatching(/^Over-fit: it holds 99.00 % on what it was tuned on, and 96/)]);
});

it("says when nothing holds, and when there is too little to learn from", async () => {
  const little = { requests: 500, lengthMs: 3_600_000 };
  const { warnings } = await tune(
    options({
      data: { train: little, validation: little, test: data },
      run: (jobs) => Promise.resolve(jobs.map(() => ({ requests: 500, within: 400, gpuHours: 1 }))),
    }),
  );
  expect(warnings).toEqual([
    expect.stringMatching(/^Too little data: train has 500 requests, of which 5 may be late/),
    expect.stringMatching(/^Too little data: validation/),
    expect.stringMatching(/^The search saw 1h of traffic/),
    expect.stringMatching(/^Nothing that was tried holds 99.00 %/),
  ]);
});

it("tries first what is known from elsewhere", async () => {
  const known = levelKnob.apply(document, 46.5);
  const seen: Job[] = [];
  const tuned = await tune(
    options({
      budget: 6,
      also: [known],
      run: (jobs) => {
        seen.push(...jobs);
        return Promise.resolve(jobs.map((job) => world(job)));
      },
    }),
  );
  expect(levelKnob.read((seen[1] as Job).document)).toBe(46.5);
  expect(levelKnob.read(tuned.document)).toBe(46.5);
});

it("leaves the last stretch alone, and explains nothing, where asked", async () => {
  const stages = new Set<string>();
  const tuned = await tune(
    options({
      tests: false,
      explains: false,
      run: (jobs) => {
        for (const { stage } of jobs) stages.add(stage);
        return Promise.resolve(jobs.map((job) => world(job)));
      },
    }),
  );
  expect([...stages].toSorted()).toEqual(["train", "validation"]);
  expect(tuned.found.test).toBeNull();
  expect(tuned.ablation).toEqual([]);
  expect(explainTuned(tuned).join("\n")).not.toMatch(/not seen before|each change|worth a change/);
});

it("runs to its end what was broken off before it says what it came to", async () => {
  const partly = (job: Job): Scored => {
    const whole = world(job);
    return job.mayBreakOff && whole.within < 9000 ? { requests: 100, within: 1, gpuHours: 1, isBrokenOff: true } : whole;
  };
  const bad = levelKnob.apply(document, 200);
  const tuned = await tune(options({ document: bad, run: (jobs) => Promise.resolve(jobs.map(partly)) }));
  expect(tuned.before.train.attainment).toBeCloseTo(0.84, 3);
  expect(tuned.found.train.miss).toBe(0);
});

it("passes over documents that are refused", async () => {
  const refusing = (job: Job): Scored =>
    levelKnob.read(job.document) < 45 ? { requests: 0, within: 0, gpuHours: 0, refused: "no" } : world(job);
  const tuned = await tune(options({ run: (jobs) => Promise.resolve(jobs.map(refusing)) }));
  expect(levelKnob.read(tuned.document)).toBeGreaterThanOrEqual(45);
});

it("explains what each change did", async () => {
  expect(explainTuned(await tune(options()))).toEqual([
    expect.stringMatching(/^Tuned by tidegate tune, 120 candidates/),
    expect.stringMatching(/tuned on: 4\.25 h at 9\d\.\d\d % → [89]\.\d\d h at 99\.\d\d %/),
    expect.stringMatching(/chosen by/),
    expect.stringMatching(/not seen before/),
    expect.stringMatching(/^What each change does/),
    expect.stringMatching(/averageValue: 100 → 4\d\.\d+; without it it costs \d+\.\d % less and holds 9\d\.\d\d % instead of 99/),
  ]);
});

const outcome = (gpuHours: number, attainment: number): Outcome => ({ gpuHours, attainment, miss: Math.max(0, 0.99 - attainment) });

it.each([
  ["that holds is better than a cheaper one that misses", outcome(9, 0.991), outcome(2, 0.98)],
  ["that is cheaper is better among those that hold", outcome(2, 0.991), outcome(9, 0.9999)],
  ["that misses less is better among those that miss", outcome(9, 0.98), outcome(2, 0.97)],
])("a candidate %s", (_, better, worse) => {
  expect(isBetterOutcome(better, worse)).toBe(true);
  expect(isBetterOutcome(worse, better)).toBe(false);
});

it("the front has nobody that another beats in both", () => {
  const all = [outcome(3, 0.99), outcome(1, 0.9), outcome(2, 0.89), outcome(4, 0.985), outcome(5, 0.999)].map((each) => ({
    outcome: each,
  }));
  expect(paretoFront(all).map(({ outcome: { gpuHours } }) => gpuHours)).toEqual([1, 3, 5]);
});

it("counts the worst case's share, its seeds together, and the hours of all", () => {
  const run = (within: number, gpuHours: number): Scored => ({ requests: 100, within, gpuHours });
  expect(
    outcomeOf(
      [
        [run(100, 2), run(98, 4)],
        [run(90, 1), run(100, 1)],
      ],
      0.99,
    ),
  ).toEqual({ gpuHours: 4, attainment: 0.95, miss: expect.closeTo(0.04, 9) });
});
