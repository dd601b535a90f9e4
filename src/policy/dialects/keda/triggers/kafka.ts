import { parseInteger } from "../go.ts";
import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import {
  activeAbove,
  type Parameters,
  parametersOf,
  type TriggerConfig,
  type TriggerKind,
  type TriggerMetric,
  type TriggerReading,
} from "./trigger.ts";

export interface KafkaTrigger extends TriggerMetric {
  readonly brokers: readonly string[];
  readonly group: string;
  /** "": every topic that the group has offsets for. */
  readonly topic: string;
  /** `null`: all. */
  readonly partitionLimitation: readonly number[] | null;
  readonly lagThreshold: number;
  readonly offsetResetPolicy: "latest" | "earliest";
  readonly allowIdleConsumers: boolean;
  readonly excludePersistentLag: boolean;
  readonly scaleToZeroOnInvalidOffset: boolean;
  readonly limitToPartitionsWithLag: boolean;
  readonly ensureEvenDistributionOfPartitions: boolean;
  readonly fullMetadata: boolean;
}

const SASL = ["none", "plaintext", "scram_sha256", "scram_sha512", "oauthbearer", "gssapi"] as const;

/** @throws KedaError */
export function parseKafka(config: TriggerConfig, type = "kafka"): KafkaTrigger {
  const parameters = parametersOf(type, config);
  const refuse = (what: string) => new KedaError(`trigger ${type}: ${what}`);
  const brokers = parameters
    .required("bootstrapServers", "TE")
    .split(",")
    .map((broker) => broker.trim());
  const group = parameters.required("consumerGroup", "TE");
  const topic = parameters.text("topic", "", "TE");
  const limitation = parsePartitionLimitation(parameters.text("partitionLimitation", ""));
  const lagThreshold = parameters.integer("lagThreshold", 10);
  const activation = parameters.integer("activationLagThreshold", 0);
  if (lagThreshold <= 0) throw refuse(`lagThreshold is ${lagThreshold}; it must be above 0`);
  if (activation < 0) throw refuse(`activationLagThreshold is ${activation}; it must not be below 0`);

  const allowIdleConsumers = parameters.bool("allowIdleConsumers", false);
  const limitToPartitionsWithLag = parameters.bool("limitToPartitionsWithLag", false);
  const ensureEvenDistributionOfPartitions = parameters.bool("ensureEvenDistributionOfPartitions", false);
  const fullMetadata = parameters.bool("fullMetadata", true);
  const together = (one: string, other: string) => refuse(`${one} and ${other} exclude each other; set one of them`);
  if (allowIdleConsumers && limitToPartitionsWithLag) throw together("allowIdleConsumers", "limitToPartitionsWithLag");
  if (limitToPartitionsWithLag && ensureEvenDistributionOfPartitions) {
    throw together("limitToPartitionsWithLag", "ensureEvenDistributionOfPartitions");
  }
  const needsTopic = limitToPartitionsWithLag
    ? "limitToPartitionsWithLag"
    : ensureEvenDistributionOfPartitions
      ? "ensureEvenDistributionOfPartitions"
      : fullMetadata
        ? null
        : "fullMetadata: false";
  if (needsTopic !== null && topic === "") throw refuse(`${needsTopic} needs a topic`);
  checkVersion(parameters, refuse);
  checkSecurity(parameters, config, refuse);

  const metric = normalizeMetricName(topic === "" ? `kafka-${group}-topics` : `kafka-${topic}`);
  return {
    name: indexedMetricName(config.index, metric),
    target: lagThreshold,
    activation,
    brokers,
    group,
    topic,
    partitionLimitation: topic === "" ? null : limitation,
    lagThreshold,
    offsetResetPolicy: parameters.oneOf("offsetResetPolicy", ["latest", "earliest"], "latest"),
    allowIdleConsumers,
    excludePersistentLag: parameters.bool("excludePersistentLag", false),
    scaleToZeroOnInvalidOffset: parameters.bool("scaleToZeroOnInvalidOffset", false),
    limitToPartitionsWithLag,
    ensureEvenDistributionOfPartitions,
    fullMetadata,
  };
}

export const kafkaTrigger: TriggerKind = { types: ["kafka", "apache-kafka"], metric: parseKafka };

/** Kafka's own numbering: 0.x.y.z before 1.0, x.y.z since. */
function checkVersion(parameters: Parameters, refuse: (what: string) => KedaError): void {
  const version = parameters.text("version", "1.0.0").trim();
  if (!/^(?:0\.\d+\.\d+\.\d+|[1-9]\d*\.\d+\.\d+)$/.test(version)) throw refuse(`version ${version} is no version of Kafka, such as 2.8.0`);
}

function checkSecurity(parameters: Parameters, config: TriggerConfig, refuse: (what: string) => KedaError): void {
  const sasl = parameters.oneOf("sasl", SASL, "none", "TA");
  parameters.oneOf("tls", ["enable", "disable"], "disable", "TA");
  const needsPassword = sasl === "plaintext" || sasl === "scram_sha256" || sasl === "scram_sha512";
  if (needsPassword && config.hasUnknownAuth !== true && !(parameters.has("username", "AE") && parameters.has("password", "AE"))) {
    throw refuse(`sasl ${sasl} needs username and password from an authentication`);
  }
}

/** "1,2,5-7" as numbers; blank: `null`. @throws KedaError for anything else */
export function parsePartitionLimitation(text: string): readonly number[] | null {
  if (text.trim() === "") return null;
  return text.split(",").flatMap((part) => {
    const [from, to, ...more] = part.split("-").map((end) => parseInteger(end.trim()));
    const wrong = () => new KedaError(`partitionLimitation has ${JSON.stringify(part.trim())}; give partitions as 1,2,5-7`);
    if (from === undefined || from === null || more.length > 0) throw wrong();
    if (to === undefined) return [from];
    if (to === null || to < from) throw wrong();
    return Array.from({ length: to - from + 1 }, (_, at) => from + at);
  });
}

/** The partitions that count, in the topic's order. */
export const countedPartitions = (limitation: readonly number[] | null, partitions: readonly number[]): readonly number[] =>
  limitation === null ? partitions : partitions.filter((partition) => limitation.includes(partition));

export interface PartitionOffsets {
  /** Committed by the group; -1: none yet. */
  readonly consumerOffset: number;
  /** Newest of the broker; `null`: the partition is missing from its answer. */
  readonly latestOffset: number | null;
  /** The committed offset at the previous reading, for excludePersistentLag; `null`: first sight. */
  readonly previousOffset: number | null;
}

export interface PartitionLag {
  readonly lag: number;
  /** What activation counts: a lag of which nothing is consumed included. */
  readonly lagWithPersistent: number;
}

/** Source: pkg/scalers/kafka_scaler.go, getLagForPartition. */
export function partitionLag(
  { consumerOffset, latestOffset, previousOffset }: PartitionOffsets,
  rules: Pick<KafkaTrigger, "offsetResetPolicy" | "scaleToZeroOnInvalidOffset" | "excludePersistentLag">,
): PartitionLag {
  const both = (lag: number): PartitionLag => ({ lag, lagWithPersistent: lag });
  const isUncommitted = consumerOffset === -1;
  if (isUncommitted && rules.offsetResetPolicy === "latest") return both(rules.scaleToZeroOnInvalidOffset ? 0 : 1);
  if (latestOffset === null) return both(0);
  if (isUncommitted) return both(rules.scaleToZeroOnInvalidOffset ? 0 : latestOffset);
  const lag = latestOffset - consumerOffset;
  return rules.excludePersistentLag && previousOffset === consumerOffset ? { lag: 0, lagWithPersistent: lag } : both(lag);
}

/** Divisors in ascending order. */
export function factorsOf(n: number): readonly number[] {
  const low: number[] = [];
  const high: number[] = [];
  for (let divisor = 1; divisor * divisor <= n; divisor++) {
    if (n % divisor !== 0) continue;
    low.push(divisor);
    if (divisor * divisor !== n) high.unshift(n / divisor);
  }
  return [...low, ...high];
}

/** The smallest number of consumers that carries the lag and gets equally many partitions each. */
export const nextFactor = (totalLag: number, partitions: number, lagThreshold: number): number =>
  factorsOf(partitions).find((factor) => factor * lagThreshold >= totalLag) ?? partitions;

/**
 * Lag over all partitions, bounded so that no consumer would be idle; activation looks at the unbounded lag. With even
 * distribution an idle topic still gives one threshold's worth, while it is inactive.
 */
export function kafkaReading(lags: readonly PartitionLag[], trigger: KafkaTrigger): TriggerReading {
  const { lagThreshold, limitToPartitionsWithLag, ensureEvenDistributionOfPartitions: isEven } = trigger;
  let totalLag = lags.reduce((sum, { lag }) => sum + lag, 0);
  const withPersistent = lags.reduce((sum, { lagWithPersistent }) => sum + lagWithPersistent, 0);
  if (!trigger.allowIdleConsumers || limitToPartitionsWithLag || isEven) {
    const bound = limitToPartitionsWithLag ? lags.filter(({ lag }) => lag > 0).length : lags.length;
    if (isEven) totalLag = nextFactor(totalLag, lags.length, lagThreshold) * lagThreshold;
    if (Math.trunc(totalLag / lagThreshold) > bound) totalLag = bound * lagThreshold;
  }
  return { value: totalLag, isActive: activeAbove(withPersistent, trigger.activation).isActive };
}
