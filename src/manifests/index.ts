/** Other systems' files, in and out. Pure: documents as parsed from YAML or JSON go in, what they mean comes out. */
import { type DialectKind, TidegateError } from "../model/index.ts";
import { aibrixReader } from "./aibrix.ts";
import { awsReader } from "./aws.ts";
import { azureReader } from "./azure.ts";
import { bentomlReader } from "./bentoml.ts";
import { chironReader } from "./chiron.ts";
import { dynamoReader } from "./dynamo.ts";
import { gcpReader } from "./gcp.ts";
import { hpaReader } from "./hpa-reader.ts";
import { KEDA_KINDS, kedaReader } from "./keda.ts";
import { kpaReader } from "./kpa.ts";
import { kthenaReader } from "./kthena.ts";
import { llmdReader } from "./llm-d.ts";
import { rayServeReader } from "./ray-serve.ts";
import type { ManifestReader } from "./reader.ts";
import { sageserveReader } from "./sageserve.ts";
import { skyserveReader } from "./skyserve.ts";

/** Every file of another autoscaler that is understood, with the kinds of documents it may be; a new one is one line here. */
const READERS: readonly (readonly [ManifestReader, ...string[]])[] = [
  [hpaReader, "HorizontalPodAutoscaler"],
  [aibrixReader, "PodAutoscaler"],
  [awsReader],
  [azureReader],
  [chironReader],
  [dynamoReader],
  [gcpReader],
  [kedaReader, ...KEDA_KINDS],
  [kpaReader, "Service", "PodAutoscaler", "InferenceService"],
  [kthenaReader],
  [llmdReader],
  [rayServeReader, "RayService"],
  [sageserveReader],
  [skyserveReader],
  [bentomlReader],
];

/** Kinds of Kubernetes-shaped documents that may stand in a config file beside an Endpoint. */
export const MANIFEST_KINDS: readonly string[] = [...new Set(READERS.flatMap(([, ...kinds]) => kinds))];

/** @returns the reader that knows this document; undefined: none does. */
export const readerFor = (document: unknown): ManifestReader | undefined => READERS.find(([reader]) => reader.recognizes(document))?.[0];

/** @throws TidegateError `config/invalid` for a dialect without files of its own */
export function readerOf(dialect: DialectKind): ManifestReader {
  const found = READERS.find(([reader]) => reader.dialect === dialect)?.[0];
  if (found !== undefined) return found;
  const known = [...new Set(READERS.map(([reader]) => reader.dialect))].join(", ");
  throw new TidegateError("config/invalid", `policy ${dialect}: this version does not read its files; use one of ${known}`);
}

export { exportPolicy } from "./export.ts";
export { type Imported, importManifest } from "./import.ts";
export type { ManifestIssue } from "./issue.ts";
export type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";
