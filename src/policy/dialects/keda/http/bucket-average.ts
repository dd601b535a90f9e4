import type { Ms } from "../../../../model/index.ts";

/** A ring of one counter per granule, with its total. JSON. */
export interface RequestBuckets {
  readonly granularityMs: Ms;
  readonly buckets: readonly number[];
  readonly total: number;
  /** Start of the granule; `null`: nothing has been written yet. */
  readonly firstWriteMs: Ms | null;
  readonly lastWriteMs: Ms | null;
}

export function requestBuckets(windowMs: Ms, granularityMs: Ms): RequestBuckets {
  const size = Math.max(1, Math.ceil(windowMs / granularityMs));
  return { granularityMs, buckets: Array.from({ length: size }, () => 0), total: 0, firstWriteMs: null, lastWriteMs: null };
}

const granule = (ring: RequestBuckets, atMs: Ms): number => Math.floor(atMs / ring.granularityMs);
const slotOf = (ring: RequestBuckets, index: number): number => {
  const size = ring.buckets.length;
  return ((index % size) + size) % size;
};

/** Adds `value` to the granule of `atMs`; what is older than the window is dropped. A gap of a whole window starts afresh. */
export function recordRequests(ring: RequestBuckets, atMs: Ms, value: number): RequestBuckets {
  const { granularityMs, lastWriteMs } = ring;
  const windowMs = ring.buckets.length * granularityMs;
  const index = granule(ring, atMs);
  const startMs = index * granularityMs;
  const buckets = [...ring.buckets];
  let { total, firstWriteMs } = ring;
  let newestMs = lastWriteMs;

  if (lastWriteMs === null || startMs - lastWriteMs >= windowMs) {
    buckets.fill(0);
    total = 0;
    firstWriteMs = startMs;
    newestMs = startMs;
  } else if (startMs > lastWriteMs) {
    for (let at = granule(ring, lastWriteMs) + 1; at <= index; at++) {
      const slot = slotOf(ring, at);
      total -= buckets[slot] as number;
      buckets[slot] = 0;
    }
    newestMs = startMs;
  } else if (startMs + windowMs <= lastWriteMs) return ring;

  if (firstWriteMs === null || firstWriteMs > startMs) firstWriteMs = startMs;
  const slot = slotOf(ring, index);
  buckets[slot] = (buckets[slot] as number) + value;
  return { granularityMs, buckets, total: total + value, firstWriteMs, lastWriteMs: newestMs };
}

/**
 * Mean per granule over the window, to three decimals: over the granules since the first write, at most the whole ring. Seconds
 * without a write lower the sum but, other than in Knative, not the divisor. 0 after a whole window of silence.
 * Source: kedacore/http-add-on, pkg/queue (request buckets).
 */
export function averageRequests(ring: RequestBuckets, nowMs: Ms): number {
  const { firstWriteMs, lastWriteMs, granularityMs, buckets } = ring;
  if (firstWriteMs === null || lastWriteMs === null) return 0;
  const now = granule(ring, nowMs);
  const last = granule(ring, lastWriteMs);
  if (now - last >= buckets.length) return 0;
  let sum = ring.total;
  for (let at = last + 1; at <= now; at++) sum -= buckets[slotOf(ring, at)] as number;
  const divisor = Math.min((lastWriteMs - firstWriteMs) / granularityMs + 1, buckets.length);
  return Math.round((sum / divisor) * 1000) / 1000;
}
