import type { Endpoint, Ms, PoolStatus, Series } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";
import type { Counts } from "./quota.ts";
import type { Order } from "./step.ts";
import type { DesiredView, SignalReading } from "./view.ts";

/**
 * What each pool should have after a decision: what was ordered, be it carried out or (dry run, a platform that only recommends)
 * left to a follower; else what it has been asked for. A pause keeps what there is.
 */
export function desiredCounts(pools: Readonly<Record<string, PoolStatus>>, orders: readonly Order[]): Counts {
  const counts = Object.fromEntries(Object.entries(pools).map(([pool, { wanted }]) => [pool, wanted]));
  for (const { pool, replicas, by } of orders) if (by !== "paused") counts[pool] = replicas;
  return counts;
}

export interface DesiredState {
  readonly status: PlatformStatus | null;
  readonly desired: Counts | null;
  readonly desiredAtMs: Ms | null;
  readonly series: readonly Series[];
  readonly nowMs: Ms;
}

export function desiredView(endpoint: Endpoint, { status, desired, desiredAtMs, series, nowMs }: DesiredState): DesiredView {
  const { platform } = endpoint;
  const held = series.find(({ name, subject }) => name === "held" && subject.kind === "endpoint")?.latest;
  const isFresh = held !== undefined && held !== null && nowMs - held.atMs <= endpoint.staleAfterMs;
  return {
    name: endpoint.name,
    namespace: (platform.kind === "kubernetes" ? platform.namespace : null) ?? endpoint.namespace,
    metrics: endpoint.metrics,
    staleAfterMs: endpoint.staleAfterMs,
    pools: endpoint.pools.map(({ name, gpu, min, max }) => ({
      name,
      target: (platform.kind === "kubernetes" ? platform.targets[name] : undefined) ?? platform.target,
      gpu,
      min,
      max,
      current: status?.pools[name]?.wanted ?? null,
      desired: desired?.[name] ?? null,
    })),
    desiredAtMs,
    held: isFresh && typeof held.value === "number" ? held.value : null,
    replicas: [...new Set(series.flatMap(({ subject }) => (subject.kind === "replica" ? [subject.id] : [])))],
  };
}

export function readingsOf(series: readonly Series[], signal: string): readonly SignalReading[] {
  return series.flatMap(({ name, subject, latest }) => {
    if (name !== signal || latest === null || typeof latest.value !== "number" || !Number.isFinite(latest.value)) return [];
    return [{ name, subject, atMs: latest.atMs, windowMs: latest.windowMs, value: latest.value }];
  });
}
