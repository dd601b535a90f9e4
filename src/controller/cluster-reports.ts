import {
  type ClusterConfig,
  type ClusterEndpoint,
  type EventRecorder,
  type ObjectReference,
  referenceTo,
  type StatusWriter,
} from "../cluster/index.ts";
import type { EndpointStatus, FleetStatus, StatusCondition } from "../config/index.ts";
import type { Clock, Endpoint } from "../model/index.ts";
import type { Controller } from "./controller.ts";
import { endpointStatus } from "./endpoint-status.ts";
import { isCarriedOut } from "./step.ts";
import type { DecisionLine, EndpointView } from "./view.ts";

export interface ClusterReportsOptions {
  readonly controller: Controller;
  readonly statuses: StatusWriter;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

/** Says in the cluster, by status and events, how the endpoints fare that came from it. */
export interface ClusterReports {
  /** What is followed from now on. */
  configure(config: ClusterConfig): void;
  close(): Promise<void>;
}

interface Followed {
  object: ObjectReference;
  /** As the newest valid spec has it. */
  endpoint: Endpoint | null;
  problem: ClusterEndpoint["problem"];
  warnings: readonly string[];
  /** As we last said it; at first as it stood there. */
  status: EndpointStatus;
  /** The newest decision that was told. */
  seq: number;
}

/** Bad news that is worth an event when it comes: by condition; what people chose themselves is not. */
const alarming: ReadonlySet<string> = new Set(["AbleToScale", "CapacityAvailable", "ReplicasHealthy", "Valid"]);
const chosen: ReadonlySet<string> = new Set(["DryRun", "RecommendOnly"]);
const actions: Readonly<Record<string, string>> = {
  AbleToScale: "Rescale",
  CapacityAvailable: "Start",
  ReplicasHealthy: "Start",
  Valid: "ReadSpec",
};

export function reportToCluster({ controller, statuses, events, clock }: ClusterReportsOptions): ClusterReports {
  const byName = new Map<string, Followed>();
  /** Whose name or model is another one's: no loop is theirs. */
  let others: readonly Followed[] = [];
  const known = new Map<string, Followed>();

  function say(followed: Followed, view: EndpointView | null): void {
    const { object, problem, warnings, endpoint } = followed;
    const waiting = view === null && endpoint === null ? null : controller.waiting(object.name);
    // It starts: what stood there is truer than nothing.
    if (problem === null && waiting === null && (view === null || view.now === null)) return;
    const desired = view === null ? null : controller.endpoint(object.name).desired();
    const before = followed.status;
    const policy = endpoint === null ? null : policyOf(endpoint);
    const nowMs = clock.now();
    const { status, drift } = endpointStatus({
      ...{ generation: object.generation, problem, warnings, view, desired, policy, waiting, before, nowMs },
    });
    followed.status = { ...status, ...drift };
    statuses.say(object, status, drift, before);
    tellConditions(followed, before.conditions ?? []);
    if (view !== null) tellDecisions(followed, view);
  }

  function tellConditions({ object, status }: Followed, before: readonly StatusCondition[]): void {
    for (const { type, status: is, reason, message } of status.conditions ?? []) {
      if (!alarming.has(type) || is !== "False" || chosen.has(reason)) continue;
      const old = before.find((one) => one.type === type);
      if (old?.status === is && old.reason === reason && old.message === message) continue;
      events.record(object, {
        type: "Warning",
        reason: type === "Valid" ? "InvalidSpec" : reason,
        action: actions[type] as string,
        note: message,
      });
    }
  }

  function tellDecisions(followed: Followed, view: EndpointView): void {
    const fresh = view.decisions.filter(({ seq }) => seq > followed.seq).toReversed();
    followed.seq = Math.max(followed.seq, view.decisions[0]?.seq ?? 0);
    for (const line of fresh) tellDecision(followed.object, line, view);
  }

  function tellDecision(object: ObjectReference, line: DecisionLine, view: EndpointView): void {
    const { from, to, reason, changed } = line;
    const failed = line.actions.find(({ by, result }) => isCarriedOut(by) && result !== "accepted");
    if (failed !== undefined) {
      const why =
        view.pools.find(({ otherWriter }) => otherWriter !== null)?.otherWriter ??
        view.trouble.find(({ code }) => code === "scale" || code === "platform")?.text ??
        "the platform did not say why";
      const note = `${failed.result}: not rescaled from ${from} to ${to}: ${why}`;
      events.record(object, { type: "Warning", reason: "FailedRescale", action: "Rescale", note });
      return;
    }
    if (!changed) return;
    const done = line.actions.some(({ by }) => isCarriedOut(by));
    if (done)
      events.record(object, {
        type: "Normal",
        reason: "SuccessfulRescale",
        action: "Rescale",
        note: `New size: ${to}, from ${from}; reason: ${reason}`,
      });
    else if (line.actions.some(({ by }) => by === "dry-run" || by === "recommend-only"))
      events.record(object, {
        type: "Normal",
        reason: "Recommended",
        action: "Recommend",
        note: `Would go from ${from} to ${to}; reason: ${reason}`,
      });
  }

  const viewOf = (name: string): EndpointView | null => {
    try {
      return controller.endpoint(name).view();
    } catch {
      return null; // it has not started, or never will
    }
  };

  const stop = controller.onLook((name) => {
    const followed = byName.get(name);
    // An object without an endpoint of its own may bear the name of somebody else's.
    if (followed !== undefined && followed.endpoint !== null) say(followed, viewOf(name));
  });

  return {
    configure({ endpoints, fleets }) {
      const uids = new Set([...endpoints, ...fleets].map(({ object }) => object.metadata.uid));
      for (const uid of [...known.keys()]) if (!uids.has(uid) && known.delete(uid)) statuses.forget(uid);
      byName.clear();
      const rest: Followed[] = [];
      for (const { object, endpoint, problem, warnings } of endpoints) {
        const reference = referenceTo("Endpoint", object);
        const followed: Followed = known.get(reference.uid) ?? {
          ...{ object: reference, endpoint, problem, warnings, status: object.status ?? {}, seq: 0 },
        };
        Object.assign(followed, { object: reference, endpoint, problem, warnings });
        known.set(reference.uid, followed);
        if (endpoint === null && byName.has(reference.name)) rest.push(followed);
        else byName.set(reference.name, followed);
      }
      others = rest;
      for (const followed of byName.values()) say(followed, followed.endpoint === null ? null : viewOf(followed.object.name));
      for (const followed of others) say(followed, null);
      for (const { object, problem } of fleets) {
        const reference = referenceTo("Fleet", object);
        const before = object.status?.conditions ?? [];
        const status = fleetStatus(reference, problem, before, clock.now());
        statuses.say(reference, status);
      }
    },
    async close() {
      stop();
      await statuses.flush();
      await events.flush();
      statuses.close();
      events.close();
    },
  };
}

function fleetStatus(
  object: ObjectReference,
  problem: ClusterEndpoint["problem"],
  before: readonly StatusCondition[],
  nowMs: number,
): FleetStatus {
  const { status } = endpointStatus({
    ...{ generation: object.generation, problem, warnings: [], view: null, desired: null, policy: null, waiting: null, nowMs },
    before: { conditions: [...before] },
  });
  return {
    observedGeneration: object.generation,
    conditions: (status.conditions ?? []).filter(({ type }) => type === "Valid"),
  };
}

/** `slo`, or `hpa llm-inference-hpa` where a manifest decides. */
const policyOf = ({ policy }: Endpoint): string => ("manifest" in policy ? `${policy.kind} ${policy.manifest.name}` : policy.kind);
