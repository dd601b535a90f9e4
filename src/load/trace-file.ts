import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { messageOf, TidegateError } from "../model/index.ts";
import { builtinTrace, readTrace, readTraceRows, type TraceRequest } from "../traces/index.ts";

/**
 * The rows of a trace file (CSV or JSON lines, `.gz` unpacked; Parquet), of standard input (`-`) or of the demo (`builtin`), as they are
 * read. @throws TidegateError `trace/unreadable` when there is no such file or it cannot be read, `trace/invalid` on its content
 */
export async function* openTrace(file: string): AsyncGenerator<TraceRequest> {
  if (file === "builtin") {
    yield* builtinTrace();
    return;
  }
  if (file !== "-") await mustBeFile(file);
  if (file.endsWith(".parquet")) {
    yield* readTraceRows(parquetRows(file), file);
    return;
  }
  yield* readTrace(textOf(file), file === "-" ? "standard input" : file);
}

async function mustBeFile(file: string): Promise<void> {
  let isFile: boolean;
  try {
    isFile = !(await stat(file)).isDirectory();
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file" : messageOf(cause);
    throw new TidegateError("trace/unreadable", `trace ${file} cannot be read: ${why}; give a CSV, JSONL or Parquet file, or "builtin"`, {
      cause,
    });
  }
  if (!isFile) throw new TidegateError("trace/unreadable", `trace ${file} is a folder; give a CSV, JSONL or Parquet file in it`);
}

/** Holds no more than one row group. */
async function* parquetRows(file: string): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const [{ asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects }, { compressors }] = await Promise.all([
    import("hyparquet/src/node.js"),
    import("hyparquet-compressors"),
  ]);
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      yield* await parquetReadObjects({ file: buffer, metadata, compressors, rowStart, rowEnd });
      rowStart = rowEnd;
    }
  } catch (cause) {
    throw new TidegateError("trace/unreadable", `trace ${file} cannot be read: ${messageOf(cause)}; is it a whole Parquet file?`, {
      cause,
    });
  }
}

async function* textOf(file: string): AsyncGenerator<string> {
  const raw: Readable = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
  const unpack = file.endsWith(".gz") ? createGunzip() : null;
  // pipe does not carry errors
  if (unpack !== null) raw.on("error", (error) => unpack.destroy(error));
  const bytes = unpack === null ? raw : raw.pipe(unpack);
  const decoder = new TextDecoder();
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk as Buffer, { stream: true });
  } catch (cause) {
    throw new TidegateError("trace/unreadable", `trace ${file} cannot be read: ${messageOf(cause)}; is the file whole?`, { cause });
  } finally {
    if (raw !== process.stdin) raw.destroy();
  }
  yield decoder.decode();
}
