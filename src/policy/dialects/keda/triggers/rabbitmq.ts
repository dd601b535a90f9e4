import { parseJson, queryEscape } from "../go.ts";
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

const MODES = ["QueueLength", "MessageRate", "DeliverGetRate", "PublishedToDeliveredRatio", "ExpectedQueueConsumptionTime"] as const;
type RabbitMode = (typeof MODES)[number];
const DEFAULT_QUEUE_LENGTH = 20;
const ROOT_VHOST = "/%2F";

export interface RabbitTrigger extends TriggerMetric {
  readonly queueName: string;
  readonly protocol: "amqp" | "http";
  readonly mode: RabbitMode;
  readonly useRegex: boolean;
  readonly operation: string;
  readonly excludeUnacknowledged: boolean;
}

/** @throws KedaError */
export function parseRabbit(config: TriggerConfig): RabbitTrigger {
  const parameters = parametersOf("rabbitmq", config);
  const refuse = (what: string) => new KedaError(`trigger rabbitmq: ${what}`);
  const queueName = parameters.required("queueName");
  const host = parameters.required("host", "TAE");
  const declared = parameters.oneOf("protocol", ["auto", "amqp", "http"], "auto", "TA");
  const protocol = declared === "auto" ? protocolOf(host, config, refuse) : declared;
  const useRegex = parameters.bool("useRegex", false);
  const excludeUnacknowledged = parameters.bool("excludeUnacknowledged", false);
  if (parameters.integer("pageSize", 100) < 1) throw refuse("pageSize must be at least 1");
  if (useRegex && protocol !== "http") throw refuse("useRegex needs protocol http");
  if (excludeUnacknowledged && protocol !== "http") throw refuse("excludeUnacknowledged needs protocol http");

  const { mode, value } = modeOf(parameters, refuse);
  if (mode !== "QueueLength" && protocol !== "http") throw refuse(`mode ${mode} needs protocol http`);
  if (parameters.has("timeout") && protocol === "amqp") throw refuse("timeout needs protocol http");
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`rabbitmq-${queryEscape(queueName)}`)),
    target: value,
    activation: parameters.float("activationValue", 0),
    queueName,
    protocol,
    mode,
    useRegex,
    operation: parameters.text("operation", "sum"),
    excludeUnacknowledged,
  };
}

export const rabbitTrigger: TriggerKind = { types: ["rabbitmq"], metric: parseRabbit };

function protocolOf(host: string, config: TriggerConfig, refuse: (what: string) => KedaError): "amqp" | "http" {
  const scheme = /^([a-z]+):/i.exec(host)?.[1]?.toLowerCase();
  if (scheme === "amqp" || scheme === "amqps") return "amqp";
  if (scheme === "http" || scheme === "https") return "http";
  // The address itself is in a secret or in the environment: http takes every mode.
  if (config.hasUnknownAuth === true || Object.hasOwn(config.metadata, "hostFromEnv")) return "http";
  throw refuse(`host has no scheme amqp, amqps, http or https, from which protocol auto could tell`);
}

/** The old `queueLength` is mode QueueLength; nothing at all is that with 20. */
function modeOf(parameters: Parameters, refuse: (what: string) => KedaError): { readonly mode: RabbitMode; readonly value: number } {
  const queueLength = parameters.float("queueLength", 0);
  const mode = parameters.text("mode", "");
  const value = parameters.float("value", 0);
  if (queueLength === 0 && (mode === "" || mode === "Unknown") && value === 0) return { mode: "QueueLength", value: DEFAULT_QUEUE_LENGTH };
  if (queueLength !== 0) {
    if (mode !== "" || value !== 0) throw refuse("queueLength excludes mode and value; use those two");
    return { mode: "QueueLength", value: queueLength };
  }
  const known = MODES.find((name) => name === mode);
  if (known === undefined) throw refuse(`mode is ${JSON.stringify(mode)}; use one of ${MODES.join(", ")}`);
  if (value === 0) throw refuse("value is missing; give the target");
  return { mode: known, value };
}

export interface RabbitQueue {
  /** Ready and unacknowledged. */
  readonly messages: number;
  readonly messagesReady: number;
  readonly publishRate: number;
  readonly deliverGetRate: number;
}

const NO_QUEUE: RabbitQueue = { messages: 0, messagesReady: 0, publishRate: 0, deliverGetRate: 0 };

/** The management API's answer for a queue, or, with useRegex, the composition of its `items`. @throws KedaError */
export function rabbitQueue(status: number, body: string, trigger: Pick<RabbitTrigger, "useRegex" | "operation">): RabbitQueue {
  if (status !== 200) throw new KedaError(`the RabbitMQ management API answered ${status}`);
  const answer = documentOf(parseJson(body));
  if (!trigger.useRegex) return queueOf(answer);
  if (numberOf(answer["page_count"]) > 1) throw new KedaError("the expression matches more queues than one page holds; raise pageSize");
  const items = answer["items"];
  return composeQueues(trigger.operation, Array.isArray(items) ? items.map((item) => queueOf(documentOf(item))) : []);
}

type Document = Readonly<Record<string, unknown>>;
const documentOf = (value: unknown): Document =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Document) : {};
const numberOf = (value: unknown): number => (typeof value === "number" ? value : 0);

function queueOf(queue: Document): RabbitQueue {
  const stats = documentOf(queue["message_stats"]);
  const rate = (name: string) => numberOf(documentOf(stats[name])["rate"]);
  return {
    messages: numberOf(queue["messages"]),
    messagesReady: numberOf(queue["messages_ready"]),
    publishRate: rate("publish_details"),
    deliverGetRate: rate("deliver_get_details"),
  };
}

/** Several queues as one: counts of an average are whole numbers; a maximum is taken field by field. @throws KedaError */
export function composeQueues(operation: string, queues: readonly RabbitQueue[]): RabbitQueue {
  if (queues.length === 0) return NO_QUEUE;
  const fold = (join: (left: number, right: number) => number) =>
    queues.reduce(
      (left, right) => ({
        messages: join(left.messages, right.messages),
        messagesReady: join(left.messagesReady, right.messagesReady),
        publishRate: join(left.publishRate, right.publishRate),
        deliverGetRate: join(left.deliverGetRate, right.deliverGetRate),
      }),
      NO_QUEUE,
    );
  if (operation === "max") return fold(Math.max);
  const sum = fold((left, right) => left + right);
  if (operation === "sum") return sum;
  if (operation !== "avg") throw new KedaError(`trigger rabbitmq: operation is ${JSON.stringify(operation)}; use one of sum, avg, max`);
  return {
    messages: Math.trunc(sum.messages / queues.length),
    messagesReady: Math.trunc(sum.messagesReady / queues.length),
    publishRate: sum.publishRate / queues.length,
    deliverGetRate: sum.deliverGetRate / queues.length,
  };
}

/** Value and activity by mode; a queue that is filled and not emptied is active whatever its value. */
export function rabbitReading(queue: RabbitQueue, trigger: RabbitTrigger): TriggerReading {
  const messages = trigger.excludeUnacknowledged ? queue.messagesReady : queue.messages;
  const { publishRate, deliverGetRate } = queue;
  const { activation } = trigger;
  switch (trigger.mode) {
    case "QueueLength":
      return activeAbove(messages, activation);
    case "MessageRate":
      return { value: publishRate, isActive: publishRate > activation || messages > activation };
    case "DeliverGetRate":
      return activeAbove(deliverGetRate, activation);
    case "PublishedToDeliveredRatio": {
      const isStuck = publishRate > 0 && deliverGetRate === 0;
      const value = isStuck ? activation : publishRate > 0 && deliverGetRate > 0 ? publishRate / deliverGetRate : 0;
      return { value, isActive: value > activation || isStuck };
    }
    case "ExpectedQueueConsumptionTime": {
      if (messages === 0) return activeAbove(0, activation);
      if (deliverGetRate === 0) return { value: activation, isActive: true };
      return activeAbove((publishRate - deliverGetRate) / deliverGetRate + messages / deliverGetRate, activation);
    }
  }
}

/** Virtual host and path prefix of the management API's URL: the last segment is the host, "" and "/" are the root host. */
export function rabbitVhost(rawPath: string, overrideVhost: string): { readonly vhostPath: string; readonly path: string } {
  const parts = rawPath.split("/");
  const segments = parts.slice(0, -1).filter((part) => part !== "");
  const vhost = overrideVhost === "" ? `/${parts.at(-1)}` : `/${queryEscape(overrideVhost)}`;
  return { vhostPath: vhost === "/" || vhost === "//" ? ROOT_VHOST : vhost, path: segments.length === 0 ? "" : `/${segments.join("/")}` };
}
