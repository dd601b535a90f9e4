import { readFileSync, readSync } from "node:fs";
import { messageOf, TidegateError } from "../model/index.ts";

export type WriteFormat = "yaml" | "json";
/** @throws whatever the file system says; `-` is standard input */
export type Read = (path: string) => string;

export const readFile: Read = (path) => (path === "-" ? readStdin() : readFileSync(path, "utf8"));

/** All of standard input. A pipe whose writer set it non-blocking says EAGAIN while nothing has come yet: it is asked again. */
function readStdin(): string {
  const parts: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  const nap = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      const bytes = readSync(0, buffer);
      if (bytes === 0) return Buffer.concat(parts).toString("utf8");
      parts.push(Buffer.from(buffer.subarray(0, bytes)));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") return Buffer.concat(parts).toString("utf8");
      if (code !== "EAGAIN") throw error;
      Atomics.wait(nap, 0, 0, 10);
    }
  }
}

/** @throws TidegateError `config/unreadable` */
export function readText(file: string, read: Read): { readonly file: string; readonly text: string } {
  const name = file === "-" ? "stdin" : file;
  try {
    return { file: name, text: read(file) };
  } catch (error) {
    const why = messageOf(error).replace(/\s+/g, " ");
    throw new TidegateError("config/unreadable", `cannot read ${name} (${why}); check the path and its permissions`, { cause: error });
  }
}

/**
 * Every document of a YAML or JSON text as plain data, each with its place, such as `hpa.yaml:12`.
 * @throws TidegateError `config/invalid` where it is neither
 */
export async function plainDocuments({ file, text }: { readonly file: string; readonly text: string }): Promise<readonly Placed[]> {
  const { LineCounter, parseAllDocuments } = await import("yaml");
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  return (Array.isArray(parsed) ? parsed : []).flatMap((document) => {
    const placeOf = (offset: number) => `${file}:${Math.max(1, lines.linePos(offset).line)}`;
    const [error] = document.errors;
    if (error !== undefined) {
      const why = error.message.replace(/\s+/g, " ");
      throw new TidegateError("config/invalid", `${placeOf(error.pos[0])}: is not valid YAML or JSON: ${why}`);
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value === null || value === undefined ? [] : [{ place: placeOf(document.contents?.range?.[0] ?? 0), value }];
  });
}

export interface Placed {
  readonly place: string;
  readonly value: unknown;
}

/** What goes to standard output, and what to standard error beside it. */
export interface Printed {
  readonly out: string;
  readonly err: string;
}

/** Documents with what is to be known about each: as comments in YAML; JSON knows none, so they go to standard error. */
export async function printDocuments(
  documents: readonly { readonly document: unknown; readonly notes: readonly string[] }[],
  format: WriteFormat,
): Promise<Printed> {
  if (format === "json") {
    const values = documents.map(({ document }) => document);
    return {
      out: `${JSON.stringify(values.length === 1 ? values[0] : values, null, 2)}\n`,
      err: documents.flatMap(({ notes }) => notes.map((note) => `note: ${note}\n`)).join(""),
    };
  }
  const { stringify } = await import("yaml");
  const texts = documents.map(
    ({ document, notes }) =>
      `${notes.map((note) => `# ${note}\n`).join("")}${stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })}`,
  );
  return { out: texts.join("---\n"), err: "" };
}

export function print({ out, err }: Printed): void {
  process.stderr.write(err);
  process.stdout.write(out);
}
