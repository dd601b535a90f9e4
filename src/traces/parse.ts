import { nearest } from "../config/index.ts";
import { TidegateError } from "../model/index.ts";
import type { TraceRequest } from "./trace.ts";

type Field =
  | "arrivalS"
  | "arrivalMs"
  | "timestamp"
  | "prompt"
  | "output"
  | "class"
  | "client"
  | "session"
  | "prefixHit"
  | "hashes"
  | "ignored";

interface Dialect {
  readonly name: string;
  readonly columns: Readonly<Record<string, Field>>;
  readonly required: readonly string[];
  /** Fewest tokens a published row may state; 0 is read as 1, because the request did arrive. */
  readonly leastTokens: 0 | 1;
}

/** Column names as their publishers write them. Letter case is free. The first dialect whose required columns are all there is taken. */
const dialects: readonly Dialect[] = [
  {
    name: "Tidegate",
    columns: {
      arrival_s: "arrivalS",
      prompt_tokens: "prompt",
      output_tokens: "output",
      client: "client",
      session_id: "session",
      prefix_hit_tokens: "prefixHit",
      class: "class",
    },
    required: ["arrival_s", "prompt_tokens", "output_tokens"],
    leastTokens: 1,
  },
  {
    name: "Azure",
    columns: { TIMESTAMP: "timestamp", ContextTokens: "prompt", GeneratedTokens: "output" },
    required: ["TIMESTAMP", "ContextTokens", "GeneratedTokens"],
    leastTokens: 0,
  },
  {
    name: "BurstGPT",
    columns: {
      Timestamp: "arrivalS",
      Model: "class",
      "Session ID": "session",
      "Elapsed time": "ignored",
      "Request tokens": "prompt",
      "Response tokens": "output",
      "Total tokens": "ignored",
      "Log Type": "ignored",
    },
    required: ["Timestamp", "Request tokens", "Response tokens"],
    leastTokens: 0,
  },
  {
    name: "Mooncake",
    columns: { timestamp: "arrivalMs", input_length: "prompt", output_length: "output", hash_ids: "hashes" },
    required: ["timestamp", "input_length", "output_length"],
    leastTokens: 0,
  },
];

/** Tokens in one hashed block of the Mooncake traces. */
const blockTokens = 512;

interface Column {
  readonly name: string;
  readonly field: Field;
}
type Cell = string | number | readonly unknown[] | null | undefined;
/** Where in its line the value begins, from 1; undefined when it is not there at all. */
type Position = (column: number) => number | undefined;

/**
 * Reads a trace as it comes, in pieces of any size, and holds no more than the line it is in (and, where a trace brings block
 * hashes, those seen so far). Format and dialect are told from the first line: `{` begins JSON lines, all else is a CSV header.
 * Strict: an unknown column, a missing value, a number that is none or an arrival before the one above it ends the reading with
 * `trace/invalid`, naming file, line, column and the way out.
 */
export class TraceParser {
  readonly #file: string;
  #rest = "";
  #line = 0;
  #format: "csv" | "jsonl" | undefined;
  #dialect: Dialect = dialects[0]!;
  #columns: readonly Column[] = [];
  readonly #jsonColumns = new Map<string, number>();
  #lastMs = Number.NEGATIVE_INFINITY;
  #firstStampMs: number | undefined;
  readonly #prefixes = new PrefixIndex();

  constructor(file: string) {
    this.#file = file;
  }

  /** @returns the requests whose lines are complete now. */
  push(chunk: string): TraceRequest[] {
    const text = this.#rest + chunk;
    const rows: TraceRequest[] = [];
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      this.#read(text.charCodeAt(end - 1) === 13 ? text.slice(from, end - 1) : text.slice(from, end), rows);
      from = end + 1;
    }
    this.#rest = text.slice(from);
    return rows;
  }

  /** Takes one row that is data already, such as a Parquet file's; errors then count rows in place of lines. */
  row(row: Readonly<Record<string, unknown>>): TraceRequest {
    this.#line++;
    this.#format = "jsonl";
    const plain = Object.entries(row).map(([name, value]): [string, Cell] => [
      name,
      typeof value === "bigint" ? Number(value) : value instanceof Date ? value.toISOString() : (value as Cell),
    ]);
    return this.#object(Object.fromEntries(plain), () => undefined);
  }

  /** @returns what the last line without a line end held. Throws when there was not even a header. */
  end(): TraceRequest[] {
    const rows: TraceRequest[] = [];
    if (this.#rest !== "") this.#read(this.#rest.replace(/\r$/, ""), rows);
    this.#rest = "";
    if (this.#format === undefined) {
      throw new TidegateError(
        "trace/invalid",
        `${this.#file}:1: the trace is empty; expected a header with ${dialects[0]!.required.join(", ")}, or one JSON object a line`,
      );
    }
    return rows;
  }

  #read(line: string, rows: TraceRequest[]): void {
    this.#line++;
    if (this.#line === 1 && line.charCodeAt(0) === 0xfeff) line = line.slice(1);
    if (line === "" || (this.#format === undefined && line.startsWith("#"))) return;
    if (this.#format === undefined) {
      this.#format = line.trimStart().startsWith("{") ? "jsonl" : "csv";
      if (this.#format === "csv") {
        this.#header(line);
        return;
      }
    }
    rows.push(this.#format === "csv" ? this.#csvRow(line) : this.#jsonRow(line));
  }

  #header(line: string): void {
    const { cells, starts } = splitCsv(line);
    const names = cells.map((cell) => cell.trim());
    this.#choose(names, (column) => starts[column]);
  }

  /** Takes the dialect that fits `names` and binds its columns. */
  #choose(names: readonly string[], position: Position): void {
    const lower = names.map((name) => name.toLowerCase());
    const has = (column: string) => lower.includes(column.toLowerCase());
    const share = ({ required }: Dialect) => required.filter(has).length / required.length;
    const dialect = dialects.reduce((best, each) => (share(each) > share(best) ? each : best));
    const known = Object.keys(dialect.columns);
    this.#columns = names.map((name, at) => {
      const match = known.find((column) => column.toLowerCase() === lower[at]);
      if (match === undefined) throw this.#unknown(name, position(at), known, dialect);
      if (lower.indexOf(lower[at]!) !== at) this.#fail(position(at), `column "${name}" appears twice; remove one`);
      return { name: match, field: dialect.columns[match]! };
    });
    const missing = dialect.required.filter((column) => !has(column));
    if (missing.length > 0) {
      this.#fail(1, `column "${missing[0]}" is missing; needed (${dialect.name}): ${dialect.required.join(", ")}`);
    }
    this.#dialect = dialect;
  }

  #unknown(name: string, column: number | undefined, known: readonly string[], dialect: Dialect): TidegateError {
    const meant = nearest(name, known);
    return new TidegateError(
      "trace/invalid",
      `${this.#at(column)}: column "${name}" is not known${meant === undefined ? "." : `; did you mean "${meant}"?`} ` +
        `Known columns (${dialect.name}): ${known.join(", ")}. Rename it, or remove it from the file`,
    );
  }

  #csvRow(line: string): TraceRequest {
    const plain = !line.includes('"');
    const cells = plain ? line.split(",") : splitCsv(line).cells;
    const position: Position = (column) => splitCsv(line).starts[column];
    if (cells.length !== this.#columns.length) {
      const extra = cells.length > this.#columns.length;
      this.#fail(
        extra ? position(this.#columns.length) : line.length + 1,
        `the row has ${cells.length} values and the header ${this.#columns.length} columns; ${extra ? "remove the rest" : `"${this.#columns[cells.length]!.name}" has no value, give it one`}`,
      );
    }
    return this.#request(cells, position);
  }

  #jsonRow(line: string): TraceRequest {
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (cause) {
      throw new TidegateError("trace/invalid", `${this.#at(1)}: not a JSON object; a JSONL trace has one object a line`, { cause });
    }
    if (row === null || typeof row !== "object" || Array.isArray(row))
      this.#fail(1, "not a JSON object; a JSONL trace has one object a line");
    return this.#object(row as Readonly<Record<string, Cell>>, (name) => {
      const at = line.indexOf(JSON.stringify(name));
      return at < 0 ? undefined : at + 1;
    });
  }

  #object(row: Readonly<Record<string, Cell>>, position: (name: string) => number | undefined): TraceRequest {
    const entries = Object.entries(row);
    if (this.#columns.length === 0) {
      this.#choose(
        entries.map(([name]) => name),
        (at) => position(entries[at]![0]),
      );
      for (const name of Object.keys(this.#dialect.columns)) this.#jsonColumns.set(name.toLowerCase(), this.#jsonColumns.size);
      this.#columns = Object.entries(this.#dialect.columns).map(([name, field]) => ({ name, field }));
    }
    const cells: Cell[] = Array.from({ length: this.#columns.length });
    for (const [name, value] of entries) {
      const at = this.#jsonColumns.get(name.toLowerCase());
      if (at === undefined) throw this.#unknown(name, position(name), Object.keys(this.#dialect.columns), this.#dialect);
      cells[at] = value;
    }
    return this.#request(cells, (column) => position(this.#columns[column]!.name));
  }

  #request(cells: readonly Cell[], position: Position): TraceRequest {
    let arrivalMs = Number.NaN;
    let promptTokens = 0;
    let outputTokens = 0;
    const more: { class?: string; client?: string; sessionId?: string; prefixHitTokens?: number } = {};
    let hashes: readonly unknown[] | undefined;
    for (let at = 0; at < this.#columns.length; at++) {
      const { field } = this.#columns[at]!;
      const cell = cells[at];
      const absent = cell === undefined || cell === null || cell === "";
      switch (field) {
        case "arrivalS":
          arrivalMs = Math.round(this.#number(cell, at, position, "seconds") * 1e6) / 1e3;
          break;
        case "arrivalMs":
          arrivalMs = this.#number(cell, at, position, "milliseconds");
          break;
        case "timestamp":
          arrivalMs = this.#stamp(cell, at, position);
          break;
        case "prompt":
          promptTokens = this.#tokens(cell, at, position, this.#dialect.leastTokens);
          break;
        case "output":
          outputTokens = this.#tokens(cell, at, position, this.#dialect.leastTokens);
          break;
        case "prefixHit":
          if (!absent) more.prefixHitTokens = this.#tokens(cell, at, position, 0);
          break;
        case "session":
          if (!absent) more.sessionId = String(cell);
          break;
        case "client":
          if (!absent) more.client = String(cell);
          break;
        case "class":
          if (!absent) more.class = String(cell);
          break;
        case "hashes":
          if (Array.isArray(cell)) hashes = cell;
          else if (!absent) this.#fail(position(at), `"${this.#columns[at]!.name}" is not a list of block hashes`);
          break;
        case "ignored":
          break;
      }
    }
    if (arrivalMs < this.#lastMs) {
      const at = this.#columns.findIndex(({ field }) => field === "arrivalS" || field === "arrivalMs" || field === "timestamp");
      this.#fail(position(at), `"${this.#columns[at]!.name}" (${String(cells[at])}) is before the row above; sort the rows by arrival`);
    }
    this.#lastMs = arrivalMs;
    promptTokens = Math.max(1, promptTokens);
    outputTokens = Math.max(1, outputTokens);
    if (hashes !== undefined) {
      const { sessionId, hitBlocks } = this.#prefixes.add(hashes);
      more.sessionId = sessionId;
      more.prefixHitTokens = Math.min(promptTokens, hitBlocks * blockTokens);
    }
    if (more.prefixHitTokens !== undefined && more.prefixHitTokens > promptTokens) {
      const at = this.#columns.findIndex(({ field }) => field === "prefixHit");
      this.#fail(position(at), `"${this.#columns[at]!.name}" (${more.prefixHitTokens}) is above the prompt's ${promptTokens} tokens`);
    }
    return { arrivalMs, promptTokens, outputTokens, ...more };
  }

  #number(cell: Cell, at: number, position: Position, unit: string): number {
    const value = typeof cell === "number" ? cell : typeof cell === "string" && cell.trim() !== "" ? Number(cell) : Number.NaN;
    if (!Number.isFinite(value) || value < 0) {
      this.#fail(position(at), `"${this.#columns[at]!.name}" ${shown(cell)} is not a number of ${unit} from 0 on`);
    }
    return value;
  }

  #tokens(cell: Cell, at: number, position: Position, least: 0 | 1): number {
    const value = typeof cell === "number" ? cell : typeof cell === "string" && cell !== "" ? Number(cell) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < least) {
      this.#fail(position(at), `"${this.#columns[at]!.name}" ${shown(cell)} is not a whole number of tokens from ${least} on`);
    }
    return value;
  }

  /** Azure's `2023-11-16 18:15:46.6805900`, with or without a zone (none: UTC); relative to the first row. */
  #stamp(cell: Cell, at: number, position: Position): number {
    const match = typeof cell === "string" ? /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/.exec(cell.trim()) : null;
    const wholeMs = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}${match[4] ?? "Z"}`);
    if (Number.isNaN(wholeMs)) {
      this.#fail(position(at), `"${this.#columns[at]!.name}" ${shown(cell)} is not a time such as 2023-11-16 18:15:46.680`);
    }
    this.#firstStampMs ??= wholeMs + fractionMs(match![3]);
    return Math.round((wholeMs - this.#firstStampMs + fractionMs(match![3])) * 1e3) / 1e3;
  }

  #at(column: number | undefined): string {
    return `${this.#file}:${this.#line}${column === undefined ? "" : `:${column}`}`;
  }

  #fail(column: number | undefined, message: string): never {
    throw new TidegateError("trace/invalid", `${this.#at(column)}: ${message}`);
  }
}

const fractionMs = (text: string | undefined) => (text === undefined ? 0 : Number(`0${text}`) * 1000);
const shown = (cell: Cell) => (cell === undefined || cell === null || cell === "" ? "(nothing)" : `(${String(cell)})`);

/** One CSV line (no line ends inside quotes), and where each value begins, from 1. */
function splitCsv(line: string): { readonly cells: string[]; readonly starts: number[] } {
  const cells: string[] = [];
  const starts: number[] = [];
  let at = 0;
  for (;;) {
    starts.push(at + 1);
    if (line[at] === '"') {
      let cell = "";
      let from = at + 1;
      for (;;) {
        const end = line.indexOf('"', from);
        if (end < 0) {
          cell += line.slice(from);
          at = line.length;
          break;
        }
        cell += line.slice(from, end);
        at = end + 1;
        if (line[at] !== '"') break;
        cell += '"';
        from = at + 1;
      }
      const comma = line.indexOf(",", at);
      cells.push(cell);
      at = comma < 0 ? line.length : comma;
    } else {
      const comma = line.indexOf(",", at);
      const end = comma < 0 ? line.length : comma;
      cells.push(line.slice(at, end));
      at = end;
    }
    if (at >= line.length) return { cells, starts };
    at++;
  }
}

/** Which leading blocks were seen before, over the whole trace, and to which conversation a request belongs. */
class PrefixIndex {
  /** Block hash → session of the last request that held it. A hash names its block with all blocks before it. */
  readonly #seen = new Map<unknown, number>();
  #sessions = 0;

  /** A request belongs to the last one it shares more than the first block with (the first is one system prompt for all). */
  add(hashes: readonly unknown[]): { readonly sessionId: string; readonly hitBlocks: number } {
    let hitBlocks = 0;
    while (hitBlocks < hashes.length && this.#seen.has(hashes[hitBlocks])) hitBlocks++;
    const session = hitBlocks > 1 ? this.#seen.get(hashes[hitBlocks - 1])! : this.#sessions++;
    for (const hash of hashes) this.#seen.set(hash, session);
    return { sessionId: String(session), hitBlocks };
  }
}

/** A whole trace at once. @param file names it in errors. */
export function parseTrace(text: string, file: string): TraceRequest[] {
  const parser = new TraceParser(file);
  const rows = parser.push(text);
  const last = parser.end();
  return last.length === 0 ? rows : [...rows, ...last];
}

/** A trace whose rows are data already, as they arrive. @param file names it in errors. */
export async function* readTraceRows(
  rows: AsyncIterable<Readonly<Record<string, unknown>>> | Iterable<Readonly<Record<string, unknown>>>,
  file: string,
): AsyncGenerator<TraceRequest> {
  const parser = new TraceParser(file);
  for await (const row of rows) yield parser.row(row);
  parser.end();
}

/** A trace as its pieces arrive; never holds more than one piece. @param file names it in errors. */
export async function* readTrace(chunks: AsyncIterable<string> | Iterable<string>, file: string): AsyncGenerator<TraceRequest> {
  const parser = new TraceParser(file);
  for await (const chunk of chunks) yield* parser.push(chunk);
  yield* parser.end();
}
