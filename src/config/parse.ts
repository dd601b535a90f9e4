import { MANIFEST_KINDS, type ManifestReader, readerFor } from "../manifests/index.ts";
import { type DoorEndpoint, type Endpoint, type Fleet, type Manifest, type Target, TidegateError } from "../model/index.ts";
import { type ConfigText, plainDocuments, type Remark, readDocuments, type Source, splitMessage } from "./documents.ts";
import { type BoundManifest, limitsOf, objectiveOf, resolveEndpoint, type SecretSources, targetOf } from "./endpoint.ts";
import { checkShape } from "./explain.ts";
import { type ConfigIssue, formatIssue, parsePath } from "./issue.ts";
import { API_VERSION, type EndpointDocument, endpointSchema, type FleetDocument, fleetSchema } from "./schema.ts";
import { wayOutAmong } from "./suggest.ts";

/** `warnings` are no reason to refuse the config, but worth saying. */
export interface Config {
  readonly endpoints: readonly Endpoint[];
  /** The budget that the endpoints share; null: none. */
  readonly fleet: Fleet | null;
  readonly warnings: readonly ConfigIssue[];
}

/** What `checkConfig` found; `endpoints` is empty where there are issues. */
export interface ConfigCheck extends Config {
  readonly issues: readonly ConfigIssue[];
}

export type ConfigOptions = SecretSources;

/** Reads one file of one or several YAML documents. @throws TidegateError `config/invalid`, with every problem on a line of its own */
export function parseConfig(text: string, options: ConfigOptions & { readonly file: string }): Config {
  return parseConfigFiles([{ file: options.file, text }], options);
}

/** As `parseConfig`, over several files as if they were one. */
export function parseConfigFiles(files: readonly ConfigText[], options: ConfigOptions): Config {
  return orThrow(checkConfig(files, options));
}

/** As `parseConfig`, for documents that are data already; issues then name the document but no line. */
export function parseConfigDocuments(documents: readonly unknown[], options: ConfigOptions & { readonly name?: string }): Config {
  return orThrow(checkSources(plainDocuments(documents, options.name ?? "config"), [], options, options.name ?? "config"));
}

/** As `parseConfigFiles`, but returns what is wrong instead of throwing. */
export function checkConfig(files: readonly ConfigText[], options: ConfigOptions): ConfigCheck {
  const read = files.map(readDocuments);
  const sources = read.flatMap((each) => each.sources);
  const issues = read.flatMap((each) => each.issues);
  return checkSources(sources, issues, options, files.map(({ file }) => file).join(", "));
}

/** As `parseConfigDocuments`, but returns what is wrong instead of throwing. */
export function checkDocuments(documents: readonly unknown[], options: ConfigOptions & { readonly name: string }): ConfigCheck {
  return checkSources(plainDocuments(documents, options.name), [], options, options.name);
}

/** A Fleet document alone: its endpoints and GPU types may come later. */
export function checkFleet(document: unknown, name: string): { readonly fleet: Fleet | null; readonly issues: readonly ConfigIssue[] } {
  const [source] = plainDocuments([document], name) as [Source];
  const shape = checkShape(fleetSchema, document);
  if ("remarks" in shape) return { fleet: null, issues: shape.remarks.map((remark) => source.issue(remark)) };
  const { metadata, spec } = shape.data;
  return { fleet: { name: metadata.name, gpus: spec.gpus, priorities: spec.priorities }, issues: [] };
}

/** What a gateway needs of an Endpoint document: it must not know secrets nor how the count is decided. */
export function checkDoor(
  document: unknown,
  name: string,
): { readonly door: DoorEndpoint | null; readonly issues: readonly ConfigIssue[] } {
  const [source] = plainDocuments([document], name) as [Source];
  const shape = checkShape(endpointSchema, document);
  if ("remarks" in shape) return { door: null, issues: shape.remarks.map((remark) => source.issue(remark)) };
  const { metadata, spec } = shape.data;
  return { door: { name: metadata.name, model: spec.model, objective: objectiveOf(spec), limits: limitsOf(spec) }, issues: [] };
}

function orThrow({ endpoints, fleet, warnings, issues }: ConfigCheck): Config {
  if (issues.length > 0) throw new TidegateError("config/invalid", issues.map(formatIssue).join("\n"));
  return { endpoints, fleet, warnings };
}

interface StatedEndpoint {
  readonly source: Source;
  readonly document: EndpointDocument;
}
interface StatedFleet {
  readonly source: Source;
  readonly document: FleetDocument;
}
interface StatedManifest extends BoundManifest {
  readonly source: Source;
  readonly target: Target | null;
}

function checkSources(sources: readonly Source[], readIssues: readonly ConfigIssue[], options: ConfigOptions, files: string): ConfigCheck {
  const issues = [...readIssues];
  const warnings: ConfigIssue[] = [];
  const stated: StatedEndpoint[] = [];
  const manifests: StatedManifest[] = [];
  const fleets: StatedFleet[] = [];
  /** Something was meant to be an endpoint or a manifest but could not be read: whatever is missing may be that. */
  let incomplete = readIssues.length > 0;
  for (const given of sources) {
    const source = asWritten(given);
    const remarks: Remark[] = [];
    const reader = readerFor(source.value);
    if (reader !== undefined) {
      const parsed = reader.read(source.value);
      if ("manifest" in parsed) manifests.push(statedManifest(source, reader, parsed.manifest, parsed.target));
      else remarks.push(...parsed.issues.map(({ path, message }) => ({ path: parsePath(path), ...splitMessage(message) })));
    } else if (isOwn(source, "Fleet")) {
      const shape = checkShape(fleetSchema, source.value);
      if ("data" in shape) fleets.push({ source, document: shape.data });
      else remarks.push(...shape.remarks);
    } else if (isEndpoint(source, remarks)) {
      const shape = checkShape(endpointSchema, source.value);
      if ("data" in shape) stated.push({ source, document: shape.data });
      else remarks.push(...shape.remarks);
    }
    if (remarks.length > 0) incomplete = true;
    issues.push(...remarks.map((remark) => source.issue(remark)));
  }
  if (stated.length === 0 && !incomplete)
    issues.push({
      file: files,
      line: null,
      column: null,
      document: 1,
      path: "",
      message: "holds no Endpoint document",
      wayOut: `give a file with one too (apiVersion: ${API_VERSION}, kind: Endpoint)`,
    });

  const used = new Set<StatedManifest>();
  const takenBy = new Map<StatedManifest, string>();
  const endpoints = stated.map((endpoint) => {
    const { source, document } = endpoint;
    const remarks: Remark[] = [];
    const cautions: Remark[] = [];
    const candidates = manifests.filter((manifest) => names(manifest, document));
    for (const candidate of candidates) used.add(candidate);
    let bound: StatedManifest | null = null;
    if (document.spec.policy !== undefined) {
      for (const ignored of candidates)
        warnings.push(
          ignored.source.issue({
            path: ["metadata", "name"],
            message: `is not used: Endpoint ${document.metadata.name} states a policy of its own`,
            wayOut: "remove spec.policy there to use it",
          }),
        );
    } else if (candidates.length === 1) {
      bound = candidates[0] as StatedManifest;
      const other = takenBy.get(bound);
      if (other !== undefined)
        remarks.push({
          path: ["spec", "platform", "target"],
          hideValue: true,
          message: `is the target of Endpoint ${other} too, and ${bound.manifest.name} (${bound.place}) can scale only one`,
          wayOut: "give each its own target and manifest, or a policy",
        });
      takenBy.set(bound, document.metadata.name);
    } else if (candidates.length > 1 || !incomplete) remarks.push(unbound(document, candidates, manifests));
    // Without its manifest an endpoint has no bounds either; saying so as well would only repeat it.
    const known = document.spec.policy !== undefined || bound !== null;
    const resolved = resolveEndpoint(document, bound, options, remarks, cautions);
    const kept = known
      ? remarks
      : remarks.filter(({ path }) => path.join(".") !== "spec.replicas" && path.join(".") !== "spec.replicas.max");
    issues.push(...kept.map((remark) => source.issue(remark)));
    warnings.push(...cautions.map((remark) => source.issue(remark)));
    return resolved;
  });

  refuseTwins(stated, issues);
  const fleet = resolveFleet(fleets, endpoints, issues);
  for (const { source, what, target, manifest } of manifests.filter((each) => !used.has(each)))
    warnings.push(
      source.issue({
        path: ["spec", "scaleTargetRef"],
        hideValue: true,
        message:
          target === null
            ? `is missing, so that this ${what} could scale any Endpoint`
            : `names ${describeTarget(target)} in namespace ${manifest.namespace}, which is no Endpoint's platform.target`,
        wayOut: "give an Endpoint in that namespace this target, or leave the document out",
      }),
    );
  return { endpoints: issues.length > 0 ? [] : endpoints, fleet, warnings: inOrder(warnings), issues: inOrder(issues) };
}

/** By place within each file; files stay in the order in which they were first spoken of. */
function inOrder(issues: readonly ConfigIssue[]): ConfigIssue[] {
  const files = [...new Set(issues.map(({ file }) => file))];
  return issues.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
}

/** What a cluster adds to our own documents when it prints them. */
const addedByServer: ReadonlySet<string> = new Set([
  ...["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences", "finalizers"],
  ...["deletionTimestamp", "deletionGracePeriodSeconds"],
]);

/** The document without what is not its writer's, so that `kubectl get endpoints.tidegate.dev NAME -o yaml` is a config too. */
function asWritten(source: Source): Source {
  const { value } = source;
  if (!isOwn(source, "Endpoint") && !isOwn(source, "Fleet")) return source;
  const { status: _, metadata, ...rest } = value as { readonly status?: unknown; readonly metadata?: unknown };
  if (typeof metadata !== "object" || metadata === null) return source;
  const own = Object.fromEntries(Object.entries(metadata).filter(([key]) => !addedByServer.has(key)));
  return { ...source, value: { ...rest, metadata: own } };
}

const KINDS = ["Endpoint", "Fleet", ...MANIFEST_KINDS];

const isOwn = ({ value }: Source, kind: string): boolean =>
  typeof value === "object" && value !== null && "kind" in value && value.kind === kind;

/** One fleet a config: a process has one budget. Its endpoints and GPU types have to be there. */
function resolveFleet(fleets: readonly StatedFleet[], endpoints: readonly Endpoint[], issues: ConfigIssue[]): Fleet | null {
  const [first, second] = fleets;
  if (first === undefined) return null;
  const { source, document } = first;
  if (second !== undefined)
    issues.push(
      second.source.issue({
        path: ["metadata", "name"],
        message: `is a second Fleet beside ${document.metadata.name}`,
        wayOut: "keep one: a process has one budget",
      }),
    );
  const { gpus, priorities } = document.spec;
  const names = endpoints.map(({ name }) => name);
  for (const name of Object.keys(priorities))
    if (!names.includes(name))
      issues.push(
        source.issue({
          path: ["spec", "priorities", name],
          onKey: true,
          message: "is no Endpoint of this config",
          wayOut: wayOutAmong(name, names, "there is"),
        }),
      );
  const types = [...new Set(endpoints.flatMap(({ pools }) => pools.map(({ gpu }) => gpu)))].filter((gpu) => gpu !== "");
  for (const gpu of typeof gpus === "number" ? [] : Object.keys(gpus))
    if (!types.includes(gpu))
      issues.push(
        source.issue({
          path: ["spec", "gpus", gpu],
          onKey: true,
          message: "is no GPU type of any pool",
          wayOut: types.length === 0 ? "name the type in pools[].gpu, or give one number for all" : wayOutAmong(gpu, types, "there is"),
        }),
      );
  return { name: document.metadata.name, gpus, priorities };
}

function isEndpoint({ value }: Source, remarks: Remark[]): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const wayOut = `begin with apiVersion: ${API_VERSION} and kind: Endpoint`;
    remarks.push({ path: [], message: "is not a document of keys", wayOut });
    return false;
  }
  const { kind, apiVersion } = value as { kind?: unknown; apiVersion?: unknown };
  if (kind === undefined) {
    remarks.push({ path: ["kind"], message: "is missing", wayOut: `add it, one of: ${KINDS.join(", ")}` });
    return false;
  }
  if (kind !== "Endpoint") {
    remarks.push({ path: ["kind"], message: "is not a kind that Tidegate knows", wayOut: wayOutAmong(String(kind), KINDS, "use one of") });
    return false;
  }
  if (apiVersion === API_VERSION) return true;
  const message = apiVersion === undefined ? "is missing" : `is not the apiVersion of kind ${kind}`;
  remarks.push({ path: ["apiVersion"], message, wayOut: `write apiVersion: ${API_VERSION}` });
  return false;
}

function statedManifest(source: Source, { dialect }: ManifestReader, manifest: Manifest, target: Target | null): StatedManifest {
  const { line, column, document } = source.issue({ path: [], message: "" });
  const place = line === null ? `document ${document}` : `${source.file}:${line}:${column}`;
  return { source, dialect, what: String((source.value as { kind?: unknown }).kind ?? dialect), manifest, place, target };
}

/** A manifest names an endpoint when its target is the endpoint's target and both are in one namespace. */
function names(manifest: StatedManifest, document: EndpointDocument): boolean {
  return manifest.manifest.namespace === document.metadata.namespace && refersTo(manifest, document);
}
function refersTo({ target }: StatedManifest, document: EndpointDocument): boolean {
  const own = targetOf(document);
  // scaleTargetRef.apiVersion may be left out in Kubernetes.
  return (
    own !== null &&
    target !== null &&
    (target.apiVersion === "" || target.apiVersion === own.apiVersion) &&
    own.kind === target.kind &&
    own.name === target.name &&
    (target.part === undefined || target.part === own.part)
  );
}

const describeTarget = ({ apiVersion, kind, name, part }: Target): string =>
  `${apiVersion === "" ? "" : `${apiVersion} `}${kind} ${name}${part === undefined ? "" : `, part ${part}`}`;

function unbound(document: EndpointDocument, candidates: readonly StatedManifest[], manifests: readonly StatedManifest[]): Remark {
  const target = targetOf(document);
  if (candidates.length > 1) {
    const list = candidates.map(({ what, manifest, place }) => `${what} ${manifest.name} (${place})`).join(", ");
    return {
      path: ["spec", "platform", "target"],
      hideValue: true,
      message: `is named by ${candidates.length} manifests: ${list}`,
      wayOut: "keep one of them, or state a policy",
    };
  }
  const path = ["spec", "policy"];
  if (target === null)
    return {
      path,
      message: "is missing, and without platform.target no HorizontalPodAutoscaler or ScaledObject can stand in for it",
      wayOut: "add policy: { kind: slo }, or a target and its manifest",
    };
  const elsewhere = manifests.find((manifest) => refersTo(manifest, document));
  const { namespace } = document.metadata;
  return {
    path,
    message: `is missing, and no manifest in namespace ${namespace} names ${describeTarget(target)}`,
    wayOut:
      elsewhere === undefined
        ? "add policy: { kind: slo }, or give the manifest's file too"
        : `${elsewhere.manifest.name} (${elsewhere.place}) does, in namespace ${elsewhere.manifest.namespace}; make the namespaces equal, or add policy: { kind: slo }`,
  };
}

/** Names and models lead to one endpoint each within a process. */
function refuseTwins(stated: readonly StatedEndpoint[], issues: ConfigIssue[]): void {
  const firsts = new Map<string, string>();
  for (const { source, document } of stated)
    for (const [path, value] of [
      [["metadata", "name"], document.metadata.name],
      [["spec", "model"], document.spec.model],
    ] as const) {
      const key = `${path.join(".")} ${value}`;
      const issue = source.issue({ path, message: "", hideValue: true });
      const first = firsts.get(key);
      if (first === undefined)
        firsts.set(key, issue.line === null ? `document ${issue.document}` : `${issue.file}:${issue.line}:${issue.column}`);
      else
        issues.push(
          source.issue({
            path,
            message: `is taken by another Endpoint (${first})`,
            wayOut: path[1] === "model" ? "give each its own model name, or make them pools of one Endpoint" : "rename one of the two",
          }),
        );
    }
}
