import type { Ms } from "../model/index.ts";
import { TidegateError } from "../model/index.ts";

/** The one of `known` that `word` was most likely meant to be, or undefined when none is near. Letter case and punctuation are free. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const wanted = plain(word);
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, plain(candidate));
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Insertions, deletions and replacements from one to the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

const unitMs: Readonly<Record<string, Ms>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `1h30m`, `250ms`, `2d` as milliseconds. `what` names the value in the error (`usage`). */
export function parseDuration(text: string, what: string): Ms {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/gy)];
  if (parts.length === 0 || parts.reduce((sum, [all]) => sum + all.length, 0) !== text.length) {
    throw new TidegateError("usage", `${what} (${text}) is not a duration; write a number with ms, s, m, h or d, such as 90s or 1h30m`);
  }
  return parts.reduce((sum, [, value, unit]) => sum + Number(value) * unitMs[unit!]!, 0);
}

/** `50/s`, `300/m` or a bare number per second, as events per second. */
export function parseRate(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h|d))?$/.exec(text);
  if (match === null) throw new TidegateError("usage", `${what} (${text}) is not a rate; write it such as 50/s or 300/m`);
  return (Number(match[1]) * 1000) / unitMs[match[2] ?? "s"]!;
}
