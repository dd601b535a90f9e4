import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Ending, Finished } from "../ledger/index.ts";
import type { DoorBound } from "../model/index.ts";
import type { EndpointAtDoor } from "./door-endpoint.ts";
import type { RefusalCode } from "./openai-error.ts";

/** The gateway's own numbers for `/metrics`, named as in OpenTelemetry's `gen_ai.server.*` where it has a name for them. */
export interface GatewayMetrics {
  readonly registry: Registry;
  ended(endpoint: string, ending: Ending, finished: Finished): void;
  /** Turned away before it belonged to an endpoint. */
  refused(code: RefusalCode): void;
}

const ttftBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30, 60, 120, 300];
const tpotBuckets = [0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2];
const e2eBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600];

export function createMetrics(endpoints: () => Iterable<EndpointAtDoor>): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
  const labelNames = ["endpoint"];
  const histogram = (name: string, help: string, buckets: number[]) => new Histogram({ name, help, labelNames, buckets, registers });
  const ttft = histogram("tidegate_gateway_time_to_first_token_seconds", "arrival to first token, of streamed answers", ttftBuckets);
  const tpot = histogram("tidegate_gateway_time_per_output_token_seconds", "mean time per token after the first", tpotBuckets);
  const e2e = histogram("tidegate_gateway_request_duration_seconds", "arrival to last byte, of completed requests", e2eBuckets);
  const requests = new Counter({
    name: "tidegate_gateway_requests_total",
    help: "requests that ended, by outcome",
    labelNames: ["endpoint", "outcome"],
    registers,
  });
  const refused = new Counter({
    name: "tidegate_gateway_refused_total",
    help: "requests turned away before they belonged to an endpoint",
    labelNames: ["code"],
    registers,
  });
  /** Read from the ledgers when somebody asks. */
  const read = (name: string, help: string, value: (at: EndpointAtDoor) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        for (const at of endpoints()) this.set({ endpoint: at.endpoint.name }, value(at));
      },
    });
  const totals = (at: EndpointAtDoor) => at.ledger.totals();
  read("tidegate_gateway_in_flight", "requests with a replica, or about to get one", (at) => totals(at).inFlight);
  read("tidegate_gateway_held", "requests held because no replica is ready", (at) => totals(at).held);
  new Gauge({
    name: "tidegate_gateway_queued",
    help: "requests waiting for room at a replica, by whether they can still meet the bound on time to first token",
    labelNames: ["endpoint", "lateness"],
    registers,
    collect() {
      for (const at of endpoints()) {
        const [late, queued] = [at.waitingLate, at.waiting - at.held];
        this.set({ endpoint: at.endpoint.name, lateness: "late" }, queued === 0 ? 0 : late);
        this.set({ endpoint: at.endpoint.name, lateness: "on-time" }, queued === 0 ? 0 : queued - late);
      }
    },
  });
  const bound = (name: string, help: string, of: (bound: DoorBound) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const at of endpoints()) if (at.bound !== null) this.set({ endpoint: at.endpoint.name }, of(at.bound));
      },
    });
  bound("tidegate_gateway_replica_max_in_flight", "requests that this gateway gives to one replica at most", (of) => of.maxInFlight);
  bound(
    "tidegate_gateway_replica_max_prompt_tokens",
    "prompt tokens not yet prefilled up to which a replica is given one more request",
    (of) => of.maxPromptTokens,
  );
  read("tidegate_gateway_ready_replicas", "replicas that take requests", (at) => at.readyReplicas);
  const counted = (name: string, help: string, value: (at: EndpointAtDoor) => number) =>
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const at of endpoints()) this.inc({ endpoint: at.endpoint.name }, value(at));
      },
    });
  counted("tidegate_gateway_arrived_total", "requests that arrived", (at) => totals(at).arrived);
  counted("tidegate_gateway_late_dispatched_total", "late requests given to a replica after a wait for room", (at) => at.lateGone);
  counted("tidegate_gateway_retries_total", "attempts beyond the first", (at) => totals(at).retried);
  counted("tidegate_gateway_within_objective_total", "completed requests that met the objective", (at) => totals(at).withinObjective);
  counted("tidegate_gateway_prompt_tokens_total", "prompt tokens that arrived, estimated", (at) => totals(at).promptTokens);
  counted("tidegate_gateway_output_tokens_total", "output tokens of requests that ended", (at) => totals(at).outputTokens);
  return {
    registry,
    ended(endpoint, ending, { ttftMs, tpotMs, e2eMs }) {
      requests.inc({ endpoint, outcome: ending });
      if (ttftMs !== null) ttft.observe({ endpoint }, ttftMs / 1000);
      if (ending !== "completed") return;
      e2e.observe({ endpoint }, e2eMs / 1000);
      if (tpotMs !== null) tpot.observe({ endpoint }, tpotMs / 1000);
    },
    refused: (code) => refused.inc({ code }),
  };
}
