import type { Bounds, Dialect } from "../dialect.ts";
import { aibrixPolicy } from "./policy.ts";
import { settingsOf, withMovedBounds } from "./settings.ts";
import { AIBRIX_FOLLOWED } from "./version.ts";

/** The widest bounds at any hour. */
function envelope(manifest: Parameters<Dialect["bounds"]>[0]): Bounds {
  const { min, max, schedules } = settingsOf(manifest);
  return {
    min: Math.min(min, ...schedules.map((schedule) => schedule.min ?? min)),
    max: Math.max(max, ...schedules.map((schedule) => schedule.max ?? max)),
  };
}

export const aibrixDialect: Dialect = {
  kind: "aibrix",
  follows: `AIBrix ${AIBRIX_FOLLOWED}`,
  // With GPU profiles; without, the first pool alone.
  countsPools: true,
  policy: (endpoint, manifest) => aibrixPolicy(endpoint, manifest),
  bounds: envelope,
  withBounds(manifest, bounds) {
    const own = envelope(manifest);
    // What was the widest bound is the new one; what schedules keep inside of it stays, as far as it fits.
    const inside = (count: number) => Math.min(Math.max(count, bounds.min), bounds.max);
    return withMovedBounds(manifest, {
      min: (count) => (count === own.min ? bounds.min : inside(count)),
      max: (count) => (count === own.max ? bounds.max : inside(count)),
    });
  },
};
