import { isCollection, isMap, isPair, isScalar, LineCounter, type Node, parseAllDocuments, type Document as YamlDocument } from "yaml";
import type { ConfigIssue, Path } from "./issue.ts";
import { formatPath, showValue } from "./issue.ts";

export interface ConfigText {
  /** As the user named it; appears in messages. */
  readonly file: string;
  readonly text: string;
}

/** What is said about one place: `message` says what is wrong, `wayOut` what to do. */
export interface Remark {
  readonly path: Path;
  readonly message: string;
  readonly wayOut?: string | undefined;
  /** Point at the key instead of the value. */
  readonly onKey?: boolean;
  /** Leave out the value: it may be a secret, or says nothing. */
  readonly hideValue?: boolean;
}

/** What is wrong and the way out, which a message may carry behind its first "; ". */
export function splitMessage(text: string): { message: string; wayOut?: string } {
  const at = text.indexOf("; ");
  return at < 0 ? { message: text } : { message: text.slice(0, at), wayOut: text.slice(at + 2) };
}

/** One document as plain data, with a way back to where each part of it stands. */
export interface Source {
  readonly file: string;
  readonly document: number;
  readonly value: unknown;
  /** Makes a Remark about a place in this document an issue with its line and column. */
  issue(remark: Remark): ConfigIssue;
}

/** Each alias may stand for parts that hold aliases again ("billion laughs"): more than this many copies are refused. */
const MAX_ALIASES = 100;

/** Reads every document of a YAML file; a document with errors is left out and its errors are in `issues`. */
export function readDocuments({ file, text }: ConfigText): { sources: Source[]; issues: ConfigIssue[] } {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, version: "1.2" });
  const documents = Array.isArray(parsed) ? parsed : [];
  const several = documents.filter((document) => document.contents !== null && !isEmpty(document)).length > 1;
  const sources: Source[] = [];
  const issues: ConfigIssue[] = [];

  documents.forEach((document, at) => {
    const index = at + 1;
    const prefix = several ? `document ${index}` : "";
    const at_ = (offset: number) => {
      const { line, col } = lines.linePos(offset);
      return { line: Math.max(line, 1), column: Math.max(col, 1) };
    };
    if (document.errors.length > 0) {
      for (const error of document.errors)
        issues.push({ file, ...at_(error.pos[0]), document: index, path: prefix, ...yamlMessage(error.code, error.message) });
      return;
    }
    if (isEmpty(document)) return;
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      issues.push({
        file,
        ...at_(document.contents?.range?.[0] ?? 0),
        document: index,
        path: prefix,
        message: error instanceof ReferenceError ? "aliases (*name) multiply too far" : `cannot be read as data: ${String(error)}`,
        wayOut: `write the repeated parts out, or use fewer than ${MAX_ALIASES} aliases`,
      });
      return;
    }
    sources.push({
      file,
      document: index,
      value,
      issue: (remark) => ({ file, ...at_(offsetOf(document, remark)), ...bare(index, prefix, value, remark) }),
    });
  });
  return { sources, issues };
}

/** Documents that are data already: issues then name no line. */
export function plainDocuments(values: readonly unknown[], file: string): Source[] {
  return values.map((value, at) => ({
    file,
    document: at + 1,
    value,
    issue: (remark) => ({ file, line: null, column: null, ...bare(at + 1, values.length > 1 ? `document ${at + 1}` : "", value, remark) }),
  }));
}

function bare(document: number, prefix: string, root: unknown, remark: Remark) {
  const value = remark.hideValue || remark.onKey ? undefined : showValue(valueAt(root, remark.path));
  return {
    document,
    path: [prefix, formatPath(remark.path)].filter((part) => part !== "").join(" "),
    message: remark.message,
    ...(value === undefined ? {} : { value }),
    ...(remark.wayOut === undefined ? {} : { wayOut: remark.wayOut }),
  };
}

export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path)
    value = typeof value === "object" && value !== null ? (value as Record<string | number, unknown>)[part] : undefined;
  return value;
}

function isEmpty(document: YamlDocument.Parsed): boolean {
  return document.contents === null || (isScalar(document.contents) && document.contents.value === null);
}

/** Where the part at `path` begins; for a part that is not there, the nearest one around it, at its key. */
function offsetOf(document: YamlDocument.Parsed, { path, onKey }: Remark): number {
  let node: Node | null | undefined = document.contents;
  let offset = node?.range?.[0] ?? 0;
  let keyOffset = offset;
  for (const [depth, part] of path.entries()) {
    if (node !== null && node !== undefined && "resolve" in node && typeof node.resolve === "function") node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part));
      if (pair === undefined) return depth === 0 ? offset : keyOffset;
      keyOffset = (pair.key as Node).range?.[0] ?? keyOffset;
      node = pair.value as Node | null;
      offset = node?.range?.[0] ?? keyOffset;
    } else if (isCollection(node)) {
      const item: unknown = node.items[Number(part)];
      if (item === undefined) return keyOffset;
      node = item as Node;
      offset = node.range?.[0] ?? keyOffset;
      keyOffset = offset;
    } else return keyOffset;
  }
  return onKey ? keyOffset : offset;
}

function yamlMessage(code: string, message: string): { message: string; wayOut?: string } {
  if (code === "DUPLICATE_KEY") return { message: "the same key stands twice in one mapping", wayOut: "remove one of the two" };
  if (code === "TAB_AS_INDENT") return { message: "a tab is used to indent", wayOut: "indent with spaces" };
  return { message: `is not valid YAML: ${message.replace(/\s+/g, " ")}`, wayOut: "check indentation, quotes and colons around here" };
}
