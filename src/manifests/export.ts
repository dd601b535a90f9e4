import type { Endpoint, ScalingRules, SignalsPolicySpec, Target } from "../model/index.ts";
import type { Intent, IntentRule, ManifestReader, Written } from "./reader.ts";

/**
 * The nearest manifest of `to`'s system to what decides for this endpoint. An endpoint that already follows that system gives its
 * manifest back as it is. Multi-pool endpoints: the first pool.
 * @param from the reader of the endpoint's own dialect; null where its policy is one of ours
 */
export function exportPolicy(endpoint: Endpoint, from: ManifestReader | null, to: ManifestReader): Written {
  const { policy, platform } = endpoint;
  const { target, lost: partLost } = targetFor(platform.target, to);
  if ("manifest" in policy && from !== null) {
    if (policy.kind === to.dialect) return { document: to.write(policy.manifest, target), lost: [] };
    const { intent, lost } = from.intent(policy.manifest, target);
    const written = to.fromIntent({ ...intent, rules: intent.rules.map((rule) => inSignals(endpoint, rule)) });
    return { ...written, lost: [...lost, ...partLost, ...written.lost] };
  }
  const { intent, lost } = ownIntent(endpoint);
  const written = to.fromIntent({ ...intent, target });
  return { ...written, lost: [...lost, ...partLost, ...written.lost] };
}

/** Only AIBrix can name a part, of its own StormService. */
function targetFor(target: Target | null, to: ManifestReader): { readonly target: Target | null; readonly lost: readonly string[] } {
  if (target?.part === undefined || (to.dialect === "aibrix" && target.kind === "StormService")) return { target, lost: [] };
  const { part, ...whole } = target;
  return { target: whole, lost: [`A scaleTargetRef names no part: ${part} of ${whole.kind} ${whole.name} is not said.`] };
}

/** What a rule reads, with the PromQL that the endpoint's config has for it. */
function inSignals(endpoint: Endpoint, rule: IntentRule): IntentRule {
  const signal = endpoint.metrics[rule.signal] ?? rule.signal;
  const stated = endpoint.prometheus?.queries.find((query) => query.signal === signal);
  if (rule.query !== undefined || stated === undefined) return rule;
  return { ...rule, query: stated.query, ...(stated.replicaLabel === null ? { total: true } : {}) };
}

/** What the count should be by our own decision, one of it per replica: how an autoscaler of any kind can follow a policy of ours. */
const follow = ({ name }: Endpoint): IntentRule => ({
  signal: "tidegate_desired_replicas",
  level: 1,
  of: "perReplica",
  total: true,
  labels: { endpoint: name },
});

function ownIntent(endpoint: Endpoint): { readonly intent: Intent; readonly lost: readonly string[] } {
  const [pool] = endpoint.pools;
  const base: Intent = {
    name: endpoint.name,
    namespace: endpoint.namespace,
    target: endpoint.platform.target,
    min: pool?.min ?? 0,
    max: pool?.max ?? 1,
    rules: [],
    tolerance: null,
    scaleUp: null,
    scaleDown: null,
    zeroAfterMs: null,
    intervalMs: null,
  };
  const more = endpoint.pools.length > 1 ? [`Only the first of ${endpoint.pools.length} pools (${pool?.name}) is written.`] : [];
  const { policy } = endpoint;
  switch (policy.kind) {
    case "signals":
      return { intent: { ...base, ...signalsIntent(endpoint, policy.spec) }, lost: [...more, ...signalsLost(policy.spec)] };
    case "static": {
      const replicas = policy.replicas[pool?.name ?? ""] ?? base.min;
      return { intent: { ...base, min: replicas, max: replicas }, lost: more };
    }
    default: {
      // The decision has had its windows and rates already: nothing of the follower's may delay it or swallow single steps.
      const atOnce: ScalingRules = {
        stabilizationWindowMs: 0,
        selectPolicy: "Max",
        policies: [{ type: "Pods", value: Math.max(1, base.max), periodMs: 15_000 }],
      };
      return {
        intent: { ...base, rules: [follow(endpoint)], tolerance: 0, scaleUp: atOnce, scaleDown: atOnce },
        lost: [
          ...more,
          `Policy ${policy.kind} is not a target on a metric: this follows tidegate_desired_replicas, which the running controller serves on /metrics and tidegate bridge to the cluster.`,
        ],
      };
    }
  }
}

function signalsIntent(endpoint: Endpoint, spec: SignalsPolicySpec): Partial<Intent> {
  return {
    rules: spec.rules.flatMap((rule) =>
      rule.kind === "target" ? [inSignals(endpoint, { signal: rule.signal, level: rule.value, of: "perReplica" })] : [],
    ),
    tolerance: spec.tolerance,
    scaleUp: spec.scaleUp,
    scaleDown: spec.scaleDown,
    zeroAfterMs: spec.zeroAfterMs,
    intervalMs: spec.intervalMs,
  };
}

const signalsLost = ({ rules }: SignalsPolicySpec): readonly string[] =>
  rules.flatMap((rule) => {
    if (rule.kind === "target") return [];
    if (rule.kind === "ceiling")
      return [`The ceiling of ${rule.signal} (${rule.value}) may only raise the count; no other system has such a rule.`];
    return [`The saturation rule over ${rule.throughput} has no counterpart.`];
  });
