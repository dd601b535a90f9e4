import { type Json, messageOf } from "../../../../model/index.ts";
import { parseQuantity } from "../../hpa/index.ts";
import { parseInteger } from "../go.ts";
import { KedaError, type Trigger } from "../words.ts";

/**
 * cpu and memory become the HPA's own Resource metric, or ContainerResource with `containerName`; KEDA itself never reads them.
 * @throws KedaError
 */
export function resourceMetric({ type, metricType, metadata }: Trigger): { readonly [key: string]: Json } {
  const refuse = (what: string) => new KedaError(`trigger ${type}: ${what}`);
  if (metadata["type"] !== undefined && metadata["type"] !== "")
    throw refuse("metadata.type is no longer taken; use metricType of the trigger");
  const value = metadata["value"];
  if (value === undefined || value === "") throw refuse("value is missing; give the target");
  const target = targetOf(metricType, value, refuse);
  const container = metadata["containerName"];
  if (container === undefined || container === "") return { type: "Resource", resource: { name: type, target } };
  return { type: "ContainerResource", containerResource: { name: type, container, target } };
}

function targetOf(metricType: string, value: string, refuse: (what: string) => KedaError): { readonly [key: string]: Json } {
  if (metricType === "AverageValue") {
    try {
      parseQuantity(value);
    } catch (error) {
      throw refuse(messageOf(error));
    }
    return { type: metricType, averageValue: value };
  }
  if (metricType !== "Utilization") throw refuse(`metricType is ${JSON.stringify(metricType)}; use Utilization or AverageValue`);
  const percent = parseInteger(value);
  if (percent === null || percent <= 0) throw refuse(`value is ${JSON.stringify(value)}; give a whole percentage above 0`);
  return { type: metricType, averageUtilization: percent };
}
