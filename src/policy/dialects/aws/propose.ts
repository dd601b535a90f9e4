import type { Ms } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import type { AlarmState } from "./alarm.ts";
import { adjust } from "./capacity.ts";
import type { Alarm, ScalingPolicy, Settling } from "./group.ts";
import { stepFor } from "./steps.ts";
import { scaleInCapacity, scaleOutCapacity } from "./target-tracking.ts";

/**
 * What one policy wants of the group now.
 * - `out`, `in`: another capacity.
 * - `hold`: this one; a target tracking policy that holds keeps all target tracking policies from scaling in.
 * - `blind`: it has no reading; as `hold`.
 * - `silent`: it has no say.
 */
export interface Proposal {
  readonly policy: string;
  readonly kind: ScalingPolicy["kind"];
  readonly verdict: "out" | "in" | "hold" | "blind" | "silent";
  readonly capacity: number;
  readonly code: string;
  readonly text: string;
  readonly numbers: Readonly<Record<string, number>>;
}

/** An alarm as it stands: its state and the values of the periods that it looks at, oldest first. */
export interface AlarmReading {
  readonly state: AlarmState;
  readonly values: readonly (number | null)[];
}

export interface Facts {
  readonly nowMs: Ms;
  /** The capacity asked for. */
  readonly current: number;
  /** Of the current ones, those that are not there yet or have been ready for less than `warmUpMs`. */
  warming(warmUpMs: Ms): number;
  alarm(alarm: Alarm): AlarmReading;
  /** The last change out under a cool-down: since when, and from which capacity. */
  readonly lastOut: { readonly atMs: Ms; readonly from: number } | null;
  readonly lastInMs: Ms | null;
  /** Until when simple policies wait; infinite while a change of theirs is under way. */
  readonly simpleWaitUntilMs: Ms;
}

/** What counts as working capacity, and what keeps a policy from scaling in. */
interface Settled {
  readonly working: number;
  readonly whyNotIn: string | null;
}

function settledOf(settling: Settling, facts: Facts): Settled {
  const { nowMs, current, lastOut, lastInMs } = facts;
  if (settling.kind === "warm-up") {
    const warming = Math.min(current, facts.warming(settling.ms));
    return { working: current - warming, whyNotIn: warming > 0 ? `${replicas(warming)} are warming up (${seconds(settling.ms)})` : null };
  }
  const coolingOut = lastOut !== null && nowMs - lastOut.atMs < settling.outMs;
  const coolingIn = lastInMs !== null && nowMs - lastInMs < settling.inMs;
  return {
    working: coolingOut ? Math.min(current, lastOut.from) : current,
    whyNotIn: coolingIn ? `the last scale-in was ${seconds(nowMs - lastInMs)} ago, its cool-down is ${seconds(settling.inMs)}` : null,
  };
}

export function propose(policy: ScalingPolicy, facts: Facts): Proposal {
  switch (policy.kind) {
    case "target":
      return proposeTarget(policy, facts);
    case "step":
      return proposeStep(policy, facts);
    case "simple":
      return proposeSimple(policy, facts);
    case "idle":
      return {
        policy: policy.name,
        kind: "idle",
        verdict: "silent",
        capacity: facts.current,
        code: "policy-idle",
        text: `${policy.name} does nothing: ${policy.why}.`,
        numbers: {},
      };
  }
}

type Of<K extends ScalingPolicy["kind"]> = Extract<ScalingPolicy, { readonly kind: K }>;

const proposal =
  ({ name, kind }: ScalingPolicy, facts: Facts, numbers: Readonly<Record<string, number>>) =>
  (verdict: Proposal["verdict"], capacity: number, code: string, text: string): Proposal => ({
    policy: name,
    kind,
    verdict,
    capacity,
    code,
    text: `${name}: ${text}.`,
    numbers: { ...numbers, current: facts.current, proposed: capacity },
  });

function proposeTarget(policy: Of<"target">, facts: Facts): Proposal {
  const { query, target, high, low, model, settling } = policy;
  const { current } = facts;
  const [above, below] = [facts.alarm(high), facts.alarm(low)];
  const metric = above.values.at(-1) ?? null;
  if (metric === null) {
    const text = `${query.name} has no datapoint in the last ${seconds(query.periodMs)}; without data there is no scaling either way`;
    return proposal(policy, facts, { target })("blind", current, "no-data", text);
  }
  const say = proposal(policy, facts, { value: metric, target });
  const reading = `${query.name} is ${num(metric)} against ${num(target)}`;
  const { working, whyNotIn } = settledOf(settling, facts);
  if (above.state === "ALARM" && metric > target) {
    const wanted = scaleOutCapacity(working, metric, target);
    const counted = `${reading} on ${replicas(working)} that count`;
    if (wanted > current) return say("out", wanted, "target-out", `${counted}: ${wanted} instead of ${current}`);
    return say("hold", current, "pending", `${counted}: that is ${wanted}, and ${current} are there or on their way`);
  }
  if (below.state === "ALARM" && metric < target) {
    if (!policy.scaleIn) return say("silent", current, "scale-in-disabled", `${reading}, but its scale-in is disabled`);
    if (whyNotIn !== null) return say("hold", current, "settling", `${reading}, but ${whyNotIn}: no scale-in yet`);
    const wanted = scaleInCapacity(current, metric, target, model);
    if (wanted < current) return say("in", wanted, "target-in", `${reading}: ${wanted} instead of ${current} still leave a margin`);
    return say("hold", current, "margin", `${reading}: one less than ${current} would leave too little margin`);
  }
  const waits = above.state === "INSUFFICIENT_DATA" ? "has too little data" : `is ${above.state}`;
  const verdict = policy.scaleIn ? "hold" : "silent";
  return say(verdict, current, "on-target", `${reading}; its high alarm ${waits}, its low alarm is ${below.state}`);
}

/** What an alarm's newest datapoints come to. */
function aggregate(values: readonly number[], by: "Average" | "Minimum" | "Maximum"): number {
  if (by === "Minimum") return Math.min(...values);
  if (by === "Maximum") return Math.max(...values);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function proposeStep(policy: Of<"step">, facts: Facts): Proposal {
  const { current } = facts;
  const { working, whyNotIn } = settledOf(policy.settling, facts);
  const found = policy.alarms.map((alarm): Proposal => {
    const { state, values } = facts.alarm(alarm);
    const { threshold, evaluationPeriods } = alarm.rule;
    const newest = values.slice(-evaluationPeriods).filter((value) => value !== null);
    if (newest.length === 0 || state === "INSUFFICIENT_DATA") {
      return proposal(policy, facts, { threshold })("blind", current, "no-data", `${alarm.name} has no data on ${alarm.query.name}`);
    }
    const metric = aggregate(newest, policy.aggregation);
    const say = proposal(policy, facts, { value: metric, threshold });
    const reading = `${alarm.name}: ${alarm.query.name} is ${num(metric)} against ${num(threshold)}`;
    if (state !== "ALARM") return say("silent", current, "alarm-ok", `${reading}, no alarm`);
    const step = stepFor(policy.steps, metric - threshold);
    if (step === null) return say("silent", current, "no-step", `${reading}, and no step is for ${num(metric - threshold)}`);

    const adjustment = { ...policy.adjustment, amount: step.ScalingAdjustment };
    const lowers = adjust(current, adjustment) < current;
    if (lowers) {
      if (whyNotIn !== null) return say("hold", current, "settling", `${reading}, but ${whyNotIn}: no scale-in yet`);
      const wanted = adjust(current, adjustment);
      return say("in", wanted, "step-in", `${reading}, a step of ${describe(adjustment)}: ${wanted} instead of ${current}`);
    }
    const wanted = adjust(working, adjustment);
    const base = working === current ? "" : ` from the ${working} that count`;
    if (wanted > current) {
      return say("out", wanted, "step-out", `${reading}, a step of ${describe(adjustment)}${base}: ${wanted} instead of ${current}`);
    }
    const why = working === current ? "that changes nothing" : `that is ${wanted}, and ${current} are there or on their way`;
    return say("hold", current, "pending", `${reading}, a step of ${describe(adjustment)}${base}: ${why}`);
  });
  return loudest(found);
}

function proposeSimple(policy: Of<"simple">, facts: Facts): Proposal {
  const { current, nowMs, simpleWaitUntilMs } = facts;
  const found = policy.alarms.map((alarm): Proposal => {
    const { state, values } = facts.alarm(alarm);
    const metric = values.findLast((value) => value !== null);
    if (metric === undefined || metric === null || state === "INSUFFICIENT_DATA") {
      return proposal(policy, facts, {})("blind", current, "no-data", `${alarm.name} has no data on ${alarm.query.name}`);
    }
    const say = proposal(policy, facts, { value: metric, threshold: alarm.rule.threshold });
    const reading = `${alarm.name}: ${alarm.query.name} is ${num(metric)} against ${num(alarm.rule.threshold)}`;
    if (state !== "ALARM") return say("silent", current, "alarm-ok", `${reading}, no alarm`);
    if (nowMs < simpleWaitUntilMs) {
      const until = Number.isFinite(simpleWaitUntilMs)
        ? `for another ${seconds(simpleWaitUntilMs - nowMs)}`
        : "once the last change is done";
      return say("hold", current, "cool-down", `${reading}, but simple policies cool down ${until}`);
    }
    const wanted = adjust(current, policy.adjustment);
    const verdict = wanted > current ? "out" : wanted < current ? "in" : "hold";
    return say(verdict, wanted, `simple-${verdict}`, `${reading}, ${describe(policy.adjustment)}: ${wanted} instead of ${current}`);
  });
  return loudest(found);
}

function describe({
  type,
  amount,
  minMagnitude,
}: {
  readonly type: string;
  readonly amount: number;
  readonly minMagnitude: number;
}): string {
  if (type === "ExactCapacity") return `exactly ${amount}`;
  const signed = amount > 0 ? `+${amount}` : `${amount}`;
  if (type === "ChangeInCapacity") return signed;
  return minMagnitude > 0 ? `${signed} %, at least ${minMagnitude}` : `${signed} %`;
}

const LOUDNESS: readonly Proposal["verdict"][] = ["out", "in", "hold", "blind", "silent"];

/** Of what several alarms of one policy call for: out before in, then the larger capacity. */
function loudest(found: readonly Proposal[]): Proposal {
  const [first] = found.toSorted((a, b) => LOUDNESS.indexOf(a.verdict) - LOUDNESS.indexOf(b.verdict) || b.capacity - a.capacity);
  return first as Proposal;
}

/**
 * Several policies: the largest capacity that any wants on the way out. On the way in target tracking policies go only together, as
 * far as the one that wants least; of those and the alarms of other policies the largest capacity wins. `by` is whose it is.
 */
export function combine(proposals: readonly Proposal[], current: number): { readonly capacity: number; readonly by: Proposal | null } {
  const largest = (of: readonly Proposal[]) => of.toSorted((a, b) => b.capacity - a.capacity)[0] ?? null;
  const out = largest(proposals.filter(({ verdict }) => verdict === "out"));
  if (out !== null) return { capacity: out.capacity, by: out };
  const inwards = proposals.filter(({ verdict }) => verdict === "in");
  const tracking = proposals.filter(({ kind, verdict }) => kind === "target" && verdict !== "silent");
  const agreed = tracking.every(({ verdict }) => verdict === "in");
  const by = largest(agreed ? inwards : inwards.filter(({ kind }) => kind !== "target"));
  return { capacity: by?.capacity ?? current, by };
}
