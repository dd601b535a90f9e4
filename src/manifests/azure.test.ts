import { describe, expect, it } from "vitest";
import { azureReader } from "./azure.ts";
import type { Intent } from "./reader.ts";

const vmss = "/subscriptions/0000/resourceGroups/llm/providers/Microsoft.Compute/virtualMachineScaleSets/llm-gpu";
const rule = (direction: string, operator: string, threshold: number, over: object = {}) => ({
  metricTrigger: {
    metricName: "Percentage CPU",
    metricNamespace: "microsoft.compute/virtualmachinescalesets",
    metricResourceUri: vmss,
    timeGrain: "PT1M",
    statistic: "Average",
    timeWindow: "PT10M",
    timeAggregation: "Average",
    operator,
    threshold,
    dimensions: [],
    dividePerInstance: false,
    ...over,
  },
  scaleAction: { direction, type: "ChangeCount", value: "1", cooldown: "PT5M" },
});
const usual = {
  name: '{"name":"Auto created default scale condition","for":"office"}',
  capacity: { minimum: "2", maximum: "10", default: "3" },
  rules: [rule("Increase", "GreaterThan", 75), rule("Decrease", "LessThan", 25)],
  recurrence: {
    frequency: "Week",
    schedule: { timeZone: "W. Europe Standard Time", days: ["Monday", "Friday"], hours: [18], minutes: [0] },
  },
};
const office = {
  ...usual,
  name: "office",
  capacity: { minimum: "4", maximum: "20", default: "6" },
  recurrence: { ...usual.recurrence, schedule: { ...usual.recurrence.schedule, hours: [8] } },
};
const sale = {
  name: "sale",
  capacity: { minimum: "8", maximum: "8", default: "8" },
  rules: [],
  fixedDate: { timeZone: "Pacific Standard Time", start: "2026-11-27T00:00:00", end: "2026-11-28T00:00:00" },
};
const properties = {
  name: "llm-autoscale",
  targetResourceUri: vmss,
  enabled: true,
  profiles: [usual, office, sale],
  notifications: [
    {
      operation: "Scale",
      email: { sendToSubscriptionAdministrator: false, sendToSubscriptionCoAdministrators: false, customEmails: ["ops@example.com"] },
      webhooks: [{ serviceUri: "https://example.com", properties: {} }],
    },
  ],
  predictiveAutoscalePolicy: { scaleMode: "ForecastOnly", scaleLookAheadTime: "PT14M" },
};
const resource = {
  id: "/subscriptions/0000/resourceGroups/llm/providers/microsoft.insights/autoscalesettings/llm-autoscale",
  name: "llm-autoscale",
  type: "Microsoft.Insights/autoscaleSettings",
  location: "westeurope",
  tags: { team: "llm" },
  properties,
};

const manifestOf = (document: unknown) => {
  const read = azureReader.read(document);
  if ("issues" in read) throw new Error(JSON.stringify(read.issues, null, 1));
  return read;
};
const issuesOf = (document: unknown) => {
  const read = azureReader.read(document);
  return "issues" in read ? read.issues : [];
};

describe("a setting", () => {
  it("is read as REST has it, from a template, and as az prints it, all the same", () => {
    const { manifest, target } = manifestOf(resource);
    expect(manifest.name).toBe("llm-autoscale");
    expect(target).toEqual({ apiVersion: "Microsoft.Compute", kind: "virtualMachineScaleSets", name: "llm-gpu" });
    expect(
      manifestOf({
        $schema: "https://schema",
        contentVersion: "1.0.0.0",
        resources: [{ type: "other" }, { ...resource, apiVersion: "2022-10-01" }],
      }).manifest,
    ).toEqual(manifest);
    const { properties: inner, ...outer } = resource;
    const { name: _, ...rest } = inner;
    const printed = manifestOf({ ...outer, ...rest, resourceGroup: "llm", systemData: null });
    expect(printed.manifest.spec).toEqual({
      ...manifest.spec,
      properties: { ...(manifest.spec["properties"] as object), name: undefined },
    });
  });

  it("comes out of a file as it went in", () => {
    const { manifest, target } = manifestOf(resource);
    expect(manifestOf(JSON.parse(JSON.stringify(azureReader.write(manifest, target))))).toEqual({ manifest, target });
  });

  it("has Azure's defaults", () => {
    const { metricTrigger, scaleAction } = rule("Increase", "GreaterThan", 75);
    const { timeAggregation: _, dividePerInstance: __, dimensions: ___, ...trigger } = metricTrigger;
    const { value: ____, ...action } = scaleAction;
    const profile = {
      name: "p",
      capacity: { minimum: 1, maximum: 2, default: 1 },
      rules: [{ metricTrigger: trigger, scaleAction: action }],
    };
    const { manifest } = manifestOf({ properties: { targetResourceUri: vmss, profiles: [profile] } });
    expect(manifest.spec).toEqual({
      properties: {
        targetResourceUri: vmss,
        enabled: false,
        profiles: [
          {
            name: "p",
            capacity: { minimum: "1", maximum: "2", default: "1" },
            rules: [
              {
                metricTrigger: { ...trigger, timeAggregation: "Average", dividePerInstance: false },
                scaleAction: { ...action, value: "1" },
              },
            ],
          },
        ],
      },
    });
  });

  it("names its target in a template's expression too", () => {
    const expression = "[resourceId('Microsoft.Compute/virtualMachineScaleSets', 'llm')]";
    expect(manifestOf({ ...resource, properties: { ...properties, targetResourceUri: expression } }).target?.name).toBe("llm");
    expect(manifestOf({ ...resource, properties: { ...properties, targetResourceUri: "[parameters('target')]" } }).target).toBeNull();
  });

  it("is known by its type or its target", () => {
    expect([resource, { properties: { targetResourceUri: "x" } }].map(azureReader.recognizes)).toEqual([true, true]);
    expect([{}, null, [], { ScalingPolicies: [] }, { type: "Microsoft.Compute/disks", properties: {} }].some(azureReader.recognizes)).toBe(
      false,
    );
  });
});

const withProfile = (over: object) => ({ ...resource, properties: { ...properties, profiles: [{ ...usual, ...over }] } });
const withTrigger = (over: object) => withProfile({ rules: [rule("Increase", "GreaterThan", 75, over)] });
const first = "properties.profiles[0]";
it.each([
  ["an unknown field", withTrigger({ foo: 1 }), `${first}.rules[0].metricTrigger.foo`, /remove it/],
  ["a grain under a minute", withTrigger({ timeGrain: "PT30S" }), `${first}.rules[0].metricTrigger.timeGrain`, /from PT1M to PT12H/],
  ["a window under five", withTrigger({ timeWindow: "PT1M" }), `${first}.rules[0].metricTrigger.timeWindow`, /from PT5M/],
  [
    "a window shorter than a grain",
    withTrigger({ timeGrain: "PT15M" }),
    `${first}.rules[0].metricTrigger.timeWindow`,
    /shorter than timeGrain/,
  ],
  ["no duration", withTrigger({ timeGrain: "1m" }), `${first}.rules[0].metricTrigger.timeGrain`, /ISO 8601/],
  ["an unknown statistic", withTrigger({ statistic: "P95" }), `${first}.rules[0].metricTrigger.statistic`, /./],
  [
    "bounds upside down",
    withProfile({ capacity: { minimum: "5", maximum: "2", default: "2" } }),
    `${first}.capacity.minimum`,
    /above the maximum/,
  ],
  [
    "a default outside of the bounds",
    withProfile({ capacity: { minimum: "1", maximum: "2", default: "3" } }),
    `${first}.capacity.default`,
    /outside 1 to 2/,
  ],
  ["no count", withProfile({ capacity: { minimum: "one", maximum: "2", default: "2" } }), `${first}.capacity.minimum`, /whole number/],
  ["dates and a recurrence", withProfile({ fixedDate: sale.fixedDate }), `${first}.recurrence`, /one of them/],
  [
    "dates upside down",
    withProfile({ recurrence: undefined, fixedDate: { ...sale.fixedDate, end: "2026-11-26T00:00:00" } }),
    `${first}.fixedDate.end`,
    /not after/,
  ],
  [
    "no Windows time zone",
    withProfile({ recurrence: { frequency: "Week", schedule: { ...usual.recurrence.schedule, timeZone: "Europe/Berlin" } } }),
    `${first}.recurrence.schedule.timeZone`,
    /Windows/,
  ],
  ["another frequency", withProfile({ recurrence: { ...usual.recurrence, frequency: "Day" } }), `${first}.recurrence.frequency`, /is Week/],
  ["eleven rules", withProfile({ rules: Array(11).fill(usual.rules[0]) }), `${first}.rules`, /more than 10/],
  ["no profile", { ...resource, properties: { ...properties, profiles: [] } }, "properties.profiles", /./],
  ["something else", { hello: 1 }, "", /is no resource of type/],
  [
    "a fault inside a template",
    { resources: [withTrigger({ foo: 1 })] },
    "resources[0].properties.profiles[0].rules[0].metricTrigger.foo",
    /remove it/,
  ],
])("refuses %s", (_, document, path, message) => {
  const issue = issuesOf(document).find((one) => one.path === path);
  expect(issue?.message ?? JSON.stringify(issuesOf(document))).toMatch(message);
  expect(issue).toBeDefined();
});

it("says what it means to others, and what only Azure has", () => {
  const queue = { metricName: "queue", statistic: "Sum", timeAggregation: "Total", dividePerInstance: true };
  const { manifest, target } = manifestOf({
    ...resource,
    properties: {
      ...properties,
      profiles: [{ ...usual, recurrence: undefined, rules: [...usual.rules, rule("Increase", "GreaterThan", 12, queue)] }, sale],
    },
  });
  const { intent, lost } = azureReader.intent(manifest, target);
  expect(intent).toMatchObject({
    min: 2,
    max: 10,
    rules: [
      { signal: "cpu", level: 75, of: "perReplica" },
      { signal: "queue", level: 12, of: "perReplica", total: true },
    ],
    scaleDown: { stabilizationWindowMs: 600_000, selectPolicy: "Max", policies: [{ type: "Pods", value: 1, periodMs: 300_000 }] },
  });
  expect(lost).toEqual([
    "The profile sale is left out: other systems have no calendar of bounds.",
    "Steps at thresholds become targets at the thresholds of the scale-out rules; the scale-in thresholds are left out.",
  ]);
});

describe("written from what another system says", () => {
  const base: Intent = {
    name: "llm",
    namespace: "default",
    target: null,
    min: 2,
    max: 8,
    rules: [
      { signal: "cpu", level: 60, of: "perReplica" },
      { signal: "queue_depth", level: 10, of: "perReplica", total: true },
    ],
    tolerance: 0.2,
    scaleUp: {
      stabilizationWindowMs: 60_000,
      selectPolicy: "Max",
      policies: [
        { type: "Percent", value: 50, periodMs: 30_000 },
        { type: "Pods", value: 2, periodMs: 30_000 },
      ],
    },
    scaleDown: {
      stabilizationWindowMs: 600_000,
      selectPolicy: "Max",
      policies: [
        { type: "Percent", value: 10, periodMs: 60_000 },
        { type: "Pods", value: 1, periodMs: 120_000 },
      ],
    },
    zeroAfterMs: 300_000,
    intervalMs: 15_000,
  };
  it("is a pair of rules around each target, in the steps of its policies, and reads back", () => {
    const { document, lost } = azureReader.fromIntent(base);
    const { manifest } = manifestOf(document);
    const [profile] = (manifest.spec["properties"] as unknown as { profiles: (typeof usual)[] }).profiles;
    expect(
      profile?.rules.map(({ metricTrigger: { operator, threshold, timeWindow }, scaleAction }) => [
        operator,
        threshold,
        timeWindow,
        scaleAction.type,
        scaleAction.value,
        scaleAction.cooldown,
      ]),
    ).toEqual([
      ["GreaterThan", 72, "PT5M", "PercentChangeCount", "50", "PT1M"],
      ["LessThan", 48, "PT10M", "ChangeCount", "1", "PT2M"],
      ["GreaterThan", 12, "PT5M", "PercentChangeCount", "50", "PT1M"],
      ["LessThan", 8, "PT10M", "ChangeCount", "1", "PT2M"],
    ]);
    expect(profile?.capacity).toEqual({ minimum: "2", maximum: "8", default: "2" });
    expect(lost).toHaveLength(7);
  });
  it("has no rule for scaling in where that is disabled, and no more than ten rules", () => {
    const many = Array.from({ length: 12 }, (_, at) => ({ signal: `own_${at}`, level: 1, of: "endpoint" as const }));
    const disabled = { stabilizationWindowMs: 0, selectPolicy: "Disabled", policies: [] } as const;
    const { document, lost } = azureReader.fromIntent({ ...base, rules: many, scaleDown: disabled });
    const { manifest } = manifestOf(document);
    expect((manifest.spec["properties"] as unknown as { profiles: (typeof usual)[] }).profiles[0]?.rules).toHaveLength(10);
    expect(lost.join("\n")).toContain("own_10, own_11 are left out");
    expect(azureReader.intent(manifest, null).intent.scaleDown?.selectPolicy).toBe("Disabled");
  });
});
