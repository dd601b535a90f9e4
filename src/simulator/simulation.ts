import { createLedger } from "../ledger/index.ts";
import type { Ms } from "../model/index.ts";
import { createPolicy } from "../policy/index.ts";
import { createDoor, type Door } from "./door.ts";
import { EventQueue } from "./event-queue.ts";
import { blindnessOf } from "./faults.ts";
import { createFleet, type Fleet, type FleetEvents } from "./fleet.ts";
import { createLoop } from "./loop.ts";
import { type SimulationOptions, settingsOf } from "./options.ts";
import { luckOf } from "./random.ts";
import { createReadings } from "./readings.ts";
import { Recorder } from "./recorder.ts";
import type { SimulationResult } from "./result.ts";
import { cursorOf } from "./rows.ts";

const minuteMs: Ms = 60_000;
/** What is still under way so long after the end is given up: it counts as open. */
const longestTailMs: Ms = 3_600_000;

export interface SoFar {
  /** Completed, failed and rejected. */
  readonly judged: number;
  readonly within: number;
  readonly gpuHours: number;
}

/** A run that is stepped, for whoever wants to show how far it is. */
export interface Simulation {
  readonly nowMs: Ms;
  readonly arrived: number;
  readonly done: boolean;
  /** What is counted so far of the stretch that is reported: after the split where there is one. */
  soFar(): SoFar;
  /** Takes in at most so many rows of the trace, with all that happens up to the last of them. @returns whether there is more */
  step(rows: number): boolean;
  /** @throws RangeError while the run is not done */
  result(): SimulationResult;
}

/** @throws TidegateError `usage` of options that mean nothing; `step` throws `trace/invalid` of a bad row */
export function createSimulation(options: SimulationOptions): Simulation {
  const settings = settingsOf(options);
  const { endpoint, durationMs } = settings;
  const policy = options.policy ?? createPolicy(endpoint);
  const queue = new EventQueue();
  const luck = luckOf(settings.seed);
  const ledger = createLedger({ objective: endpoint.objective, id: "simulated" });
  const recorder = new Recorder({
    warmupMs: settings.warmupMs,
    splitMs: settings.splitMs,
    reversalMs: settings.reversalMs,
    attainment: endpoint.objective.attainment,
  });
  const rows = cursorOf(settings.trace);
  /** Of the last arrival. */
  let arrivedMs: Ms = 0;
  let arrived = 0;
  let done = false;

  // Door and fleet know of each other: the fleet is made last.
  const door: Door = createDoor(
    settings,
    endpoint.gateway,
    ledger,
    () => fleet,
    recorder,
    queue,
    (atMs) => loop.wake("held", atMs),
  );
  const events: FleetEvents = {
    firstToken: door.firstToken,
    finished: door.finished,
    changing: (atMs) => recorder.accrue(atMs),
    changed: (state) => recorder.become(state),
    ready: (_replica, atMs) => door.ready(atMs),
    lost: door.lost,
    gone: ({ id }) => ledger.forget(id),
    noticed: (atMs) => loop.wake("replica", atMs),
  };
  const blindness = blindnessOf(settings.faults);
  // Whether pages need histograms is known from the needs alone, before there is a fleet.
  const fleet: Fleet = createFleet(settings, queue, luck, events, () => readings.readsHistograms);
  const readings = createReadings(settings, policy.needs, blindness, fleet, ledger, queue, luck.readings);
  const loop = createLoop(endpoint, policy, fleet, readings, recorder, queue, settings.onDecision, door.advise);

  if (durationMs !== null) recorder.endMs = durationMs;
  for (const boundaryMs of [settings.warmupMs, settings.splitMs ?? 0, durationMs ?? 0]) {
    if (boundaryMs > 0)
      queue.set(
        queue.add((atMs) => recorder.accrue(atMs)),
        boundaryMs,
      );
  }
  const minuteTimer = queue.add((atMs) => {
    recorder.accrue(atMs);
    recorder.queued(atMs, door.waiting + door.queued);
    queue.set(minuteTimer, atMs + minuteMs);
  });
  queue.set(minuteTimer, minuteMs);
  fleet.start(0);
  readings.start(0);
  loop.start(0);
  let hasRow = rows.next() && rows.arrivalMs <= recorder.endMs;

  /** After the last row: up to the end, then until nothing is open. */
  function finish(): void {
    if (durationMs === null) recorder.endMs = arrivedMs;
    const { endMs } = recorder;
    while (queue.nextMs <= endMs) queue.fireNext();
    recorder.accrue(endMs);
    while (door.open > 0 && queue.nextMs <= endMs + longestTailMs) queue.fireNext();
    done = true;
  }

  return {
    get nowMs() {
      return Math.max(arrivedMs, queue.nowMs);
    },
    get arrived() {
      return arrived;
    },
    get done() {
      return done;
    },
    soFar: () => recorder.soFar(),
    step(count) {
      for (let left = count; left > 0 && hasRow; left--) {
        const { arrivalMs } = rows;
        // What arrives at a moment is there before anything else happens at it.
        queue.runBefore(arrivalMs);
        arrivedMs = arrivalMs;
        door.arrive(rows, arrivalMs);
        arrived++;
        hasRow = rows.next() && rows.arrivalMs <= recorder.endMs;
      }
      if (!hasRow && !done) finish();
      return !done;
    },
    result() {
      if (!done) throw new RangeError("the run is not done: step until it says that there is no more");
      return {
        whole: recorder.whole(),
        afterSplit: recorder.afterSplit(),
        latencies: recorder.latencies(),
        minutes: recorder.minuteColumns(),
        pools: Object.fromEntries(
          fleet.pools.map(({ pool, kvPeak, born, replicas }) => [
            pool.name,
            { kvPeak: replicas.reduce((most, { engine }) => Math.max(most, engine.kvPeak), kvPeak), born },
          ]),
        ),
        decisions: recorder.decisions,
        oversized: door.oversized,
        engine: { genTokens: fleet.genTokens(), preemptions: fleet.preemptions() },
        events: queue.fired + arrived,
        endMs: recorder.endMs,
      };
    },
  };
}

/** A whole run at once: the same options give the same result to the last bit. */
export function simulate(options: SimulationOptions): SimulationResult {
  const simulation = createSimulation(options);
  while (simulation.step(1_000_000));
  return simulation.result();
}
