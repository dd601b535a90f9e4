import { Command, Option } from "commander";
import type { Imported } from "../manifests/index.ts";
import { TidegateError } from "../model/index.ts";
import {
  type Placed,
  type Printed,
  plainDocuments,
  print,
  printDocuments,
  type Read,
  readFile,
  readText,
  type WriteFormat,
} from "./documents.ts";

/** `tidegate import`: other autoscalers' files become Endpoint documents on standard output. */
export function importCommand(): Command {
  return new Command("import")
    .description("turn another autoscaler's files into Endpoint documents, with its rules kept word for word")
    .argument("<files...>", "YAML or JSON: what the system itself reads or prints; - reads standard input")
    .addOption(new Option("-o, --output <format>", "how the Endpoints are printed").choices(["yaml", "json"]).default("yaml"))
    .addHelpText(
      "after",
      `
Read as they are: HorizontalPodAutoscaler, ScaledObject, ScaledJob, HTTPScaledObject, Knative Service, InferenceService,
PodAutoscaler, Ray Serve config, BentoML config, SkyServe config, AWS scaling policies, Azure autoscale settings, a GCP autoscaler,
and the parameters of llm-d, Dynamo, SageServe, Chiron and Kthena.

  kubectl get hpa llm -o yaml | tidegate import - > endpoint.yaml
  tidegate validate endpoint.yaml`,
    )
    .action(async (files: string[], { output }: { output: WriteFormat }) => {
      print(await importFiles(files, output, readFile));
    });
}

/** @throws TidegateError `config/invalid` with every problem on a line of its own; nothing is printed then */
export async function importFiles(files: readonly string[], output: WriteFormat, read: Read): Promise<Printed> {
  const { importManifest, readerFor } = await import("../manifests/index.ts");
  const problems: string[] = [];
  const imported: Imported[] = [];
  const documents = await Promise.all(files.map((file) => plainDocuments(readText(file, read))));
  for (const { place, value } of documents.flat().flatMap((placed) => flattenLists(placed, (value) => readerFor(value) !== undefined))) {
    const reader = readerFor(value);
    if (reader === undefined) {
      problems.push(`${place}: ${whatIs(value)} is no file of an autoscaler that Tidegate reads; see tidegate import --help`);
      continue;
    }
    const result = importManifest(reader, value);
    if ("issues" in result)
      problems.push(...result.issues.map(({ path, message }) => `${place}${path === "" ? "" : ` ${path}`}: ${message}`));
    else imported.push(result);
  }
  if (problems.length === 0 && imported.length === 0) problems.push(`${files.join(", ")}: holds no document`);
  if (problems.length > 0) throw new TidegateError("config/invalid", problems.join("\n"));
  return printDocuments(imported, output);
}

/** `kubectl get … -o yaml` of several objects is one List; one that belongs together (a policy and its binding) stays whole. */
function flattenLists({ place, value }: Placed, isRead: (value: unknown) => boolean): readonly Placed[] {
  if (isRead(value)) return [{ place, value }];
  if (typeof value === "object" && value !== null && "items" in value && "kind" in value && /List$/.test(String(value.kind))) {
    const { items } = value;
    if (Array.isArray(items)) return items.map((item, at) => ({ place: `${place} items[${at}]`, value: item }));
  }
  return [{ place, value }];
}

function whatIs(value: unknown): string {
  if (typeof value !== "object" || value === null) return "this";
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  if (typeof kind === "string") return `kind ${kind}${typeof apiVersion === "string" ? ` of ${apiVersion}` : ""}`;
  return `a document with ${Object.keys(value).slice(0, 4).join(", ")}`;
}
