import type { Ms, Step } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import { activatorCount, type DeciderState, type ScaleResult } from "./decider.ts";
import type { Active, Applied, Path } from "./scaler.ts";
import type { KpaSettings } from "./settings.ts";

/** What one tick came to. */
export function explainTick(
  pool: string,
  settings: KpaSettings,
  ready: number,
  averages: { readonly stable: number; readonly panic: number } | null,
  { state, result, reported }: { readonly state: DeciderState; readonly result: ScaleResult; readonly reported: boolean },
): readonly Step[] {
  const step = (code: string, text: string, numbers: Readonly<Record<string, number>>): Step => ({ code, pool, text, numbers });
  if (!result.valid || averages === null) {
    const since = reported ? `has been reported for a stable window (${seconds(settings.stableWindowMs)})` : "has been reported yet";
    const text = `No load ${since}${ready === 0 ? ", and no replica is ready to report any" : ""}: the last count stands.`;
    return [step("no-data", text, { ready })];
  }
  const { stable, panic } = averages;
  const { target, total, scalingMetric } = settings;
  const unit = scalingMetric === "rps" ? "requests/s" : "requests at once";
  const steps = [
    step(
      "metric",
      `${num(stable)} ${unit} over ${seconds(settings.stableWindowMs)} and ${num(panic)} over ${seconds(settings.panicWindowMs)}, against ${num(target)} a replica (of ${num(total)} it can take): ${result.byStable} by the stable window, ${result.byPanic} by the panic window.`,
      { ready, stable, panic, target, total, byStable: result.byStable, byPanic: result.byPanic },
    ),
  ];
  const limits = [
    { name: "stable", wanted: result.byStable, limited: result.limitedStable },
    ...(result.panicking ? [{ name: "panic", wanted: result.byPanic, limited: result.limitedPanic }] : []),
  ].filter(({ wanted, limited }) => wanted !== limited);
  for (const { name, wanted, limited } of limits) {
    const activated = settings.activationScale > 1 && limited === settings.activationScale;
    const why = activated
      ? `whoever wakes the revision wakes at least ${settings.activationScale}`
      : `from ${replicas(Math.max(1, ready))} one tick may go to between ${result.minByRate} and ${result.maxByRate}`;
    const numbers = { wanted, limited, min: result.minByRate, max: result.maxByRate };
    steps.push(step(activated ? "activation-scale" : "limited", `The ${name} window's ${wanted} becomes ${limited}: ${why}.`, numbers));
  }
  if (result.panicking) {
    const over = result.byPanic / Math.max(1, ready) >= settings.panicThreshold;
    const why = over
      ? `the panic window asks for ${num(settings.panicThreshold)} times the ready replicas or more`
      : `less than ${seconds(settings.stableWindowMs)} have passed since it last did so`;
    const text = `Panic, since ${why}: the count does not fall below ${state.maxPanicPods}.`;
    steps.push(step("panic", text, { maxPanicPods: state.maxPanicPods, threshold: settings.panicThreshold, byPanic: result.byPanic }));
  }
  if (result.desired !== result.undelayed) {
    const text = `The scale-down delay (${seconds(settings.scaleDownDelayMs)}) keeps ${result.desired} instead of ${result.undelayed}.`;
    steps.push(step("delayed", text, { undelayed: result.undelayed, desired: result.desired }));
  }
  const { excessBurstCapacity: excess } = result;
  const activators = activatorCount(settings, ready);
  const burst =
    settings.targetBurstCapacity === 0
      ? "No burst is provided for: the gateway holds requests at zero replicas only."
      : settings.targetBurstCapacity < 0
        ? "The gateway always stays in the path."
        : excess < 0
          ? `${num(-excess)} ${unit} are missing for the load and a burst of ${num(settings.targetBurstCapacity)}: requests go through the activator (${activators} of them).`
          : `${num(excess)} ${unit} of room are left above the load and a burst of ${num(settings.targetBurstCapacity)}: requests go straight to the replicas.`;
  steps.push(step("burst-capacity", burst, { excess, targetBurstCapacity: settings.targetBurstCapacity, activators }));
  return steps;
}

/** What became of the count. */
export function explainApplied(
  {
    pool,
    settings,
    nowMs,
    current,
    ready,
    desired,
    active,
    path,
  }: {
    readonly pool: string;
    readonly settings: KpaSettings;
    readonly nowMs: Ms;
    readonly current: number;
    readonly ready: number;
    readonly desired: number;
    readonly active: Active;
    readonly path: Path;
  },
  applied: Applied,
): readonly Step[] {
  const forText = seconds(active === null ? 0 : nowMs - active.sinceMs);
  const stay = `${replicas(current)} ${current === 1 ? "stays" : "stay"}`;
  const again = applied.requeueMs === null ? "" : ` Another look follows in ${seconds(applied.requeueMs)}.`;
  const { minScale, maxScale, initialScale, stableWindowMs, podRetentionMs, gracePeriodMs } = settings;
  const bounds = `min ${minScale}, ${maxScale === 0 ? "no max" : `max ${maxScale}`}, initial ${initialScale}`;
  const change = applied.desired === current ? `The count stays at ${current}` : `From ${current} to ${applied.desired}`;
  const text = {
    unknown: `The count stays at ${current}: nothing has been decided yet.`,
    scaled: `${change}.`,
    bounded: `${change}: ${desired < 0 ? "nothing has been decided yet" : desired} is outside the bounds (${bounds}).`,
    "zero-disabled": `${change}: the cluster does not let anything go to zero.`,
    activating: `The count stays at ${current}: ${ready} of the replicas that it waits for are ready after ${forText}.`,
    "activation-timeout": `${change}: the replicas did not become ready in ${forText}.`,
    deactivate: `No load for a stable window and active for ${forText}: the endpoint becomes inactive; ${stay} for now.`,
    "keep-last": `${change}: active for ${forText} only, of the ${seconds(stableWindowMs)} that come before zero.${again}`,
    retention: `${stay}: inactive for ${forText} of ${seconds(podRetentionMs)} pod retention.${again}`,
    grace: `${stay} until the activator has been in the path for ${seconds(gracePeriodMs)}.${again}`,
    zero: `${change}: inactive for ${forText}, and the activator takes what comes${path.proxySinceMs === null ? "" : ` (in the path for ${seconds(nowMs - path.proxySinceMs)})`}.`,
    "no-probe": `${stay}: the activator does not answer for the endpoint yet.`,
  }[applied.reason];
  const code = applied.reason === "scaled" ? "desired" : applied.reason;
  return [{ code, pool, text, numbers: { current, ready, desired: applied.desired, decided: desired } }];
}
