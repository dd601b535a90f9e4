import type { Step } from "../../../model/index.ts";
import { num, replicas } from "../../words.ts";
import type { AutoscalingConfig } from "./autoscaling-config.ts";
import type { ScalingContext, Verdict } from "./decision.ts";
import type { Deployment } from "./deployments.ts";

interface Explained {
  readonly pool: string;
  readonly deployment: Deployment;
  readonly config: AutoscalingConfig;
  readonly context: ScalingContext;
  readonly verdict: Verdict;
  readonly bounds: { readonly lower: number; readonly upper: number };
  readonly target: number;
  readonly unsure: boolean;
  readonly nowS: number;
}

/** A decision's stages in sentences and numbers, in the order in which they were taken. */
export function explainDecision({ pool, deployment, config, context, verdict, bounds, target, unsure, nowS }: Explained): readonly Step[] {
  const { currentNumReplicas: running, targetNumReplicas: before, totalNumRequests: requests } = context;
  const steps: Step[] = [];
  const say = (code: string, text: string, numbers: Readonly<Record<string, number>>) => steps.push({ code, pool, text, numbers });
  const total = `${num(requests)} requests queued or running`;

  if (verdict.branch === "cold-start") {
    const text = `${total} and nothing runs: ${deployment.name} starts ${replicas(verdict.decision)} at once.`;
    say("cold-start", text, { requests, decision: verdict.decision });
  } else {
    const desired = verdict.desired ?? before;
    const text =
      running === 0
        ? `${total} and nothing runs: ${num(desired)} wanted.`
        : `${total} on ${replicas(running)} against ${num(config.target_ongoing_requests)} each: ${num(desired)} wanted.`;
    say("requests", text, { requests, running, target: config.target_ongoing_requests, desired });
  }
  const scaled = verdict.scaled;
  if (scaled !== null && verdict.desired !== null && scaled !== Math.ceil(verdict.desired)) {
    const text = `A factor on the distance from ${running} makes ${scaled} of ${num(verdict.desired)}.`;
    say("factor", text, { running, desired: verdict.desired, scaled });
  }
  if (verdict.branch === "from-zero") say("from-zero", `Nothing runs: ${scaled} is taken without delay.`, { scaled: scaled ?? 0 });
  if (verdict.waiting !== null) {
    const { direction, sinceS, delayS } = verdict.waiting;
    const forS = Math.max(0, nowS - sinceS);
    const text = `Going ${direction} from ${before} to ${scaled} waits until that has been so for ${num(delayS)} s; it has been for ${num(forS)} s.`;
    say("delay", text, { from: before, to: scaled ?? before, forSeconds: forS, delaySeconds: delayS });
  }
  if (deployment.gangSize > 1) {
    say("gang", `Replicas come in gangs of ${deployment.gangSize}.`, { gangSize: deployment.gangSize, decision: verdict.decision });
  }
  if (unsure)
    say("partial", `Not every replica says what it has, so the count does not fall below ${before}.`, { decision: verdict.decision });
  else if (target !== verdict.decision) {
    const text = `${verdict.decision} is outside ${bounds.lower} to ${bounds.upper}: ${target}.`;
    say("bounds", text, { decision: verdict.decision, lower: bounds.lower, upper: bounds.upper, target });
  }
  say("desired", target === before ? `The target stays at ${target}.` : `The target goes from ${before} to ${target}.`, { before, target });
  return steps;
}

/** Without a number there is no decision. `queue`: the broker's queue that has none; null: the requests. */
export function explainBlind(pool: string, { name }: Deployment, target: number, queue: string | null): readonly Step[] {
  const what = queue === null ? "how many requests it has" : `how long its queue ${queue} is`;
  return [{ code: "no-data", pool, text: `Nobody says of ${name} ${what}: the target stays at ${target}.`, numbers: { target } }];
}
