import { describe, expect, it } from "vitest";
import { azureMonitorValue, azureQueueLength } from "./azure.ts";
import { cronReading, parseCronTrigger } from "./cron.ts";
import { nextFiring, parseCron, timeZone } from "./cron-schedule.ts";
import { externalMetrics, externalValue } from "./external.ts";
import { monitoringValue, pubsubMetricType } from "./gcp.ts";
import { TRIGGER_TYPES, triggerMetric } from "./index.ts";
import { jsonAt } from "./json-path.ts";
import { kafkaReading, parseKafka } from "./kafka.ts";
import { metricsApiValue } from "./metrics-api.ts";
import { postgresqlValue } from "./postgresql.ts";
import { parseRabbit, rabbitReading } from "./rabbitmq.ts";
import { redisLengthCommand, streamLag } from "./redis.ts";
import { resourceMetric } from "./resource.ts";
import { parseXml } from "./xml.ts";

const config = (metadata: Record<string, string>) => ({ index: 1, metadata });

describe("metric, target and activation of", () => {
  it.each<[string, Record<string, string>, string, number, number]>([
    ["prometheus", { serverAddress: "s", query: "q", threshold: "2.5", activationThreshold: "1" }, "s1-prometheus", 2.5, 1],
    ["kafka", { bootstrapServers: "b:9092", consumerGroup: "g", topic: "a.b" }, "s1-kafka-a-b", 10, 0],
    ["apache-kafka", { bootstrapServersFromEnv: "B", consumerGroup: "g" }, "s1-kafka-g-topics", 10, 0],
    ["aws-sqs-queue", { queueURL: "https://sqs.eu-west-1.amazonaws.com/123/jobs", awsRegion: "eu-west-1" }, "s1-aws-sqs-jobs", 5, 0],
    ["aws-cloudwatch", { expression: "SELECT 1", minMetricValue: "0", targetMetricValue: "7", awsRegion: "x" }, "s1-aws-cloudwatch", 7, 0],
    ["azure-queue", { queueName: "q", connectionFromEnv: "C" }, "s1-azure-queue-q", 5, 0],
    ["gcp-pubsub", { subscriptionName: "projects/p/subscriptions/s", activationValue: "3" }, "s1-gcp-ps-projects-p-subscriptions-s", 10, 3],
    ["gcp-stackdriver", { projectId: "p", filter: "f" }, "s1-gcp-stackdriver-p", 5, 0],
    ["rabbitmq", { host: "amqp://h", queueName: "a/b" }, "s1-rabbitmq-a-2Fb", 20, 0],
    ["redis", { address: "r:6379", listName: "l" }, "s1-redis-l", 5, 0],
    ["redis-cluster", { addresses: "r:6379", listName: "l", listLength: "8" }, "s1-redis-l", 8, 0],
    ["redis-streams", { address: "r", stream: "s", consumerGroup: "g", lagCount: "7" }, "s1-redis-streams-s", 7, 0],
    ["redis-streams", { address: "r", stream: "s", consumerGroup: "g" }, "s1-redis-streams-s", 5, 0],
    ["nats-jetstream", { natsServerMonitoringEndpoint: "n", account: "$G", stream: "s", consumer: "c" }, "s1-nats-jetstream-s", 10, 0],
    ["postgresql", { connectionFromEnv: "PG", query: "select 1", targetQueryValue: "2" }, "s1-postgresql", 2, 0],
    ["metrics-api", { url: "u", valueLocation: "a.b", targetValue: "3" }, "s1-metric-api-a-b", 3, 0],
    ["cron", { timezone: "UTC", start: "0 1 * * *", end: "0 2 * * *", desiredReplicas: "4" }, "s1-cron-UTC-01xxx-02xxx", 1, 0],
    ["kubernetes-workload", { podSelector: "app=x", value: "2" }, "s1-workload-default", 2, 0],
    ["external", { scalerAddress: "h:9090", targetValue: "6" }, "s1-external", 6, 0],
    ["external-push", { scalerAddress: "h:9090", interceptorRoute: "chat" }, "s1-external-push", 100, 0],
    ["nsq", { nsqLookupdHTTPAddresses: "n", topic: "t", channel: "c" }, "s1-nsq", 10, 0],
  ])("%s", (type, metadata, name, target, activation) => {
    expect(triggerMetric(type, config(metadata))).toMatchObject({ name, target, activation });
  });

  it.each<[string, Record<string, string>, string]>([
    ["prometheus", { serverAddress: "s", query: "q" }, "threshold is missing"],
    ["prometheus", { serverAddress: "s", query: "q", threshold: "many" }, 'threshold is "many"; give a number'],
    ["prometheus", { serverAddress: "s", query: "q", threshold: "NaN" }, "give a number"],
    ["rabbitmq", { host: "amqp://h", queueName: "q", mode: "MessageRate", value: "1" }, "needs protocol http"],
    ["rabbitmq", { host: "http://h", queueName: "q", queueLength: "1", mode: "QueueLength" }, "queueLength excludes mode"],
    ["rabbitmq", { host: "ftp://h", queueName: "q" }, "has no scheme"],
    ["aws-sqs-queue", { queueURL: "https://sqs/1/2/3", awsRegion: "x" }, "https://HOST/ACCOUNT/NAME"],
    [
      "aws-cloudwatch",
      { expression: "e", minMetricValue: "0", targetMetricValue: "7", awsRegion: "x", metricStatPeriod: "90" },
      "metricStatPeriod is 90",
    ],
    ["gcp-pubsub", { subscriptionName: "s", topicName: "t" }, "exactly one"],
    ["redis", { host: "h", listName: "l" }, "give address, or host and port"],
    ["metrics-api", { url: "u", valueLocation: "a" }, "targetValue is missing or 0"],
    ["kubernetes-workload", { podSelector: "app=x", value: "0" }, "must be above 0"],
    ["mongodb", { query: "q" }, "queryValue is missing"],
    ["cron", { timezone: "Mars/Base", start: "0 1 * * *", end: "0 2 * * *", desiredReplicas: "4" }, "no IANA time zone"],
    ["cron", { timezone: "UTC", start: "0 1 * * *", end: "0 1 * * *", desiredReplicas: "4" }, "are both"],
  ])("%s is refused: %o", (type, metadata, message) => {
    expect(() => triggerMetric(type, config(metadata))).toThrow(message);
  });

  it("takes what an authentication may bind for given, and needs no target to feed a formula", () => {
    const metadata = { queueName: "q" };
    expect(() => triggerMetric("rabbitmq", config(metadata))).toThrow("host is missing");
    expect(triggerMetric("rabbitmq", { ...config(metadata), hasUnknownAuth: true })).toMatchObject({ target: 20 });
    const query = { connectionFromEnv: "PG", query: "select 1" };
    expect(triggerMetric("postgresql", { ...config(query), asMetricSource: true })).toMatchObject({ target: 0 });
  });

  it("knows every type of the release that is followed, once", () => {
    expect(TRIGGER_TYPES).toHaveLength(78);
    expect(new Set(TRIGGER_TYPES).size).toBe(TRIGGER_TYPES.length);
  });
});

describe("cron", () => {
  const next = (schedule: string, zone: string, after: string) => {
    const atMs = nextFiring(parseCron(schedule), timeZone(zone), Date.parse(after));
    return atMs === null ? null : new Date(atMs).toISOString();
  };
  it.each<[string, string, string, string | null]>([
    ["0 8 * * *", "Etc/UTC", "2026-08-20T08:00:00Z", "2026-08-21T08:00:00.000Z"],
    ["0 8 * * *", "Europe/Berlin", "2026-08-20T05:00:00Z", "2026-08-20T06:00:00.000Z"],
    ["*/15 * * * *", "Asia/Kolkata", "2026-08-20T05:07:30Z", "2026-08-20T05:15:00.000Z"],
    ["0 0 1 1 *", "Etc/UTC", "2026-08-20T05:00:00Z", "2027-01-01T00:00:00.000Z"],
    ["0 0 29 2 *", "Etc/UTC", "2026-08-20T05:00:00Z", "2028-02-29T00:00:00.000Z"],
    ["0 12 * * Mon-Fri", "Etc/UTC", "2026-08-21T13:00:00Z", "2026-08-24T12:00:00.000Z"],
    ["0 0 13 * Fri", "Etc/UTC", "2026-08-20T05:00:00Z", "2026-08-21T00:00:00.000Z"],
    ["0 0 31 2 *", "Etc/UTC", "2026-08-20T05:00:00Z", null],
    // Clocks go from 02:00 to 03:00: half past two does not exist.
    ["30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00.000Z"],
    // Clocks go from 03:00 back to 02:00: half past two comes twice.
    ["30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00.000Z"],
    // A day without a midnight.
    ["0 5 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T07:00:00.000Z"],
  ])("%s in %s after %s fires %s", (schedule, zone, after, expected) => {
    expect(next(schedule, zone, after)).toBe(expected);
  });

  it("is inside of a window that runs over midnight", () => {
    const night = parseCronTrigger(config({ timezone: "Europe/Berlin", start: "0 22 * * *", end: "0 6 * * *", desiredReplicas: "3" }));
    expect(cronReading(Date.parse("2026-08-20T21:00:00Z"), night)).toEqual({ value: 3, isActive: true });
    expect(cronReading(Date.parse("2026-08-21T04:00:00Z"), night)).toEqual({ value: 0, isActive: false });
  });
});

describe("values", () => {
  it("kafka: capped at its partitions, at those with lag, or evenly spread; activity sees all", () => {
    const base = { bootstrapServers: "b", consumerGroup: "g", topic: "t" };
    const lags = (list: readonly number[]) => list.map((lag) => ({ lag, lagWithPersistent: lag }));
    const reading = (more: Record<string, string>, list: readonly number[]) =>
      kafkaReading(lags(list), parseKafka(config({ ...base, ...more })));
    expect(reading({}, [50, 0, 0]).value).toBe(30);
    expect(reading({ allowIdleConsumers: "true" }, [50, 0, 0]).value).toBe(50);
    expect(reading({ limitToPartitionsWithLag: "true" }, [50, 1, 0]).value).toBe(20);
    expect(reading({ ensureEvenDistributionOfPartitions: "true" }, [25, 0, 0, 0, 0, 0]).value).toBe(30);
    expect(reading({ ensureEvenDistributionOfPartitions: "true" }, [0, 0])).toEqual({ value: 10, isActive: false });
    const persistent = kafkaReading([{ lag: 0, lagWithPersistent: 9 }], parseKafka(config(base)));
    expect(persistent).toEqual({ value: 0, isActive: true });
  });

  it("rabbitmq: a queue that is filled and never emptied is active", () => {
    const stuck = { messages: 3, messagesReady: 3, publishRate: 2, deliverGetRate: 0 };
    const trigger = (mode: string) => parseRabbit(config({ host: "http://h", queueName: "q", mode, value: "1", activationValue: "5" }));
    expect(rabbitReading(stuck, trigger("PublishedToDeliveredRatio"))).toEqual({ value: 5, isActive: true });
    expect(rabbitReading(stuck, trigger("ExpectedQueueConsumptionTime"))).toEqual({ value: 5, isActive: true });
    expect(rabbitReading({ ...stuck, deliverGetRate: 4 }, trigger("PublishedToDeliveredRatio"))).toEqual({ value: 0.5, isActive: false });
  });

  it("the small ones", () => {
    expect(azureQueueLength("visibleonly", 5, 40)).toBe(5);
    expect(azureQueueLength("visibleonly", 32, 40)).toBe(40);
    expect(azureMonitorValue([[1, 4]])).toBe(4);
    expect(() => azureMonitorValue([[1, null]])).toThrow("no aggregate");
    expect(monitoringValue([[7, 3]], null)).toBe(7);
    expect(monitoringValue([[]], null)).toBe(-1);
    expect(monitoringValue([], 2)).toBe(2);
    expect(() => monitoringValue([], null)).toThrow("no time series");
    expect(pubsubMetricType("SubscriptionSize", "subscription")).toBe("pubsub.googleapis.com/subscription/num_undelivered_messages");
    expect(pubsubMetricType("OldestUnackedMessageAge", "topic")).toBe("pubsub.googleapis.com/topic/oldest_unacked_message_age");
    expect(["list", "none", "zset", "set", "hash"].map(redisLengthCommand)).toEqual(["LLEN", "LLEN", "ZCARD", "SCARD", "HLEN"]);
    expect(streamLag({ exists: true, length: 9, groupLag: null })).toBe(9);
    expect(streamLag({ exists: false, length: 9, groupLag: 3 })).toBe(0);
    expect(postgresqlValue([["12.5"]])).toBe(12.5);
    expect(() => postgresqlValue([])).toThrow("no row");
    expect(() => postgresqlValue([[null]])).toThrow("null");
    expect(externalValue([{ metricValue: 2 }, { metricValueFloat: 0, metricValue: 5 }, { metricValueFloat: 1.5 }])).toBe(8.5);
    expect(() => externalMetrics(0, [])).toThrow("no metric");
  });

  it("cpu and memory are metrics of the HPA", () => {
    const trigger = {
      type: "cpu",
      name: "",
      metricType: "Utilization",
      useCachedMetrics: false,
      metadata: { value: "60" },
      authenticationRef: null,
    };
    expect(resourceMetric(trigger)).toEqual({
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } },
    });
    expect(resourceMetric({ ...trigger, metricType: "AverageValue", metadata: { value: "500m", containerName: "engine" } })).toMatchObject({
      type: "ContainerResource",
      containerResource: { container: "engine", target: { averageValue: "500m" } },
    });
    expect(() => resourceMetric({ ...trigger, metricType: "" })).toThrow("use Utilization or AverageValue");
    expect(() => resourceMetric({ ...trigger, metadata: { value: "60", type: "Utilization" } })).toThrow("metadata.type");
  });
});

describe("metrics-api finds a value", () => {
  const document = {
    a: {
      "b.c": 3,
      list: [
        { n: "x", v: 1 },
        { n: "y", v: 2 },
      ],
    },
    k: "1Ki",
  };
  it.each<[string, unknown]>([
    ["a.b\\.c", 3],
    ["a.list.#", 2],
    ["a.list.1.v", 2],
    ["a.list.#.v", [1, 2]],
    ['a.list.#(n=="y").v', 2],
    ["a.list.#(v>0)#.v", [1, 2]],
    ["a.li*.0.n", "x"],
    ["a|list|0|v", 1],
    ["a.nowhere.v", undefined],
  ])("in JSON at %s", (path, value) => {
    expect(jsonAt(document, path)).toEqual(value);
  });

  it("of every format", () => {
    expect(metricsApiValue("json", JSON.stringify(document), "k")).toBe(1024);
    expect(metricsApiValue("xml", '<?xml version="1.0"?><q><!-- x --><size unit="a">7</size><n>100m</n></q>', "q.n")).toBe(0.1);
    expect(metricsApiValue("yaml", "a: { b: 3 }", "a.b")).toBe(3);
    expect(metricsApiValue("prometheus", 'x{a="1,2",b="}"} 4\n', 'x{a="1,2",b="}"}')).toBe(4);
    expect(() => metricsApiValue("prometheus", "# TYPE x histogram\nx_bucket 4\n", "x")).toThrow("is a histogram");
    expect(() => metricsApiValue("csv", "1", "0")).toThrow("use one of json");
    expect(() => metricsApiValue("xml", "<a><b></a>", "a")).toThrow("not XML");
  });

  it("in XML, attributes, lists and entities included", () => {
    expect(parseXml("<a><i n='1'/><i>x &amp; &#65;</i><c><![CDATA[<z>]]></c></a>")).toEqual({
      a: { i: [{ "-n": "1" }, "x & A"], c: "<z>" },
    });
  });
});
