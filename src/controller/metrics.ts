import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { type Decision, type Endpoint, type Ms, type Series, STAGES } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";
import type { ColdStart, DecisionLine, DesiredView, Point } from "./view.ts";

/** The controller's own numbers for `/metrics`. Nothing is said of a reading that is absent. */
export interface Metrics {
  readonly registry: Registry;
  decision(endpoint: string, line: DecisionLine, decision: Decision): void;
  coldStart(endpoint: string, start: ColdStart): void;
  point(endpoint: string, point: Point, status: PlatformStatus | null, nowMs: Ms, series: readonly Series[]): void;
  desired(view: DesiredView): void;
  /** Says no more of an endpoint that is no longer controlled. */
  forget(endpoint: Endpoint): Promise<void>;
}

const coldStartBuckets = [1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 1200];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = ["endpoint"]) => new Gauge({ name, help, labelNames, registers });
  const desired = gauge("tidegate_desired_replicas", "replicas that the policy wants", ["endpoint", "pool"]);
  // The names and labels of llm-d's workload-variant-autoscaler, so that dashboards and adapters made for it work: docs/bridge.md.
  const variant = ["variant_name", "namespace", "accelerator_type"];
  const variantDesired = gauge("wva_desired_replicas", "replicas that should be, after pins, pauses and quota", variant);
  const variantCurrent = gauge("wva_current_replicas", "replicas that the platform has been asked for", variant);
  const variantRatio = gauge("wva_desired_ratio", "desired over current replicas; from zero the desired count itself", variant);
  const replicas = gauge("tidegate_replicas", "replicas by state", ["endpoint", "state"]);
  const wanted = gauge("tidegate_wanted_replicas", "replicas that the platform has been asked for", ["endpoint", "pool"]);
  const age = gauge("tidegate_signal_age_seconds", "age of the newest sample of an endpoint's signal", ["endpoint", "signal"]);
  const signal = gauge("tidegate_signal", "newest value of an endpoint's signal, in the signal's own unit", ["endpoint", "signal"]);
  const cost = new Counter({
    name: "tidegate_cost_total",
    help: "spent on replicas since the start, in the config's currency",
    labelNames: ["endpoint"],
    registers,
  });
  const lastDecision = gauge("tidegate_last_decision_timestamp_seconds", "when the policy was last asked");
  const decisions = new Counter({
    name: "tidegate_decisions_total",
    help: "decisions by the code of their last step and by what came of them",
    labelNames: ["endpoint", "reason", "change"],
    registers,
  });
  const coldStart = new Histogram({
    name: "tidegate_cold_start_seconds",
    help: "from asked for to ready",
    labelNames: ["endpoint", "pool"],
    buckets: coldStartBuckets,
    registers,
  });
  const stage = new Histogram({
    name: "tidegate_cold_start_stage_seconds",
    help: "time spent in a stage of the cold start",
    labelNames: ["endpoint", "pool", "stage"],
    buckets: coldStartBuckets,
    registers,
  });
  return {
    registry,
    decision(endpoint, line, decision) {
      const change = line.to > line.from ? "up" : line.to < line.from ? "down" : "none";
      decisions.inc({ endpoint, reason: decision.steps.at(-1)?.code ?? "none", change });
      lastDecision.set({ endpoint }, line.atMs / 1000);
      for (const [pool, want] of Object.entries(decision.wants)) {
        if (want.kind === "scale") desired.set({ endpoint, pool }, want.replicas);
      }
    },
    coldStart(endpoint, start) {
      coldStart.observe({ endpoint, pool: start.pool }, start.totalMs / 1000);
      for (const name of STAGES) {
        const ms = start.stages[name];
        if (ms !== undefined) stage.observe({ endpoint, pool: start.pool, stage: name }, ms / 1000);
      }
    },
    point(endpoint, point, status, nowMs, series) {
      for (const state of ["ready", "starting", "draining", "failed"] as const) replicas.set({ endpoint, state }, point[state]);
      for (const [pool, { wanted: count }] of Object.entries(status?.pools ?? {})) wanted.set({ endpoint, pool }, count);
      cost.remove({ endpoint });
      cost.inc({ endpoint }, point.cost);
      for (const { name, subject, latest } of series) {
        if (subject.kind !== "endpoint" || latest === null) continue;
        age.set({ endpoint, signal: name }, (nowMs - latest.atMs) / 1000);
        if (typeof latest.value === "number") signal.set({ endpoint, signal: name }, latest.value);
      }
    },
    desired({ name, namespace, pools }) {
      for (const pool of pools) {
        const labels = {
          variant_name: pools.length === 1 ? name : `${name}-${pool.name}`,
          namespace,
          accelerator_type: pool.gpu,
        };
        if (pool.current !== null) variantCurrent.set(labels, pool.current);
        if (pool.desired === null) continue;
        variantDesired.set(labels, pool.desired);
        if (pool.current !== null) variantRatio.set(labels, pool.current === 0 ? pool.desired : pool.desired / pool.current);
      }
    },
    async forget({ name, pools }) {
      const variants = new Set([name, ...pools.map((pool) => `${name}-${pool.name}`)]);
      for (const metric of registry.getMetricsAsArray() as unknown as readonly (Gauge | Counter | Histogram)[]) {
        const { values } = await metric.get();
        for (const { labels } of values) {
          const { le: _, ...own } = labels as Record<string, string | number>;
          if (own["endpoint"] === name || variants.has(String(own["variant_name"]))) metric.remove(own);
        }
      }
    },
  };
}
