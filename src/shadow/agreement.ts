import type { Entry } from "../history/index.ts";
import type { Ms } from "../model/index.ts";
import type { Agreement } from "./words.ts";

/** A count from a moment on; null: nothing was said. */
export interface Said {
  readonly atMs: Ms;
  readonly replicas: number | null;
}

/**
 * How often rules that were recomputed came to the count that their owner stated. The two look at different moments, so a count counts
 * as near when the owner stated it at any time within `slackMs` of the moment.
 * @param said in order of time
 */
export function agreementOf(recomputed: readonly Said[], said: readonly Said[], slackMs: Ms): Agreement {
  let compared = 0;
  let same = 0;
  let near = 0;
  let at = -1;
  for (const { atMs, replicas } of recomputed) {
    while (at + 1 < said.length && (said[at + 1] as Said).atMs <= atMs) at++;
    const stated = said[at]?.replicas ?? null;
    if (replicas === null || stated === null) continue;
    compared++;
    if (stated === replicas) same++;
    let from = at;
    while (from > 0 && (said[from] as Said).atMs > atMs - slackMs) from--;
    let to = at;
    while (to + 1 < said.length && (said[to + 1] as Said).atMs <= atMs + slackMs) to++;
    if (said.slice(Math.max(0, from), to + 1).some((one) => one.replicas === replicas)) near++;
  }
  const last = recomputed.findLast((one) => one.replicas !== null);
  return { compared, same, near, last: last === undefined ? null : { atMs: last.atMs, replicas: last.replicas as number } };
}

/** What recorded decisions want in all; null where they hold. */
export function wantedBy(entry: Extract<Entry, { kind: "decision" }>): Said {
  const wants = Object.values(entry.decision.wants);
  const known = wants.flatMap((want) => (want.kind === "scale" ? [want.replicas] : []));
  return { atMs: entry.atMs, replicas: known.length === wants.length && known.length > 0 ? known.reduce((a, b) => a + b, 0) : null };
}
