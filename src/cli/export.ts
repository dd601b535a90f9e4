import { Command, Option } from "commander";
import { type DialectKind, type Endpoint, TidegateError } from "../model/index.ts";
import { type Printed, print, printDocuments, type Read, readFile, readText, type WriteFormat } from "./documents.ts";

/** Dialects that other systems read files of, by the name that --as takes. */
const AS = {
  hpa: "hpa",
  keda: "keda",
  kpa: "kpa",
  rayserve: "ray-serve",
  aws: "aws",
  azure: "azure",
  gcp: "gcp",
  aibrix: "aibrix",
  skyserve: "skyserve",
  "llm-d": "llm-d",
  dynamo: "dynamo",
  kthena: "kthena",
} as const satisfies Readonly<Record<string, DialectKind>>;
type As = keyof typeof AS;

interface ExportFlags {
  readonly as: As;
  readonly endpoint?: string;
  readonly output?: WriteFormat;
}

/** `tidegate export`: the nearest manifest of another autoscaler to what decides for an Endpoint. */
export function exportCommand(): Command {
  return new Command("export")
    .description("write the nearest manifest of another autoscaler, with what could not be carried as comments")
    .argument("<files...>", "config files, read together as `tidegate up` would; - reads standard input")
    .addOption(new Option("--as <system>", "whose manifest").choices(Object.keys(AS)).makeOptionMandatory())
    .option("--endpoint <name>", "which endpoint, where the files hold several; all of them otherwise")
    .addOption(
      new Option("-o, --output <format>", "by default what that system reads: JSON for the clouds, else YAML").choices(["yaml", "json"]),
    )
    .action(async (files: string[], flags: ExportFlags) => {
      print(await exportFiles(files, flags, readFile));
    });
}

/** @throws TidegateError `config/invalid` where the config does not hold, `usage` for an endpoint that is not there */
export async function exportFiles(files: readonly string[], { as, endpoint, output }: ExportFlags, read: Read): Promise<Printed> {
  const [{ parseConfigFiles }, { exportPolicy, readerOf }] = await Promise.all([
    import("../config/index.ts"),
    import("../manifests/index.ts"),
  ]);
  const texts = files.map((file) => readText(file, read));
  const { endpoints } = parseConfigFiles(texts, { env: process.env, readSecret: read });
  const to = readerOf(AS[as]);
  const written = chosen(endpoints, endpoint).map((each) =>
    exportPolicy(each, "manifest" in each.policy ? readerOf(each.policy.kind) : null, to),
  );
  const format = output ?? (as === "aws" || as === "azure" || as === "gcp" ? "json" : "yaml");
  return printDocuments(
    written.map(({ document, lost }) => ({ document, notes: lost })),
    format,
  );
}

function chosen(endpoints: readonly Endpoint[], name: string | undefined): readonly Endpoint[] {
  if (name === undefined) return endpoints;
  const found = endpoints.filter((endpoint) => endpoint.name === name);
  if (found.length > 0) return found;
  throw new TidegateError("usage", `--endpoint ${name}: no such endpoint; there are ${endpoints.map((each) => each.name).join(", ")}`);
}
