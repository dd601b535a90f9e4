import type { Unit } from "./settings.ts";

/** Replicas of one unit that are taken or given together. */
export interface Block {
  readonly unit: number;
  readonly replicas: number;
  readonly cost: number;
}

/**
 * Each unit's headroom above its minimum, cut into blocks that grow by `expansionPercent` from one to the next, all sorted by what
 * a block costs: so the cheapest capacity goes first, but not all of it before the dearer ones get their first replica. At 100 %
 * each unit is one block at the price of one replica.
 */
export function scalingOrder(units: readonly Unit[], expansionPercent: number): readonly Block[] {
  const blocks = units.flatMap(({ min, max, cost }, unit): readonly Block[] => {
    let left = max - min;
    if (left <= 0) return [];
    if (expansionPercent === 100) return [{ unit, replicas: left, cost }];
    const cut: Block[] = [];
    for (let size = 1; left > 0; size = (size * expansionPercent) / 100) {
      const replicas = Math.min(left, Math.max(Math.trunc(size), 1));
      cut.push({ unit, replicas, cost: cost * replicas });
      left -= replicas;
    }
    return cut;
  });
  return blocks.toSorted((a, b) => a.cost - b.cost || a.unit - b.unit);
}

/** A total dealt out: every unit's minimum, and the rest along the order. */
export function dealOut(units: readonly Unit[], order: readonly Block[], total: number): readonly number[] {
  const counts = units.map(({ min }) => min);
  let left = total - counts.reduce((sum, count) => sum + count, 0);
  for (const { unit, replicas } of order) {
    if (left <= 0) break;
    const taken = Math.min(left, replicas);
    counts[unit] = (counts[unit] as number) + taken;
    left -= taken;
  }
  return counts;
}
