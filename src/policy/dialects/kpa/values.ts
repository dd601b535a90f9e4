import { type Ms, parseDuration } from "../../../model/index.ts";

/** What a text of an annotation or a ConfigMap says, or what is wrong with it. */
export type Parsed<T> = { readonly value: T } | { readonly issue: string };

export const HOUR_MS = 3_600_000;

export const number = (min: number, max: number, also?: number) => (text: string) => {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value === also || (value >= min && value <= max)) return { value };
  const range = max === Number.POSITIVE_INFINITY ? `a number of at least ${min}` : `a number from ${min} to ${max}`;
  return { issue: `is ${JSON.stringify(text)}; use ${range}${also === undefined ? "" : `, or ${also}`}` };
};
export const count = (min: number) => (text: string) => {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= 2 ** 31 - 1 ? { value } : { issue: `is ${JSON.stringify(text)}; use a whole number of at least ${min}` };
};
export const duration = (minMs: Ms, maxMs: Ms, wholeSeconds: boolean) => (text: string) => {
  const value = goDurationMs(text);
  if (value === undefined) return { issue: `is ${JSON.stringify(text)}; use a duration with units, such as 90s or 1m30s` };
  if (value < minMs || value > maxMs) return { issue: `is ${text}; use a duration from ${minMs / 1000}s to ${maxMs / 1000}s` };
  return wholeSeconds && value % 1000 !== 0 ? { issue: `is ${text}; use whole seconds` } : { value };
};
export const choice =
  <T extends string | boolean>(values: Readonly<Record<string, T>>) =>
  (text: string): Parsed<T> =>
    Object.hasOwn(values, text)
      ? { value: values[text] as T }
      : { issue: `is ${JSON.stringify(text)}; use ${Object.keys(values).join(" or ")}` };

/** Go's durations: as ours, without days, and a bare 0. */
export function goDurationMs(text: string): Ms | undefined {
  if (text === "0") return 0;
  return text.includes("d") ? undefined : parseDuration(text);
}
