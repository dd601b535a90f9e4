import { parseConfigDocuments } from "../../src/config/index.ts";
import type { Observation, Replica, Series } from "../../src/model/index.ts";
import { HPA_VERSIONS, type HpaVersion, hpaPolicy } from "../../src/policy/dialects/hpa/index.ts";
import { createPolicy } from "../../src/policy/index.ts";
import { type Change, type DifferentialRunner, type DifferentialScenario, valueAt } from "./scenario.ts";

/** Our dialect, in virtual time, on the pods that its own decisions make. */
export const runDialect: DifferentialRunner = (scenario) => Promise.resolve(changesOf(scenario));

/** The same by the rules of another release than the newest. */
export function changesBy(scenario: DifferentialScenario, version: HpaVersion): readonly Change[] {
  const endpoint = endpointOf(scenario);
  if (!("manifest" in endpoint.policy)) throw new Error("not an HPA");
  return changesOf(scenario, hpaPolicy(endpoint, endpoint.policy.manifest, { features: HPA_VERSIONS[version] }));
}

function changesOf(scenario: DifferentialScenario, policy = createPolicy(endpointOf(scenario))): readonly Change[] {
  const { seconds, syncSeconds } = scenario;
  const moments = Array.from({ length: Math.floor(seconds / syncSeconds) + 1 }, (_, sync) => {
    const at = sync * syncSeconds;
    return { at, told: (name: string) => valueAt(scenario, name, at) };
  });
  return changesAt(scenario, moments, policy);
}

/** One sync: when, in seconds from the start, and what each metric was then. */
export interface Moment {
  readonly at: number;
  told(name: string): { readonly value: number; readonly of: "pod" | "total" } | undefined;
}

/** What a policy makes of these very moments, on the pods that its own decisions make. */
export function changesAt(
  { startReplicas, readyAfterSeconds, values }: Pick<DifferentialScenario, "startReplicas" | "readyAfterSeconds" | "values">,
  moments: readonly Moment[],
  policy: ReturnType<typeof createPolicy>,
): readonly Change[] {
  const names = [...new Set(values.map(({ name }) => name))];
  let born = Array.from({ length: startReplicas }, () => -3600);
  let state: ReturnType<typeof policy.start> | undefined;
  const changes: Change[] = [{ at: 0, replicas: startReplicas }];
  for (const [index, { at, told }] of moments.entries()) {
    const nowMs = (at + 7200) * 1000;
    const replicas = born.map((second, position): Replica => {
      const readyMs = (second + readyAfterSeconds + 7200) * 1000;
      const isReady = readyMs <= nowMs;
      return {
        id: `pod-${position}`,
        pool: "default",
        state: isReady ? "ready" : "starting",
        ...(isReady ? {} : { stage: "load" as const }),
        entered: { starting: (second + 7200) * 1000, load: (second + 7200) * 1000, ...(isReady ? { ready: readyMs } : {}) },
        readiness: { status: isReady, sinceMs: isReady ? readyMs : (second + 7200) * 1000 },
      };
    });
    const series = names.flatMap((name): readonly Series[] => {
      const reading = told(name);
      if (reading === undefined) return [];
      const sample = { atMs: nowMs, windowMs: 0, value: reading.value };
      const of = (subject: Series["subject"]): Series => ({ name, subject, samples: [sample], latest: sample, fault: null });
      if (reading.of === "total") return [of({ kind: "external", labels: {} })];
      return replicas.map(({ id }) => of({ kind: "replica", id }));
    });
    const observation: Observation = {
      seq: index + 1,
      nowMs,
      cause: "tick",
      pools: { default: { wanted: born.length, reported: born.length, otherWriter: false } },
      replicas,
      series,
      slots: null,
    };
    state ??= policy.start(observation);
    const { state: after, decision } = policy.decide(state, observation);
    state = after;
    const want = decision.wants["default"];
    if (want?.kind !== "scale" || want.replicas === born.length) continue;
    born = want.replicas > born.length ? [...born, ...Array<number>(want.replicas - born.length).fill(at)] : born.slice(0, want.replicas);
    state = policy.settle(state, { seq: index + 1, pool: "default", atMs: nowMs, result: "accepted" }).state;
    changes.push({ at, replicas: born.length });
  }
  return changes;
}

export function endpointOf({ name, spec }: DifferentialScenario) {
  const target = { apiVersion: "apps/v1", kind: "Deployment", name: "differential" };
  const { endpoints } = parseConfigDocuments(
    [
      {
        apiVersion: "tidegate.dev/v1alpha1",
        kind: "Endpoint",
        metadata: { name: "differential" },
        spec: {
          model: "m",
          engine: { kind: "other" },
          platform: { kind: "static", urls: ["http://127.0.0.1:1"], target },
          policy: {
            kind: "hpa",
            manifest: {
              apiVersion: "autoscaling/v2",
              kind: "HorizontalPodAutoscaler",
              metadata: { name: "differential" },
              spec: { scaleTargetRef: target, ...spec },
            },
          },
        },
      },
    ],
    { env: {}, name },
  );
  return endpoints[0] as NonNullable<(typeof endpoints)[0]>;
}
