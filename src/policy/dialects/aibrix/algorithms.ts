import type { Tuning } from "./settings.ts";

type Rates = Pick<Tuning, "maxScaleUpRate" | "maxScaleDownRate" | "upTolerance" | "downTolerance">;

/**
 * APA: as an HPA with a rate in each direction: count × average / target, between count / down rate and count × up rate, and no
 * change inside the tolerances. From zero it never rises.
 * Source: vllm-project/aibrix `pkg/controller/podautoscaler/algorithm/apa.go`.
 */
export function apa(current: number, average: number, target: number, rates: Rates): number {
  const ratio = average / target;
  if (ratio > 1 + rates.upTolerance) return Math.min(Math.ceil(current * ratio), Math.ceil(rates.maxScaleUpRate * current));
  if (ratio < 1 - rates.downTolerance) return Math.max(Math.ceil(current * ratio), Math.floor(current / rates.maxScaleDownRate));
  return current;
}

export interface KpaOutcome {
  readonly replicas: number;
  readonly panicking: boolean;
  readonly byStable: number;
  readonly byPanic: number;
  /** The highest count of this panic; 0 outside of one. */
  readonly peak: number;
}

/**
 * KPA: average / target, of the per-pod average and not of the load, so a steady average of 1.5 targets wants two replicas however
 * many there are. It panics while the panic average is over `panicThreshold` times the stable one, or the stable one is nothing.
 *
 * `repaired`: a panic holds its peak, as the code means to. As released it does not: what should remember the peak forgets it at
 * once. Source: vllm-project/aibrix `pkg/controller/podautoscaler/algorithm/kpa.go`, `context/context.go`.
 */
export function kpa(
  current: number,
  { stable, panic }: { readonly stable: number; readonly panic: number },
  target: number,
  tuning: Rates & Pick<Tuning, "panicThreshold">,
  { peak, repaired }: { readonly peak: number; readonly repaired: boolean },
): KpaOutcome {
  const most = Math.max(1, Math.ceil(tuning.maxScaleUpRate * current));
  const least = Math.floor(current / tuning.maxScaleDownRate);
  const wanted = (average: number) => {
    const ratio = average / target;
    const inside = ratio <= 1 + tuning.upTolerance && ratio >= 1 - tuning.downTolerance;
    return Math.min(Math.max(inside ? current : Math.ceil(ratio), least), most);
  };
  const [byStable, byPanic] = [wanted(stable), wanted(panic)];
  const panicking = stable <= 0 || panic / stable > tuning.panicThreshold;
  if (!panicking) return { replicas: byStable, panicking, byStable, byPanic, peak: 0 };
  const replicas = Math.max(byStable, byPanic, repaired ? peak : 0);
  return { replicas, panicking, byStable, byPanic, peak: replicas };
}

/** Recommendations that have been made, oldest first. */
export type Recommendations = readonly { readonly atMs: number; readonly replicas: number }[];

/**
 * A rise takes the largest recommendation of the up window, a fall the smallest of the down window, the latest included. So the down
 * window makes a fleet shrink sooner: the reverse of what an HPA does with it.
 */
export function stabilize(
  history: Recommendations,
  nowMs: number,
  latest: number,
  current: number,
  { upCooldownMs, downCooldownMs }: Pick<Tuning, "upCooldownMs" | "downCooldownMs">,
): { readonly replicas: number; readonly history: Recommendations } {
  const kept = [...history.filter(({ atMs }) => atMs > nowMs - Math.max(upCooldownMs, downCooldownMs)), { atMs: nowMs, replicas: latest }];
  const within = (windowMs: number) => kept.filter(({ atMs }) => atMs > nowMs - windowMs).map(({ replicas }) => replicas);
  if (latest > current) return { replicas: Math.max(latest, ...within(upCooldownMs)), history: kept };
  if (latest < current) return { replicas: Math.min(latest, ...within(downCooldownMs)), history: kept };
  return { replicas: current, history: kept };
}

/**
 * Newer releases: replicas that are not ready yet count as idle on the way up and as busy as they should be on the way down, so that
 * the others' average does not speak for them. Source: `applyPendingReplicaGuard` in `autoscaler.go`.
 */
export function guardPending(
  strategy: "KPA" | "APA",
  {
    current,
    ready,
    average,
    target,
    recommended,
  }: { current: number; ready: number; average: number; target: number; recommended: number },
): number {
  const pending = current - Math.min(ready, current);
  if (pending <= 0 || current <= 0 || recommended === current) return recommended;
  const [serving, rising] = [current - pending, recommended > current];
  const shared = (average * serving + (rising ? 0 : target * pending)) / current;
  const perTarget =
    strategy === "APA" ? (current * shared) / target : rising ? shared / target : (average * serving + target * pending) / target;
  const guarded = Math.ceil(perTarget);
  return rising ? Math.min(Math.max(guarded, current), recommended) : Math.max(Math.min(guarded, current), recommended);
}
