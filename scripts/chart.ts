// `npm run chart`: writes what of the Helm chart is made from elsewhere: its crds/ (as `tidegate crd` prints them) and the table of values
// in its README (from values.yaml and values.schema.json). A test says when they are out of date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { printDocuments } from "../src/cli/documents.ts";
import { customResourceDefinitions } from "../src/config/index.ts";

const chart = fileURLToPath(new URL("../deploy/helm/tidegate/", import.meta.url));
const read = (file: string) => readFileSync(join(chart, file), "utf8");

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

interface Value {
  readonly path: string;
  readonly default: unknown;
  readonly description: string;
}

/** Every value of the chart that has no values of its own, in the schema's order. @throws Error where schema and values differ */
export function chartValues(): readonly Value[] {
  const found: Value[] = [];
  const walk = (schema: Schema, value: unknown, at: string) => {
    const inner = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
    for (const [key, part] of Object.entries(schema.properties ?? {})) {
      const path = at === "" ? key : `${at}.${key}`;
      if (path === "global") continue;
      if (!(key in inner)) throw new Error(`values.schema.json has ${path}, and values.yaml does not`);
      if (part.properties !== undefined && Object.keys(inner[key] ?? {}).length > 0) walk(part, inner[key], path);
      else if (part.description === undefined) throw new Error(`values.schema.json says nothing about ${path}`);
      else found.push({ path, default: inner[key], description: part.description });
    }
    const unknown = Object.keys(inner).filter((key) => schema.properties?.[key] === undefined);
    if (unknown.length > 0)
      throw new Error(`values.yaml has ${unknown.map((key) => `${at}.${key}`).join(", ")}, and values.schema.json does not`);
  };
  walk(JSON.parse(read("values.schema.json")) as Schema, parse(read("values.yaml")), "");
  return found;
}

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const row = ({ path, default: value, description }: Value) => `| \`${path}\` | \`${cell(JSON.stringify(value))}\` | ${cell(description)} |`;
const markers = ["<!-- values: npm run chart -->\n", "<!-- end of values -->"] as const;

/** The chart's README as it should be. */
function readme(): string {
  const text = read("README.md");
  const [before, rest] = text.split(markers[0]);
  const after = rest?.split(markers[1])[1];
  if (before === undefined || after === undefined)
    throw new Error(`deploy/helm/tidegate/README.md has lost the markers of its table of values`);
  const table = ["| value | default | |", "|---|---|---|", ...chartValues().map(row)].join("\n");
  return `${before}${markers[0]}\n${table}\n\n${markers[1]}${after}`;
}

/** As `tidegate crd` prints them. */
async function definitions(): Promise<string> {
  const documents = customResourceDefinitions().map((document) => ({ document, notes: [] }));
  return `# Made by npm run chart.\n${(await printDocuments(documents, "yaml")).out}`;
}

/** The generated files of the chart, by their path in it. */
export const chartFiles = async (): Promise<Readonly<Record<string, string>>> => ({
  "README.md": readme(),
  "crds/tidegate.dev.yaml": await definitions(),
});

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, text] of Object.entries(await chartFiles())) {
    writeFileSync(join(chart, file), text);
    process.stdout.write(`${join(chart, file)}\n`);
  }
}
