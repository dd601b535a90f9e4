import { type DialectKind, TidegateError } from "../../model/index.ts";
import type { Dialect } from "./dialect.ts";
import { hpaDialect } from "./hpa/index.ts";

/** Every other system whose way of deciding we follow; a new one is one line here. */
export const DIALECTS: readonly Dialect[] = [hpaDialect];

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
