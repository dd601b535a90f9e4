import { DESIRED_REPLICAS } from "../source.ts";
import type { ScaledObjectRef } from "./proto.ts";

/** What a ScaledObject's trigger asks for, from its metadata. */
export interface Trigger {
  readonly namespace: string;
  readonly endpoint: string;
  /** null: all pools together. */
  readonly pool: string | null;
  readonly metric: string;
  readonly targetSize: number;
  /** Of a signal: active above this. What stands decided is active from one replica on. */
  readonly activation: number;
}

const OWN = ["endpoint", "pool", "metric", "targetSize", "activation"] as const;
/** Of KEDA's own: what the client of an external scaler is told. */
const KEDAS = ["scalerAddress", "enableTLS", "unsafeSsl", "tlsCertFile", "caCert", "tlsClientCert", "tlsClientKey"];

/**
 * `endpoint`: the Endpoint's name, in the ScaledObject's namespace; without it, the one that is named as the ScaledObject.
 * `metric`: what stands decided unless told, with a target of 1; any signal, with a `targetSize` of its own.
 * @throws RangeError that names key, value and way out
 */
export function triggerOf({ name, namespace, scalerMetadata }: ScaledObjectRef): Trigger {
  for (const key of Object.keys(scalerMetadata)) {
    if ((OWN as readonly string[]).includes(key) || KEDAS.includes(key) || key.endsWith("FromEnv")) continue;
    throw new RangeError(`metadata.${key} is not known; there is ${OWN.join(", ")}`);
  }
  const given = (key: (typeof OWN)[number]): string | undefined => {
    const value = scalerMetadata[key]?.trim();
    return value === "" ? undefined : value;
  };
  const number = (key: "targetSize" | "activation", least: number, otherwise: number): number => {
    const text = given(key);
    if (text === undefined) return otherwise;
    const value = Number(text);
    if (Number.isFinite(value) && value >= least && (key === "activation" || value > 0)) return value;
    throw new RangeError(`metadata.${key} is ${JSON.stringify(text)}; give a number ${key === "activation" ? "from 0 on" : "above 0"}`);
  };
  const metric = given("metric") ?? DESIRED_REPLICAS;
  const targetSize = number("targetSize", 0, metric === DESIRED_REPLICAS ? 1 : Number.NaN);
  if (Number.isNaN(targetSize))
    throw new RangeError(`metadata.metric is ${metric}, which needs metadata.targetSize: its value per replica`);
  return {
    namespace,
    endpoint: given("endpoint") ?? name,
    pool: given("pool") ?? null,
    metric,
    targetSize,
    activation: number("activation", 0, 0),
  };
}
