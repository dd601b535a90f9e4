import type { Slot } from "../model/index.ts";
import type { RecordedStretch } from "../traces/index.ts";
import { engineTraffic } from "./engine-traffic.ts";
import type { Entry } from "./store.ts";

/**
 * The traffic that an endpoint's Observations hold, second by second, as `resample` takes it. Where no gateway of ours was in the path,
 * what engines' counters tell (`engineTraffic`). A stretch without records (a pause, a gap after a full disk) is a stretch without requests. An answer's length is known when
 * it ends, so each class and prompt-length band has the mean of all its answers; bands without any have the mean of all.
 * @param entries gives the same entries each time it is called: they are read two or three times
 */
export function* recordedTraffic(entries: () => Iterable<Entry>): Generator<RecordedStretch> {
  let hasLedger = false;
  for (const entry of entries()) {
    hasLedger = entry.kind === "decision" && entry.observation.slots !== null;
    if (hasLedger) break;
  }
  if (!hasLedger) {
    yield* engineTraffic(entries).filter(({ requests }, at) => at === 0 || requests > 0);
    return;
  }
  const ended = new Map<string, { requests: number; tokens: number }>();
  const everything = "";
  for (const slot of slotsOf(entries())) {
    for (const key of [keyOf(slot), everything]) {
      const sum = ended.get(key) ?? { requests: 0, tokens: 0 };
      sum.requests += slot.completed;
      sum.tokens += slot.outputTokens;
      ended.set(key, sum);
    }
  }
  const meanOutput = (slot: Slot): number => {
    for (const key of [keyOf(slot), everything]) {
      const sum = ended.get(key);
      if (sum !== undefined && sum.requests > 0) return sum.tokens / sum.requests;
    }
    return 1;
  };
  for (const slot of slotsOf(entries())) {
    if (slot.arrivals === 0) continue;
    yield {
      atMs: slot.atMs,
      durationMs: 1000,
      requests: slot.arrivals,
      promptTokens: { kind: "mean", tokens: slot.promptTokens / slot.arrivals },
      outputTokens: { kind: "mean", tokens: meanOutput(slot) },
      class: slot.class,
    };
  }
}

const keyOf = (slot: Slot): string => `${slot.promptBand} ${slot.class}`;

/** Slots in the order of time. Reports of several gateways overlap by a second or two, so that long are held back. */
function* slotsOf(entries: Iterable<Entry>): Generator<Slot> {
  let held: Slot[] = [];
  for (const entry of entries) {
    if (entry.kind !== "decision" || entry.observation.slots === null) continue;
    held.push(...entry.observation.slots);
    held.sort((a, b) => a.atMs - b.atMs);
    const until = (held.at(-1)?.atMs ?? 0) - 10_000;
    const ready = held.findIndex((slot) => slot.atMs > until);
    if (ready > 0) {
      yield* held.slice(0, ready);
      held = held.slice(ready);
    }
  }
  yield* held;
}
