import { z } from "zod";
import { attentionMsPerPair, attentionShape, type EngineProfile, type FitError, type ProfileFit } from "../engine/index.ts";
import { type ConfigText, readChecked } from "./documents-checked.ts";
import { API_VERSION } from "./schema.ts";

const text = z.string().min(1, { error: "is empty; write something" });
const amount = z.number().min(0, { error: "is below 0; use 0 or more" });
const whole = z.int().min(1, { error: "is below 1; use 1 or more" });
const error = z.strictObject({ stretches: z.int(), median: amount, p95: amount }).nullable();

/** An engine profile in a file. Iteration times are from the end of one to the end of the next. */
const profileSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("EngineProfile"),
  metadata: z.strictObject({ name: text }),
  spec: z.strictObject({
    model: text,
    gpu: z.string().default("").describe("GPU type, such as a100-80g"),
    gpusPerReplica: whole.default(1),
    decode: z
      .strictObject({ baseMs: amount, usPerSequence: amount, usPer1kContextTokens: amount })
      .describe("an iteration without prefill: base + sequences + context tokens"),
    mixed: z
      .strictObject({
        baseMs: amount,
        usPerPrefillToken: amount,
        usPerSequence: amount,
        usPer1kContextTokens: amount,
        usPerMillionAttentionPairs: amount.default(0).describe("tokens of a chunk × tokens of its prompt before it"),
      })
      .describe("an iteration with prefill"),
    overheadMs: amount.default(0).describe("between iterations, where it is not in their times"),
    kvCapacityTokens: z.int().min(16, { error: "is below 16, which is one block" }),
    limits: z.strictObject({ maxNumSeqs: whole, maxNumBatchedTokens: whole }).optional(),
  }),
  measured: z
    .strictObject({
      from: text,
      at: z.string(),
      error: z.strictObject({ decode: error, mixed: error, heldOut: error }),
      assumed: z.array(z.string()),
      notes: z.array(z.string()).default([]),
    })
    .optional()
    .describe("how the profile came about; nothing reads it"),
});
export type ProfileDocument = z.input<typeof profileSchema>;

/** @throws TidegateError `config/invalid`, each problem with file, line and column */
export function parseProfile(from: ConfigText): EngineProfile {
  const { spec } = readChecked(profileSchema, from, "an engine profile, as `tidegate calibrate` writes it");
  const { decode, mixed, limits } = spec;
  return {
    model: spec.model,
    gpu: spec.gpu,
    tp: spec.gpusPerReplica,
    decAMs: decode.baseMs,
    decCUsPerSeq: decode.usPerSequence,
    decDUsPer1kCtx: decode.usPer1kContextTokens,
    mixAMs: mixed.baseMs,
    mixBUsPerPrefillToken: mixed.usPerPrefillToken,
    mixCUsPerSeq: mixed.usPerSequence,
    mixDUsPer1kCtx: mixed.usPer1kContextTokens,
    kvCapacityTokens: spec.kvCapacityTokens,
    source: "measured",
    ...attentionShape(mixed.usPerMillionAttentionPairs / 1e9, spec.gpusPerReplica),
    overheadMs: spec.overheadMs,
    ...(limits === undefined ? {} : { limits }),
  };
}

/** Six digits: more than any measurement has. */
const digits = (value: number) => Number(value.toPrecision(6));
const rounded = (of: FitError | null) => (of === null ? null : { ...of, median: digits(of.median), p95: digits(of.p95) });

/** A fit as the document that `parseProfile` reads back. */
export function profileDocument(
  { profile, error: { decode, mixed }, heldOut, assumed }: ProfileFit,
  measured: { readonly name: string; readonly from: string; readonly at: string; readonly notes: readonly string[] },
): ProfileDocument {
  return {
    apiVersion: API_VERSION,
    kind: "EngineProfile",
    metadata: { name: measured.name },
    spec: {
      model: profile.model,
      gpu: profile.gpu,
      gpusPerReplica: profile.tp,
      decode: {
        baseMs: digits(profile.decAMs),
        usPerSequence: digits(profile.decCUsPerSeq),
        usPer1kContextTokens: digits(profile.decDUsPer1kCtx),
      },
      mixed: {
        baseMs: digits(profile.mixAMs),
        usPerPrefillToken: digits(profile.mixBUsPerPrefillToken),
        usPerSequence: digits(profile.mixCUsPerSeq),
        usPer1kContextTokens: digits(profile.mixDUsPer1kCtx),
        usPerMillionAttentionPairs: digits(attentionMsPerPair(profile) * 1e9),
      },
      overheadMs: profile.overheadMs ?? 0,
      kvCapacityTokens: profile.kvCapacityTokens,
      ...(profile.limits === undefined ? {} : { limits: profile.limits }),
    },
    measured: {
      from: measured.from,
      at: measured.at,
      error: { decode: rounded(decode), mixed: rounded(mixed), heldOut: rounded(heldOut) },
      assumed: [...assumed],
      notes: [...measured.notes],
    },
  };
}
