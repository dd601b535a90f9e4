import type { Ms, Replica, ReplicaState, Stage } from "../../model/index.ts";
import { conditionOf, type Pod, timeOf } from "./objects.ts";
import type { Provisioning } from "./provisioning.ts";
import { requestsOf } from "./requests.ts";

/** What is remembered of a pod between two looks: conditions tell only of their last change. */
export interface Seen {
  readonly entered: Readonly<Partial<Record<ReplicaState | Stage, Ms>>>;
  readonly troubleSince: Readonly<Partial<Record<TroubleCode, Ms>>>;
}
type TroubleCode = NonNullable<Replica["trouble"]>["code"];

export interface Told extends Omit<Replica, "id" | "pool"> {
  readonly message?: string;
}

export interface Look {
  readonly pod: Pod;
  readonly seen: Seen;
  /** When we took it out of routing; null: it is in. */
  readonly drainingSinceMs: Ms | null;
  /** What node autoscalers said of the pod while it has no node. */
  readonly provisioning: Provisioning | null;
  readonly nowMs: Ms;
}

export const NEVER_SEEN: Seen = { entered: {}, troubleSince: {} };

/** Reasons of a waiting container that no waiting helps. */
const pullTroubles = [
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
  "ImageInspectError",
  "RegistryUnavailable",
];
const crashTroubles = ["CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/**
 * A pod as a replica. The cold start by stage: `schedule` from the creation, `provision` from when a node autoscaler says that a node
 * comes, `pull` from PodScheduled (image, and init containers that fetch weights), `load` from the start of the last container,
 * `warmup` from when its startup probe has passed. A ready pod that is no longer ready is `failed` until it is again, or, where its
 * container was started anew, `starting`.
 * Times are the cluster's, exact to a second as Kubernetes writes them.
 */
export function replicaState(look: Look): { readonly told: Told; readonly seen: Seen } {
  const { pod, nowMs } = look;
  const entered: Partial<Record<ReplicaState | Stage, Ms>> = { ...look.seen.entered };
  const enter = (what: ReplicaState | Stage, atMs: Ms) => {
    entered[what] ??= atMs;
  };
  const createdMs = timeOf(pod.metadata.creationTimestamp) ?? nowMs;
  enter("starting", createdMs);
  enter("schedule", createdMs);
  const ready = conditionOf(pod, "Ready");
  const readySinceMs = timeOf(ready?.lastTransitionTime) ?? nowMs;
  if (ready?.status === "True") {
    markStages(pod, enter, readySinceMs);
    enter("ready", Math.max(readySinceMs, createdMs));
  }

  const { state, stage, trouble, message } = stateOf(look, entered.ready !== undefined);
  if (stage !== undefined) {
    markStages(pod, enter, nowMs);
    enter(stage, nowMs);
  }
  enter(state, state === "draining" ? (look.drainingSinceMs ?? nowMs) : nowMs);
  const troubleSince = trouble === undefined ? {} : { [trouble]: look.seen.troubleSince[trouble] ?? troubleMs(pod, trouble) ?? nowMs };
  const requests = requestsOf(pod);
  const told: Told = {
    state,
    ...(stage === undefined ? {} : { stage }),
    entered: { ...entered },
    readiness:
      ready === undefined ? null : { status: ready.status === "Unknown" ? "unknown" : ready.status === "True", sinceMs: readySinceMs },
    ...(requests === null ? {} : { requests }),
    ...(trouble === undefined ? {} : { trouble: { code: trouble, sinceMs: troubleSince[trouble] as Ms } }),
    ...(message === undefined ? {} : { message }),
  };
  return { told, seen: { entered, troubleSince } };
}

interface Judged {
  readonly state: ReplicaState;
  readonly stage?: Stage;
  readonly trouble?: TroubleCode;
  readonly message?: string;
}

function stateOf({ pod, drainingSinceMs, provisioning }: Look, served: boolean): Judged {
  const { name, deletionTimestamp } = pod.metadata;
  const disrupted = conditionOf(pod, "DisruptionTarget");
  const warned: Pick<Judged, "trouble" | "message"> =
    disrupted?.status === "True"
      ? { trouble: "spot-notice", message: `${name}: ${disrupted.message ?? disrupted.reason ?? "is disrupted"}` }
      : {};
  if (deletionTimestamp !== undefined || drainingSinceMs !== null) return { state: "draining", ...warned };
  const { phase, reason, message } = pod.status ?? {};
  if (phase === "Failed" || phase === "Succeeded") {
    const why = [reason, message].filter((text) => text !== undefined && text !== "").join(": ");
    return { state: "failed", trouble: "crash", message: `${name} ended (${phase}${why === "" ? "" : `, ${why}`})${lastWords(pod)}` };
  }
  if (conditionOf(pod, "Ready")?.status === "True") return { state: "ready", ...warned };
  if (pod.spec.nodeName === undefined && conditionOf(pod, "PodScheduled")?.status !== "True") return unscheduled(pod, provisioning);

  const containers = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const waiting = (reasons: readonly string[]) => containers.find(({ state }) => reasons.includes(state?.waiting?.reason ?? ""));
  const unpulled = waiting(pullTroubles);
  if (unpulled !== undefined)
    return {
      state: "starting",
      stage: "pull",
      trouble: "pull",
      message: `${name}: ${unpulled.name}: ${waitingText(unpulled.state?.waiting)}`,
    };
  const crashing = waiting(crashTroubles);
  if (crashing !== undefined)
    return {
      state: "failed",
      trouble: "crash",
      message: `${name}: ${crashing.name}: ${waitingText(crashing.state?.waiting)}${lastWords(pod)}`,
    };
  const main = pod.status?.containerStatuses ?? [];
  const running = main.length > 0 && main.every(({ state }) => state?.running !== undefined);
  const restarted = main.some(({ restartCount }) => restartCount > 0);
  if (served && !restarted) {
    const said = conditionOf(pod, "Ready")?.message ?? "the Ready condition is no longer True";
    return { state: "failed", trouble: "unhealthy", message: `${name} is not ready any more: ${said}` };
  }
  if (!running) return { state: "starting", stage: "pull", ...warned };
  return { state: "starting", stage: warmsUp(pod) ? "warmup" : "load", ...warned };
}

/** Past its startup probes. A container without one is `started` at once, which says nothing. */
function warmsUp({ spec, status }: Pod): boolean {
  const probed = spec.containers.filter(({ startupProbe }) => startupProbe !== undefined).map(({ name }) => name);
  return probed.length > 0 && probed.every((name) => status?.containerStatuses?.find((one) => one.name === name)?.started === true);
}

function unscheduled(pod: Pod, provisioning: Provisioning | null): Judged {
  const { name } = pod.metadata;
  const condition = conditionOf(pod, "PodScheduled");
  if (condition?.reason !== "Unschedulable") return { state: "starting", stage: "schedule" };
  const why = `${name} fits on no node: ${condition.message ?? "Unschedulable"}`;
  if (provisioning === null) return { state: "starting", stage: "schedule", trouble: "unschedulable", message: why };
  const said = `${why}; ${provisioning.by}: ${provisioning.message}`;
  if (provisioning.verdict === "comes") return { state: "starting", stage: "provision", message: said };
  return {
    state: "starting",
    stage: "schedule",
    trouble: provisioning.verdict === "stock-out" ? "stock-out" : "unschedulable",
    message: said,
  };
}

/** Stages that the pod itself gives the time of. */
function markStages(pod: Pod, enter: (stage: Stage, atMs: Ms) => void, latestMs: Ms): void {
  const scheduled = conditionOf(pod, "PodScheduled");
  const mark = (stage: Stage, atMs: Ms | null) => {
    if (atMs !== null) enter(stage, Math.min(atMs, latestMs));
  };
  if (scheduled?.status === "True") mark("pull", timeOf(scheduled.lastTransitionTime));
  const starts = (pod.status?.containerStatuses ?? []).map(({ state, restartCount }) =>
    restartCount === 0 ? timeOf(state?.running?.startedAt) : null,
  );
  const started = starts.filter((atMs) => atMs !== null);
  if (started.length > 0 && started.length === starts.length) mark("load", Math.max(...started));
}

function troubleMs(pod: Pod, trouble: TroubleCode): Ms | null {
  if (trouble === "unschedulable" || trouble === "stock-out") return timeOf(conditionOf(pod, "PodScheduled")?.lastTransitionTime);
  if (trouble === "spot-notice") return timeOf(conditionOf(pod, "DisruptionTarget")?.lastTransitionTime);
  return null;
}

const waitingText = (waiting: { readonly reason?: string; readonly message?: string } | undefined): string =>
  [waiting?.reason, waiting?.message].filter((text) => text !== undefined && text !== "").join(": ");

/** How the pod's containers ended last, where they did. */
function lastWords(pod: Pod): string {
  const ends = (pod.status?.containerStatuses ?? []).flatMap(({ name, state, lastState }) => {
    const end = state?.terminated ?? lastState?.terminated;
    return end === undefined ? [] : [`${name} ended with exit code ${end.exitCode}${end.reason === undefined ? "" : ` (${end.reason})`}`];
  });
  return ends.length === 0 ? "" : `; ${ends.join("; ")}`;
}
