import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plane } from "../kubernetes/plane/plane.ts";

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly "x-kubernetes-group-version-kind"?: readonly { readonly group: string; readonly version: string; readonly kind: string }[];
  readonly [key: string]: unknown;
}

/**
 * The API server's OpenAPI v3 as JSON Schemas for kubeconform, one file for each kind: what stands under `components` becomes its
 * `definitions`, and an object with known properties takes no others. @returns the kinds
 */
export async function writeSchemas(plane: Plane, folder: string): Promise<readonly string[]> {
  const written: string[] = [];
  mkdirSync(folder, { recursive: true });
  const { paths } = await plane.admin.ask<{ paths: Readonly<Record<string, { readonly serverRelativeURL: string }>> }>({
    path: "/openapi/v3",
  });
  for (const [name, { serverRelativeURL }] of Object.entries(paths)) {
    if (!/^apis?\/.*v\d/.test(name)) continue;
    const { components } = await plane.admin.ask<{ components?: { schemas?: Readonly<Record<string, Schema>> } }>({
      path: serverRelativeURL,
    });
    const definitions = Object.fromEntries(
      Object.entries(components?.schemas ?? {}).map(([key, schema]) => [key, jsonSchemaOf(schema) as Schema]),
    );
    for (const [key, schema] of Object.entries(components?.schemas ?? {})) {
      const kinds = schema["x-kubernetes-group-version-kind"] ?? [];
      if (kinds.length !== 1 || kinds[0] === undefined) continue;
      const { group, version, kind } = kinds[0];
      // kubeconform takes the version for the group where there is none.
      const file = join(folder, `${group || version}-${kind.toLowerCase()}-${version}.json`);
      const text = JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", $ref: `#/definitions/${key}`, definitions });
      writeFileSync(file, text);
      written.push(kind);
    }
  }
  return written;
}

const bounds = { exclusiveMinimum: "minimum", exclusiveMaximum: "maximum" } as const;

function jsonSchemaOf(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(jsonSchemaOf);
  if (typeof node !== "object" || node === null) return node;
  const { nullable, default: _default, ...schema } = node as Schema;
  const rest = Object.fromEntries(
    Object.entries(schema).flatMap(([key, value]) => {
      if (key.startsWith("x-kubernetes")) return [];
      // Formats are Go's own, such as int32; "int-or-string" says what it is by oneOf.
      if (key === "format" || key === "pattern") return [];
      // OpenAPI 3.0 says whether the bound itself is in; JSON Schema says the bound.
      if (key === "exclusiveMinimum" || key === "exclusiveMaximum") return value === true ? [[key, schema[bounds[key]]]] : [];
      if (key === "properties" || key === "definitions") return [[key, mapped(value as Schema)]];
      if (key === "$ref") return [[key, String(value).replace("#/components/schemas/", "#/definitions/")]];
      return [[key, jsonSchemaOf(value)]];
    }),
  ) as Schema;
  const anyOther = schema["x-kubernetes-preserve-unknown-fields"] === true || "additionalProperties" in schema;
  const closed = rest.properties === undefined || anyOther ? rest : { ...rest, additionalProperties: false };
  const open = schema["x-kubernetes-int-or-string"] === true ? { ...closed, type: ["integer", "string"] } : closed;
  return nullable === true ? { anyOf: [open, { type: "null" }] } : open;
}

/** Names that somebody gave, which may be words of JSON Schema. */
const mapped = (schemas: Schema): Schema => Object.fromEntries(Object.entries(schemas).map(([name, value]) => [name, jsonSchemaOf(value)]));
