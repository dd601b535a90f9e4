import { DESIRED_REPLICAS, desiredSum, type FollowedEndpoint, type Source, signalOf, type Timed } from "../source.ts";
import type { MetricSpec, MetricValue, ScaledObjectRef } from "./proto.ts";
import { type Trigger, triggerOf } from "./trigger.ts";

/** Why a call has no answer, for the gRPC status: an unknown thing, a wrong request, or a number that nobody has now. */
export class ScalerError extends Error {
  override readonly name = "ScalerError";
  readonly reason: "not-found" | "invalid" | "unavailable";

  constructor(reason: ScalerError["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface Scaler {
  isActive(ref: ScaledObjectRef): Promise<boolean>;
  metricSpecs(ref: ScaledObjectRef): readonly MetricSpec[];
  metrics(ref: ScaledObjectRef, metricName: string): Promise<readonly MetricValue[]>;
  /** The endpoint that a trigger follows; known or not. */
  endpointOf(ref: ScaledObjectRef): string;
}

/**
 * The answers of an external scaler, by what a controller says. All errors are ScalerErrors.
 * A number that is missing or stale is an error and never 0: KEDA then keeps the count, or its `fallback`.
 */
export function createScaler(source: Source): Scaler {
  const read = (ref: ScaledObjectRef): Trigger => {
    try {
      return triggerOf(ref);
    } catch (error) {
      if (error instanceof RangeError) throw new ScalerError("invalid", `ScaledObject ${ref.namespace}/${ref.name}: ${error.message}`);
      throw error;
    }
  };
  const find = ({ namespace, endpoint }: Trigger): FollowedEndpoint => {
    const all = source.endpoints();
    const found = all.find((one) => one.name === endpoint && one.namespace === namespace);
    if (found !== undefined) return found;
    if (all.length === 0) throw new ScalerError("unavailable", "no controller has been heard yet");
    const here = all.filter((one) => one.namespace === namespace).map(({ name }) => name);
    throw new ScalerError(
      "not-found",
      `no Endpoint ${endpoint} in namespace ${namespace}; there is ${here.join(", ") || "none"}; name it in metadata.endpoint`,
    );
  };
  const poolsOf = (endpoint: FollowedEndpoint, { pool }: Trigger) => {
    const pools = endpoint.pools.filter(({ name }) => pool === null || name === pool);
    if (pools.length > 0) return pools;
    const names = endpoint.pools.map(({ name }) => name).join(", ");
    throw new ScalerError("not-found", `Endpoint ${endpoint.name} has no pool ${pool}; there is ${names}`);
  };
  /** Null: missing or stale. */
  const reading = async (endpoint: FollowedEndpoint, trigger: Trigger): Promise<Timed | null> => {
    const pools = poolsOf(endpoint, trigger);
    if (trigger.metric === DESIRED_REPLICAS) return desiredSum(pools);
    const readings = await source.readings(endpoint.name, signalOf(endpoint, trigger.metric));
    const wanted = trigger.pool;
    return (
      readings.find(({ subject }) =>
        wanted === null ? subject.kind === "endpoint" : subject.kind === "pool" && subject.pool === wanted,
      ) ??
      readings.find(({ subject }) => wanted === null && subject.kind === "external") ??
      null
    );
  };
  const missing = (trigger: Trigger) =>
    new ScalerError("unavailable", `${trigger.metric} of Endpoint ${trigger.endpoint} is missing or stale; see its controller's /readyz`);

  return {
    async isActive(ref) {
      const trigger = read(ref);
      const endpoint = find(trigger);
      if ((endpoint.held ?? 0) > 0) return true;
      const value = await reading(endpoint, trigger);
      if (value === null) throw missing(trigger);
      return trigger.metric === DESIRED_REPLICAS ? value.value >= 1 : value.value > trigger.activation;
    },
    metricSpecs(ref) {
      const { metric, targetSize } = read(ref);
      return [{ metricName: metric, targetSize: Math.max(1, Math.round(targetSize)), targetSizeFloat: targetSize }];
    },
    async metrics(ref, metricName) {
      const trigger = read(ref);
      if (metricName !== "" && metricName !== trigger.metric) {
        throw new ScalerError("not-found", `metric ${metricName} is not what this trigger follows, which is ${trigger.metric}`);
      }
      const value = await reading(find(trigger), trigger);
      if (value === null) throw missing(trigger);
      // An operator that knows no floats rather gets a part too much than one too little.
      return [{ metricName: trigger.metric, metricValue: Math.ceil(value.value), metricValueFloat: value.value }];
    },
    endpointOf: (ref) => read(ref).endpoint,
  };
}
