import {
  type DoorLatency,
  type DoorReplica,
  type DoorReport,
  type DoorTotals,
  type Ms,
  type Objective,
  promptBand,
  type Slot,
} from "../model/index.ts";
import { emptyHistogram, latencyBucket } from "./histogram.ts";
import { meetsObjective, type Timing, timePerOutputTokenMs } from "./objective.ts";

export type Ending = "completed" | "failed" | "cancelled" | "rejected";

export interface LedgerOptions {
  readonly objective: Objective;
  /** Names this ledger in cursors: one that restarts must take another. */
  readonly id?: string;
  /** Distinct classes that are told apart; later ones are counted as "default". 16 unless told. */
  readonly classes?: number;
  /** Closed seconds that are kept for whoever asks; 300 unless told. */
  readonly keepSeconds?: number;
}

export interface Arrival {
  readonly class?: string;
  /** As far as known when it arrives. */
  readonly promptTokens: number;
  readonly prefixHitTokens?: number;
}

/** One request from arrival to its end. Only the ledger changes it. */
export interface Ticket {
  readonly class: string;
  readonly promptBand: number;
  readonly arrivedAtMs: Ms;
  readonly firstTokenAtMs: Ms | null;
  readonly replica: string | null;
  readonly attempts: number;
  readonly state: "in-flight" | "held" | Ending;
}

export interface Finish {
  readonly outputTokens?: number;
  /**
   * False for an answer whose latency says nothing of the fleet (a wrong request, refused at once): no latency is counted and it
   * is no miss of the objective. True unless told.
   */
  readonly measured?: boolean;
}

/** What `finish` found out. Times in ms; null: not known of this request. */
export interface Finished {
  readonly ttftMs: Ms | null;
  readonly tpotMs: Ms | null;
  readonly e2eMs: Ms;
  readonly withinObjective: boolean;
}

/**
 * Events at the door, folded into slots of one second per class and prompt band. Times come from the caller and should not go
 * back; one that does is taken as the latest seen. Every call that names a ticket which has ended throws: a request ends once.
 */
export interface Ledger {
  /** In flight from now on. */
  arrive(nowMs: Ms, arrival: Arrival): Ticket;
  /** No replica may take it: held, not in flight. */
  hold(ticket: Ticket, nowMs: Ms): void;
  /** Waits at the door for room at a replica that is there: in flight, and counted as queued until it is dispatched, held or ended. */
  queue(ticket: Ticket, nowMs: Ms): void;
  /** Held or queued no more: in flight again. */
  release(ticket: Ticket, nowMs: Ms): void;
  /** Given to a replica; a second time is a retry, and a failure of the replica before. */
  dispatch(ticket: Ticket, nowMs: Ms, replica: string): void;
  /** Taken back from its replica, which failed it. */
  takeBack(ticket: Ticket, nowMs: Ms): void;
  /** Only the first call counts. Never called for an answer that does not stream: its time to first token is not known. */
  firstToken(ticket: Ticket, nowMs: Ms): void;
  finish(ticket: Ticket, nowMs: Ms, ending: Ending, finish?: Finish): Finished;
  /** Slots and latencies of the closed seconds after `cursor` (null, unknown or too old: of all that are kept); totals of now. */
  report(nowMs: Ms, cursor: string | null): DoorReport;
  /** Of now, without closing anything. */
  totals(): DoorTotals;
  /** A replica that is gone leaves the reports, once it has nothing in flight. */
  forget(replica: string): void;
  inFlightOn(replica: string): number;
  setObjective(objective: Objective): void;
}

const slotMs = 1000;
const bucketCount = emptyHistogram().counts.length;

interface Row {
  readonly class: string;
  readonly promptBand: number;
  inFlight: number;
  held: number;
  /** Time-weighted sums over the open second, complete up to `sinceMs`. */
  inFlightMs: number;
  heldMs: number;
  sinceMs: Ms;
  arrivals: number;
  promptTokens: number;
  prefixHitTokens: number;
  completed: number;
  outputTokens: number;
  failed: number;
  cancelled: number;
  rejected: number;
  withinObjective: number;
  /** Whether anything happened in the open second. */
  touched: boolean;
}

interface Second {
  readonly atMs: Ms;
  readonly slots: readonly Slot[];
  readonly latency: Latency | null;
}

interface Latency {
  readonly ttft: Uint32Array;
  readonly tpot: Uint32Array;
  readonly e2e: Uint32Array;
  ttftSum: number;
  tpotSum: number;
  e2eSum: number;
}

interface OpenTicket {
  class: string;
  promptBand: number;
  arrivedAtMs: Ms;
  firstTokenAtMs: Ms | null;
  replica: string | null;
  attempts: number;
  state: Ticket["state"];
  queued: boolean;
  row: Row;
}

type Writable<T> = { -readonly [key in keyof T]: T[key] };

export function createLedger(options: LedgerOptions): Ledger {
  const { id = "0", classes: classLimit = 16, keepSeconds = 300 } = options;
  let objective = options.objective;
  const classes = new Set<string>(["default"]);
  const rows = new Set<Row>();
  /** The same by class and prompt band. */
  const rowsOf = new Map<string, (Row | undefined)[]>();
  const replicas = new Map<string, Writable<DoorReplica>>();
  const forgotten = new Set<string>();
  const totals = {
    arrived: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    rejected: 0,
    inFlight: 0,
    queued: 0,
    held: 0,
    promptTokens: 0,
    outputTokens: 0,
    withinObjective: 0,
    retried: 0,
  };
  let closed: Second[] = [];
  let latency: Latency | null = null;
  /** Start of the open second; null before the first event. */
  let openAtMs: Ms | null = null;
  let latestMs: Ms = Number.NEGATIVE_INFINITY;

  /** Closes the seconds that are over by `nowMs`. @returns the time that counts */
  function advance(nowMs: Ms): Ms {
    const now = Math.max(nowMs, latestMs);
    if (openAtMs === null) openAtMs = Math.floor(now / slotMs) * slotMs;
    else if (now > latestMs) {
      while (now >= openAtMs + slotMs) {
        close(openAtMs);
        latestMs = openAtMs + slotMs;
        openAtMs = latestMs;
        if (totals.inFlight + totals.held === 0) openAtMs = Math.floor(now / slotMs) * slotMs;
        // After a long silence only as many seconds as are kept are worth walking through.
        else openAtMs = Math.max(openAtMs, Math.floor(now / slotMs) * slotMs - keepSeconds * slotMs);
      }
    }
    latestMs = now;
    return now;
  }

  /** Brings a row's sums up to a moment of the open second. */
  function accumulate(row: Row, toMs: Ms): void {
    const elapsedMs = toMs - Math.max(row.sinceMs, openAtMs as Ms);
    row.sinceMs = toMs;
    if (elapsedMs <= 0) return;
    row.inFlightMs += row.inFlight * elapsedMs;
    row.heldMs += row.held * elapsedMs;
  }

  function close(atMs: Ms): void {
    const slots: Slot[] = [];
    for (const row of rows) {
      accumulate(row, atMs + slotMs);
      if (row.touched || row.inFlightMs > 0 || row.heldMs > 0) {
        slots.push({
          atMs,
          class: row.class,
          promptBand: row.promptBand,
          arrivals: row.arrivals,
          promptTokens: row.promptTokens,
          prefixHitTokens: row.prefixHitTokens,
          completed: row.completed,
          outputTokens: row.outputTokens,
          failed: row.failed,
          cancelled: row.cancelled,
          rejected: row.rejected,
          withinObjective: row.withinObjective,
          inFlightMean: row.inFlightMs / slotMs,
          heldMean: row.heldMs / slotMs,
        });
      }
      if (row.inFlight === 0 && row.held === 0) {
        rows.delete(row);
        rowsOf.get(row.class)![row.promptBand] = undefined;
      } else Object.assign(row, emptyCounts);
    }
    if (slots.length > 0) closed.push({ atMs, slots, latency });
    latency = null;
    const oldestMs = atMs - keepSeconds * slotMs;
    if (closed.length > 0 && (closed[0] as Second).atMs <= oldestMs) closed = closed.filter((second) => second.atMs > oldestMs);
  }

  function rowOf(className: string, band: number): Row {
    let bands = rowsOf.get(className);
    if (bands === undefined) {
      bands = [];
      rowsOf.set(className, bands);
    }
    let row = bands[band];
    if (row === undefined) {
      row = { class: className, promptBand: band, inFlight: 0, held: 0, sinceMs: latestMs, ...emptyCounts };
      bands[band] = row;
      rows.add(row);
    }
    row.touched = true;
    return row;
  }

  function classOf(name: string): string {
    if (classes.has(name)) return name;
    if (classes.size > classLimit) return "default";
    classes.add(name);
    return name;
  }

  function replicaOf(replica: string): Writable<DoorReplica> {
    let row = replicas.get(replica);
    if (row === undefined) {
      row = { replica, inFlight: 0, completed: 0, failed: 0, outputTokens: 0 };
      replicas.set(replica, row);
    }
    return row;
  }

  function leave(replica: string): Writable<DoorReplica> {
    const row = replicaOf(replica);
    row.inFlight--;
    if (row.inFlight === 0 && forgotten.delete(replica)) replicas.delete(replica);
    return row;
  }

  function open(ticket: Ticket): OpenTicket {
    if (ticket.state !== "in-flight" && ticket.state !== "held") throw new Error(`a request that is ${ticket.state} has ended already`);
    return ticket as OpenTicket;
  }

  function count(ticket: OpenTicket, state: "in-flight" | "held", by: 1 | -1): void {
    const key = state === "held" ? "held" : "inFlight";
    accumulate(ticket.row, latestMs);
    ticket.row[key] += by;
    totals[key] += by;
  }

  function move(ticket: OpenTicket, nowMs: Ms, to: "in-flight" | "held"): void {
    if (ticket.state === to) return;
    advance(nowMs);
    count(ticket, ticket.state as "in-flight" | "held", -1);
    ticket.state = to;
    // Its row stays while it is counted in it, so it is the same row.
    count(ticket, to, 1);
  }

  function unqueue(ticket: OpenTicket): void {
    if (!ticket.queued) return;
    ticket.queued = false;
    totals.queued--;
  }

  function takeBack(ticket: OpenTicket): void {
    if (ticket.replica === null) return;
    leave(ticket.replica).failed++;
    ticket.replica = null;
  }

  return {
    arrive(nowMs, arrival) {
      const now = advance(nowMs);
      const promptTokens = Math.max(0, Math.round(arrival.promptTokens));
      const className = classOf(arrival.class ?? "default");
      const band = promptBand(promptTokens);
      const row = rowOf(className, band);
      row.arrivals++;
      row.promptTokens += promptTokens;
      row.prefixHitTokens += arrival.prefixHitTokens ?? 0;
      totals.arrived++;
      totals.promptTokens += promptTokens;
      const ticket: OpenTicket = {
        class: className,
        promptBand: band,
        arrivedAtMs: now,
        firstTokenAtMs: null,
        replica: null,
        attempts: 0,
        state: "in-flight",
        queued: false,
        row,
      };
      count(ticket, "in-flight", 1);
      return ticket;
    },
    hold(ticket, nowMs) {
      const own = open(ticket);
      takeBack(own);
      unqueue(own);
      move(own, nowMs, "held");
    },
    queue(ticket, nowMs) {
      const own = open(ticket);
      takeBack(own);
      move(own, nowMs, "in-flight");
      if (own.queued) return;
      own.queued = true;
      totals.queued++;
    },
    release(ticket, nowMs) {
      const own = open(ticket);
      unqueue(own);
      move(own, nowMs, "in-flight");
    },
    dispatch(ticket, nowMs, replica) {
      const own = open(ticket);
      advance(nowMs);
      move(own, nowMs, "in-flight");
      unqueue(own);
      takeBack(own);
      own.replica = replica;
      own.attempts++;
      if (own.attempts > 1) totals.retried++;
      replicaOf(replica).inFlight++;
      forgotten.delete(replica);
    },
    takeBack(ticket, nowMs) {
      advance(nowMs);
      takeBack(open(ticket));
    },
    firstToken(ticket, nowMs) {
      const own = open(ticket);
      own.firstTokenAtMs ??= Math.max(nowMs, own.arrivedAtMs);
    },
    finish(ticket, nowMs, ending, { outputTokens = 0, measured = true } = {}) {
      const own = open(ticket);
      const now = advance(nowMs);
      unqueue(own);
      count(own, own.state as "in-flight" | "held", -1);
      own.state = ending;
      const timing: Timing = {
        ttftMs: own.firstTokenAtMs === null ? null : own.firstTokenAtMs - own.arrivedAtMs,
        e2eMs: now - own.arrivedAtMs,
        outputTokens,
      };
      const tpotMs = timePerOutputTokenMs(timing);
      const within = ending === "completed" && (!measured || meetsObjective(timing, objective));
      const { row } = own;
      row.touched = true;
      row[ending]++;
      row.outputTokens += outputTokens;
      totals[ending]++;
      totals.outputTokens += outputTokens;
      if (within) {
        row.withinObjective++;
        totals.withinObjective++;
      }
      if (own.replica !== null) {
        const replica = leave(own.replica);
        if (ending === "completed") replica.completed++;
        else if (ending === "failed") replica.failed++;
        replica.outputTokens += outputTokens;
      }
      if (measured) {
        latency ??= emptyLatency();
        if (timing.ttftMs !== null) {
          latency.ttft[latencyBucket(timing.ttftMs / 1000)]! += 1;
          latency.ttftSum += timing.ttftMs / 1000;
        }
        if (ending === "completed") {
          latency.e2e[latencyBucket(timing.e2eMs / 1000)]! += 1;
          latency.e2eSum += timing.e2eMs / 1000;
          if (tpotMs !== null) {
            latency.tpot[latencyBucket(tpotMs / 1000)]! += 1;
            latency.tpotSum += tpotMs / 1000;
          }
        }
      }
      return { ttftMs: timing.ttftMs, tpotMs, e2eMs: timing.e2eMs, withinObjective: within };
    },
    report(nowMs, cursor) {
      const now = advance(nowMs);
      const sinceMs = afterOf(cursor, id);
      const seconds = closed.filter((second) => second.atMs >= sinceMs);
      return {
        cursor: `${id}:${openAtMs}`,
        atMs: now,
        slots: seconds.flatMap((second) => second.slots),
        latency: latencyOf(seconds.flatMap((second) => (second.latency === null ? [] : [second.latency]))),
        replicas: [...replicas.values()].map((replica) => ({ ...replica })),
        totals: { ...totals },
      };
    },
    totals: () => ({ ...totals }),
    forget(replica) {
      const row = replicas.get(replica);
      if (row === undefined) return;
      if (row.inFlight === 0) replicas.delete(replica);
      else forgotten.add(replica);
    },
    inFlightOn: (replica) => replicas.get(replica)?.inFlight ?? 0,
    setObjective(next) {
      objective = next;
    },
  };
}

const emptyCounts = {
  inFlightMs: 0,
  heldMs: 0,
  arrivals: 0,
  promptTokens: 0,
  prefixHitTokens: 0,
  completed: 0,
  outputTokens: 0,
  failed: 0,
  cancelled: 0,
  rejected: 0,
  withinObjective: 0,
  touched: false,
};

const emptyLatency = (): Latency => ({
  ttft: new Uint32Array(bucketCount),
  tpot: new Uint32Array(bucketCount),
  e2e: new Uint32Array(bucketCount),
  ttftSum: 0,
  tpotSum: 0,
  e2eSum: 0,
});

/** The start of the first second that a cursor has not seen. */
function afterOf(cursor: string | null, id: string): Ms {
  const [owner, atMs] =
    cursor === null ? [] : [cursor.slice(0, cursor.lastIndexOf(":")), Number(cursor.slice(cursor.lastIndexOf(":") + 1))];
  return owner === id && atMs !== undefined && Number.isFinite(atMs) ? atMs : Number.NEGATIVE_INFINITY;
}

function latencyOf(all: readonly Latency[]): DoorLatency {
  const one = (counts: (latency: Latency) => Uint32Array, sum: (latency: Latency) => number) => {
    const merged = emptyHistogram() as { bounds: readonly number[]; counts: number[]; sum: number };
    for (const latency of all) {
      counts(latency).forEach((value, at) => {
        merged.counts[at]! += value;
      });
      merged.sum += sum(latency);
    }
    return merged;
  };
  return {
    ttft: one(
      (latency) => latency.ttft,
      (latency) => latency.ttftSum,
    ),
    tpot: one(
      (latency) => latency.tpot,
      (latency) => latency.tpotSum,
    ),
    e2e: one(
      (latency) => latency.e2e,
      (latency) => latency.e2eSum,
    ),
  };
}
