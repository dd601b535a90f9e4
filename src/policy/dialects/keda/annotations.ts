import { parseBool, parseInteger } from "./go.ts";
import { type Annotations, KedaError } from "./words.ts";

export const ANNOTATION = {
  paused: "autoscaling.keda.sh/paused",
  pausedReplicas: "autoscaling.keda.sh/paused-replicas",
  pausedScaleIn: "autoscaling.keda.sh/paused-scale-in",
  pausedScaleOut: "autoscaling.keda.sh/paused-scale-out",
  forceActivation: "autoscaling.keda.sh/force-activation",
  transferHpaOwnership: "scaledobject.keda.sh/transfer-hpa-ownership",
  excludedHpaLabels: "scaledobject.keda.sh/hpa-excluded-labels",
} as const;

const given = (annotations: Annotations | null, name: string): string | undefined =>
  annotations !== null && Object.hasOwn(annotations, name) ? annotations[name] : undefined;

/** As a Go bool; whatever is no bool counts as true, an absent annotation as false. */
function isOn(annotations: Annotations | null, name: string): boolean {
  const text = given(annotations, name);
  return text !== undefined && (parseBool(text) ?? true);
}

/** Whether either pausing annotation is there, whatever it says. */
export const hasPausedAnnotation = (annotations: Annotations | null): boolean =>
  given(annotations, ANNOTATION.paused) !== undefined || given(annotations, ANNOTATION.pausedReplicas) !== undefined;

/** `paused-replicas` pauses by being there, whatever `paused` says. */
export const needsToBePaused = (annotations: Annotations | null): boolean =>
  given(annotations, ANNOTATION.pausedReplicas) !== undefined || isOn(annotations, ANNOTATION.paused);

/** The count to pause at; `null`: none is stated. @throws KedaError for what is no integer */
export function pausedReplicaCount(annotations: Annotations | null): number | null {
  const text = given(annotations, ANNOTATION.pausedReplicas);
  if (text === undefined) return null;
  const count = parseInteger(text);
  if (count === null || Math.abs(count) > 2147483647) {
    throw new KedaError(`annotation ${ANNOTATION.pausedReplicas} is ${JSON.stringify(text)}; give a whole number of replicas`);
  }
  return count;
}

export const pausesScaleIn = (annotations: Annotations | null): boolean => isOn(annotations, ANNOTATION.pausedScaleIn);
export const pausesScaleOut = (annotations: Annotations | null): boolean => isOn(annotations, ANNOTATION.pausedScaleOut);
export const forcesActivation = (annotations: Annotations | null): boolean => isOn(annotations, ANNOTATION.forceActivation);
