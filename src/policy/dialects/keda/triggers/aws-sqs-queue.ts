import { parseInteger } from "../go.ts";
import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

export interface SqsTrigger extends TriggerMetric {
  readonly scaleOnInFlight: boolean;
  readonly scaleOnDelayed: boolean;
}

/** @throws KedaError */
function parseSqs(config: TriggerConfig): SqsTrigger {
  const parameters = parametersOf("aws-sqs-queue", config);
  const queueUrl = parameters.required("queueURL", "TE");
  parameters.required("awsRegion", "TA");
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`aws-sqs-${queueName(queueUrl)}`)),
    target: parameters.integer("queueLength", 5),
    activation: parameters.integer("activationQueueLength", 0),
    scaleOnInFlight: parameters.bool("scaleOnInFlight", true),
    scaleOnDelayed: parameters.bool("scaleOnDelayed", false),
  };
}

export const sqsTrigger: TriggerKind = { types: ["aws-sqs-queue"], metric: parseSqs };

/** A bare name, or the second and last segment of a URL's path. */
function queueName(queueUrl: string): string {
  const path = /^[a-z]+:\/\/[^/?#]+([^?#]*)/i.exec(queueUrl)?.[1];
  if (path === undefined) return queueUrl;
  const [, , name, ...more] = path.split("/");
  if (name !== undefined && name !== "" && more.length === 0) return name;
  throw new KedaError(`trigger aws-sqs-queue: queueURL ${queueUrl} has not the form https://HOST/ACCOUNT/NAME`);
}

export type SqsAttributes = Readonly<Record<string, string>>;

/** Messages that wait, with those in flight and those delayed where asked for. @throws KedaError for a missing or wrong attribute */
export function sqsQueueLength(attributes: SqsAttributes, trigger: Pick<SqsTrigger, "scaleOnInFlight" | "scaleOnDelayed">): number {
  const names = [
    "ApproximateNumberOfMessages",
    ...(trigger.scaleOnInFlight ? ["ApproximateNumberOfMessagesNotVisible"] : []),
    ...(trigger.scaleOnDelayed ? ["ApproximateNumberOfMessagesDelayed"] : []),
  ];
  return names.reduce((sum, name) => {
    const text = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
    const count = text === undefined ? null : parseInteger(text);
    if (count === null) throw new KedaError(`the queue's attribute ${name} is ${text === undefined ? "missing" : JSON.stringify(text)}`);
    return sum + count;
  }, 0);
}
