import { formatQuantity, labelsPass, milliQuantity, parseSelector, saturate64 } from "../../policy/dialects/hpa/index.ts";
import type { Timed } from "../source.ts";
import { ApiError } from "./status.ts";

/** A reading as a quantity, to the nearest thousandth: an HPA counts in those, and doubles are noisy where quantities are not. */
export function quantityOf(value: number): string {
  const milli = Math.round(value * 1000);
  return formatQuantity(milliQuantity(Number.isSafeInteger(milli) ? milli : saturate64(BigInt(milli))));
}

/** As metav1.Time, which knows whole seconds. */
export const timestampOf = ({ atMs }: Timed): string => `${new Date(Math.floor(atMs / 1000) * 1000).toISOString().slice(0, 19)}Z`;

/** Undefined for a value of one instant. */
export const windowSecondsOf = ({ windowMs }: Timed): number | undefined =>
  windowMs > 0 ? Math.max(1, Math.round(windowMs / 1000)) : undefined;

export type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;
const OPERATORS = { in: "In", notin: "NotIn", exists: "Exists", absent: "DoesNotExist" } as const;

/** A selector as a query has it; "" passes all. @throws ApiError `BadRequest` for text that is none */
export function selectorOf(text: string | null, parameter: string): LabelTest {
  if (text === null || text.trim() === "") return () => true;
  const requirements = parseSelector(text);
  if (requirements === null) {
    throw new ApiError(
      "BadRequest",
      `${parameter} is ${JSON.stringify(text)}, which is no label selector; write it as app=llm,tier in (a,b)`,
    );
  }
  const matchExpressions = requirements.map(({ key, operator, values }) => ({ key, operator: OPERATORS[operator], values: [...values] }));
  return (labels) => labelsPass({ matchLabels: {}, matchExpressions }, labels);
}
