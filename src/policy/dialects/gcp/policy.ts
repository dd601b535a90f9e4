import type { Endpoint, Json, Manifest, Ms, Observation, Policy, Replica, Step, Want } from "../../../model/index.ts";
import { type Recommended, recommend } from "../../guards.ts";
import { type Reader, readerOf } from "../../reading.ts";
import { type Cron, lastDue, parseCron } from "../../schedule.ts";
import { num, replicas, seconds } from "../../words.ts";
import { needsOf } from "../datapoints.ts";
import { groupSize, type Recommendation, stabilizeSize, utilizationSize, type Vm } from "./recommend.ts";
import { learnRates, type Rates, type Signal, signalReader, signalsOf } from "./signals.ts";
import { type Autoscaler, minReplicasOf } from "./words.ts";

const TICK_MS = 60_000;

/** `history`: what was recommended, within the bounds; `rates`: of counters. */
interface State {
  readonly history: readonly Recommended[];
  readonly rates: Rates;
}

interface Schedule {
  readonly name: string;
  readonly min: number;
  readonly cron: Cron;
  readonly timeZone: string;
  readonly durationMs: Ms;
}

/** A running VM: its machine is there, though its engine may still load. */
const isRunning = ({ state, stage }: Replica) =>
  state === "ready" || (state === "starting" && (stage === "pull" || stage === "load" || stage === "warmup" || stage === "wake"));
const runningSince = ({ entered }: Replica): Ms => entered.pull ?? entered.load ?? entered.warmup ?? entered.wake ?? entered.ready ?? 0;

/**
 * A managed instance group's autoscaler over the endpoint's first pool. The size at its start, or after a pause of its own, counts as
 * recommended then, so that a group is not shrunk before it has been watched for a stabilization period.
 */
export function gcpPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const { autoscalingPolicy: policy } = manifest.spec as unknown as Autoscaler;
  const signals = signalsOf(endpoint, policy);
  const pool = endpoint.pools[0];
  if (pool === undefined) throw new RangeError("an endpoint has at least one pool");
  const poolName = pool.name;
  const schedules = Object.entries(policy.scalingSchedules ?? {}).flatMap(([name, schedule]): Schedule[] =>
    schedule.disabled
      ? []
      : [
          {
            name,
            min: schedule.minRequiredReplicas,
            cron: parseCron(schedule.schedule, { kind: "unix", withYear: true }),
            timeZone: schedule.timeZone,
            durationMs: schedule.durationSec * 1000,
          },
        ],
  );
  const max = policy.maxNumReplicas;
  const min = Math.min(max, minReplicasOf(policy));
  const onlyOut = policy.mode === "ONLY_SCALE_OUT" || policy.mode === "ONLY_UP";
  const periodMs = policy.stabilizationPeriodSec * 1000;
  const coolDownMs = policy.coolDownPeriodSec * 1000;

  function recommendation(
    signal: Signal,
    observation: Observation,
    reader: Reader,
    rates: Rates,
    current: number,
  ): [Recommendation, string] {
    const { by } = signal;
    const read = signalReader(signal, reader, rates);
    const running = observation.replicas.filter((replica) => replica.pool === poolName && isRunning(replica));
    const initializes = (replica: Replica) => replica.state !== "ready" || observation.nowMs - runningSince(replica) < coolDownMs;
    if (by.kind !== "vm") {
      const value = read.group(running.filter(({ state }) => state === "ready").map(({ id }) => id));
      const rule = by.kind === "assignment" ? by : { target: by.target, running: running.length };
      const against = by.kind === "assignment" ? `${num(by.assignment)} for each VM` : `${num(by.target)}`;
      return [groupSize(value, rule, current), value === null ? "has no reading" : `is ${num(value, 3)} against ${against}`];
    }
    const vms = running.map((replica): Vm => ({ initializing: initializes(replica), value: read.vm(replica) }));
    const known = vms.flatMap(({ value }) => (value === null ? [] : [value]));
    const young = vms.filter(({ initializing }) => initializing).length;
    const mean = known.length === 0 ? Number.NaN : known.reduce((sum, value) => sum + value, 0) / known.length;
    const initializing = young === 0 ? "" : `, ${young} of them initializing`;
    const text =
      known.length === 0
        ? "has no reading"
        : `is ${num(mean, 3)} on average against ${num(by.target, 3)}, from ${known.length} of ${vms.length} running VMs${initializing}`;
    return [utilizationSize(vms, by.target, current), text];
  }

  return {
    kind: "gcp",
    needs: needsOf(
      endpoint,
      signals.map(({ signal }) => ({ signal, periodMs: TICK_MS })),
    ),
    wakesOn: ["config"],

    start(first) {
      const size = first.pools[poolName]?.wanted;
      return write({ history: size === undefined ? [] : recommend([], first.nowMs, size, periodMs), rates: {} });
    },

    decide(before, observation) {
      const { nowMs, seq } = observation;
      const { history, rates: oldRates } = read(before);
      const rates = learnRates(oldRates, observation, signals);
      const steps: Step[] = [];
      const say = (code: string, text: string, numbers: Step["numbers"] = {}) => steps.push({ code, pool: poolName, text, numbers });
      const finish = (next: State, want: Want) => ({
        state: write(next),
        decision: { seq, wants: { [poolName]: want }, steps, conditions: [], nextAtMs: nowMs + TICK_MS },
      });

      const status = observation.pools[poolName];
      if (status === undefined) {
        say("no-scale", `The platform does not say how many replicas pool ${poolName} has: the count stays.`);
        return finish({ history, rates }, { kind: "hold" });
      }
      const current = status.wanted;
      const reader = readerOf(observation, endpoint.staleAfterMs);
      let blind = signals.length > 0;
      let size = 0;
      for (const signal of signals) {
        const [found, text] = recommendation(signal, observation, reader, rates, current);
        blind &&= found.blind && found.size === current;
        size = Math.max(size, found.size);
        const why = found.blind ? `; a reading is missing, so it asks for no fewer than ${current}` : "";
        say(found.blind ? "signal-blind" : "signal", `${signal.metric} ${text}: ${found.size}${why}.`, { current, proposed: found.size });
      }
      for (const { name, min: least, cron, timeZone, durationMs } of schedules) {
        const sinceMs = lastDue(cron, timeZone, nowMs - durationMs, nowMs);
        if (sinceMs === null) continue;
        size = Math.max(size, least);
        say("schedule", `The schedule ${name} asks for at least ${least} for another ${seconds(sinceMs + durationMs - nowMs)}.`, {
          proposed: least,
        });
      }
      if (policy.cpuUtilization?.predictiveMethod === "OPTIMIZE_AVAILABILITY") {
        say("no-forecast", "Google's forecasts cannot be known here: CPU counts as it is.");
      }

      const recommended = Math.min(max, Math.max(min, size));
      if (recommended !== size)
        say("limited", `Limited from ${size} to ${recommended}: the group is to have ${min} to ${max}.`, { proposed: size, min, max });
      const lastMs = history.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY;
      const watched = nowMs - lastMs <= Math.max(periodMs, 2 * TICK_MS) ? history : recommend([], nowMs, current, periodMs);
      const stabilized = stabilizeSize(policy, watched, nowMs, recommended, current);
      const next: State = { history: stabilized.history, rates };
      if (stabilized.peak > recommended) {
        const text = `In the last ${seconds(periodMs)} up to ${stabilized.peak} were recommended: no fewer than that now.`;
        say("stabilized", text, { proposed: recommended, stabilized: stabilized.peak });
      }
      if (stabilized.floor !== null && stabilized.floor > stabilized.peak) {
        say("scale-in-control", `The scale-in control lets no more go now: no fewer than ${stabilized.floor}.`, {
          floor: stabilized.floor,
        });
      }
      if (policy.mode === "OFF") {
        say("off", `The autoscaler is off; it would have the size at ${stabilized.size}.`, { current, recommended: stabilized.size });
        return finish(next, { kind: "hold" });
      }
      let to = stabilized.size;
      if (onlyOut && to < current) {
        say("only-out", `The autoscaler only scales out: ${current} stay instead of ${to}.`, { current, proposed: to });
        to = current;
      }
      const inside = Math.min(pool.max, Math.max(pool.min, to));
      if (inside !== to)
        say("limited", `Limited from ${to} to ${inside}: the pool is to have ${pool.min} to ${pool.max}.`, { proposed: to });
      if (blind && inside === current) {
        say("no-data", `No signal has an answer: ${replicas(current)} stay.`, { current });
        return finish(next, { kind: "hold" });
      }
      say("desired", inside === current ? `The count stays at ${current}.` : `From ${current} to ${inside}.`, { current, desired: inside });
      return finish(next, { kind: "scale", replicas: inside, drain: [] });
    },

    settle: (state) => ({ state, conditions: [] }),
  };
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
