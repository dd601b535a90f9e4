import type { z } from "zod";
import { TidegateError } from "../model/index.ts";
import { type ConfigText, readDocuments } from "./documents.ts";
import { checkShape } from "./explain.ts";
import { formatIssue } from "./issue.ts";

export type { ConfigText } from "./documents.ts";

/**
 * The one document of a YAML or JSON file that is not a config of endpoints, checked against its schema.
 * @param what it should be, for messages, such as "a file of scenarios"
 * @throws TidegateError `config/invalid`, with every problem on a line of its own: file, line, column, key, value and way out
 */
export function readChecked<T extends z.ZodType>(schema: T, text: ConfigText, what: string): z.output<T> {
  const { sources, issues } = readDocuments(text);
  if (issues.length > 0) throw new TidegateError("config/invalid", issues.map(formatIssue).join("\n"));
  const [source, another] = sources;
  if (source === undefined) throw new TidegateError("config/invalid", `${text.file} is empty; it should be ${what}`);
  if (another !== undefined) throw new TidegateError("config/invalid", `${text.file} holds ${sources.length} documents; ${what} is one`);
  const shape = checkShape(schema, source.value);
  if ("data" in shape) return shape.data;
  throw new TidegateError("config/invalid", shape.remarks.map((remark) => formatIssue(source.issue(remark))).join("\n"));
}
