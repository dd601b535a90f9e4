import { type DoorLatency, type DoorReplica, type DoorReport, type DoorTotals, mergeHistograms, type Slot } from "../model/index.ts";

/**
 * Reports of several gateways of one endpoint as one: everything is summed, means of slots too, for each gateway sees its own
 * requests only. `atMs` is that of the oldest. The cursor is no gateway's: keep each one's own.
 * @throws RangeError of an empty list
 */
export function mergeReports(reports: readonly DoorReport[]): DoorReport {
  const [first, ...rest] = reports;
  if (first === undefined) throw new RangeError("no report to merge: a ledger that is absent is not an empty one");
  if (rest.length === 0) return first;
  const latency = (name: keyof DoorLatency) => mergeHistograms(reports.map((report) => report.latency[name])) ?? first.latency[name];
  return {
    cursor: JSON.stringify(reports.map((report) => report.cursor)),
    atMs: Math.min(...reports.map((report) => report.atMs)),
    slots: mergeSlots(reports.flatMap((report) => report.slots)),
    latency: { ttft: latency("ttft"), tpot: latency("tpot"), e2e: latency("e2e") },
    replicas: mergeReplicas(reports.flatMap((report) => report.replicas)),
    totals: reports.map((report) => report.totals).reduce(addTotals),
  };
}

/** Slots of the same second, class and band summed; oldest first. */
export function mergeSlots(slots: readonly Slot[]): readonly Slot[] {
  const merged = new Map<string, Slot>();
  for (const slot of slots) {
    const key = `${slot.atMs} ${slot.promptBand} ${slot.class}`;
    const other = merged.get(key);
    merged.set(key, other === undefined ? slot : addSlots(other, slot));
  }
  return [...merged.values()].sort((a, b) => a.atMs - b.atMs);
}

function addSlots(a: Slot, b: Slot): Slot {
  return {
    atMs: a.atMs,
    class: a.class,
    promptBand: a.promptBand,
    arrivals: a.arrivals + b.arrivals,
    promptTokens: a.promptTokens + b.promptTokens,
    prefixHitTokens: a.prefixHitTokens + b.prefixHitTokens,
    completed: a.completed + b.completed,
    outputTokens: a.outputTokens + b.outputTokens,
    failed: a.failed + b.failed,
    cancelled: a.cancelled + b.cancelled,
    rejected: a.rejected + b.rejected,
    withinObjective: a.withinObjective + b.withinObjective,
    inFlightMean: a.inFlightMean + b.inFlightMean,
    heldMean: a.heldMean + b.heldMean,
  };
}

function mergeReplicas(rows: readonly DoorReplica[]): readonly DoorReplica[] {
  const merged = new Map<string, DoorReplica>();
  for (const row of rows) {
    const other = merged.get(row.replica);
    merged.set(
      row.replica,
      other === undefined
        ? row
        : {
            replica: row.replica,
            inFlight: other.inFlight + row.inFlight,
            completed: other.completed + row.completed,
            failed: other.failed + row.failed,
            outputTokens: other.outputTokens + row.outputTokens,
          },
    );
  }
  return [...merged.values()];
}

function addTotals(a: DoorTotals, b: DoorTotals): DoorTotals {
  return {
    arrived: a.arrived + b.arrived,
    completed: a.completed + b.completed,
    failed: a.failed + b.failed,
    cancelled: a.cancelled + b.cancelled,
    rejected: a.rejected + b.rejected,
    inFlight: a.inFlight + b.inFlight,
    queued: a.queued + b.queued,
    held: a.held + b.held,
    promptTokens: a.promptTokens + b.promptTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    withinObjective: a.withinObjective + b.withinObjective,
    retried: a.retried + b.retried,
  };
}
