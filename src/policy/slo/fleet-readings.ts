import type { Observation, Replica, Slot } from "../../model/index.ts";
import { type Reader, sumOf } from "../reading.ts";
import { type EngineFit, learnEngine } from "./capacity.ts";
import type { Demand, Rate } from "./demand.ts";

/** Rates where no ledger is, requests that queue, and the names of readings without which nothing can be judged. */
export interface FleetReadings {
  readonly rate: Rate | null;
  readonly queued: number;
  readonly missing: readonly string[];
}

export function readFleet(demand: Demand, now: Observation, reader: Reader, ready: readonly Replica[]): FleetReadings {
  const ids = ready.map(({ id }) => id);
  const numberOf = (name: string) => {
    const reading = reader.overall(name, ids);
    return typeof reading === "number" ? reading : null;
  };
  const depth = reader.endpoint("queue_depth");
  const lastMs = (now.slots ?? []).reduce((last, slot) => Math.max(last, slot.atMs), 0);
  const heldInSlots = sumOf((now.slots ?? []).filter((slot) => slot.atMs === lastMs).map((slot) => slot.heldMean));
  const held = reader.endpoint("held");
  const heldNow = Math.max(typeof held === "number" ? held : heldInSlots, now.cause === "held" ? 1 : 0);
  const queued = Math.max(heldNow, typeof depth === "number" ? depth : heldNow + (numberOf("waiting") ?? 0));
  if (now.slots !== null) return { rate: null, queued, missing: [] };

  const requests = numberOf("request_rate");
  const [prefill, output] = [numberOf("prompt_tokens_per_second"), numberOf("output_tokens_per_second")];
  const { mix } = demand;
  if (prefill !== null && output !== null) {
    const guessed = mix.weight > 0 && mix.prefill > 0 ? prefill / mix.prefill : prefill / 500;
    return { rate: { requests: requests ?? guessed, prefill, output }, queued, missing: [] };
  }
  if (requests !== null && mix.weight > 0)
    return { rate: { requests, prefill: requests * mix.prefill, output: requests * mix.output }, queued, missing: [] };
  const missing = (["request_rate", "prompt_tokens_per_second", "output_tokens_per_second"] as const).flatMap((name) => {
    const reading = reader.overall(name, ids);
    return typeof reading === "number" ? [] : [`${name} (${reading})`];
  });
  return { rate: null, queued, missing: ["the gateway's ledger", ...missing] };
}

/** The mean replica's seconds as the ledger sees them: what is in flight and not held, and the tokens of what ended meanwhile. */
export type Stretch = { readonly seconds: number; readonly running: number; readonly prefill: number; readonly output: number };
export const noStretch: Stretch = { seconds: 0, running: 0, prefill: 0, output: 0 };
/** Tokens are counted when a request ends, so short stretches say little. */
const STRETCH_SECONDS = 20;

/** Learns the engine from the ledger alone, where replicas report nothing: by stretches in which the same ones served. */
export function learnFromLedger(
  fit: EngineFit,
  before: Stretch,
  slots: readonly Slot[],
  ready: number,
  changing: boolean,
): { readonly fit: EngineFit; readonly stretch: Stretch } {
  const stretch = changing ? noStretch : addStretch(before, slots, ready);
  if (stretch.seconds < STRETCH_SECONDS) return { fit, stretch };
  const each = (sum: number) => sum / stretch.seconds;
  return {
    fit: learnEngine(fit, { running: each(stretch.running), prefill: each(stretch.prefill), output: each(stretch.output) }),
    stretch: noStretch,
  };
}

function addStretch(stretch: Stretch, slots: readonly Slot[], ready: number): Stretch {
  if (ready === 0 || slots.length === 0) return stretch;
  const [firstMs, lastMs] = [Math.min(...slots.map((slot) => slot.atMs)), Math.max(...slots.map((slot) => slot.atMs))];
  const sum = (of: (slot: Slot) => number) => sumOf(slots.map(of)) / ready;
  // With requests held the fleet is not what limits them.
  if (sum((slot) => slot.heldMean) > 0.01) return noStretch;
  return {
    seconds: stretch.seconds + (lastMs - firstMs) / 1000 + 1,
    running: stretch.running + sum((slot) => slot.inFlightMean),
    prefill: stretch.prefill + sum((slot) => slot.promptTokens - slot.prefixHitTokens),
    output: stretch.output + sum((slot) => slot.outputTokens),
  };
}
