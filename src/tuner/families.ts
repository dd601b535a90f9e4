import type { Json, Objective } from "../model/index.ts";
import type { Bounds } from "../policy/index.ts";
import type { PolicyDocument } from "./knob.ts";

/** What a default may have to state besides itself. */
export interface Situation {
  readonly bounds: Bounds;
  readonly objective: Objective;
}

/** A way of scaling an LLM endpoint as its documentation sets it up: where a comparison begins, and a search. */
export interface Family {
  readonly name: string;
  /** Where the default comes from; of a level that no documentation gives, that it is ours. */
  readonly source: string;
  /** `spec.policy` of a config. */
  policy(situation: Situation): PolicyDocument;
  /** `spec.metrics` of a config. */
  readonly metrics: Readonly<Record<string, string>>;
}

const target = { apiVersion: "apps/v1", kind: "Deployment", name: "llm" };
const metadata = { name: "llm", namespace: "default" };

/** Defaults of autoscaling/v2, written out so that they can be turned. */
const hpaBehavior = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Percent", value: 100, periodSeconds: 15 },
      { type: "Pods", value: 4, periodSeconds: 15 },
    ],
  },
  scaleDown: { stabilizationWindowSeconds: 300, selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
} as const satisfies Json;

const hpa =
  (metric: string, averageValue: string, behavior: Json) =>
  ({ bounds }: Situation): PolicyDocument => ({
    kind: "hpa",
    manifest: {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata,
      spec: {
        scaleTargetRef: target,
        minReplicas: Math.max(1, bounds.min),
        maxReplicas: bounds.max,
        metrics: [{ type: "Pods", pods: { metric: { name: metric }, target: { type: "AverageValue", averageValue } } }],
        behavior,
      },
    },
  });

const aibrix =
  (scalingStrategy: "KPA" | "APA") =>
  ({ bounds }: Situation): PolicyDocument => ({
    kind: "aibrix",
    manifest: {
      apiVersion: "autoscaling.aibrix.ai/v1alpha1",
      kind: "PodAutoscaler",
      metadata,
      spec: {
        scalingStrategy,
        minReplicas: Math.max(1, bounds.min),
        maxReplicas: bounds.max,
        metricsSources: [
          {
            metricSourceType: "pod",
            protocolType: "http",
            port: "8000",
            path: "metrics",
            targetMetric: "gpu_cache_usage_perc",
            targetValue: "0.5",
          },
        ],
        scaleTargetRef: target,
      },
    },
  });

/** Azure writes a rule out and a rule in; the usual pair is 70 % and 30 % of a level, here of running requests. */
const azureRule = (operator: string, threshold: number, direction: string): Json => ({
  metricTrigger: {
    metricName: "running",
    metricResourceUri: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/llm",
    timeGrain: "PT1M",
    statistic: "Average",
    timeWindow: "PT10M",
    timeAggregation: "Average",
    operator,
    threshold,
  },
  scaleAction: { direction, type: "ChangeCount", value: "1", cooldown: "PT5M" },
});

/** Every family with the defaults of its documentation; a new one is one entry here. */
export const FAMILIES: readonly Family[] = [
  {
    name: "static",
    source: "a fixed count; the default is half of what is allowed",
    policy: ({ bounds }) => ({ kind: "static", replicas: Math.max(1, bounds.min, Math.ceil(bounds.max / 2)) }),
    metrics: {},
  },
  {
    name: "hpa-gpu",
    source: "examples/hpa-gpu-utilization.yaml: 75 % GPU utilization, its windows and rates",
    policy: hpa("dcgm_gpu_utilization", "75", {
      scaleUp: {
        stabilizationWindowSeconds: 60,
        policies: [
          { type: "Percent", value: 50, periodSeconds: 30 },
          { type: "Pods", value: 2, periodSeconds: 30 },
        ],
        selectPolicy: "Max",
      },
      scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] },
    }),
    metrics: { dcgm_gpu_utilization: "gpu_utilization" },
  },
  {
    name: "hpa-running",
    source: "autoscaling/v2's default behavior; no documentation gives a level of running requests: 32 is ours",
    policy: hpa("vllm_num_requests_running", "32", hpaBehavior),
    metrics: { vllm_num_requests_running: "running" },
  },
  {
    name: "hpa-waiting",
    source: "autoscaling/v2's default behavior; 5 waiting requests, as in vLLM production-stack's recipe",
    policy: hpa("vllm_num_requests_waiting", "5", hpaBehavior),
    metrics: { vllm_num_requests_waiting: "waiting" },
  },
  {
    name: "keda",
    source: "vLLM production-stack's recipe: 5 waiting requests, polled every 15 s, cool-down 360 s",
    policy: ({ bounds }) => ({
      kind: "keda",
      manifest: {
        apiVersion: "keda.sh/v1alpha1",
        kind: "ScaledObject",
        metadata,
        spec: {
          scaleTargetRef: target,
          minReplicaCount: Math.max(0, bounds.min),
          maxReplicaCount: bounds.max,
          pollingInterval: 15,
          cooldownPeriod: 360,
          advanced: { horizontalPodAutoscalerConfig: { behavior: hpaBehavior } },
          triggers: [
            {
              type: "prometheus",
              name: "waiting",
              metadata: { serverAddress: "http://prometheus:9090", query: "sum(vllm:num_requests_waiting)", threshold: "5" },
            },
            // What wakes it from zero: no engine is there to have a queue.
            ...(bounds.min > 0
              ? []
              : [
                  {
                    type: "prometheus",
                    name: "in_flight",
                    metadata: { serverAddress: "http://prometheus:9090", query: "sum(in_flight) > bool 0", threshold: "1" },
                  },
                ]),
          ],
        },
      },
    }),
    metrics: { waiting: "queue_depth" },
  },
  {
    name: "kpa",
    source: "Knative Serving's config-autoscaler: concurrency 100 at 70 %, window 60 s",
    policy: ({ bounds }) => ({
      kind: "kpa",
      manifest: {
        apiVersion: "serving.knative.dev/v1",
        kind: "Service",
        metadata,
        spec: {
          template: {
            metadata: {
              annotations: {
                "autoscaling.knative.dev/metric": "concurrency",
                "autoscaling.knative.dev/target": "100",
                "autoscaling.knative.dev/min-scale": String(bounds.min),
                "autoscaling.knative.dev/max-scale": String(bounds.max),
              },
            },
            spec: { containers: [{ image: "vllm/vllm-openai" }] },
          },
        },
      },
    }),
    metrics: {},
  },
  {
    name: "ray-serve",
    source: "Ray Serve's AutoscalingConfig: 2 ongoing requests, up after 30 s, down after 600 s",
    policy: ({ bounds }) => ({
      kind: "ray-serve",
      manifest: {
        applications: [
          {
            name: "llm",
            import_path: "llm:app",
            deployments: [
              {
                name: "LLMDeployment",
                autoscaling_config: {
                  min_replicas: bounds.min,
                  max_replicas: bounds.max,
                  target_ongoing_requests: 2,
                  upscale_delay_s: 30,
                  downscale_delay_s: 600,
                },
              },
            ],
          },
        ],
      },
    }),
    metrics: {},
  },
  {
    name: "aibrix-kpa",
    source: "AIBrix's example of strategy KPA: half of the KV cache",
    policy: aibrix("KPA"),
    metrics: { gpu_cache_usage_perc: "kv_used" },
  },
  {
    name: "aibrix-apa",
    source: "AIBrix's example of strategy APA: half of the KV cache",
    policy: aibrix("APA"),
    metrics: { gpu_cache_usage_perc: "kv_used" },
  },
  {
    name: "llm-d-v2",
    source: "llm-d's workload variant autoscaler, token analyzer: up at 0.85, down at 0.7 of capacity, every 60 s",
    policy: ({ bounds }) => ({
      kind: "llm-d",
      manifest: { analyzer: "saturation-v2", minReplicas: bounds.min, maxReplicas: bounds.max },
    }),
    metrics: {},
  },
  {
    name: "dynamo",
    source: "Dynamo's planner, target sla: 500 ms to the first token, 50 ms a token, ARIMA, every 180 s; no GPU limit but the endpoint's",
    policy: ({ bounds }) => ({
      kind: "dynamo",
      manifest: {
        mode: "agg",
        optimization_target: "sla",
        ttft_ms: 500,
        itl_ms: 50,
        throughput_adjustment_interval_seconds: 180,
        min_endpoint: Math.max(1, bounds.min),
        max_gpu_budget: -1,
      },
    }),
    metrics: {},
  },
  {
    name: "sageserve-lt-ua",
    source: "the parameters of SageServe's simulator, strategy LT-UA",
    policy: ({ bounds }) => ({
      kind: "sageserve",
      manifest: { sageserve: { strategy: "lt-ua", min_instances: Math.max(1, Math.min(2, bounds.max)), max_instances: bounds.max } },
    }),
    metrics: {},
  },
  {
    name: "skyserve",
    source: "SkyServe's delays (300 s up, 1200 s down); 2.5 requests/s a replica, as in SkyPilot's example",
    policy: ({ bounds }) => ({
      kind: "skyserve",
      manifest: {
        service: {
          readiness_probe: "/health",
          replica_policy: {
            min_replicas: bounds.min,
            max_replicas: bounds.max,
            target_qps_per_replica: 2.5,
            upscale_delay_seconds: 300,
            downscale_delay_seconds: 1200,
          },
        },
      },
    }),
    metrics: {},
  },
  {
    name: "aws-target-tracking",
    source: "SageMaker's example of target tracking on concurrent requests per model: 5, cool-downs of 300 s",
    policy: ({ bounds }) => {
      const resource = {
        ServiceNamespace: "sagemaker",
        ResourceId: "endpoint/llm/variant/AllTraffic",
        ScalableDimension: "sagemaker:variant:DesiredInstanceCount",
      };
      return {
        kind: "aws",
        manifest: {
          ScalableTargets: [{ ...resource, MinCapacity: bounds.min, MaxCapacity: bounds.max }],
          ScalingPolicies: [
            {
              ...resource,
              PolicyName: "concurrency",
              PolicyType: "TargetTrackingScaling",
              TargetTrackingScalingPolicyConfiguration: {
                TargetValue: 5,
                PredefinedMetricSpecification: {
                  PredefinedMetricType: "SageMakerVariantConcurrentRequestsPerModelHighResolution",
                },
                ScaleOutCooldown: 300,
                ScaleInCooldown: 300,
              },
            },
          ],
        },
      };
    },
    metrics: {},
  },
  {
    name: "azure",
    source: "Azure Monitor's pair of rules (10 min, 1 instance, cool-down 5 min) on running requests; the levels (32 and 14) are ours",
    policy: ({ bounds }) => ({
      kind: "azure",
      manifest: {
        type: "Microsoft.Insights/autoscaleSettings",
        name: "llm",
        properties: {
          enabled: true,
          targetResourceUri: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/llm",
          profiles: [
            {
              name: "default",
              capacity: {
                minimum: String(Math.max(1, bounds.min)),
                maximum: String(bounds.max),
                default: String(Math.max(1, bounds.min)),
              },
              rules: [azureRule("GreaterThan", 32, "Increase"), azureRule("LessThan", 14, "Decrease")],
            },
          ],
        },
      },
    }),
    metrics: {},
  },
  {
    name: "gcp",
    source: "Compute Engine's periods (60 s to initialize, 600 s stabilization); the level (32 running requests) is ours",
    policy: ({ bounds }) => ({
      kind: "gcp",
      manifest: {
        kind: "compute#autoscaler",
        name: "llm",
        autoscalingPolicy: {
          minNumReplicas: Math.max(1, bounds.min),
          maxNumReplicas: bounds.max,
          coolDownPeriodSec: 60,
          stabilizationPeriodSec: 600,
          mode: "ON",
          customMetricUtilizations: [{ metric: "custom.googleapis.com/running", utilizationTarget: 32, utilizationTargetType: "GAUGE" }],
        },
      },
    }),
    metrics: {},
  },
  { name: "slo", source: "Tidegate's own, untuned", policy: () => ({ kind: "slo" }), metrics: {} },
];

/** @returns undefined where there is none of that name */
export const familyOf = (name: string): Family | undefined => FAMILIES.find((family) => family.name === name);
