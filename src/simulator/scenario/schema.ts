import { z } from "zod";
import { duration, share } from "../../config/index.ts";

const rate = z
  .string({ error: ({ input }) => (input === undefined ? undefined : `needs its unit; write for example ${String(input)}/s`) })
  .regex(/^\d+(\.\d+)?\/(s|m|h)$/, { error: "is not a rate; write for example 50/s or 300/m" })
  .transform((text) => {
    const [amount, unit] = text.split("/") as [string, "s" | "m" | "h"];
    return Number(amount) / { s: 1, m: 60, h: 3600 }[unit];
  });
const perDay = z
  .string({ error: ({ input }) => (input === undefined ? undefined : `needs its unit; write ${String(input)}/day`) })
  .regex(/^\d+(\.\d+)?\/day$/, { error: "is not a number a day; write for example 4/day" })
  .transform((text) => Number.parseFloat(text));
const thirds = z
  .string()
  .regex(/^\d+\/\d+\.\.\d+\/\d+$/, { error: "is not a part of the trace; write for example 1/3..2/3" })
  .transform((text): [number, number] => {
    const [from, to] = text.split("..").map((part) => {
      const [above, below] = part.split("/").map(Number) as [number, number];
      return above / below;
    }) as [number, number];
    return [from, to];
  });
const positive = z.number().gt(0, { error: "is not above 0" });
const coldStart = z.strictObject({ median: duration, sigma: z.number().min(0, { error: "is below 0; 0 is always the same" }) });
const replicas = z
  .strictObject({ min: z.int().min(0), max: z.int().min(1) })
  .refine(({ min, max }) => min <= max, { error: "has min above max" });
const fault = z.union(
  [
    z.strictObject({ missing: share }),
    z.strictObject({ lag: duration }),
    z.strictObject({ outage: duration, every: duration.optional(), at: duration.optional() }),
  ],
  { error: "is not a fault; write { missing: 0.2 }, { lag: 60s } or { outage: 3m, every: 6h }" },
);

/** What every scenario may say; what it does not say comes from `defaults`. */
const common = {
  profile: z.string().optional().describe("whose speed an emulated replica has, such as 8B"),
  gpu: z.string().optional(),
  ttft: duration.optional().describe("bound of the time to first token"),
  tpot: duration.optional().describe("bound of the mean time per output token"),
  attainment: share.refine((value) => value > 0 && value < 1, { error: "is not between 0 and 1" }).optional(),
  interval: duration.optional().describe("how often policies without an interval of their own decide"),
  replicas: replicas.optional(),
  coldStart: coldStart.optional(),
  standby: z
    .strictObject({ count: z.int().min(1), wake: duration, priceShare: share })
    .optional()
    .describe("replicas kept asleep"),
  seeds: z.int().min(1).optional(),
  split: duration.optional().describe("tune before it, report after it"),
  warmup: duration.optional().describe("where nothing is split: figures leave out what comes before it"),
  initial: z.int().min(0).optional().describe("replicas ready when it begins; what the first minutes keep busy otherwise"),
  work: positive.optional().describe("mean replicas kept busy at 100 %, as somebody estimated; for information"),
  faults: z.array(fault).optional(),
  crash: z.strictObject({ share, at: duration }).optional(),
};
const traced = z.strictObject({
  shape: z.literal("trace").optional(),
  trace: z.string().min(1).describe("a trace file, relative to the folder of traces"),
  overlay: positive.default(1).describe("copies laid over each other; time is never squeezed"),
  perClientEndpoint: z.boolean().default(false).describe("each client of the trace is an endpoint of its own"),
  ...common,
});
const sized = {
  sizes: z.string().optional().describe("a trace file whose token sizes are drawn; conversations of ours otherwise"),
  ...common,
};
const lead = duration.prefault("10m");
const shaped = [
  z.strictObject({
    shape: z.literal("steady"),
    rate,
    for: duration.prefault("1h"),
    promptsTimes: positive.optional().describe("prompts are so many times as long `during` a part of the trace"),
    during: thirds.optional(),
    ...sized,
  }),
  z.strictObject({ shape: z.literal("ramp"), from: rate, to: rate, over: duration, lead, hold: duration.prefault("20m"), ...sized }),
  z.strictObject({ shape: z.literal("step"), from: rate, to: rate, hold: duration, lead, tail: duration.prefault("15m"), ...sized }),
  z.strictObject({
    shape: z.literal("on-off"),
    base: rate,
    burst: rate,
    every: duration,
    for: duration,
    jitter: duration.prefault("0s"),
    hours: positive,
    ...sized,
  }),
  z.strictObject({
    shape: z.literal("flash"),
    base: rate,
    peak: rate,
    rise: duration,
    hold: duration,
    decay: duration,
    lead,
    tail: duration.prefault("30m"),
    ...sized,
  }),
  z.strictObject({
    shape: z.literal("diurnal"),
    low: rate,
    high: rate,
    days: positive,
    weekends: positive.default(1),
    bursts: perDay.prefault("0/day"),
    ...sized,
  }),
] as const;

const scenario = z.discriminatedUnion("shape", [traced, ...shaped]);
export const scenariosSchema = z.strictObject({
  defaults: z.strictObject(common).prefault({}),
  scenarios: z.record(
    z.string().regex(/^[a-z0-9][a-z0-9-]*$/, { error: "is not a name; use lower-case letters, digits and dashes" }),
    scenario,
  ),
});

export type ScenariosDocument = z.output<typeof scenariosSchema>;
export type ScenarioDocument = z.output<typeof scenario>;
