import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

export interface NatsTrigger extends TriggerMetric {
  readonly stream: string;
  readonly consumer: string;
}

/** @throws KedaError */
function parseNats(config: TriggerConfig): NatsTrigger {
  const parameters = parametersOf("nats-jetstream", config);
  parameters.required("natsServerMonitoringEndpoint", "TA");
  if (!parameters.has("account", "TA") && !parameters.has("accountID", "TA")) {
    throw new KedaError("trigger nats-jetstream: account is missing; give account or accountID");
  }
  const stream = parameters.required("stream");
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`nats-jetstream-${stream}`)),
    target: parameters.integer("lagThreshold", 10),
    activation: parameters.integer("activationLagThreshold", 0),
    stream,
    consumer: parameters.required("consumer"),
  };
}

export const natsTrigger: TriggerKind = { types: ["nats-jetstream"], metric: parseNats };

/** As `/jsz?consumers=true` lists them. */
export interface NatsStream {
  readonly name: string;
  readonly lastSequence: number;
  readonly consumers: readonly NatsConsumer[];
}
interface NatsConsumer {
  readonly name: string;
  readonly numPending: number;
  readonly numAckPending: number;
}

/** Not yet delivered and not yet acknowledged; a stream without the consumer counts from its start to its last message. */
export function natsLag(stream: Omit<NatsStream, "name">, consumer: string): number {
  const found = stream.consumers.find(({ name }) => name === consumer);
  return found === undefined ? stream.lastSequence : found.numPending + found.numAckPending;
}

/** The stream that has the consumer, from whichever server lists it. @throws KedaError where none does */
export function natsStreamOf(streams: readonly NatsStream[], trigger: Pick<NatsTrigger, "stream" | "consumer">): NatsStream {
  const found = streams.find(
    ({ name, consumers }) => name === trigger.stream && consumers.some((consumer) => consumer.name === trigger.consumer),
  );
  if (found !== undefined) return found;
  throw new KedaError(`no server lists consumer ${trigger.consumer} of stream ${trigger.stream}`);
}
