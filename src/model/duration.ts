const MS_PER_UNIT = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** What `parseDuration` takes: numbers with units, one after another, as in 1h30m. */
export const durationPattern = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;

/** "30s", "1h30m", "250ms", "1.5s" → milliseconds; undefined for anything else, bare numbers included. */
export function parseDuration(text: string): number | undefined {
  if (!durationPattern.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) totalMs += Number(amount) * MS_PER_UNIT[unit as keyof typeof MS_PER_UNIT];
  return Math.round(totalMs * 1_000) / 1_000;
}

/** The shortest text that `parseDuration` reads back as `ms`: 90000 → "1m30s". */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  let restMs = ms;
  let text = "";
  for (const unit of ["d", "h", "m", "s"] as const) {
    const count = Math.floor(restMs / MS_PER_UNIT[unit]);
    if (count > 0) text += `${count}${unit}`;
    restMs -= count * MS_PER_UNIT[unit];
  }
  return restMs > 0 ? `${text}${Math.round(restMs * 1_000) / 1_000}ms` : text;
}
