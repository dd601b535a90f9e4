import type { Ms } from "../model/index.ts";
import { TidegateError } from "../model/index.ts";
import { randomStreams, type Uniform } from "./random.ts";
import type { TraceRequest } from "./trace.ts";

/** Offsets of copies are below this. */
const offsetBelowMs: Ms = 60_000;
/** A copy's request takes all but its arrival from a row at most so many rows before or behind. */
const neighbourhood = 16;

interface Copy {
  readonly number: number;
  readonly offsetMs: Ms;
  readonly random: Uniform;
  /** Share of rows that this copy keeps: 1, but for the last one of a broken `k`. */
  readonly keep: number;
  /** The next row it looks at. */
  cursor: number;
}

/**
 * Lays `k` copies of a trace over each other as rows come in; never squeezes time, so daily cycles and bursts stay. The first copy
 * is the trace itself, so k = 1 changes nothing. Every other one is shifted by its own offset in [0, 60 s), and each of its
 * requests has the sizes (with class, client, session and prefix hits) of a row near its own; sessions of copies are told apart by
 * `#copy`. A broken `k` such as 2.5 keeps each row of the last copy with the probability of the fraction, so 0.5 thins by half.
 * Holds a minute of rows.
 */
class Overlay {
  readonly #copies: Copy[];
  /** Rows from `#base` on. */
  #rows: TraceRequest[] = [];
  #base = 0;

  constructor(k: number, seed: number) {
    if (!Number.isFinite(k) || k <= 0 || k > 100_000) {
      throw new TidegateError("usage", `the overlay (${k}) must be above 0 and at most 100000: the number of copies laid over each other`);
    }
    const count = Math.ceil(k);
    const [offsets, ...draws] = randomStreams(seed, count + 1);
    this.#copies = draws.map((random, number) => ({
      number,
      offsetMs: number === 0 ? 0 : Math.floor(offsets!() * offsetBelowMs),
      random,
      keep: number === count - 1 ? k - (count - 1) : 1,
      cursor: 0,
    }));
  }

  push(row: TraceRequest): void {
    this.#rows.push(row);
  }

  /** What is certain to come next, in order. @param ended no more rows will be pushed. */
  *drain(ended: boolean): Generator<TraceRequest> {
    const head = this.#base + this.#rows.length;
    for (;;) {
      const copy = this.#copies[0]!;
      if (copy.cursor >= head || (!ended && copy.cursor + neighbourhood >= head)) break;
      const request = this.#take(copy, head);
      copy.cursor++;
      this.#sink();
      if (request !== undefined) yield request;
    }
    this.#forget();
  }

  #take(copy: Copy, head: number): TraceRequest | undefined {
    const own = this.#rows[copy.cursor - this.#base]!;
    if (copy.keep < 1 && copy.random() >= copy.keep) return undefined;
    if (copy.number === 0) return own;
    const from = Math.max(0, copy.cursor - neighbourhood);
    const below = Math.min(head, copy.cursor + neighbourhood + 1);
    const near = this.#rows[from + Math.floor(copy.random() * (below - from)) - this.#base]!;
    const request = { ...near, arrivalMs: own.arrivalMs + copy.offsetMs };
    return near.sessionId === undefined ? request : { ...request, sessionId: `${near.sessionId}#${copy.number}` };
  }

  /** When the copy's next request arrives; endless while its row has not come. */
  #dueMs(copy: Copy): Ms {
    const row = this.#rows[copy.cursor - this.#base];
    return row === undefined ? Number.POSITIVE_INFINITY : row.arrivalMs + copy.offsetMs;
  }

  #before(a: Copy, b: Copy): boolean {
    const difference = this.#dueMs(a) - this.#dueMs(b);
    return Number.isNaN(difference) || difference === 0 ? a.number < b.number : difference < 0;
  }

  /** Restores the heap (earliest copy on top) after the top moved on. */
  #sink(): void {
    const heap = this.#copies;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) return;
      const child = left + 1 < heap.length && this.#before(heap[left + 1]!, heap[left]!) ? left + 1 : left;
      if (!this.#before(heap[child]!, heap[at]!)) return;
      [heap[at], heap[child]] = [heap[child]!, heap[at]!];
      at = child;
    }
  }

  /** New rows may have changed who is first among those that waited for a row. */
  settle(): void {
    this.#copies.sort((a, b) => (this.#before(a, b) ? -1 : 1));
  }

  #forget(): void {
    const needed = Math.min(...this.#copies.map(({ cursor }) => cursor)) - neighbourhood;
    if (needed - this.#base < 4096) return;
    this.#rows = this.#rows.slice(needed - this.#base);
    this.#base = needed;
  }
}

/** Rows pushed before copies are drained: amortises the bookkeeping. */
const batchRows = 1024;

/** `Overlay` as an iterable, for traces too long to hold. */
export function* overlayEach(rows: Iterable<TraceRequest>, k: number, seed: number): Generator<TraceRequest> {
  const overlay = new Overlay(k, seed);
  let waiting = 0;
  for (const row of rows) {
    overlay.push(row);
    if (++waiting < batchRows) continue;
    waiting = 0;
    overlay.settle();
    yield* overlay.drain(false);
  }
  overlay.settle();
  yield* overlay.drain(true);
}

/** `Overlay` over rows that arrive. */
export async function* overlayStream(
  rows: AsyncIterable<TraceRequest> | Iterable<TraceRequest>,
  k: number,
  seed: number,
): AsyncGenerator<TraceRequest> {
  const overlay = new Overlay(k, seed);
  let waiting = 0;
  for await (const row of rows) {
    overlay.push(row);
    if (++waiting < batchRows) continue;
    waiting = 0;
    overlay.settle();
    yield* overlay.drain(false);
  }
  overlay.settle();
  yield* overlay.drain(true);
}

/**
 * `k` copies of a trace over each other: the trace itself, and copies each shifted by an offset of its own under one minute, with
 * token sizes drawn from neighbouring rows. Same seed, same rows. Throws `usage` on a `k` that is not above 0.
 */
export function overlay(trace: Iterable<TraceRequest>, k: number, seed: number): TraceRequest[] {
  return [...overlayEach(trace, k, seed)];
}

/** The requests in [fromMs, toMs). `rebase` lets the slice start at 0. */
export function slice(trace: readonly TraceRequest[], fromMs: Ms, toMs: Ms = Number.POSITIVE_INFINITY, rebase = true): TraceRequest[] {
  return trace
    .filter(({ arrivalMs }) => arrivalMs >= fromMs && arrivalMs < toMs)
    .map((row) => (rebase ? { ...row, arrivalMs: row.arrivalMs - fromMs } : row));
}
