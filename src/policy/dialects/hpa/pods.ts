import type { Ms } from "../../../model/index.ts";
import { add64, type Int64 } from "./int64.ts";
import { HpaError, type Pod, type PodSample, type PodSamples, type ResourceSample } from "./words.ts";

export interface PodGroups {
  readonly readyCount: number;
  readonly unready: readonly string[];
  readonly missing: readonly string[];
  readonly ignored: readonly string[];
}

export interface GroupingSettings {
  readonly cpuInitializationPeriodMs: Ms;
  readonly initialReadinessDelayMs: Ms;
  readonly ignoreSucceededPods: boolean;
}

/** `resource` is "" for custom metrics. Only cpu looks at readiness: its samples are untrue while a process starts. */
export function groupPods(pods: readonly Pod[], samples: PodSamples, resource: string, settings: GroupingSettings, nowMs: Ms): PodGroups {
  let readyCount = 0;
  const unready: string[] = [];
  const missing: string[] = [];
  const ignored: string[] = [];
  for (const pod of pods) {
    if (pod.deleting || pod.phase === "Failed" || (settings.ignoreSucceededPods && pod.phase === "Succeeded")) {
      ignored.push(pod.name);
    } else if (pod.phase === "Pending") {
      unready.push(pod.name);
    } else {
      const sample = samples.get(pod.name);
      if (sample === undefined) missing.push(pod.name);
      else if (resource === "cpu" && isCpuUnready(pod, sample, settings, nowMs)) unready.push(pod.name);
      else readyCount++;
    }
  }
  return { readyCount, unready, missing, ignored };
}

function isCpuUnready(pod: Pod, sample: PodSample, settings: GroupingSettings, nowMs: Ms): boolean {
  if (pod.ready === null || pod.startedMs === null) return true;
  const notReady = pod.ready.status === "False";
  if (pod.startedMs + settings.cpuInitializationPeriodMs > nowMs) {
    return notReady || sample.atMs < pod.ready.sinceMs + sample.windowMs;
  }
  return notReady && pod.startedMs + settings.initialReadinessDelayMs > pod.ready.sinceMs;
}

/** Running and Ready; whether it is being deleted is not looked at. @throws HpaError when there are no pods at all. */
export function countReadyPods(pods: readonly Pod[]): number {
  if (pods.length === 0) throw new HpaError("no pods returned by selector while calculating replica count");
  let ready = 0;
  for (const pod of pods) if (pod.phase === "Running" && pod.ready?.status === "True") ready++;
  return ready;
}

/**
 * Requests in thousandths by pod, of one container or (`null`) of the whole pod. Plain init containers never count.
 * @throws HpaError when a container that counts has no request, or the named one does not exist.
 */
export function podRequests(
  pods: readonly Pod[],
  resource: string,
  container: string | null,
  podLevelResources: boolean,
): ReadonlyMap<string, Int64> {
  const requests = new Map<string, Int64>();
  for (const pod of pods) {
    const podLevel = container === null && podLevelResources ? pod.podRequests[resource] : undefined;
    requests.set(pod.name, podLevel ?? containerRequests(pod, resource, container));
  }
  return requests;
}

function containerRequests(pod: Pod, resource: string, named: string | null): Int64 {
  let sum: Int64 = 0;
  let found = false;
  const count = (name: string, request: Int64 | undefined) => {
    if (named !== null && name !== named) return;
    if (request === undefined) throw new HpaError(`missing request for ${resource} in container ${name} of Pod ${pod.name}`);
    sum = add64(sum, request);
    found = true;
  };
  for (const { name, requests } of pod.containers) count(name, requests[resource]);
  for (const { name, requests, restartPolicyAlways } of pod.initContainers) if (restartPolicyAlways) count(name, requests[resource]);
  if (named !== null && !found) throw new HpaError(`container ${named} not found in Pod ${pod.name}`);
  return sum;
}

/**
 * One value per pod out of the resource metrics API's answer: the named container's, or the sum over all that reported.
 * @throws HpaError for an empty answer, and where `missingContainerFails` for a pod without that container.
 */
export function resourceSamples(
  answer: readonly ResourceSample[],
  container: string | null,
  missingContainerFails: boolean,
): ReadonlyMap<string, PodSample> {
  if (answer.length === 0) throw new HpaError("no metrics returned from resource metrics API");
  const samples = new Map<string, PodSample>();
  for (const { pod, atMs, windowMs, containers } of answer) {
    let milli: Int64 | null = container === null && containers.length > 0 ? 0 : null;
    if (container === null) {
      for (const reported of containers) {
        milli = milli === null || reported.milli === null ? null : add64(milli, reported.milli);
      }
    } else {
      const reported = containers.find(({ name }) => name === container);
      if (reported === undefined && missingContainerFails) {
        throw new HpaError(`container ${container} not present in metrics for pod ${pod}`);
      }
      milli = reported?.milli ?? null;
    }
    if (milli !== null) samples.set(pod, { milli, atMs, windowMs });
  }
  return samples;
}
