import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

function checkAddress(type: string, config: TriggerConfig): void {
  const parameters = parametersOf(type, config);
  const many = type.includes("cluster") || type.includes("sentinel");
  const [address, host, port] = many ? ["addresses", "hosts", "ports"] : ["address", "host", "port"];
  if (parameters.has(address as string, "TAE")) return;
  if (parameters.has(host as string, "TAE") && parameters.has(port as string, "TAE")) return;
  throw new KedaError(`trigger ${type}: give ${address}, or ${host} and ${port}`);
}

/** @throws KedaError */
function parseRedis(config: TriggerConfig, type = "redis"): TriggerMetric {
  const parameters = parametersOf(type, config);
  checkAddress(type, config);
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`redis-${parameters.required("listName")}`)),
    target: parameters.integer("listLength", 5),
    activation: parameters.integer("activationListLength", 0),
  };
}

/** The command that measures a key by its type. @throws KedaError for a type that has no length */
export function redisLengthCommand(keyType: string): "LLEN" | "ZCARD" | "SCARD" | "HLEN" {
  switch (keyType) {
    case "list":
    case "none":
      return "LLEN";
    case "zset":
      return "ZCARD";
    case "set":
      return "SCARD";
    case "hash":
      return "HLEN";
    default:
      throw new KedaError(`trigger redis: the key is of type ${keyType}; a list, set, sorted set or hash has a length`);
  }
}

export const redisTrigger: TriggerKind = { types: ["redis", "redis-cluster", "redis-sentinel"], metric: parseRedis };

interface RedisStreamsTrigger extends TriggerMetric {
  /** What is counted: the group's lag, its pending entries, or the length of the stream. */
  readonly mode: "lag" | "pending" | "length";
}

/** @throws KedaError */
function parseRedisStreams(config: TriggerConfig, type = "redis-streams"): RedisStreamsTrigger {
  const parameters = parametersOf(type, config);
  checkAddress(type, config);
  const stream = parameters.required("stream");
  const hasGroup = parameters.has("consumerGroup");
  const lagCount = parameters.integer("lagCount", 0);
  const mode = hasGroup && lagCount !== 0 ? "lag" : hasGroup ? "pending" : "length";
  const target = {
    lag: () => lagCount,
    pending: () => parameters.integer("pendingEntriesCount", 5),
    length: () => parameters.integer("streamLength", 5),
  }[mode]();
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`redis-streams-${stream}`)),
    target,
    activation: parameters.integer("activationLagCount", 0),
    mode,
  };
}

/** A group's lag: 0 without the key, the whole stream without the group. */
export const streamLag = (stream: { readonly exists: boolean; readonly length: number; readonly groupLag: number | null }): number =>
  stream.exists ? (stream.groupLag ?? stream.length) : 0;

export const redisStreamsTrigger: TriggerKind = {
  types: ["redis-streams", "redis-cluster-streams", "redis-sentinel-streams"],
  metric: parseRedisStreams,
};
