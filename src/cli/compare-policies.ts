import { signalOfMetric } from "../engine/index.ts";
import { readerFor } from "../manifests/index.ts";
import { isSignalName, TidegateError } from "../model/index.ts";
import type { Contender, Scenario } from "../simulator/index.ts";
import { FAMILIES, familyOf, type Situation } from "../tuner/index.ts";
import { type Placed, plainDocuments, readFile, readText } from "./documents.ts";

/** What `--policy` names; plain data, so that it can go to a worker. */
export type PolicyChoice = { readonly kind: "family"; readonly name: string } | { readonly kind: "stated"; readonly contender: Contender };

export const nameOf = (choice: PolicyChoice): string => (choice.kind === "family" ? choice.name : choice.contender.name);
export const FAMILY_NAMES: readonly string[] = FAMILIES.map(({ name }) => name);

/** What a flag names, one by one: "all" is every family, and a folder every file of policies in it. */
export async function policyNames(text: readonly string[], all: readonly string[] = FAMILY_NAMES): Promise<readonly string[]> {
  const [{ readdirSync, statSync }, { join }] = await Promise.all([import("node:fs"), import("node:path")]);
  return text.flatMap((one) => {
    if (one === "all") return all;
    if (statSync(one, { throwIfNoEntry: false })?.isDirectory() !== true) return [one];
    return readdirSync(one)
      .filter((file) => /\.(ya?ml|json)$/.test(file))
      .toSorted()
      .map((file) => join(one, file));
  });
}

/** `slo`, `static:6`, or a file with a manifest or an Endpoint. @throws TidegateError `usage`, `config/…` naming what is wrong */
export async function readChoice(text: string): Promise<PolicyChoice> {
  const fixed = /^static:(\d+)$/.exec(text);
  if (fixed !== null) return { kind: "stated", contender: { name: text, policy: { kind: "static", replicas: Number(fixed[1]) } } };
  if (familyOf(text) !== undefined) return { kind: "family", name: text };
  if (!/[./]/.test(text) && text !== "-")
    throw new TidegateError(
      "usage",
      `--policy ${text} is neither a policy nor a file; use one of ${FAMILY_NAMES.join(", ")}, static:N, or FILE.yaml with a manifest or an Endpoint`,
    );
  return { kind: "stated", contender: await fileContender(text) };
}

/** An Endpoint gives its policy, or the manifest beside it, and its gateway's settings; a manifest alone stands for itself. */
async function fileContender(file: string): Promise<Contender> {
  const documents = await plainDocuments(readText(file, readFile));
  const name = (file.split("/").at(-1) ?? file).replace(/\.(ya?ml|json)$/, "");
  const endpoint = documents.find(({ value }) => kindOf(value) === "Endpoint");
  const spec = endpoint === undefined ? undefined : (endpoint.value as { spec?: Record<string, unknown> }).spec;
  const metrics = spec?.["metrics"] as Contender["metrics"];
  const own = spec?.["policy"] as Contender["policy"] | undefined;
  const gateway = spec?.["gateway"] as Contender["gateway"] | undefined;
  const atDoor = gateway === undefined ? {} : { gateway };
  if (own !== undefined) return { name, policy: own, ...(metrics === undefined ? {} : { metrics }), ...atDoor };
  const manifests = documents.filter((document) => document !== endpoint && readerFor(document.value) !== undefined);
  const [manifest] = manifests;
  if (manifest === undefined || manifests.length > 1)
    throw new TidegateError(
      "config/invalid",
      manifest === undefined
        ? `${file} holds no policy; give an Endpoint with spec.policy, or another autoscaler's manifest`
        : `${file} holds ${manifests.length} manifests (${manifests.map(({ place }) => place).join(", ")}); keep one, and give the others as a --policy of their own`,
    );
  const { policy, found } = policyOf(manifest, metrics ?? {});
  return { name, policy, metrics: { ...found, ...metrics }, ...atDoor };
}

const kindOf = (value: unknown) => (typeof value === "object" && value !== null ? (value as { kind?: unknown }).kind : undefined);

/**
 * Read once here, so that what is wrong is said with the file's name and before anything runs. A metric goes by what its name tells,
 * where the endpoint does not say; one that nothing tells of leaves its policy blind, which is said on standard error.
 */
function policyOf(
  { place, value }: Placed,
  stated: Readonly<Record<string, string>>,
): { readonly policy: Contender["policy"]; readonly found: Readonly<Record<string, string>> } {
  const reader = readerFor(value);
  if (reader === undefined) throw new TidegateError("config/invalid", `${place} is no manifest that Tidegate reads`);
  const read = reader.read(value);
  if ("issues" in read)
    throw new TidegateError("config/invalid", read.issues.map(({ path, message }) => `${place} ${path}: ${message}`).join("\n"));
  const found: Record<string, string> = {};
  for (const { signal: metric } of reader.intent(read.manifest, read.target).intent.rules) {
    if (isSignalName(metric) || Object.hasOwn(stated, metric)) continue;
    const signal = signalOfMetric(metric);
    if (signal !== undefined) found[metric] = signal;
    else
      process.stderr.write(
        `warning: ${place}: nothing tells what ${metric} is; put an Endpoint with metrics: { "${metric}": one of our signals } into the file\n`,
      );
  }
  return { policy: { kind: reader.dialect, manifest: value }, found };
}

/** The contender for an endpoint; a family is set up for its bounds and objective. */
export function contenderFor(choice: PolicyChoice, situation: Situation): Contender {
  if (choice.kind === "stated") return choice.contender;
  const family = familyOf(choice.name);
  if (family === undefined) throw new RangeError(`no family ${choice.name}`);
  return { name: family.name, policy: family.policy(situation), metrics: family.metrics };
}

/** The policy of a document that a system's own file holds, or an Endpoint's `policy`, in place of a family's default. */
export const policyInDocument = (own: Contender["policy"], document: unknown): Contender["policy"] =>
  "manifest" in own ? { ...own, manifest: document } : (document as { readonly policy: Contender["policy"] }).policy;

/** A policy with the settings that `tune --into FOLDER` found for the scenario; as it is where the folder has none. */
export async function tunedChoice(choice: PolicyChoice, scenario: Scenario, folder: string): Promise<PolicyChoice> {
  const [{ existsSync }, { join }] = await Promise.all([import("node:fs"), import("node:path")]);
  const file = join(folder, scenario.name, `${nameOf(choice)}.yaml`);
  if (!existsSync(file)) return choice;
  const [document] = await plainDocuments(readText(file, readFile));
  if (document === undefined) throw new TidegateError("config/invalid", `${file} is empty; tune it again with \`tidegate tune --into\``);
  const contender = contenderIn(choice, scenario);
  return { kind: "stated", contender: { ...contender, policy: policyInDocument(contender.policy, document.value) } };
}

export const contenderIn = (choice: PolicyChoice, { replicas, objective }: Scenario): Contender =>
  contenderFor(choice, { bounds: replicas, objective });
