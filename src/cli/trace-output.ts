import { type Command, Option } from "commander";
import type { Ms } from "../model/index.ts";
import type { TraceRequest } from "../traces/index.ts";

export type Rows = AsyncIterable<TraceRequest> | Iterable<TraceRequest>;
export interface OutFlags {
  readonly out: string;
  readonly format?: "csv" | "jsonl";
}

/** The flags of every verb that writes a trace. */
export const withOutput = (command: Command): Command =>
  command
    .option("--out <file>", 'where to write; a name in .gz is packed, "-" is standard output', "-")
    .addOption(
      new Option("--format <format>", "what to write; told by the name of --out otherwise (csv unless .jsonl)").choices(["csv", "jsonl"]),
    );

/** @throws TidegateError `usage` naming the flag */
export async function duration(text: string, flag: string): Promise<Ms> {
  const { parseDuration, TidegateError } = await import("../model/index.ts");
  const ms = parseDuration(text);
  if (ms === undefined) throw new TidegateError("usage", `${flag} (${text}) is not a duration; write it with a unit, such as 90s or 1h30m`);
  return ms;
}

/** Writes as rows come; holds no more than a block of text. Columns are those that the first row fills. */
export async function write(rows: Rows, { out, format }: OutFlags): Promise<void> {
  const [{ csvHeader, csvLine, jsonLine, optionalColumns }, { Readable }, { pipeline }, { createGzip }, { createWriteStream }, model] =
    await Promise.all([
      import("../traces/index.ts"),
      import("node:stream"),
      import("node:stream/promises"),
      import("node:zlib"),
      import("node:fs"),
      import("../model/index.ts"),
    ]);
  const json = (format ?? (/\.jsonl(\.gz)?$/.test(out) ? "jsonl" : "csv")) === "jsonl";
  async function* text() {
    let columns: ReturnType<typeof optionalColumns> | undefined;
    let block = "";
    for await (const row of rows) {
      if (columns === undefined) {
        columns = optionalColumns(row);
        if (!json) block = csvHeader(columns);
      }
      block += json ? jsonLine(row) : csvLine(row, columns);
      if (block.length >= 65_536) {
        yield block;
        block = "";
      }
    }
    yield columns === undefined && !json ? csvHeader([]) : block;
  }
  const source = Readable.from(text());
  const target = out === "-" ? process.stdout : createWriteStream(out);
  try {
    await (out.endsWith(".gz") ? pipeline(source, createGzip(), target) : pipeline(source, target, { end: out !== "-" }));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // whoever read us has enough
    if (out === "-" && code === "EPIPE") return;
    if (error instanceof model.TidegateError || code === undefined) throw error;
    throw new model.TidegateError("trace/unreadable", `${out} cannot be written: ${model.messageOf(error)}; give another --out`, {
      cause: error,
    });
  }
}
