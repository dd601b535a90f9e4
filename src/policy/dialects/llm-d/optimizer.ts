import type { CapacityBalance, Targets, VariantCapacity, VariantState } from "./words.ts";

/** A floor that a rounding error does not lower, and a ceiling that none raises. */
const EPSILON = 1e-9;
const wholeUp = (value: number) => Math.max(0, Math.ceil(value - EPSILON));
const wholeDown = (value: number) => Math.floor(value + EPSILON);

/**
 * Turns missing or spare capacity into counts at the least cost.
 * - up: ceil(required / capacity) on the variant with the lowest cost per capacity, the rest on the next where its maximum is in the way
 * - down: floor(spare / capacity) from the dearest variant on; the last replica of a role stays (on the cheapest variant)
 * Equal costs: the more capable variant is kept, then by name. Variants whose capacity is not known stay as they are.
 * Source: llm-d workload variant autoscaler, internal/engines/pipeline/cost_aware_optimizer.go.
 */
export function costAwareTargets(balance: CapacityBalance, variants: readonly VariantCapacity[], states: readonly VariantState[]): Targets {
  const own = variants.filter(({ role }) => role === balance.role);
  const stateOf = (name: string) => states.find(({ variantName }) => variantName === name) as VariantState;
  const targets: Record<string, number> = Object.fromEntries(
    own.map(({ variantName }) => [variantName, stateOf(variantName).currentReplicas]),
  );
  const known = own.filter(({ perReplicaCapacity }) => perReplicaCapacity > 0);
  const byName = (a: VariantCapacity, b: VariantCapacity) => (a.variantName < b.variantName ? -1 : 1);
  if (balance.required > 0) {
    let missing = balance.required;
    for (const { variantName, perReplicaCapacity } of known.toSorted(
      (a, b) => a.cost / a.perReplicaCapacity - b.cost / b.perReplicaCapacity || byName(a, b),
    )) {
      const room = Math.max(0, stateOf(variantName).maxReplicas - (targets[variantName] as number));
      const added = Math.min(room, wholeUp(missing / perReplicaCapacity));
      targets[variantName] = (targets[variantName] as number) + added;
      missing -= added * perReplicaCapacity;
      if (missing <= 0) break;
    }
  } else if (balance.spare > 0) {
    let left = balance.spare;
    const dearestFirst = known.toSorted((a, b) => b.cost - a.cost || a.perReplicaCapacity - b.perReplicaCapacity || byName(b, a));
    for (const [at, { variantName, perReplicaCapacity }] of dearestFirst.entries()) {
      const others = own.some((variant) => variant.variantName !== variantName && (targets[variant.variantName] as number) > 0);
      const floor = Math.max(stateOf(variantName).minReplicas, at === dearestFirst.length - 1 && !others ? 1 : 0);
      const removable = Math.max(0, (targets[variantName] as number) - floor);
      const removed = Math.min(removable, Math.max(0, wholeDown(left / perReplicaCapacity)));
      targets[variantName] = (targets[variantName] as number) - removed;
      left -= removed * perReplicaCapacity;
    }
  }
  return targets;
}
