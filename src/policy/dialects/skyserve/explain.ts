import type { Step } from "../../../model/index.ts";
import { num, replicas } from "../../words.ts";
import { QPS_WINDOW_S, type ReplicaPolicy } from "./replica-policy.ts";
import { type Hysteresis, type SpotMix, thresholdOf } from "./target.ts";

export interface Explained {
  readonly pool: string;
  readonly policy: ReplicaPolicy;
  readonly rate: { readonly qps: number } | null;
  readonly wanted: number | null;
  readonly before: number;
  readonly hysteresis: Hysteresis;
  readonly unsure: boolean;
  readonly changed: boolean;
  readonly mix: (SpotMix & { readonly readySpot: number }) | null;
  /** A replica that failed by itself before any was ready. */
  readonly broken: string | null;
}

/** A decision in sentences and numbers, in the order in which it was taken. */
export function explain({ pool, policy, rate, wanted, before, hysteresis, unsure, changed, mix, broken }: Explained): readonly Step[] {
  const steps: Step[] = [];
  const say = (code: string, text: string, numbers: Readonly<Record<string, number>>) => steps.push({ code, pool, text, numbers });
  const { target } = hysteresis;
  const { target_qps_per_replica: each } = policy;

  if (rate === null || wanted === null)
    say("no-data", `Nobody counted the requests since the last decision: the target stays at ${target}.`, { target });
  else if (each === null) say("fixed", `Without target_qps_per_replica the service keeps min_replicas: ${replicas(wanted)}.`, { wanted });
  else {
    const against = typeof each === "number" ? `${num(each)} per replica` : "what each GPU type carries";
    say("rate", `${num(rate.qps, 3)} requests per second over ${QPS_WINDOW_S} s against ${against}: ${replicas(wanted)}.`, {
      qps: rate.qps,
      wanted,
      min: policy.min_replicas,
      max: policy.max_replicas,
    });
  }

  if (unsure)
    say("partial", `Not all of the last ${QPS_WINDOW_S} s were counted, so the target does not fall below ${target}.`, { target });
  else if (changed) say("updated", `The service was updated: its target goes to ${target} at once.`, { before, target });
  else if (wanted !== null && wanted !== target) {
    const up = wanted > target;
    const counter = up ? hysteresis.upscaleCounter : hysteresis.downscaleCounter;
    const threshold = thresholdOf(up ? policy.upscale_delay_seconds : policy.downscale_delay_seconds);
    say("delay", `${counter} of ${threshold} decisions in a row asked for ${up ? "more" : "less"} than ${target}.`, {
      counter,
      threshold,
      target,
      wanted,
    });
  } else if (before === 0 && target > 0) say("from-zero", `From zero the target goes to ${target} without waiting.`, { target });

  if (mix !== null) {
    const { spot, onDemand, readySpot } = mix;
    say("mix", `${replicas(spot)} spot, of which ${readySpot} are ready, and ${onDemand} on demand.`, { spot, onDemand, readySpot });
  }
  if (broken !== null)
    say("failed", `Replica ${broken} failed before any was ready: nothing is launched or removed until the service is updated.`, {
      target,
    });
  const over = policy.num_overprovision > 0 ? ` and ${policy.num_overprovision} on top` : "";
  say("desired", target === before ? `The target stays at ${target}${over}.` : `The target goes from ${before} to ${target}${over}.`, {
    before,
    target,
  });
  return steps;
}
