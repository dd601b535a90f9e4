import type { FitError, ProfileFit, Residual } from "../engine/index.ts";
import { table } from "./study-table.ts";

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const digits = (value: number) => Number(value.toPrecision(4)).toString();

/** What was fitted, how far off it is, and a picture of fitted against measured time. */
export function formatFit(fit: ProfileFit, notes: readonly string[]): string {
  const { profile, error, heldOut, assumed, residuals } = fit;
  const coefficients = table(
    [
      ["iteration", "left"],
      ["base ms", "right"],
      ["µs/prefill token", "right"],
      ["µs/sequence", "right"],
      ["µs/1k context", "right"],
    ],
    [
      ["decode only", digits(profile.decAMs), "", digits(profile.decCUsPerSeq), digits(profile.decDUsPer1kCtx)],
      [
        "with prefill",
        digits(profile.mixAMs),
        digits(profile.mixBUsPerPrefillToken),
        digits(profile.mixCUsPerSeq),
        digits(profile.mixDUsPer1kCtx),
      ],
    ],
  );
  const row = (name: string, of: FitError | null) =>
    of === null ? [] : [[name, String(of.stretches), percent(of.median), percent(of.p95)]];
  const errors = table(
    [
      ["error of", "left"],
      ["stretches", "right"],
      ["median", "right"],
      ["p95", "right"],
    ],
    [...row("decode only", error.decode), ...row("with prefill", error.mixed), ...row("foretold, not fitted", heldOut)],
  );
  const limits =
    profile.limits === undefined
      ? ""
      : `, ${profile.limits.maxNumSeqs} sequences, ${profile.limits.maxNumBatchedTokens} tokens an iteration`;
  return [
    `${profile.model}${profile.gpu === "" ? "" : ` on ${profile.tp} × ${profile.gpu}`}: KV cache of ${profile.kvCapacityTokens} tokens${limits}\n`,
    coefficients,
    errors,
    worst(residuals),
    fitPlot(residuals, { width: 56, height: 14 }),
    [...assumed.map((one) => `assumed: ${one}\n`), ...notes.map((note) => `note: ${note}\n`)].join(""),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

/** Where the fit is furthest off, so that one sees whether a kind of stretch is. */
function worst(residuals: readonly Residual[]): string {
  const sorted = residuals.toSorted((a, b) => off(b) - off(a)).slice(0, 5);
  return table(
    [
      ["furthest off", "left"],
      ["measured ms", "right"],
      ["fitted ms", "right"],
      ["by", "right"],
    ],
    sorted.map(({ stretch, fittedMs }) => [
      stretch.from,
      digits(stretch.durationMs / stretch.iterations),
      digits(fittedMs / stretch.iterations),
      `${fittedMs >= stretch.durationMs ? "+" : "-"}${percent(Math.abs(fittedMs / stretch.durationMs - 1))}`,
    ]),
  );
}
const off = ({ stretch, fittedMs }: Residual) => Math.abs(Math.log(Math.max(fittedMs, 1e-9) / stretch.durationMs));

/** Time of an iteration, measured to the right and fitted upwards, both logarithmic: on the diagonal of dots the fit is exact. */
export function fitPlot(residuals: readonly Residual[], { width, height }: { readonly width: number; readonly height: number }): string {
  const points = residuals.map(({ stretch, fittedMs }) => ({
    x: Math.log(stretch.durationMs / stretch.iterations),
    y: Math.log(Math.max(fittedMs, 1e-9) / stretch.iterations),
    mixed: stretch.prefillTokens > 0,
  }));
  if (points.length === 0) return "";
  const [low, high] = [Math.min(...points.map(({ x }) => x)), Math.max(...points.map(({ x }) => x))];
  const span = Math.max(1e-6, high - low);
  const place = (value: number, cells: number) => Math.max(0, Math.min(cells - 1, Math.round(((value - low) / span) * (cells - 1))));
  const cells = Array.from({ length: height }, () => new Array<string>(width).fill(" "));
  for (let at = 0; at < width; at++) cells[Math.round((at / (width - 1)) * (height - 1))]![at] = "·";
  for (const { x, y, mixed } of points) cells[place(y, height)]![place(x, width)] = mixed ? "x" : "o";
  const label = (value: number) => `${digits(Math.exp(value))} ms`;
  const margin = Math.max(label(low).length, label(high).length);
  const lines = cells
    .map((row, at) => `${(at === height - 1 ? label(high) : at === 0 ? label(low) : "").padStart(margin)} |${row.join("").trimEnd()}`)
    .reverse();
  const foot = `${" ".repeat(margin + 2)}${label(low)}${label(high).padStart(width - label(low).length)}`;
  return `fitted against measured time of an iteration: o decode only, x with prefill\n${lines.join("\n")}\n${foot}\n`;
}
