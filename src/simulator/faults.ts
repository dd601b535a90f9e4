import type { Ms } from "../model/index.ts";

/**
 * What goes wrong, and when. A `share` is of the replicas ready at that moment, rounded, and at least one where it is above 0;
 * `pool` null or absent: of every pool.
 * - `crash`: replicas are gone at once; another starts for each. What had no first token yet is tried elsewhere, the rest is lost.
 * - `crashes`: each ready replica crashes after an exponential time of this mean.
 * - `hang`: engines stand still for so long.
 * - `stock-out`: the pool gets no replica beyond `most`; those asked for wait unbilled in their first stage.
 * - `spot-notice`: replicas drain at once, another starts for each, and what has not ended after `noticeMs` is lost.
 * - `rollout`: every replica is replaced by a new one, `surge` at a time beyond the count asked for.
 * - `missing`: a share of readings of replicas' pages fails.
 * - `absent`: these series are never there.
 * - `lag`: what is read was so a while ago; nobody can tell from the reading.
 * - `outage`: nothing at all is read, pages and ledger alike; again every `everyMs` where that is not null.
 */
export type Fault =
  | { readonly kind: "crash"; readonly atMs: Ms; readonly share: number; readonly pool?: string | null }
  | { readonly kind: "crashes"; readonly meanMs: Ms; readonly pool?: string | null }
  | { readonly kind: "hang"; readonly atMs: Ms; readonly share: number; readonly forMs: Ms; readonly pool?: string | null }
  | { readonly kind: "stock-out"; readonly fromMs: Ms; readonly toMs: Ms; readonly most: number; readonly pool?: string | null }
  | { readonly kind: "spot-notice"; readonly atMs: Ms; readonly share: number; readonly noticeMs: Ms; readonly pool?: string | null }
  | { readonly kind: "rollout"; readonly atMs: Ms; readonly surge: number; readonly pool?: string | null }
  | { readonly kind: "missing"; readonly share: number }
  | { readonly kind: "absent"; readonly series: readonly string[] }
  | { readonly kind: "lag"; readonly lagMs: Ms }
  | { readonly kind: "outage"; readonly fromMs: Ms; readonly forMs: Ms; readonly everyMs: Ms | null };

/** What the collector and the ledger's reader suffer from. */
export interface Blindness {
  readonly missingShare: number;
  readonly absent: ReadonlySet<string>;
  readonly lagMs: Ms;
  isOut(nowMs: Ms): boolean;
}

export function blindnessOf(faults: readonly Fault[]): Blindness {
  const of = <K extends Fault["kind"]>(kind: K) => faults.filter((fault): fault is Extract<Fault, { kind: K }> => fault.kind === kind);
  const outages = of("outage");
  return {
    missingShare: 1 - of("missing").reduce((read, { share }) => read * (1 - share), 1),
    absent: new Set(of("absent").flatMap(({ series }) => series)),
    lagMs: of("lag").reduce((sum, { lagMs }) => sum + lagMs, 0),
    isOut: (nowMs) =>
      outages.some(({ fromMs, forMs, everyMs }) => {
        const sinceMs = nowMs - fromMs;
        return sinceMs >= 0 && (everyMs === null ? sinceMs : sinceMs % everyMs) < forMs;
      }),
  };
}
