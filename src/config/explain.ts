import type { z } from "zod";
import type { $ZodType, $ZodTypes } from "zod/v4/core";
import { type Remark, splitMessage, valueAt } from "./documents.ts";
import { formatPath, type Path } from "./issue.ts";
import { secretSchema } from "./schema.ts";
import { meaning, wayOutAmong } from "./suggest.ts";

/** Checks `value` and says in our words what is wrong with it; the shape only, not how its parts go together. */
export function checkShape<T extends z.ZodType>(schema: T, value: unknown): { data: z.output<T> } | { remarks: Remark[] } {
  const result = schema.safeParse(value);
  if (result.success) return { data: result.data };
  const remarks = result.error.issues.flatMap((issue) => explain(schema as unknown as $ZodTypes, value, issue as z.core.$ZodIssue));
  return { remarks: remarks.filter((remark) => !remarks.some((other) => other !== remark && covers(other, remark))) };
}

/** Whether `other` says the cause of what `remark` says: a key written wrong is missing too, and makes its mapping wrong. */
function covers(other: Remark, remark: Remark): boolean {
  if (other.onKey !== true) return false;
  const parent = formatPath(other.path.slice(0, -1));
  if (formatPath(remark.path) === parent) return remark.onKey !== true;
  return (
    remark.message === MISSING && formatPath(remark.path.slice(0, -1)) === parent && other.wayOut === meaning(String(remark.path.at(-1)))
  );
}

const MISSING = "is missing";

function explain(root: $ZodTypes, value: unknown, issue: z.core.$ZodIssue): Remark[] {
  const path = issue.path as Path;
  const here = valueAt(value, path);
  const { schema, description } = schemaAt(root, value, path) ?? {};
  const structured = typeof here === "object" && here !== null;
  const hideValue = structured || isSecret(root, value, path) || (typeof here === "string" && /\/\/[^/]*@/.test(here));
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = schema?._zod.def.type === "object" ? Object.keys(schema._zod.def.shape) : [];
      const stated = structured ? Object.keys(here) : [];
      const open = known.filter((key) => !stated.includes(key));
      return issue.keys.map((key) => ({
        path: [...path, key],
        onKey: true,
        message: "is not a known key",
        wayOut: wayOutAmong(key, open.length > 0 ? open : known, "known here"),
      }));
    }
    case "invalid_union":
      if ("discriminator" in issue && issue.discriminator !== undefined)
        return [explainChoice(path, here, discriminators(root, value, path))];
      return [{ path, hideValue, ...splitMessage(issue.message) }];
    case "invalid_value":
      return [explainChoice(path, here, issue.values.map(String))];
    case "invalid_type": {
      if (here === undefined) {
        return [{ path, message: MISSING, wayOut: description === undefined ? "add it" : `add it: ${description}` }];
      }
      if (!issue.message.startsWith("Invalid input")) return [{ path, hideValue, ...splitMessage(issue.message) }];
      return [{ path, hideValue, ...wrongType(issue.expected, here) }];
    }
    default:
      return [{ path, hideValue, ...splitMessage(issue.message) }];
  }
}

function explainChoice(path: Path, here: unknown, choices: readonly string[]): Remark {
  if (here === undefined) return { path, message: MISSING, wayOut: `use one of: ${choices.join(", ")}` };
  return {
    path,
    message: "is not a known value",
    wayOut: choices.length === 1 ? `write ${choices[0]}` : wayOutAmong(String(here), choices, "use one of"),
  };
}

const ARTICLE: Readonly<Record<string, string>> = {
  string: "must be text",
  number: "must be a number",
  int: "must be a whole number",
  boolean: "must be true or false",
  object: "must be a mapping of keys",
  record: "must be a mapping of keys",
  array: "must be a list",
};

function wrongType(expected: string, here: unknown): { message: string; wayOut: string } {
  const message = ARTICLE[expected] ?? `must be ${expected}`;
  const kind = here === null ? "nothing" : Array.isArray(here) ? "a list" : typeof here === "object" ? "a mapping" : `a ${typeof here}`;
  if (expected === "string" && (typeof here === "number" || typeof here === "boolean"))
    return { message, wayOut: `put it in quotes: "${here}"` };
  if ((expected === "number" || expected === "int") && typeof here === "string")
    return { message, wayOut: "write it without quotes and units" };
  if (expected === "int" && typeof here === "number") return { message, wayOut: "round it" };
  if (here === null) return { message, wayOut: "nothing stands after the colon; fill it in or remove the key" };
  return { message, wayOut: `this is ${kind}` };
}

function discriminators(root: $ZodTypes, value: unknown, path: Path): string[] {
  const union = schemaAt(root, value, path.slice(0, -1), true)?.schema;
  if (union?._zod.def.type !== "union") return [];
  const key = String(path.at(-1));
  return union._zod.def.options.flatMap((option) =>
    [...((option as $ZodTypes)._zod.propValues?.[key] ?? [])].flatMap((value) => (value === undefined ? [] : [String(value)])),
  );
}

/**
 * The schema for the part of `value` at `path`, its wrappers taken off, and what is said about it; of a union, the option whose
 * discriminator fits, or the union itself with `keepUnion`.
 */
function schemaAt(
  root: $ZodTypes,
  value: unknown,
  path: Path,
  keepUnion = false,
): { schema: $ZodTypes; description: string | undefined } | undefined {
  let schema = unwrap(root);
  let description = descriptionOf(root);
  for (let depth = 0; ; ) {
    const def: $ZodTypes["_zod"]["def"] = schema._zod.def;
    const last = depth === path.length;
    if (def.type === "union" && !(keepUnion && last)) {
      const here = valueAt(value, path.slice(0, depth)) as Record<string, string> | undefined;
      const key = (def as { discriminator?: string }).discriminator;
      const chosen = def.options.find((option) =>
        key === undefined
          ? typeof here === "object" && unwrap(option as $ZodTypes)._zod.def.type === "object"
          : option._zod.propValues?.[key]?.has(here?.[key]),
      );
      if (chosen === undefined) return last ? { schema, description } : undefined;
      schema = unwrap(chosen as $ZodTypes);
      continue;
    }
    if (last) return { schema, description };
    let next: $ZodType | undefined;
    if (def.type === "object") next = def.shape[String(path[depth])];
    else if (def.type === "array") next = def.element;
    else if (def.type === "record") next = def.valueType;
    if (next === undefined) return undefined;
    description = descriptionOf(next as $ZodTypes);
    schema = unwrap(next as $ZodTypes);
    depth++;
  }
}

/** The outermost description: wrappers are described after what they wrap. */
function descriptionOf(schema: $ZodTypes): string | undefined {
  for (let inner: $ZodTypes | undefined = schema; inner !== undefined; inner = innerOf(inner)) {
    const description = (inner as unknown as z.ZodType).description;
    if (description !== undefined) return description;
  }
  return undefined;
}

function unwrap(schema: $ZodTypes): $ZodTypes {
  let outer = schema;
  for (let inner = innerOf(outer); inner !== undefined; inner = innerOf(outer)) outer = inner;
  return outer;
}

function innerOf(schema: $ZodTypes): $ZodTypes | undefined {
  const def = schema._zod.def;
  if (def.type === "optional" || def.type === "nullable" || def.type === "default" || def.type === "prefault")
    return def.innerType as $ZodTypes;
  return def.type === "pipe" ? (def.in as $ZodTypes) : undefined;
}

/** Whether the part at `path`, or one around it, is written where a secret's origin belongs: people put the secret itself there. */
function isSecret(root: $ZodTypes, value: unknown, path: Path): boolean {
  return path.some((_, depth) => {
    const def = schemaAt(root, value, path.slice(0, depth + 1))?.schema._zod.def;
    return def?.type === "object" && def.shape === secretSchema._zod.def.shape;
  });
}
