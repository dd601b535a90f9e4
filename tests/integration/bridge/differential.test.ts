import { afterAll, beforeAll, expect, it } from "vitest";
import type { Bridge, Source } from "../../../src/bridge/index.ts";
import type { Json, Ms } from "../../../src/model/index.ts";
import { CONTROLLER_DEFAULTS, defaultSpec, HPA_VERSIONS, hpaPolicy } from "../../../src/policy/dialects/hpa/index.ts";
import { changesAt, endpointOf } from "../../differential/dialect.ts";
import { type DifferentialScenario, valueAt } from "../../differential/scenario.ts";
import { SCENARIOS } from "../../differential/scenarios.ts";
import { type Plane, startPlane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";
import { bridgeIn, isAvailable } from "./following.ts";

/** All is told this many times as fast: windows, periods and events; so a sync of 15 s is one of 1 s. */
const speed = 15;
const downscaleStabilizationSeconds = CONTROLLER_DEFAULTS.downscaleStabilizationMs / 1000 / speed;

interface Read {
  readonly atMs: Ms;
  readonly value: number;
  readonly of: "pod" | "total";
}

/** One scenario on the control plane: a StatefulSet (its pods have names that are known before) and its HPA, in a namespace of their own. */
interface Run {
  readonly namespace: string;
  readonly scenario: DifferentialScenario;
  readonly spec: { readonly [key: string]: Json | undefined };
  readonly metric: string;
  /** Each time at which the real controller read the metric, and what it was told. */
  readonly reads: Read[];
  /** Counts as the real controller wrote them. */
  readonly counts: number[];
}

type Rules = { readonly [key: string]: Json | undefined };

/** The spec at the test's speed. Defaults are written out, for they are in seconds too. */
function hastened(spec: DifferentialScenario["spec"]): Run["spec"] {
  const full = defaultSpec(spec) as { readonly behavior?: Readonly<Record<string, Rules>> } & Run["spec"];
  if (full.behavior === undefined) return full;
  const rules = ({ stabilizationWindowSeconds: window, policies, ...rest }: Rules) => ({
    ...rest,
    ...(typeof window === "number" ? { stabilizationWindowSeconds: window / speed } : {}),
    policies: (policies as readonly { readonly periodSeconds: number }[]).map((policy) => ({
      ...policy,
      periodSeconds: policy.periodSeconds / speed,
    })),
  });
  return {
    ...full,
    behavior: Object.fromEntries(Object.entries(full.behavior).map(([direction, each]) => [direction, rules(each)])) as Json,
  };
}

const runOf = (scenario: DifferentialScenario, attempt: number): Run => ({
  namespace: `scenario-${SCENARIOS.indexOf(scenario)}-${attempt}`,
  scenario,
  spec: hastened(scenario.spec),
  metric: scenario.values[0]?.name as string,
  reads: [],
  counts: [scenario.startReplicas],
});
/** Those under way. */
let runs: readonly Run[] = [];
/**
 * A scenario that came out otherwise runs again, with fewer beside it: what a machine without time to spare did to it (pods that came late, a
 * sync that was left out) does not come three times, what a rule does, does.
 */
const attempts = 3;

const target = "target";
const pods = Array.from({ length: 100 }, (_, pod) => `${target}-${pod}`);

/** What each scenario says at this moment, counted from the first time that its metric was read; after its end nothing. */
const source: Source = {
  endpoints: () => runs.map(({ namespace }) => ({ name: namespace, namespace, metrics: {}, pools: [], held: null, replicas: pods })),
  readings: async (endpoint, metric) => {
    const run = runs.find(({ namespace }) => namespace === endpoint) as Run;
    const atMs = performance.timeOrigin + performance.now();
    const elapsedS = ((atMs - (run.reads[0]?.atMs ?? atMs)) / 1000) * speed;
    const told = elapsedS > run.scenario.seconds ? undefined : valueAt(run.scenario, metric, elapsedS);
    if (told === undefined) return [];
    run.reads.push({ atMs, ...told });
    const timed = { value: told.value, atMs, windowMs: 0 };
    if (told.of === "total") return [{ subject: { kind: "endpoint" }, ...timed }];
    return pods.map((id) => ({ subject: { kind: "replica" as const, id }, ...timed }));
  },
  onChange: () => () => {},
  connected: () => true,
  close() {},
};

let plane: Plane;
let bridge: Bridge;
beforeAll(async () => {
  plane = await startPlane({
    programs: process.env["TIDEGATE_PLANE"] as string,
    flags: {
      "kube-controller-manager": [
        "--horizontal-pod-autoscaler-sync-period=1s",
        `--horizontal-pod-autoscaler-downscale-stabilization=${downscaleStabilizationSeconds}s`,
        "--concurrent-horizontal-pod-autoscaler-syncs=20",
        "--concurrent-statefulset-syncs=20",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
      ],
    },
  });
  bridge = await bridgeIn(plane, source, () => {});
  for (const group of ["v1beta2.custom", "v1beta1.external"]) {
    await waitFor(
      `${group} available`,
      () => isAvailable(plane, `${group}.metrics.k8s.io`),
      (is) => is === true,
    );
  }
});
afterAll(async () => {
  await bridge?.close();
  await plane?.stop();
});

interface Workload {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
  };
  readonly spec: { readonly replicas: number };
  readonly status: { readonly replicas?: number; readonly readyReplicas?: number };
}

async function prepare({ namespace, scenario }: Run): Promise<void> {
  await plane.apply(`/api/v1/namespaces/${namespace}`, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${target}`;
  await plane.apply(path, {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: target },
    spec: {
      replicas: scenario.startReplicas,
      serviceName: target,
      podManagementPolicy: "Parallel",
      selector: { matchLabels: { app: target } },
      template: {
        metadata: {
          labels: { app: target },
          annotations: { "test/ready-after": `${Math.round((scenario.readyAfterSeconds / speed) * 1000)}ms` },
        },
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "engine", image: "engine:1" }] },
      },
    },
  });
  await waitFor(
    `${namespace} ready`,
    async () => (await plane.admin.ask<Workload>({ path })).status.readyReplicas,
    (ready) => ready === scenario.startReplicas,
    60_000,
  );
}

async function follow(ended: AbortSignal): Promise<void> {
  const path = "/apis/apps/v1/statefulsets";
  const { metadata } = await plane.admin.ask<{ metadata: { resourceVersion: string } }>({ path });
  const events = await plane.admin.watch<Workload>({
    path,
    query: { watch: true, resourceVersion: metadata.resourceVersion },
    signal: ended,
  });
  void (async () => {
    for await (const { type, object } of events) {
      if (type !== "MODIFIED") continue;
      const counts = runs.find(({ namespace }) => namespace === object.metadata.namespace)?.counts;
      if (counts !== undefined && counts.at(-1) !== object.spec.replicas) counts.push(object.spec.replicas);
    }
  })().catch(() => {});
}

/** What our dialect makes of the very times and values that the real controller read. */
function dialectCounts({ scenario, spec, reads }: Run): readonly number[] {
  const endpoint = endpointOf({ ...scenario, spec });
  const { policy } = endpoint;
  if (!("manifest" in policy)) throw new Error("not an HPA");
  const settings = {
    ...CONTROLLER_DEFAULTS,
    syncPeriodMs: 1000,
    initialReadinessDelayMs: 0,
    downscaleStabilizationMs: downscaleStabilizationSeconds * 1000,
  };
  const startMs = reads[0]?.atMs ?? 0;
  const moments = reads.map(({ atMs, value, of }) => ({ at: (atMs - startMs) / 1000, told: () => ({ value, of }) }));
  const rivals = hpaPolicy(endpoint, policy.manifest, { settings, features: HPA_VERSIONS["1.36"] });
  return changesAt({ ...scenario, readyAfterSeconds: 0 }, moments, rivals).map(({ replicas }) => replicas);
}

async function attempt(scenarios: readonly DifferentialScenario[], number: number): Promise<readonly Run[]> {
  runs = scenarios.map((scenario) => runOf(scenario, number));
  for (let at = 0; at < runs.length; at += 8) await Promise.all(runs.slice(at, at + 8).map(prepare));
  const ended = new AbortController();
  await follow(ended.signal);
  await Promise.all(
    runs.map(({ namespace, spec }) =>
      plane.apply(`/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers/${target}`, {
        apiVersion: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        metadata: { name: target },
        spec: { ...spec, scaleTargetRef: { apiVersion: "apps/v1", kind: "StatefulSet", name: target } },
      }),
    ),
  );
  const longestS = Math.max(...SCENARIOS.map(({ seconds }) => seconds)) / speed;
  await new Promise((resolve) => setTimeout(resolve, (longestS + 5) * 1000));
  ended.abort();
  const done = runs;
  runs = [];
  await Promise.all(done.map(({ namespace }) => plane.admin.ask({ method: "DELETE", path: `/api/v1/namespaces/${namespace}` })));
  return done;
}

const said = ({ scenario }: Run, counts: readonly number[]) => `${scenario.name}: ${counts.join(" ")}`;
const wasRead = ({ scenario, reads }: Run) => reads.length > scenario.seconds / speed / 2;

it("the real controller and our dialect come to the same counts, scenario by scenario", { timeout: 600_000 }, async () => {
  let left: readonly DifferentialScenario[] = SCENARIOS;
  let different: readonly Run[] = [];
  for (let number = 1; number <= attempts && left.length > 0; number++) {
    const done = await attempt(left, number);
    different = done.filter((run) => !wasRead(run) || said(run, dialectCounts(run)) !== said(run, run.counts));
    left = different.map(({ scenario }) => scenario);
    console.info(`attempt ${number}: ${done.length - different.length} of ${done.length} scenarios alike`);
  }
  expect(different.filter((run) => !wasRead(run)).map(({ scenario }) => `${scenario.name} was hardly read`)).toEqual([]);
  expect(different.map((run) => said(run, dialectCounts(run)))).toEqual(different.map((run) => said(run, run.counts)));
});
