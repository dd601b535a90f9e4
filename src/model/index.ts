/** The words: one vocabulary for every other room. Types, the list of signals, and the arithmetic that belongs to a word. */

export type { Clock } from "./clock.ts";
export type { Condition, Decision, Need, Outcome, Policy, Step, Want } from "./decision.ts";
export type { Door, DoorEndpoint, DoorLatency, DoorReplica, DoorReport, DoorTotals, Route } from "./door.ts";
export { durationPattern, formatDuration, parseDuration } from "./duration.ts";
export {
  type AnnouncedEvent,
  CLASS_ORDERS,
  type ClassOrder,
  DIALECT_KINDS,
  type DialectKind,
  type DoorBound,
  type DoorLimits,
  type DoorOrder,
  type Endpoint,
  type EngineKind,
  type EngineSpec,
  type Fleet,
  type KubernetesPlatformSpec,
  type Manifest,
  type Objective,
  type PlatformSpec,
  type PolicySpec,
  type ProcessPlatformSpec,
  type PrometheusQuery,
  type PrometheusSpec,
  type ScalingRules,
  type SignalRule,
  type SignalsPolicySpec,
  type SloPolicySpec,
  type StaticPlatformSpec,
  type Target,
} from "./endpoint.ts";
export { type ErrorCode, messageOf, TidegateError } from "./error.ts";
export { addHistograms, countOf, mergeHistograms, quantileOf, sameBounds, shareWithin } from "./histogram.ts";
export type { Log } from "./log.ts";
export { type Cause, type Observation, PROMPT_BANDS, promptBand, type Slot } from "./observation.ts";
export { coldStartMs, type Pool, type PoolStatus, type Replica, type ReplicaState, STAGES, type Stage, stageDurations } from "./replica.ts";
export {
  type Histogram,
  isSignalName,
  type Sample,
  type Series,
  SIGNAL_NAMES,
  SIGNALS,
  type SignalInfo,
  type SignalKind,
  type SignalName,
  type Subject,
} from "./signal.ts";
export type { Json, Ms } from "./time.ts";
