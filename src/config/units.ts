import { z } from "zod";
import { durationPattern, parseDuration } from "../model/index.ts";

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};
const BYTES = /^(\d+(?:\.\d+)?)(B|[kK]B|MB|GB|k|M|G|KiB|MiB|GiB|Ki|Mi|Gi)$/;

/** "10MiB", "512kB", "1.5Gi" → whole bytes; undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const [, amount, unit] = BYTES.exec(text) ?? [];
  return amount === undefined || unit === undefined ? undefined : Math.round(Number(amount) * (BYTES_PER_UNIT[unit] as number));
}

const PERCENT = /^(\d+(?:\.\d+)?)%$/;

/** "75%" → 75; undefined for anything else. */
export function parsePercent(text: string): number | undefined {
  const [, amount] = PERCENT.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount);
}

// Messages of schemas are written "what is wrong; way out" and split at the semicolon where they become a ConfigIssue.
const needsUnit = (value: unknown, example: string, unit: string): string =>
  typeof value === "number"
    ? `needs a unit; write ${value}${unit} if that is what you mean`
    : `must be text with a unit; for example ${example}`;

/** A length of time above zero, in ms once parsed. */
export const duration = z
  .string({ error: ({ input }) => (input === undefined ? undefined : needsUnit(input, "30s, 2m, 1h30m or 250ms", "s")) })
  .regex(durationPattern, {
    error: ({ input }) =>
      /^[\d.]+$/.test(String(input)) ? needsUnit(Number(input), "", "s") : "is not a duration; write for example 30s, 2m, 1h30m or 250ms",
  })
  .transform((text) => parseDuration(text) as number)
  .meta({ id: "Duration", description: "a length of time with its unit: 30s, 2m, 1h30m, 250ms" });

/** As `duration`, or "never": null once parsed. */
export const durationOrNever = z
  .string({ error: ({ input }) => (input === undefined ? undefined : needsUnit(input, "10m, or never", "s")) })
  .regex(/^(?:never|(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+)$/, { error: "is not a duration; write for example 10m, or never" })
  .transform((text) => (text === "never" ? null : (parseDuration(text) as number)))
  .meta({ id: "DurationOrNever", description: "a length of time with its unit, or never" });

/** An amount of data, in bytes once parsed. */
export const bytes = z
  .string({ error: ({ input }) => (input === undefined ? undefined : needsUnit(input, "10MiB", "B")) })
  .regex(BYTES, { error: "is not an amount of data; write for example 10MiB or 512kB" })
  .transform((text) => parseBytes(text) as number)
  .meta({ id: "Bytes", description: "an amount of data with its unit: 10MiB, 512kB" });

/** A share as a number (0.99) or in percent ("99%"): the number once parsed. The range is the caller's to check. */
export const share = z
  .union([z.number(), z.string().regex(PERCENT)], {
    error: ({ input }) => (input === undefined ? undefined : "must be a share; write for example 0.99 or 99%"),
  })
  .transform((value) => (typeof value === "number" ? value : Number(((parsePercent(value) as number) / 100).toPrecision(12))))
  .meta({ id: "Share", description: "a share: 0.99 or 99%" });

/** "9000-9100" or "9000": first and last port once parsed. */
export const portRange = z
  .string({ error: ({ input }) => (input === undefined ? undefined : 'must be text; write for example "9000-9100"') })
  .regex(/^\d{1,5}(?:-\d{1,5})?$/, { error: "is not a range of ports; write for example 9000-9100" })
  .transform((text): [number, number] => {
    const [first, last = first] = text.split("-").map(Number) as [number, number?];
    return [first, last];
  })
  .meta({ id: "PortRange", description: "first and last port: 9000-9100" });
