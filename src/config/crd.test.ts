import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { customResourceDefinitions, DEFAULTS } from "./index.ts";
import { type Structural, structural } from "./structural.ts";
import { duration, durationOrNever, share } from "./units.ts";

const [endpoints, fleets] = customResourceDefinitions() as [
  ReturnType<typeof customResourceDefinitions>[number],
  ReturnType<typeof customResourceDefinitions>[number],
];
const schemaOf = (definition: typeof endpoints): Structural => definition.spec.versions[0]!.schema.openAPIV3Schema;
const partOf = (path: string, root = schemaOf(endpoints)): Structural =>
  path.split(".").reduce((part, key) => (key === "[]" ? part.items! : part.properties![key]!), root);

interface Found {
  readonly path: string;
  readonly schema: Structural;
  /** Inside allOf, anyOf, oneOf or not, where no structure may be. */
  readonly inJunctor: boolean;
}
function walk(schema: Structural, path = "", inJunctor = false): Found[] {
  return [
    { path, schema, inJunctor },
    ...Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => walk(inner, `${path}.${key}`, inJunctor)),
    ...(schema.items === undefined ? [] : walk(schema.items, `${path}.[]`, inJunctor)),
    ...(schema.additionalProperties === undefined ? [] : walk(schema.additionalProperties, `${path}.{}`, inJunctor)),
    ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].flatMap((inner) => walk(inner, path, true)),
  ];
}
const all = [...walk(schemaOf(endpoints)), ...walk(schemaOf(fleets))];

it("is structural: every part has a type or says why it has none, and logical parts hold only checks of values", () => {
  const untyped = all.filter(
    ({ schema, inJunctor }) =>
      !inJunctor &&
      schema.type === undefined &&
      schema["x-kubernetes-preserve-unknown-fields"] === undefined &&
      schema["x-kubernetes-int-or-string"] === undefined,
  );
  expect(untyped.map(({ path }) => path)).toEqual([]);
  const structured = all.filter(
    ({ schema, inJunctor }) => inJunctor && ["type", "description", "nullable", "additionalProperties"].some((key) => key in schema),
  );
  expect(structured.map(({ path }) => path)).toEqual([]);
});

it("holds nothing that OpenAPI v3 of a definition does not know, and sets no default", () => {
  const unknown = ["$ref", "$defs", "$schema", "const", "default", "propertyNames", "title", "id"];
  expect(all.flatMap(({ path, schema }) => unknown.filter((key) => key in schema).map((key) => `${path} ${key}`))).toEqual([]);
  expect(all.filter(({ schema }) => typeof schema["exclusiveMinimum"] === "number").map(({ path }) => path)).toEqual([]);
  expect(all.filter(({ schema }) => schema.type === "null" || Array.isArray(schema.type)).map(({ path }) => path)).toEqual([]);
});

it("bounds whatever a rule has to look through, for rules are refused by their worst case", () => {
  const pools = partOf("spec.pools");
  expect(pools).toMatchObject({ type: "array", maxItems: 32, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] });
  expect(partOf("spec.platform.targets")).toMatchObject({ type: "object", maxProperties: 32 });
  expect(partOf("spec.signals.staleAfter")).toMatchObject({ type: "string", maxLength: 32 });
});

it("tells defaults in descriptions", () => {
  expect(partOf("spec.signals.scrapeInterval").description).toContain(`default ${DEFAULTS.signals.scrapeInterval}`);
});

it("says which keys of a union belong to which kind", () => {
  const rules = partOf("spec.platform")["x-kubernetes-validations"]!.map(({ message }) => message);
  expect(rules).toContain("urls belongs to kind static; remove it, or change kind");
  expect(rules).toContain("kind static needs urls");
  expect(partOf("spec.platform.kind").enum).toEqual(["process", "static", "kubernetes"]);
});

it("knows every key of every example document", () => {
  const folder = new URL("../../examples/", import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".yaml"));
  const unknown: string[] = [];
  const check = (value: unknown, schema: Structural | undefined, path: string): void => {
    if (schema === undefined) return void unknown.push(path);
    if (schema["x-kubernetes-preserve-unknown-fields"] || typeof value !== "object" || value === null) return;
    if (Array.isArray(value)) for (const item of value) check(item, schema.items, `${path}[]`);
    else
      for (const [key, inner] of Object.entries(value))
        if (path !== "metadata")
          check(inner, schema.properties?.[key] ?? schema.additionalProperties, path === "" ? key : `${path}.${key}`);
  };
  let checked = 0;
  for (const file of files)
    for (const document of parseAllDocuments(readFileSync(new URL(file, folder), "utf8"))) {
      const value = document.toJS() as { kind?: string; apiVersion?: string } | null;
      if (!value?.apiVersion?.startsWith("tidegate.dev/")) continue;
      checked++;
      check(value, schemaOf(value.kind === "Fleet" ? fleets : endpoints), "");
    }
  expect(checked).toBeGreaterThan(8);
  expect(unknown).toEqual([]);
});

it.each([
  { what: "a number or text", schema: share, expected: { "x-kubernetes-preserve-unknown-fields": true, pattern: expect.any(String) } },
  { what: "a whole number or text", schema: z.union([z.int().min(1), z.string()]), expected: { "x-kubernetes-int-or-string": true } },
  { what: "text or nothing", schema: duration.nullable(), expected: { type: "string", nullable: true } },
  {
    what: "text or a list",
    schema: z.union([z.string(), z.array(z.string())]),
    expected: { "x-kubernetes-preserve-unknown-fields": true },
  },
  {
    what: "a mapping of anything",
    schema: z.record(z.string(), z.unknown()),
    expected: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  },
  { what: "a bound that is left out", schema: z.number().gt(0), expected: { type: "number", minimum: 0, exclusiveMinimum: true } },
])("writes $what", ({ schema, expected }) => {
  expect(structural(z.toJSONSchema(z.strictObject({ it: schema }), { io: "input" })).properties!["it"]).toMatchObject(expected);
});

it("joins a key that two kinds state differently", () => {
  const union = z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("a"), after: duration }),
    z.strictObject({ kind: z.literal("b"), after: durationOrNever.optional(), more: z.string() }),
  ]);
  const joined = structural(z.toJSONSchema(z.strictObject({ it: union }), { io: "input" })).properties!["it"]!;
  expect(joined.properties!["after"]).toMatchObject({
    type: "string",
    anyOf: [{ pattern: expect.any(String) }, { pattern: expect.stringContaining("never") }],
  });
  expect(joined["x-kubernetes-validations"]!.map(({ rule }) => rule)).toEqual([
    "self.kind in ['b'] || !(has(self.more))",
    "!(self.kind in ['a']) || has(self.after)",
    "!(self.kind in ['b']) || has(self.more)",
  ]);
});
