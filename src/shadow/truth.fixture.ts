import { parseConfigDocuments } from "../config/index.ts";
import { findProfile } from "../engine/index.ts";
import type { AutoscalerStatus, Entry } from "../history/index.ts";
import type { Endpoint, Json, Ms } from "../model/index.ts";
import { createPolicy } from "../policy/index.ts";
import { createSimulation, defaultEngine, type SimulationResult } from "../simulator/index.ts";
import type { TraceRequest } from "../traces/index.ts";
import { endpoint as base } from "./record.fixture.ts";

export const profile = findProfile("8B");
const hpa = {
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: { name: "chat", namespace: "llm" },
  spec: {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "chat" },
    minReplicas: 1,
    maxReplicas: 8,
    metrics: [
      { type: "Pods", pods: { metric: { name: "vllm_num_requests_running" }, target: { type: "AverageValue", averageValue: "12" } } },
    ],
  },
};
const pools: Endpoint["pools"] = [{ ...(base.pools[0] as Endpoint["pools"][0]), min: 1, max: 8 }];

const stated = parseConfigDocuments(
  [
    {
      apiVersion: "tidegate.dev/v1alpha1",
      kind: "Endpoint",
      metadata: { name: "chat", namespace: "llm" },
      spec: {
        model: base.model,
        engine: { kind: "vllm" },
        platform: { kind: "static", urls: ["http://127.0.0.1"] },
        replicas: { min: 1, max: 8 },
        metrics: { vllm_num_requests_running: "running" },
        policy: { kind: "hpa", manifest: hpa },
      },
    },
  ],
  { env: {}, name: "fixture" },
).endpoints[0] as Endpoint;

export const ours: Endpoint = { ...base, pools, dryRun: false };
export const theirs: Endpoint = { ...ours, policy: stated.policy, metrics: stated.metrics };

/** One run of the world that is to be guessed: without a gateway, with cold starts of 45 to 120 s. */
export function world(
  endpoint: Endpoint,
  trace: readonly TraceRequest[],
  seed: number,
  about: {
    readonly durationMs: Ms;
    readonly initial: number;
    readonly onDecision?: (record: Parameters<NonNullable<Parameters<typeof createSimulation>[0]["onDecision"]>>[0]) => void;
  },
): SimulationResult {
  const { durationMs, initial, onDecision } = about;
  const simulation = createSimulation({
    ...{ endpoint, trace, seed, durationMs, ledgerSeen: false, allSeries: onDecision !== undefined },
    pools: { default: { engine: defaultEngine(profile), coldStart: { total: { valuesMs: [45_000, 60_000, 90_000, 120_000] } }, initial } },
    ...(onDecision === undefined ? {} : { onDecision }),
  });
  while (simulation.step(100_000));
  return simulation.result();
}

/** What shadow would have recorded beside the HPA of such a world, in the names of `chat` and `chat@hpa`. */
export function recordOf(trace: readonly TraceRequest[], about: { readonly durationMs: Ms; readonly initial: number; readonly atMs: Ms }) {
  const chat: Entry[] = [{ kind: "start", atMs: about.atMs, endpoint: { ...ours, dryRun: true }, state: null }];
  const rules: Entry[] = [{ kind: "start", atMs: about.atMs, endpoint: { ...theirs, name: "chat@hpa", dryRun: true }, state: null }];
  let last = "";
  const slo = createPolicy(ours);
  let state: Json | null = null;
  const result = world(theirs, trace, 7, {
    ...about,
    onDecision({ observation, decision }) {
      const atMs = observation.nowMs;
      const want = decision.wants["default"];
      const current = observation.pools["default"]?.wanted ?? 0;
      const status: AutoscalerStatus = {
        ...{ by: "HorizontalPodAutoscaler chat", current, desired: want?.kind === "scale" ? want.replicas : current },
        ...{ scaledAtMs: null, conditions: [], metrics: null },
      };
      if (JSON.stringify(status) !== last) chat.push(shift({ kind: "autoscaler", atMs, ...status }, about.atMs));
      last = JSON.stringify(status);
      // What slo wants beside it, given the HPA's fleet.
      const beside = slo.decide(state ?? slo.start(observation), observation);
      state = beside.state;
      chat.push(shift({ kind: "decision", atMs, observation, decision: beside.decision }, about.atMs));
      rules.push(shift({ kind: "decision", atMs, observation, decision }, about.atMs));
    },
  });
  return { chat, rules, result };
}

const times: ReadonlySet<string> = new Set(["atMs", "nowMs", "sinceMs", "nextAtMs", "scaledAtMs"]);

/** The same entry at another time of day. */
function shift(entry: Entry, byMs: Ms): Entry {
  const moved = (value: unknown, key: string, within: string): unknown => {
    if (typeof value === "number") return times.has(key) || within === "entered" ? value + byMs : value;
    if (Array.isArray(value)) return value.map((one) => moved(one, "", key));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, moved(one, name, key)]));
  };
  return moved(JSON.parse(JSON.stringify(entry)), "", "") as Entry;
}
