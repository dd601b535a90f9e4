import { type Ms, TidegateError } from "../model/index.ts";
import type { TraceRequest } from "../traces/index.ts";

/** A trace by columns, for runs in which the time to make row objects would count. All are of one length. */
export interface TraceColumns {
  readonly arrivalMs: ArrayLike<Ms>;
  readonly promptTokens: ArrayLike<number>;
  readonly outputTokens: ArrayLike<number>;
  readonly prefixHitTokens?: ArrayLike<number>;
  readonly class?: ArrayLike<string>;
  readonly sessionId?: ArrayLike<string>;
}

/** Rows in order of arrival. An iterable is taken as it comes, so its length costs no memory. */
export type Rows = Iterable<TraceRequest> | TraceColumns;

/** The row at hand. */
export interface RowCursor {
  arrivalMs: Ms;
  promptTokens: number;
  outputTokens: number;
  prefixHitTokens: number;
  class: string | undefined;
  sessionId: string | undefined;
  /** Goes to the next row. @returns false at the end @throws TidegateError `trace/invalid` of a row that no engine can take */
  next(): boolean;
}

export function columnsOf(rows: readonly TraceRequest[]): TraceColumns {
  return {
    arrivalMs: Float64Array.from(rows, (row) => row.arrivalMs),
    promptTokens: Int32Array.from(rows, (row) => row.promptTokens),
    outputTokens: Int32Array.from(rows, (row) => row.outputTokens),
    ...(rows.some((row) => row.prefixHitTokens !== undefined)
      ? { prefixHitTokens: Int32Array.from(rows, (row) => row.prefixHitTokens ?? 0) }
      : {}),
    ...(rows.some((row) => row.class !== undefined) ? { class: rows.map((row) => row.class ?? "default") } : {}),
    ...(rows.some((row) => row.sessionId !== undefined) ? { sessionId: rows.map((row) => row.sessionId ?? "") } : {}),
  };
}

/** What `heldRows` gives has both faces: columns are the faster one. */
export const cursorOf = (rows: Rows): RowCursor => ("arrivalMs" in rows ? new ColumnCursor(rows) : new IterableCursor(rows));

/**
 * The same rows, made once and held as columns: making them anew for every run, such as laying copies over each other, takes a third of a
 * run's time. Clients are not held.
 * @returns the rows as they are where there are more than `most`
 */
export function heldRows(rows: Iterable<TraceRequest>, most: number): Iterable<TraceRequest> {
  const all: TraceRequest[] = [];
  for (const row of rows) {
    if (all.length >= most) return rows;
    all.push(row);
  }
  const columns = columnsOf(all);
  return { ...columns, [Symbol.iterator]: () => rowsOf(columns) };
}

function* rowsOf({
  arrivalMs,
  promptTokens,
  outputTokens,
  prefixHitTokens,
  class: classes,
  sessionId,
}: TraceColumns): Generator<TraceRequest> {
  for (let at = 0; at < arrivalMs.length; at++)
    yield {
      arrivalMs: arrivalMs[at] as Ms,
      promptTokens: promptTokens[at] as number,
      outputTokens: outputTokens[at] as number,
      ...(prefixHitTokens === undefined ? {} : { prefixHitTokens: prefixHitTokens[at] as number }),
      ...(classes === undefined ? {} : { class: classes[at] as string }),
      ...(sessionId === undefined ? {} : { sessionId: sessionId[at] as string }),
    };
}

abstract class Cursor implements RowCursor {
  arrivalMs: Ms = 0;
  promptTokens = 0;
  outputTokens = 0;
  prefixHitTokens = 0;
  class: string | undefined = undefined;
  sessionId: string | undefined = undefined;
  protected row = 0;
  private lastMs: Ms = 0;

  next(): boolean {
    if (!this.read()) return false;
    this.row++;
    if (!(this.arrivalMs >= this.lastMs) || !(this.promptTokens >= 1) || !(this.outputTokens >= 1)) this.refuse();
    this.lastMs = this.arrivalMs;
    return true;
  }

  protected abstract read(): boolean;

  private refuse(): never {
    const { row, arrivalMs, lastMs, promptTokens, outputTokens } = this;
    throw new TidegateError(
      "trace/invalid",
      `row ${row} arrives at ${arrivalMs} ms with ${promptTokens} prompt and ${outputTokens} output tokens; rows must be sorted (the one before arrives at ${lastMs} ms, the first not before 0) and tokens at least 1`,
    );
  }
}

class ColumnCursor extends Cursor {
  private readonly columns: TraceColumns;
  constructor(columns: TraceColumns) {
    super();
    this.columns = columns;
  }
  protected read(): boolean {
    const { columns, row } = this;
    const { prefixHitTokens, class: classes, sessionId } = columns;
    if (row >= columns.arrivalMs.length) return false;
    this.arrivalMs = columns.arrivalMs[row] as number;
    this.promptTokens = columns.promptTokens[row] as number;
    this.outputTokens = columns.outputTokens[row] as number;
    if (prefixHitTokens !== undefined) this.prefixHitTokens = prefixHitTokens[row] as number;
    if (classes !== undefined) this.class = classes[row];
    if (sessionId !== undefined) this.sessionId = sessionId[row];
    return true;
  }
}

class IterableCursor extends Cursor {
  private readonly rows: Iterator<TraceRequest>;
  constructor(rows: Iterable<TraceRequest>) {
    super();
    this.rows = rows[Symbol.iterator]();
  }
  protected read(): boolean {
    const next = this.rows.next();
    if (next.done === true) return false;
    const row = next.value;
    this.arrivalMs = row.arrivalMs;
    this.promptTokens = row.promptTokens;
    this.outputTokens = row.outputTokens;
    this.prefixHitTokens = row.prefixHitTokens ?? 0;
    this.class = row.class;
    this.sessionId = row.sessionId;
    return true;
  }
}
