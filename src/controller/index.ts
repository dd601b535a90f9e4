/** The loop: observe, decide, act, settle, record; and its half of the admin API. */
export { controllerHandler, type LiveEvent } from "./admin.ts";
export { type ClusterReports, reportToCluster } from "./cluster-reports.ts";
export { type Controller, type ControllerConfig, type ControllerOptions, platformFolder, startController } from "./controller.ts";
export { followerHandler } from "./follower.ts";
export { joinElection, type Leadership, type LeadershipOptions } from "./leadership.ts";
export { type Turn, type Turns, type TurnsOptions, takeTurns } from "./leadership-turn.ts";
export { createMetrics, type Metrics } from "./metrics.ts";
export { createQuota } from "./quota.ts";
export { type Runner, startRunner } from "./runner.ts";
export { createSampleStore, type SampleStore } from "./samples.ts";
export { createLoop, type Loop, type Order, type StepInput, type StepResult } from "./step.ts";
export type { ColdStart, ControllerView, DecisionLine, DesiredAnswer, EndpointView, Point, ReplicaLine, SignalsAnswer } from "./view.ts";
