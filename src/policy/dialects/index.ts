import { type DialectKind, TidegateError } from "../../model/index.ts";
import { aibrixDialect } from "./aibrix/index.ts";
import { awsDialect } from "./aws/index.ts";
import { azureDialect } from "./azure/index.ts";
import { chironDialect } from "./chiron/index.ts";
import type { Dialect } from "./dialect.ts";
import { dynamoDialect } from "./dynamo/index.ts";
import { gcpDialect } from "./gcp/index.ts";
import { hpaDialect } from "./hpa/index.ts";
import { kedaDialect } from "./keda/index.ts";
import { kpaDialect } from "./kpa/index.ts";
import { kthenaDialect } from "./kthena/index.ts";
import { llmdDialect } from "./llm-d/index.ts";
import { rayServeDialect } from "./ray-serve/index.ts";
import { sageserveDialect } from "./sageserve/index.ts";
import { skyserveDialect } from "./skyserve/index.ts";

/** Every other system whose way of deciding we follow; a new one is one line here. */
export const DIALECTS: readonly Dialect[] = [
  hpaDialect,
  kedaDialect,
  kpaDialect,
  rayServeDialect,
  awsDialect,
  azureDialect,
  gcpDialect,
  aibrixDialect,
  llmdDialect,
  dynamoDialect,
  sageserveDialect,
  skyserveDialect,
  chironDialect,
  kthenaDialect,
];

/** @throws TidegateError `config/invalid` for a dialect that this version does not have */
export function dialectOf(kind: DialectKind): Dialect {
  const dialect = DIALECTS.find((candidate) => candidate.kind === kind);
  if (dialect !== undefined) return dialect;
  throw new TidegateError(
    "config/invalid",
    `policy ${kind}: this version does not have it; use one of ${DIALECTS.map((d) => d.kind).join(", ")}`,
  );
}

export type { Bounds, Dialect } from "./dialect.ts";
