/** Keys and indices from a document's root. */
export type Path = readonly (string | number)[];

/** One thing that is wrong (or, as a warning, worth knowing) in the config. Lines and columns count from 1; null: there is no text. */
export interface ConfigIssue {
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
  /** Which document of the file, from 1. */
  readonly document: number;
  /** `spec.pools[0].min`; with "document N" before it where the file holds several; "" for a whole file. */
  readonly path: string;
  readonly message: string;
  /** The offending value as JSON, shortened; absent where there is none or it could be a secret. */
  readonly value?: string;
  readonly wayOut?: string;
}

/** `file:line:col path: message (value …); way out` */
export function formatIssue(issue: ConfigIssue): string {
  const place = issue.line === null ? issue.file : `${issue.file}:${issue.line}:${issue.column}`;
  const path = issue.path === "" ? "" : ` ${issue.path}:`;
  const value = issue.value === undefined ? "" : ` (value ${issue.value})`;
  const wayOut = issue.wayOut === undefined ? "" : `; ${issue.wayOut}`;
  return `${place}${path} ${issue.message}${value}${wayOut}`;
}

/** `["spec", "pools", 0, "min"]` → `spec.pools[0].min`; keys that are no plain words are quoted. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[\w-]+$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** The inverse of `formatPath`, for paths that other rooms give as text; also takes `spec.metrics.0.type`. */
export function parsePath(text: string): Path {
  return [...text.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.[\]]+)/g)].map(([, quoted, index, word]) => {
    if (quoted !== undefined) return JSON.parse(`"${quoted}"`) as string;
    if (index !== undefined) return Number(index);
    return /^\d+$/.test(word!) ? Number(word) : word!;
  });
}

/** JSON on one line, cut after 60 characters; undefined for "no value". */
export function showValue(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
