import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { configJsonSchema, ENGINE_DEFAULTS, formatIssue, parseConfigFiles } from "./index.ts";

const folder = new URL("../../examples/", import.meta.url);
const read = (file: string) => ({ file, text: readFileSync(new URL(file, folder), "utf8") });
const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
const manifest = "hpa-gpu-utilization.yaml";
const together: Record<string, string[]> = { [manifest]: [manifest, "hpa-on-local-processes.yaml"] };
together["hpa-on-local-processes.yaml"] = together[manifest]!;

const serving = readdirSync(new URL("serving/", folder)).map((file) => `serving/${file}`);

it.each([...files, ...serving])("%s is valid, without a warning", (file) => {
  const config = parseConfigFiles((together[file] ?? [file]).map(read), { env: { HF_TOKEN: "x" } });
  expect(config.endpoints.length).toBeGreaterThan(0);
  expect(config.warnings.map(formatIssue)).toEqual([]);
});

it("the manifest binds to local processes as it is", () => {
  const { endpoints } = parseConfigFiles(together[manifest]!.map(read), { env: {} });
  expect(endpoints[0]).toMatchObject({
    platform: { kind: "process", target: { name: "llm-inference-deployment" } },
    pools: [{ min: 2, max: 10 }],
    policy: { kind: "hpa", manifest: { name: "llm-inference-hpa", namespace: "llm-serving" } },
    metrics: { dcgm_gpu_utilization: "gpu_utilization" },
  });
});

interface Schema {
  $ref?: string;
  default?: unknown;
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  additionalProperties?: unknown;
  required?: string[];
}
const root = configJsonSchema() as unknown as Schema & { $defs: Record<string, Schema> };
const endpointSchema = root.anyOf![0]!;
const resolved = (schema: Schema): Schema =>
  schema.$ref === undefined ? schema : { ...root.$defs[schema.$ref.replace("#/$defs/", "")], ...schema };

/** Every key with its path, list positions left out, and its default; secrets' and policies' inner keys where they are used. */
function keysOf(schema: Schema, path = ""): { path: string; default: unknown }[] {
  const { properties = {}, items, anyOf = [], oneOf = [] } = resolved(schema);
  return [
    ...Object.entries(properties).flatMap(([key, inner]) => [
      { path: `${path}.${key}`, default: resolved(inner).default },
      ...keysOf(inner, `${path}.${key}`),
    ]),
    ...(items === undefined ? [] : keysOf(items, path)),
    ...[...anyOf, ...oneOf].flatMap((option) => keysOf(option, path)),
  ];
}
function statedIn(value: unknown, path = ""): { path: string; value: unknown }[] {
  if (Array.isArray(value)) return value.flatMap((item) => statedIn(item, path));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [{ path: `${path}.${key}`, value: inner }, ...statedIn(inner, `${path}.${key}`)]);
}

const reference = read("tidegate.yaml");
const documents = parseAllDocuments(reference.text).map((document) => document.toJS() as Record<string, never>);
const stated = documents.flatMap((document) => statedIn(document));
const keys = keysOf(endpointSchema);

it("the reference states every key", () => {
  // Credentials stand in a comment, because a secret that is not there is an error.
  const missing = keys.map(({ path }) => path).filter((path) => !stated.some((each) => each.path === path) && !/\.auth\./.test(path));
  expect([...new Set(missing)]).toEqual([]);
  expect(reference.text).toContain("# { bearerToken: { file: PATH } }, or { username: NAME, password: { env: NAME } }");
});

it("the reference states every default as it is", () => {
  const wrong = [...Map.groupBy(keys, ({ path }) => path)].flatMap(([path, alike]) => {
    const defaults = alike.map((key) => key.default).filter((value) => value !== undefined && typeof value !== "object");
    const values = stated.filter((each) => each.path === path).map(({ value }) => value);
    return defaults.filter((value) => !values.includes(value)).map((value) => ({ path, value, values }));
  });
  expect(wrong).toEqual([]);
});

it("the reference says nothing else than a config that leaves its defaults out", () => {
  const leaveOut = (value: unknown, schema: Schema): unknown => {
    const own = resolved(schema);
    if (Array.isArray(value)) return value.map((item) => (own.items === undefined ? item : leaveOut(item, own.items)));
    if (typeof value !== "object" || value === null) return value;
    const kind = (value as { kind?: string }).kind;
    const options = [...(own.anyOf ?? []), ...(own.oneOf ?? [])].map(resolved);
    const fits = (option: Schema) => JSON.stringify(option.properties?.["kind"] ?? null).includes(JSON.stringify(kind));
    const chosen =
      options.length === 0 ? own : options.find((option) => (kind === undefined ? option.properties !== undefined : fits(option)));
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, inner]) => {
        const of = chosen?.properties?.[key];
        if (of === undefined) return [[key, inner]];
        return JSON.stringify(resolved(of).default) === JSON.stringify(inner) ? [] : [[key, leaveOut(inner, of)]];
      }),
    );
  };
  const bare = documents.map((document) => JSON.stringify(leaveOut(document, endpointSchema))).join("\n---\n");
  expect(bare.length).toBeLessThan(JSON.stringify(documents).length * 0.8);
  const parse = (text: string) => parseConfigFiles([{ file: "x", text }], { env: {} }).endpoints;
  expect(parse(bare)).toEqual(parse(reference.text));
});

it("the reference's engine paths are vLLM's defaults", () => {
  expect((documents[0] as unknown as { spec: { engine: object } }).spec.engine).toEqual({ kind: "vllm", ...ENGINE_DEFAULTS.vllm });
});

it("the schema is strict, describes keys, and keeps machine limits out", () => {
  expect(root).toMatchObject({ $schema: "https://json-schema.org/draft/2020-12/schema", title: "Tidegate config" });
  expect(endpointSchema).toMatchObject({
    type: "object",
    additionalProperties: false,
    required: ["apiVersion", "kind", "metadata", "spec"],
  });
  expect(endpointSchema.properties!["spec"]!.required).toEqual(["model", "engine", "platform"]);
  expect(JSON.stringify(root)).not.toContain(String(Number.MAX_SAFE_INTEGER));
  expect(root.$defs["Duration"]).toMatchObject({ type: "string", pattern: expect.any(String) });
});
