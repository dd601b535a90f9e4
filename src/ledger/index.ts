/** What happened at the door, in slots of one second, and the arithmetic on it. Pure: the caller brings the time. */
export { createDoorSeries, type DoorMemory, type DoorSettings, doorSeries, emptyDoorMemory, LEDGER_NAMES } from "./door-series.ts";
export { emptyHistogram, LATENCY_BOUNDS, latencyBucket } from "./histogram.ts";
export {
  type Arrival,
  createLedger,
  type Ending,
  type Finish,
  type Finished,
  type Ledger,
  type LedgerOptions,
  type Ticket,
} from "./ledger.ts";
export { mergeReports, mergeSlots } from "./merge.ts";
export { meetsObjective, type Timing, timePerOutputTokenMs } from "./objective.ts";
