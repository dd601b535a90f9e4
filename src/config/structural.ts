/**
 * JSON Schema (draft 2020-12, as zod writes it) → the structural OpenAPI v3 schema that a CustomResourceDefinition may hold. Pure.
 * - References are written out, constants are enums of one, `null` is `nullable`.
 * - The options of a union told apart by `kind` become one object; CEL rules say which key belongs to which kind.
 * - Defaults are told in the description and never set by the server: a later version's default then holds for objects that exist, and
 *   nobody's apply is asked to own what it did not write.
 * - What is a number or text, or text or a list, has no structural type: it is kept as it is and checked by whoever reads it.
 * Source: Kubernetes, "Specifying a structural schema"; KEP-2876 (CEL).
 */

export interface Rule {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
}

export interface Structural {
  type?: string;
  description?: string;
  nullable?: boolean;
  properties?: Record<string, Structural>;
  required?: readonly string[];
  additionalProperties?: Structural;
  items?: Structural;
  enum?: readonly unknown[];
  anyOf?: readonly Structural[];
  oneOf?: readonly Structural[];
  pattern?: string;
  maxLength?: number;
  maxItems?: number;
  maxProperties?: number;
  "x-kubernetes-validations"?: readonly Rule[];
  "x-kubernetes-preserve-unknown-fields"?: true;
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-list-type"?: string;
  "x-kubernetes-list-map-keys"?: readonly string[];
  [validation: string]: unknown;
}

interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** What is added to a definition wherever it is used, by its id. */
export type Additions = Readonly<Record<string, Partial<Structural>>>;

const copied = ["enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"] as const;
/** CEL's reserved words are written with two underscores around them when they are a field's name. */
const reserved: ReadonlySet<string> = new Set(["namespace", "const", "in", "as", "for", "if", "import", "let", "package", "return", "var"]);
export const celField = (name: string): string => (reserved.has(name) ? `__${name}__` : name);
const celList = (words: readonly string[]) => `[${words.map((word) => `'${word}'`).join(", ")}]`;

export function structural(root: object, additions: Additions = {}): Structural {
  const definitions = (root as { readonly $defs?: Readonly<Record<string, JsonSchema>> }).$defs ?? {};

  function convert(schema: JsonSchema): Structural {
    if (schema.$ref !== undefined) {
      const id = schema.$ref.replace("#/$defs/", "");
      const { $ref: _, ...own } = schema;
      const definition = definitions[id];
      if (definition === undefined) throw new RangeError(`${schema.$ref} is not defined`);
      const { "x-kubernetes-validations": rules, ...added } = additions[id] ?? {};
      const converted = convert({ ...definition, ...own });
      return { ...converted, ...added, ...(rules === undefined ? {} : withRules(converted, rules)) };
    }
    const said = description(schema);
    const options =
      schema.anyOf ?? schema.oneOf ?? (Array.isArray(schema.type) ? schema.type.map((type: string) => ({ type })) : undefined);
    if (options !== undefined) return { ...union(options), ...said };
    const bounds: Structural = {};
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
    if (minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER) bounds["minimum"] = minimum;
    if (maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER) bounds["maximum"] = maximum;
    if (exclusiveMinimum !== undefined) Object.assign(bounds, { minimum: exclusiveMinimum, exclusiveMinimum: true });
    if (exclusiveMaximum !== undefined) Object.assign(bounds, { maximum: exclusiveMaximum, exclusiveMaximum: true });
    for (const key of copied) if (key in schema) Object.assign(bounds, { [key]: (schema as Record<string, unknown>)[key] });
    if (schema.const !== undefined) bounds.enum = [schema.const];
    if (typeof schema.type !== "string") return { ...said, "x-kubernetes-preserve-unknown-fields": true };
    const result: Structural = { ...said, type: schema.type, ...bounds };
    if (schema.type === "integer") result["format"] = "int64";
    if (schema.items !== undefined) result.items = convert(schema.items);
    if (schema.properties !== undefined) {
      result.properties = Object.fromEntries(Object.entries(schema.properties).map(([key, inner]) => [key, convert(inner)]));
      if (schema.required !== undefined && schema.required.length > 0) result.required = schema.required;
    }
    const rest = schema.additionalProperties;
    if (typeof rest === "object") {
      const inner = convert(rest);
      if (Object.keys(rest).length === 0) result["x-kubernetes-preserve-unknown-fields"] = true;
      else result.additionalProperties = inner;
    } else if (rest === true || (rest === undefined && schema.type === "object" && schema.properties === undefined))
      result["x-kubernetes-preserve-unknown-fields"] = true;
    return result;
  }

  function union(options: readonly JsonSchema[]): Structural {
    const nullable = options.some(({ type }) => type === "null") ? { nullable: true } : {};
    const kinds = options.filter(({ type }) => type !== "null").map(convert);
    const [only] = kinds;
    if (only === undefined) throw new RangeError("a union of nothing");
    if (kinds.length === 1) return { ...only, ...nullable };
    if (kinds.every(({ properties }) => properties?.["kind"] !== undefined)) return { ...oneObject(kinds), ...nullable };
    const types = kinds.map(({ type }) => type).toSorted();
    if (types.join(" ") === "integer string") return { "x-kubernetes-int-or-string": true, ...nullable };
    // A pattern holds for text alone, so it may stand where a number may stand too.
    const patterns = kinds.flatMap(({ pattern }) => pattern ?? []);
    const text =
      types.every((type) => type === "number" || type === "string") && patterns.length === 1 ? { pattern: patterns[0] as string } : {};
    return { "x-kubernetes-preserve-unknown-fields": true, ...text, ...nullable };
  }

  return convert(root as JsonSchema);
}

function description({ description: text, default: value }: JsonSchema): Structural {
  const stated = value === undefined || typeof value === "object" ? "" : `default ${value}`;
  const whole = [text, stated].filter((part) => part !== undefined && part !== "").join("; ");
  return whole === "" ? {} : { description: whole };
}

const kindsOf = (option: Structural): readonly string[] => option.properties?.["kind"]?.enum as readonly string[];
/** Whether CEL can name it: what has no type, or is a list or mapping of such, it cannot. */
const isSeen = ({ type, items, additionalProperties, ...schema }: Structural): boolean =>
  schema["x-kubernetes-int-or-string"] === true ||
  (type !== undefined && [items, additionalProperties].every((inner) => !inner || isSeen(inner)));

/** One object for all options; a key that not all of them have is refused beside another kind, as the options themselves would. */
function oneObject(options: readonly Structural[]): Structural {
  const properties: Record<string, Structural> = {};
  const owners = new Map<string, string[]>();
  for (const option of options)
    for (const [key, schema] of Object.entries(option.properties as Record<string, Structural>)) {
      const before = properties[key];
      properties[key] = before === undefined ? schema : alike(key, before, schema);
      owners.set(key, [...(owners.get(key) ?? []), ...kindsOf(option)]);
    }
  const all = owners.get("kind") as string[];
  const rules: Rule[] = [];
  const byOwners = Map.groupBy(
    [...owners.keys()].filter((key) => isSeen(properties[key] as Structural) && owners.get(key)?.length !== all.length),
    (key) => JSON.stringify(owners.get(key)),
  );
  for (const [list, keys] of byOwners) {
    const kinds = JSON.parse(list) as string[];
    const stated = keys.map((key) => `has(self.${celField(key)})`).join(" || ");
    const what = keys.length === 1 ? `${keys[0]} belongs` : `${keys.join(", ")} belong`;
    const message = `${what} to kind ${kinds.join(" or ")}; remove ${keys.length === 1 ? "it" : "them"}, or change kind`;
    rules.push({ rule: `self.kind in ${celList(kinds)} || !(${stated})`, message });
  }
  for (const option of options)
    for (const key of (option.required ?? []).filter((one) => one !== "kind")) {
      const kinds = kindsOf(option);
      // What CEL cannot see is left to whoever reads the object: an anyOf could ask for it, but would blame the kind.
      if (!isSeen(properties[key] as Structural)) continue;
      rules.push({
        rule: `!(self.kind in ${celList(kinds)}) || has(self.${celField(key)})`,
        message: `kind ${kinds.join(", ")} needs ${key}`,
      });
    }
  return { type: "object", properties, required: ["kind"], "x-kubernetes-validations": rules };
}

/** One schema for a key that several options have. */
function alike(key: string, a: Structural, b: Structural): Structural {
  const bare = ({ description: _, ...rest }: Structural) => JSON.stringify(rest);
  const said = a.description === b.description ? a.description : [a.description, b.description].filter(Boolean).join(" / ");
  const described = said === undefined ? {} : { description: said };
  if (key === "kind") return { ...a, ...described, enum: [...(a.enum ?? []), ...(b.enum ?? [])] };
  if (bare(a) === bare(b)) return { ...a, ...described };
  if (a.type === "string" && b.type === "string" && a.pattern !== undefined && b.pattern !== undefined)
    return { ...described, type: "string", anyOf: [{ pattern: a.pattern }, { pattern: b.pattern }] };
  return { ...described, "x-kubernetes-preserve-unknown-fields": true };
}

export function withRules(schema: Structural, rules: readonly Rule[]): { readonly "x-kubernetes-validations": readonly Rule[] } {
  return { "x-kubernetes-validations": [...(schema["x-kubernetes-validations"] ?? []), ...rules] };
}
