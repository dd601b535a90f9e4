import type { Problem } from "./refusal.ts";

/** Says what is wrong with a value, as the validation library of vLLM's server (pydantic, which takes "3" for 3) does. */
export type Check = (value: unknown, loc: string) => readonly Problem[];

const problem = (type: string, msg: string, value: unknown, loc: string, ctx?: Problem["ctx"]): readonly Problem[] => [
  { type, loc, msg, input: value, ...(ctx === undefined ? {} : { ctx }) },
];
const fine: readonly Problem[] = [];

const wholeText = /^\s*[+-]?\d+(?:\.0*)?\s*$/;
const truths = new Set(["1", "true", "t", "yes", "y", "on"]);
const falsehoods = new Set(["0", "false", "f", "no", "n", "off"]);

export const int: Check = (value, loc) => {
  if (typeof value === "boolean") return fine;
  if (typeof value === "string") {
    if (wholeText.test(value)) return fine;
    return problem("int_parsing", "Input should be a valid integer, unable to parse string as an integer", value, loc);
  }
  if (typeof value !== "number") return problem("int_type", "Input should be a valid integer", value, loc);
  if (Number.isInteger(value)) return fine;
  if (!Number.isFinite(value)) return problem("finite_number", "Input should be a finite number", value, loc);
  return problem("int_from_float", "Input should be a valid integer, got a number with a fractional part", value, loc);
};

export const float: Check = (value, loc) => {
  if (typeof value === "number" || typeof value === "boolean") return fine;
  if (typeof value !== "string") return problem("float_type", "Input should be a valid number", value, loc);
  if (value.trim() !== "" && Number.isFinite(Number(value))) return fine;
  return problem("float_parsing", "Input should be a valid number, unable to parse string as a number", value, loc);
};

export const bool: Check = (value, loc) => {
  if (typeof value === "boolean" || value === 0 || value === 1) return fine;
  if (typeof value === "string" && (truths.has(value.toLowerCase()) || falsehoods.has(value.toLowerCase()))) return fine;
  if (typeof value === "string" || Number.isInteger(value))
    return problem("bool_parsing", "Input should be a valid boolean, unable to interpret input", value, loc);
  return problem("bool_type", "Input should be a valid boolean", value, loc);
};

export const string: Check = (value, loc) =>
  typeof value === "string" ? fine : problem("string_type", "Input should be a valid string", value, loc);

export const atLeast =
  (least: number): Check =>
  (value, loc) => {
    const wrong = int(value, loc);
    if (wrong.length > 0 || toNumber(value) >= least) return wrong;
    return problem("greater_than_equal", `Input should be greater than or equal to ${least}`, value, loc, { ge: least });
  };

export const list =
  (item: Check): Check =>
  (value, loc) =>
    Array.isArray(value)
      ? value.flatMap((one, at) => item(one, `${loc}.${at}`))
      : problem("list_type", "Input should be a valid list", value, loc);

export const iterable: Check = (value, loc) =>
  Array.isArray(value) ? fine : problem("iterable_type", "Input should be iterable", value, loc);

export const orNull =
  (check: Check): Check =>
  (value, loc) =>
    value === null ? fine : check(value, loc);

/** Any of them will do; where none does, what is wrong with each. */
export const anyOf =
  (...checks: readonly Check[]): Check =>
  (value, loc) => {
    const wrong = checks.map((check) => check(value, loc));
    return wrong.some((problems) => problems.length === 0) ? fine : wrong.flat();
  };

/** An object with these fields, in their order; further ones are let through. */
export const object =
  (fields: Readonly<Record<string, Check>>, required: readonly string[] = []): Check =>
  (value, loc) => {
    if (!isObject(value)) {
      return problem("model_attributes_type", "Input should be a valid dictionary or object to extract fields from", value, loc);
    }
    return Object.entries(fields).flatMap(([name, check]) => {
      if (value[name] !== undefined) return check(value[name], `${loc}.${name}`);
      return required.includes(name) ? missing(value, `${loc}.${name}`) : fine;
    });
  };

export const missing = (value: unknown, loc: string): readonly Problem[] => problem("missing", "Field required", value, loc);

export const dict: Check = (value, loc) =>
  isObject(value) ? fine : problem("dict_type", "Input should be a valid dictionary", value, loc);

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The number behind what `int` or `float` let through. */
export const toNumber = (value: unknown): number => Number(value);

/** The truth behind what `bool` let through. */
export const toBoolean = (value: unknown): boolean => (typeof value === "string" ? truths.has(value.toLowerCase()) : Boolean(value));
