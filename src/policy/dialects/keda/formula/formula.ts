import { KedaError } from "../words.ts";
import { evaluate, toNumber, type Value } from "./evaluate.ts";
import { parseExpression } from "./parser.ts";

/** A formula that has been checked against the names it may use. */
export interface Formula {
  readonly source: string;
  /**
   * @returns `null` where it comes to nil, which only a formula with `??` may
   * @throws KedaError for a result that is no finite number. In Go an infinite one turns into whatever the processor makes of it.
   */
  run(values: ReadonlyMap<string, number | null>): number | null;
}

/**
 * Parses, and runs once with -1 for every name, as KEDA's admission does.
 * @throws KedaError for a formula that does not parse, uses unknown names, or whose result is no number
 */
export function compileFormula(source: string, names: readonly string[]): Formula {
  const node = parseExpression(source);
  const mayBeNil = source.includes("??");
  const run = (values: ReadonlyMap<string, Value>): number | null => {
    const result = evaluate(node, values);
    if (result === null && mayBeNil) return null;
    const number = toNumber(result, "the result");
    if (!Number.isFinite(number)) throw new KedaError(`the formula ${source} comes to ${number}`);
    return number;
  };
  run(new Map(names.map((name) => [name, -1])));
  return { source, run };
}
