import { indexedMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { neededTarget, parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

interface PostgresqlTrigger extends TriggerMetric {
  readonly query: string;
}

/** @throws KedaError */
function parsePostgresql(config: TriggerConfig): PostgresqlTrigger {
  const type = "postgresql";
  const parameters = parametersOf(type, config);
  if (!parameters.has("connection", "AE"))
    for (const name of ["host", "port", "userName", "dbName", "sslmode"]) parameters.required(name, "TA");
  return {
    name: indexedMetricName(config.index, type),
    query: parameters.required("query"),
    target: neededTarget(type, parameters, "targetQueryValue", config),
    activation: parameters.float("activationTargetQueryValue", 0),
  };
}

export const postgresqlTrigger: TriggerKind = { types: [`postgresql`], metric: parsePostgresql };

/** The first column of the first row. @throws KedaError without a row, for NULL, and for what is no number */
export function postgresqlValue(rows: readonly (readonly (number | string | null)[])[]): number {
  const cell = rows[0]?.[0];
  const value = cell === undefined || cell === null || cell === "" ? Number.NaN : Number(cell);
  if (Number.isNaN(value))
    throw new KedaError(`the query gives ${rows.length === 0 ? "no row" : JSON.stringify(cell ?? null)}, not a number`);
  return value;
}
