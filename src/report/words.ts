import type { Ms } from "../model/index.ts";
import type { Estimate } from "../simulator/index.ts";

/** A latency as people say it. */
export function timeText(ms: number | null): string {
  if (ms === null) return "–";
  if (ms < 1000) return `${Number(ms.toPrecision(3))} ms`;
  return ms < 120_000 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Number((ms / 60_000).toPrecision(3))} min`;
}

/** Time since the run began. */
export function clock(ms: Ms): string {
  const all = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const days = Math.floor(all / 86_400);
  return `${days > 0 ? `${days} d ` : ""}${two(Math.floor(all / 3600) % 24)}:${two(Math.floor(all / 60) % 60)}:${two(all % 60)}`;
}

/** A mean with its interval; a value that is not there is a dash. */
export const estimateText = ({ mean, halfWidth }: Estimate, digits: number, factor = 1, unit = ""): string =>
  mean === null
    ? "–"
    : `${(mean * factor).toFixed(digits)}${halfWidth === null ? "" : ` ± ${(halfWidth * factor).toFixed(digits)}`}${unit}`;
