import { DEFAULTS } from "../config/index.ts";
import { isSignalName, type Json, SIGNALS } from "../model/index.ts";
import type { Bounds } from "../policy/index.ts";
import {
  durationCodec,
  isoMinutesCodec,
  type Knob,
  type KnobPath,
  type KnobSpec,
  knob,
  numberCodec,
  type PolicyDocument,
  quantityCodec,
  textCodec,
  valueAt,
} from "./knob.ts";

/** What there is to turn in a policy document, told from the document itself: one knob for each level, window, delay and rate in it. */
export interface KnobsOf {
  readonly policy: PolicyDocument;
  /** The endpoint's: a manifest's metric → our signal. */
  readonly metrics: Readonly<Record<string, string>>;
  /** Counts that a minimum may take: from what the user asks for at least, up to what the endpoint may have. */
  readonly bounds: Bounds;
}

type Fields = { readonly [key: string]: Json | undefined };

const fieldsOf = (value: Json | undefined): Fields =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Fields) : {};
const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);

/** Knobs of each kind; a kind that is not here has none. */
const BY_KIND: Readonly<Record<string, (of: KnobsOf) => readonly KnobSpec[]>> = {
  static: ({ bounds }) => [
    {
      path: ["replicas"],
      min: Math.max(1, bounds.min),
      max: bounds.max,
      fallback: Math.max(1, bounds.min),
      scale: "log",
      integer: true,
    },
  ],
  slo: ({ policy }) => {
    const { interval, coldStart } = DEFAULTS.policy.slo;
    const secondsOf = (text: string) => durationCodec.read(text) ?? 0;
    return [
      // Unstated it is whoever runs the policy that says how often it decides.
      ...(policy["interval"] === undefined
        ? []
        : [{ path: ["interval"], min: 1, max: 60, fallback: secondsOf(interval), scale: "log", codec: durationCodec } as const]),
      { path: ["coldStart"], min: 10, max: 900, fallback: secondsOf(coldStart), scale: "log", codec: durationCodec },
    ];
  },
  signals: signalRules,
  hpa: horizontalPodAutoscaler,
  keda: scaledObject,
  kpa: knative,
  "ray-serve": rayServe,
  aibrix,
  "llm-d": llmd,
  dynamo,
  sageserve,
  skyserve,
  aws,
  azure,
  gcp,
};

/** @returns none where the policy has nothing that a search may turn */
export function knobsOf(of: KnobsOf): readonly Knob[] {
  const make = BY_KIND[String(of.policy["kind"])];
  return make === undefined ? [] : make(of).map((spec) => knob(of.policy, spec));
}

/** Levels make sense within the signal's own range; of a metric that we do not know, within a factor of 32 of the one stated. */
function level({ policy, metrics }: KnobsOf, path: KnobPath, metric: string, codec = numberCodec): KnobSpec {
  const own = valueAt(policy, path);
  const stated = (own === undefined ? null : codec.read(own)) ?? 1;
  const signal = metrics[metric] ?? metric;
  const unit = isSignalName(signal) ? SIGNALS[signal].unit : undefined;
  const [min, max, scale] =
    unit === "percent"
      ? ([5, 100, "linear"] as const)
      : unit === "ratio"
        ? ([0.02, 1, "log"] as const)
        : unit === "requests"
          ? ([Math.min(0.5, stated), Math.max(256, stated), "log"] as const)
          : ([stated / 32, stated * 32, "log"] as const);
  return { path, min, max, scale, fallback: stated, codec };
}

const seconds = (path: KnobPath, most: number, fallback: number, more: Partial<KnobSpec> = {}): KnobSpec => ({
  path,
  min: 0,
  max: most,
  fallback,
  integer: true,
  ...more,
});

const minimum = (path: KnobPath, { bounds }: KnobsOf, more: Partial<KnobSpec> = {}): KnobSpec => ({
  path,
  min: bounds.min,
  max: bounds.max,
  fallback: Math.max(1, bounds.min),
  scale: "log",
  integer: true,
  ...more,
});

/** HPA's behavior: windows, and the value of each policy that is stated. */
function behavior({ policy }: Pick<KnobsOf, "policy">, path: KnobPath): readonly KnobSpec[] {
  const direction = (name: "scaleUp" | "scaleDown", most: number, fallback: number) => {
    const rules = [...path, name];
    return [
      seconds([...rules, "stabilizationWindowSeconds"], most, fallback),
      ...listOf(valueAt(policy, [...rules, "policies"])).map((_, at): KnobSpec => {
        const percent = valueAt(policy, [...rules, "policies", at, "type"]) === "Percent";
        const [least, greatest] = percent ? (name === "scaleUp" ? [10, 400] : [2, 100]) : [1, 32];
        return {
          path: [...rules, "policies", at, "value"],
          min: least,
          max: greatest,
          fallback: greatest,
          scale: "log",
          integer: true,
        };
      }),
    ];
  };
  return [...direction("scaleUp", 600, 0), ...direction("scaleDown", 3600, 300)];
}

function signalRules(of: KnobsOf): readonly KnobSpec[] {
  const rules = listOf(of.policy["rules"]).flatMap((rule, at): KnobSpec[] => {
    const { signal, target, ceiling } = fieldsOf(rule);
    const kind = target === undefined ? "ceiling" : "target";
    const stated = target ?? ceiling;
    if (typeof signal !== "string" || stated === undefined) return [];
    const codec = typeof stated === "string" && durationCodec.read(stated) !== null && !stated.endsWith("%") ? durationCodec : numberCodec;
    return codec.read(stated) === null ? [] : [level(of, ["rules", at, kind], signal, codec)];
  });
  return [...rules, ...behavior(of, ["behavior"])];
}

function horizontalPodAutoscaler(of: KnobsOf): readonly KnobSpec[] {
  const spec = ["manifest", "spec"];
  const levels = listOf(valueAt(of.policy, [...spec, "metrics"])).flatMap((metric, at): KnobSpec[] => {
    const type = String(fieldsOf(metric)["type"]);
    const key = type.charAt(0).toLowerCase() + type.slice(1);
    const source = fieldsOf(fieldsOf(metric)[key]);
    const name = String(fieldsOf(source["metric"])["name"] ?? source["name"] ?? "");
    return Object.keys(fieldsOf(source["target"])).flatMap((field) => {
      const path = [...spec, "metrics", at, key, "target", field];
      if (field === "averageUtilization") return [{ path, min: 5, max: 100, fallback: 50, integer: true }];
      return field === "type" ? [] : [level(of, path, name, quantityCodec)];
    });
  });
  return [...levels, minimum([...spec, "minReplicas"], of), ...behavior(of, [...spec, "behavior"])];
}

/** Where a trigger's metadata says its level. */
const TRIGGER_LEVELS = [
  "threshold",
  "targetValue",
  "queueLength",
  "value",
  "lagThreshold",
  "listLength",
  "targetQueueLength",
  "queryValue",
];

function scaledObject(of: KnobsOf): readonly KnobSpec[] {
  const spec = ["manifest", "spec"];
  const levels = listOf(valueAt(of.policy, [...spec, "triggers"])).flatMap((trigger, at): KnobSpec[] => {
    const { metadata, name } = fieldsOf(trigger);
    const key = TRIGGER_LEVELS.find((candidate) => Object.hasOwn(fieldsOf(metadata), candidate));
    // A trigger whose query answers 0 or 1 is a switch, not a level.
    const isSwitch = /\bbool\b/.test(String(fieldsOf(metadata)["query"] ?? ""));
    return key === undefined || isSwitch ? [] : [level(of, [...spec, "triggers", at, "metadata", key], String(name ?? ""), textCodec)];
  });
  const toZero = Number(valueAt(of.policy, [...spec, "minReplicaCount"]) ?? 0) === 0;
  return [
    ...levels,
    minimum([...spec, "minReplicaCount"], of, { fallback: 0 }),
    seconds([...spec, "pollingInterval"], 60, 30, { min: 1 }),
    ...(toZero ? [seconds([...spec, "cooldownPeriod"], 3600, 300)] : []),
    ...behavior(of, [...spec, "advanced", "horizontalPodAutoscalerConfig", "behavior"]),
  ];
}

const KNATIVE = "autoscaling.knative.dev/";

function knative(of: KnobsOf): readonly KnobSpec[] {
  const { policy } = of;
  const places: readonly KnobPath[] = [
    ["manifest", "spec", "template", "metadata", "annotations"],
    ["manifest", "spec", "predictor", "annotations"],
    ["manifest", "metadata", "annotations"],
  ];
  const isService = valueAt(policy, ["manifest", "spec", "template"]) !== undefined;
  const path = isService ? (places[0] as KnobPath) : (places.find((at) => valueAt(policy, at) !== undefined) ?? (places[2] as KnobPath));
  const at = (name: string) => [...path, `${KNATIVE}${name}`];
  const named = (name: string, spec: Omit<KnobSpec, "path" | "name">): KnobSpec => ({ path: at(name), name, ...spec });
  return [
    named("target", { min: 0.5, max: 256, fallback: 100, scale: "log", codec: textCodec }),
    named("target-utilization-percentage", { min: 20, max: 100, fallback: 70, integer: true, codec: textCodec }),
    named("window", { min: 6, max: 600, fallback: 60, integer: true, scale: "log", codec: durationCodec }),
    named("panic-window-percentage", { min: 1, max: 100, fallback: 10, scale: "log", codec: textCodec }),
    named("panic-threshold-percentage", { min: 110, max: 1000, fallback: 200, integer: true, scale: "log", codec: textCodec }),
    named("scale-down-delay", { min: 0, max: 3600, fallback: 0, integer: true, codec: durationCodec }),
    { ...minimum(at("min-scale"), of, { codec: textCodec, fallback: of.bounds.min }), name: "min-scale" },
  ];
}

function rayServe(of: KnobsOf): readonly KnobSpec[] {
  const { policy } = of;
  const paths: KnobPath[] = [];
  listOf(valueAt(policy, ["manifest", "applications"])).forEach((application, a) => {
    listOf(fieldsOf(application)["deployments"]).forEach((deployment, d) => {
      if (fieldsOf(deployment)["autoscaling_config"] !== undefined)
        paths.push(["manifest", "applications", a, "deployments", d, "autoscaling_config"]);
    });
    listOf(fieldsOf(fieldsOf(application)["args"])["llm_configs"]).forEach((config, c) => {
      if (fieldsOf(fieldsOf(config)["deployment_config"])["autoscaling_config"] !== undefined)
        paths.push(["manifest", "applications", a, "args", "llm_configs", c, "deployment_config", "autoscaling_config"]);
    });
  });
  if (valueAt(policy, ["manifest", "deployment_config", "autoscaling_config"]) !== undefined)
    paths.push(["manifest", "deployment_config", "autoscaling_config"]);
  return paths.flatMap((path): readonly KnobSpec[] => [
    { path: [...path, "target_ongoing_requests"], min: 0.5, max: 256, fallback: 2, scale: "log" },
    seconds([...path, "upscale_delay_s"], 300, 30),
    seconds([...path, "downscale_delay_s"], 3600, 600),
    { path: [...path, "look_back_period_s"], min: 10, max: 300, fallback: 30, scale: "log", integer: true },
    { path: [...path, "upscaling_factor"], min: 0.25, max: 4, fallback: 1, scale: "log" },
    { path: [...path, "downscaling_factor"], min: 0.1, max: 2, fallback: 1, scale: "log" },
    minimum([...path, "min_replicas"], of),
  ]);
}

const AIBRIX = "autoscaling.aibrix.ai/";

function aibrix(of: KnobsOf): readonly KnobSpec[] {
  const spec = ["manifest", "spec"];
  const strategy = valueAt(of.policy, [...spec, "scalingStrategy"]);
  const annotation = (name: string, more: Omit<KnobSpec, "path" | "name">): KnobSpec => ({
    path: ["manifest", "metadata", "annotations", `${AIBRIX}${name}`],
    name,
    ...more,
  });
  const levels = listOf(valueAt(of.policy, [...spec, "metricsSources"])).map((source, at) =>
    level(of, [...spec, "metricsSources", at, "targetValue"], String(fieldsOf(source)["targetMetric"]), textCodec),
  );
  const number = { scale: "log", codec: textCodec } as const;
  return [
    ...levels,
    annotation("max-scale-up-rate", { min: 1.1, max: 8, fallback: 2, ...number }),
    annotation("max-scale-down-rate", { min: 1.05, max: 8, fallback: 2, ...number }),
    annotation("scale-up-tolerance", { min: 0, max: 0.5, fallback: 0.1, codec: textCodec }),
    annotation("scale-down-tolerance", { min: 0, max: 0.9, fallback: 0.1, codec: textCodec }),
    annotation("scale-up-cooldown-window", { min: 0, max: 600, fallback: 0, integer: true, codec: durationCodec }),
    annotation("scale-down-cooldown-window", { min: 0, max: 1800, fallback: 300, integer: true, codec: durationCodec }),
    ...(strategy === "KPA"
      ? [
          seconds([...spec, "observeWindowSeconds"], 600, 180, { min: 60, scale: "log" }),
          seconds([...spec, "panicWindowSeconds"], 60, 60, { min: 10, scale: "log" }),
          annotation("panic-threshold", { min: 1.1, max: 10, fallback: 2, ...number }),
        ]
      : []),
    minimum([...spec, "minReplicas"], of),
  ];
}

function llmd(of: KnobsOf): readonly KnobSpec[] {
  const entry = ["manifest", "saturation", "default"];
  const interval: KnobSpec = {
    path: ["manifest", "optimizationInterval"],
    min: 15,
    max: 120,
    fallback: 60,
    integer: true,
    codec: durationCodec,
  };
  const least = minimum(["manifest", "minReplicas"], of);
  switch (valueAt(of.policy, ["manifest", "analyzer"])) {
    case "saturation-v1":
      return [
        { path: [...entry, "kvCacheThreshold"], min: 0.5, max: 1, fallback: 0.8 },
        { path: [...entry, "queueLengthThreshold"], min: 1, max: 64, fallback: 5, scale: "log" },
        { path: [...entry, "kvSpareTrigger"], min: 0.01, max: 0.5, fallback: 0.1, scale: "log" },
        { path: [...entry, "queueSpareTrigger"], min: 1, max: 64, fallback: 3, scale: "log" },
        interval,
        least,
      ];
    case "saturation-v2":
      return [
        { path: [...entry, "kvCacheThreshold"], min: 0.2, max: 1, fallback: 0.8 },
        { path: [...entry, "queueLengthThreshold"], min: 1, max: 64, fallback: 5, scale: "log" },
        { path: [...entry, "scaleUpThreshold"], min: 0.1, max: 1, fallback: 0.85 },
        { path: [...entry, "scaleDownBoundary"], min: 0.05, max: 0.9, fallback: 0.7, below: [...entry, "scaleUpThreshold"] },
        interval,
        least,
      ];
    case "queueing-model":
      return [
        { path: ["manifest", "queueingModel", "default", "sloMultiplier"], min: 1.05, max: 8, fallback: 3, scale: "log" },
        interval,
        least,
      ];
    default:
      return [];
  }
}

function dynamo(of: KnobsOf): readonly KnobSpec[] {
  const planner = valueAt(of.policy, ["manifest", "kind"]) === undefined ? ["manifest"] : ["manifest", "spec", "features", "planner"];
  const fields = fieldsOf(valueAt(of.policy, planner));
  const least = minimum([...planner, "min_endpoint"], of, { min: Math.max(1, of.bounds.min), fallback: 1 });
  if (fields["optimization_target"] === "sla")
    return [
      { path: [...planner, "ttft_ms"], min: 50, max: 20_000, fallback: 500, scale: "log" },
      { path: [...planner, "itl_ms"], min: 5, max: 500, fallback: 50, scale: "log" },
      seconds([...planner, "throughput_adjustment_interval_seconds"], 600, 180, { min: 30, scale: "log" }),
      ...(fields["enable_load_scaling"] === true
        ? [
            { path: [...planner, "load_scaling_down_sensitivity"], min: 1, max: 100, fallback: 80 },
            seconds([...planner, "load_adjustment_interval_seconds"], 25, 5, { min: 1 }),
          ]
        : []),
      least,
    ];
  const interval = seconds([...planner, "load_adjustment_interval_seconds"], 60, 5, { min: 1, scale: "log" });
  if (fields["optimization_target"] !== "load") return [interval, least];
  return [
    { path: [...planner, "decode_scale_up_kv_rate"], min: 5, max: 100, fallback: 80 },
    { path: [...planner, "decode_scale_down_kv_rate"], min: 1, max: 90, fallback: 30, below: [...planner, "decode_scale_up_kv_rate"] },
    interval,
    least,
  ];
}

function sageserve(of: KnobsOf): readonly KnobSpec[] {
  const at = valueAt(of.policy, ["manifest", "sageserve"]) === undefined ? ["manifest"] : ["manifest", "sageserve"];
  return [
    { path: [...at, "tps_share"], min: 0.1, max: 1, fallback: 0.5, scale: "log" },
    { path: [...at, "scale_up_utilization"], min: 0.02, max: 0.95, fallback: 0.5, scale: "log" },
    { path: [...at, "scale_down_utilization"], min: 0.01, max: 0.8, fallback: 0.25, scale: "log", below: [...at, "scale_up_utilization"] },
    { path: [...at, "overshoot_utilization"], min: 0.1, max: 1, fallback: 0.9 },
    { path: [...at, "arima_checking_scaling_threshold"], min: 1, max: 10, fallback: 5, scale: "log" },
    { path: [...at, "long_term_scaling_interval"], min: 600, max: 3600, fallback: 3600, scale: "log", integer: true },
    minimum([...at, "min_instances"], of, { min: Math.max(1, of.bounds.min), fallback: 2 }),
  ];
}

function skyserve(of: KnobsOf): readonly KnobSpec[] {
  const at = ["manifest", "service", "replica_policy"];
  const rate = valueAt(of.policy, [...at, "target_qps_per_replica"]);
  if (typeof rate !== "number") return [];
  const over = Math.floor((of.bounds.max - of.bounds.min) / 4);
  return [
    { path: [...at, "target_qps_per_replica"], min: rate / 32, max: rate * 32, fallback: rate, scale: "log" },
    seconds([...at, "upscale_delay_seconds"], 900, 300),
    seconds([...at, "downscale_delay_seconds"], 3600, 1200),
    { path: [...at, "num_overprovision"], min: 0, max: over, fallback: 0, integer: true },
    // Both bounds move up by what is on top.
    minimum([...at, "min_replicas"], of, { max: Math.max(of.bounds.min, of.bounds.max - over) }),
  ];
}

function aws(of: KnobsOf): readonly KnobSpec[] {
  const specs: KnobSpec[] = [];
  listOf(valueAt(of.policy, ["manifest", "ScalingPolicies"])).forEach((policy, at) => {
    for (const key of ["TargetTrackingScalingPolicyConfiguration", "TargetTrackingConfiguration"]) {
      const tracking = fieldsOf(policy)[key];
      if (tracking === undefined) continue;
      const path = ["manifest", "ScalingPolicies", at, key];
      const { PredefinedMetricSpecification: predefined, CustomizedMetricSpecification: custom } = fieldsOf(tracking);
      const name = fieldsOf(predefined)["PredefinedMetricType"] ?? fieldsOf(custom)["MetricName"] ?? "";
      specs.push(level(of, [...path, "TargetValue"], String(name)));
      if (key === "TargetTrackingScalingPolicyConfiguration")
        specs.push(seconds([...path, "ScaleOutCooldown"], 900, 300), seconds([...path, "ScaleInCooldown"], 3600, 300));
    }
    if (fieldsOf(policy)["TargetTrackingConfiguration"] !== undefined)
      specs.push(seconds(["manifest", "ScalingPolicies", at, "EstimatedInstanceWarmup"], 900, 300));
  });
  if (valueAt(of.policy, ["manifest", "ScalableTargets", 0]) !== undefined)
    specs.push(minimum(["manifest", "ScalableTargets", 0, "MinCapacity"], of));
  if (valueAt(of.policy, ["manifest", "AutoScalingGroups", 0]) !== undefined)
    specs.push(minimum(["manifest", "AutoScalingGroups", 0, "MinSize"], of));
  return specs;
}

/** What scales in keeps under what scales out on the same metric. */
function azure(of: KnobsOf): readonly KnobSpec[] {
  const root = valueAt(of.policy, ["manifest", "properties"]) === undefined ? ["manifest"] : ["manifest", "properties"];
  return listOf(valueAt(of.policy, [...root, "profiles"])).flatMap((profile, at): KnobSpec[] => {
    const path = [...root, "profiles", at];
    const stated = listOf(fieldsOf(profile)["rules"]);
    const out = stated.findIndex((rule) => fieldsOf(fieldsOf(rule)["scaleAction"])["direction"] === "Increase");
    const rules = stated.flatMap((rule, index): KnobSpec[] => {
      const { metricTrigger, scaleAction } = fieldsOf(rule);
      const trigger = fieldsOf(metricTrigger);
      const own = [...path, "rules", index];
      const metricName = String(trigger["metricName"]);
      const opposite = fieldsOf(fieldsOf(stated[out])["metricTrigger"]);
      const isUnder = fieldsOf(scaleAction)["direction"] === "Decrease" && opposite["metricName"] === metricName;
      const threshold: KnobSpec = {
        ...level(of, [...own, "metricTrigger", "threshold"], metricName),
        ...(isUnder ? { below: [...path, "rules", out, "metricTrigger", "threshold"] } : {}),
      };
      const byCount = fieldsOf(scaleAction)["type"] === "ChangeCount";
      return [
        threshold,
        { path: [...own, "metricTrigger", "timeWindow"], min: 5, max: 30, fallback: 10, integer: true, codec: isoMinutesCodec },
        ...(byCount
          ? [
              {
                path: [...own, "scaleAction", "value"],
                min: 1,
                max: 8,
                fallback: 1,
                integer: true,
                scale: "log",
                codec: textCodec,
              } as const,
            ]
          : []),
        { path: [...own, "scaleAction", "cooldown"], min: 1, max: 60, fallback: 5, integer: true, scale: "log", codec: isoMinutesCodec },
      ];
    });
    return [...rules, minimum([...path, "capacity", "minimum"], of, { codec: textCodec, raises: [...path, "capacity", "default"] })];
  });
}

function gcp(of: KnobsOf): readonly KnobSpec[] {
  const root =
    valueAt(of.policy, ["manifest", "autoscaler"]) === undefined
      ? ["manifest", "autoscalingPolicy"]
      : ["manifest", "autoscaler", "autoscalingPolicy"];
  const custom = listOf(valueAt(of.policy, [...root, "customMetricUtilizations"])).map((metric, at) => {
    const { metric: name, singleInstanceAssignment } = fieldsOf(metric);
    const field = singleInstanceAssignment === undefined ? "utilizationTarget" : "singleInstanceAssignment";
    return level(of, [...root, "customMetricUtilizations", at, field], String(name).split("/").at(-1) ?? "");
  });
  const shares = ["cpuUtilization", "loadBalancingUtilization"]
    .filter((key) => valueAt(of.policy, [...root, key]) !== undefined)
    .map((key): KnobSpec => ({ path: [...root, key, "utilizationTarget"], min: 0.05, max: 1, fallback: 0.6 }));
  return [
    ...shares,
    ...custom,
    seconds([...root, "coolDownPeriodSec"], 900, 60),
    seconds([...root, "stabilizationPeriodSec"], 3600, 600),
    minimum([...root, "minNumReplicas"], of),
  ];
}
