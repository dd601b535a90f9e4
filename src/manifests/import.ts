import { signalOfMetric } from "../engine/index.ts";
import { isSignalName, type Target } from "../model/index.ts";
import { dialectOf } from "../policy/index.ts";
import type { ManifestIssue } from "./issue.ts";
import type { ManifestReader } from "./reader.ts";

export interface Imported {
  /** An Endpoint document, as data, in the order in which people read it. */
  readonly document: unknown;
  /** Sentences for whoever completes it: what was assumed and what has to be filled in. */
  readonly notes: readonly string[];
}

/** Names as in DNS, which is what an Endpoint may be called. */
const dnsName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 63)
    .replace(/-+$/, "") || "endpoint";

/**
 * The Endpoint that another autoscaler's document comes to. The document goes into its policy unchanged; what it does not say (the
 * model, the engine, where replicas run) is an emulated engine on local processes, so that the result can be run and simulated at once.
 */
export function importManifest(reader: ManifestReader, source: unknown): Imported | { readonly issues: readonly ManifestIssue[] } {
  const read = reader.read(source);
  if ("issues" in read) return read;
  const { manifest, target } = read;
  const { intent } = reader.intent(manifest, target);
  const notes: string[] = [];
  const own = intent.rules.filter(
    ({ signal, query }) => !isSignalName(signal) && query === undefined && signal !== "cpu" && signal !== "memory",
  );
  const metrics = Object.fromEntries(
    [...new Set(own.map(({ signal }) => signal))].flatMap((metric) => {
      const signal = signalOfMetric(metric);
      if (signal === undefined) notes.push(`metrics: say which signal ${metric} is, or give prometheus a query of that name.`);
      return signal === undefined ? [] : [[metric, signal]];
    }),
  );
  const queries = intent.rules.flatMap(({ signal, query }) => (query === undefined || isSignalName(signal) ? [] : [{ signal, query }]));
  if (queries.length > 0) notes.push("prometheus: name the server that answers the queries; this address is a guess.");
  const bounds = dialectOf(reader.dialect).bounds(manifest);
  if (bounds === null) notes.push("replicas: the file says nothing of bounds; 1 to 8 is a guess.");
  const name = dnsName(manifest.name === "" ? (target?.name ?? reader.dialect) : manifest.name);
  notes.push("model, engine and platform: the file does not say them. This runs an emulated 8B model on local processes; name yours.");
  return {
    document: {
      apiVersion: "tidegate.dev/v1alpha1",
      kind: "Endpoint",
      metadata: { name, namespace: dnsName(manifest.namespace) },
      spec: {
        model: name,
        engine: { kind: "emulated", profile: "8B" },
        platform: { kind: "process", ...(isWhole(target) ? { target } : {}) },
        ...(bounds === null ? { replicas: { min: 1, max: 8 } } : {}),
        ...(Object.keys(metrics).length === 0 ? {} : { metrics }),
        ...(queries.length === 0 ? {} : { prometheus: { url: "http://127.0.0.1:9090", queries } }),
        policy: { kind: reader.dialect, manifest: reader.write(manifest, target) },
      },
    },
    notes,
  };
}

const isWhole = (target: Target | null): target is Target =>
  target !== null && target.apiVersion !== "" && target.kind !== "" && target.name !== "";
