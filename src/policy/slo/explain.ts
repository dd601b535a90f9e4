import type { Ms, Step } from "../../model/index.ts";
import { replicas as count, num, seconds } from "../words.ts";
import type { Coming } from "./announced.ts";
import type { SafeLoad } from "./capacity.ts";
import type { Choice } from "./choice.ts";
import type { Rate } from "./demand.ts";
import type { Sizing } from "./sizing.ts";

const percent = (share: number) => `${num(share * 100)} %`;
const step = (code: string, text: string, numbers: Readonly<Record<string, number>> = {}): Step => ({ code, text, numbers });

export const demandStep = (rate: Rate, work: number): Step =>
  step(
    "demand",
    `${num(rate.requests)} requests/s arrive with ${num(rate.prefill, 0)} prompt and some ${num(rate.output, 0)} output tokens/s: ${num(work)} replica-seconds of work per second.`,
    { requests: rate.requests, promptTokens: rate.prefill, outputTokens: rate.output, work },
  );

export const infeasibleStep = (why: string): Step =>
  step(
    "infeasible",
    `The objective cannot be met: ${why}. Sized for what arrives all the same; relax the objective or use a faster engine.`,
  );

export const capacityStep = (safe: SafeLoad, perReplica: number, workPerRequest: number, samples: number): Step =>
  step(
    "capacity",
    `One replica carries ${num(perReplica)} of it when it is never idle, some ${num(perReplica / Math.max(1e-9, workPerRequest))} requests/s, and inside the objective for long ${percent(safe.utilization)} of that (bound by ${safe.bound}; ${samples < 10 ? "hardly measured yet" : `${num(samples, 0)} samples`}).`,
    { perReplica, utilization: safe.utilization, samples },
  );

export const budgetStep = (spent: number, allowed: number, correction: number): Step =>
  step(
    "budget",
    `${percent(spent)} of the error budget was spent of late, so that a way of sizing may have had ${percent(allowed)} late; misses seen are ${num(correction)} times those foretold.`,
    { spent, left: Math.max(0, 1 - spent), allowed, correction },
  );

/** `otherwise`: the best choice without the kind of row that was chosen, with the replicas that it would want. */
export const shadowStep = (choice: Choice, otherwise: { readonly choice: Choice; readonly replicas: number } | null): Step =>
  step(
    "shadow",
    `Replayed on what was seen, ${choice.by}${choice.headroom === 1 ? "" : ` times ${num(choice.headroom)}`} would have had ${percent(choice.late)} late with ${num(choice.replicas, 1)} replicas in the mean: ${
      choice.tooLate ? "no way would have held the objective, and this one is the safest" : "the cheapest way that holds the objective"
    }${otherwise === null ? "" : `; without it, ${otherwise.choice.by} would want ${num(otherwise.replicas, 0)} now`}.`,
    {
      headroom: choice.headroom,
      late: choice.late,
      replicas: choice.replicas,
      ...(otherwise === null ? {} : { without: otherwise.replicas }),
    },
  );

export const forecastStep = (now: number, ahead: number, horizonMs: Ms): Step =>
  step(
    "forecast",
    `${num(now)} arrive now; over the next ${seconds(horizonMs)} (one cold start and one interval) the fleet should be able to carry ${num(ahead)}.`,
    { now, upper: ahead, horizonMs },
  );

export const jumpStep = (work: number, mean: number, windowSeconds: number): Step =>
  step("jump", `The last ${windowSeconds} s bring surely more than was to be carried: ${num(work)}, the mean is ${num(mean)}.`, { work });

export const backlogStep = (queued: number, sized: Sizing, ready: number, starting: number): Step =>
  step(
    "backlog",
    sized.forBacklog > 0
      ? `${num(queued)} requests queue; ${num(sized.backlogThen)} replica-seconds of them are left when a new replica could be ready: ${num(sized.forBacklog)} more replicas drain that in ${seconds(sized.drainMs)}.`
      : `${num(queued)} requests queue; the ${ready} ready and ${starting} starting replicas drain them in time.`,
    { queued, left: sized.backlogThen, replicas: sized.forBacklog },
  );

export const idleStep = (idleMs: Ms, afterMs: Ms, why: string): Step =>
  step(
    "idle",
    `Nothing arrived and nothing was in flight for ${seconds(idleMs)}, at least ${seconds(afterMs)}${why}: down to the minimum.`,
    {
      idleMs,
      zeroAfterMs: afterMs,
    },
  );

export const announcedStep = ({ event, startMs, work, replicas }: Coming, nowMs: Ms): Step =>
  step(
    "announced",
    `${event.name} ${startMs > nowMs ? `begins in ${seconds(startMs - nowMs)}` : `goes on for ${seconds(startMs + event.forMs - nowMs)} more`}: ${event.replicas === null ? `${num(event.times as number)} times the load, ${num(work)}` : `at least ${count(replicas)}`}.`,
    { inMs: startMs - nowMs, work, replicas },
  );
