/** The loop: observe, decide, act, settle, record; and its half of the admin API. */
export { controllerHandler, type LiveEvent } from "./admin.ts";
export { type ClusterReports, reportToCluster } from "./cluster-reports.ts";
export { type Controller, type ControllerConfig, type ControllerOptions, platformFolder, startController } from "./controller.ts";
export { followerHandler } from "./follower.ts";
export { joinElection, type Leadership, type LeadershipOptions } from "./leadership.ts";
export { type Turn, type Turns, type TurnsOptions, takeTurns } from "./leadership-turn.ts";
export type { Runner } from "./runner.ts";
export type { Loop, Order, StepInput, StepResult } from "./step.ts";
export type { ColdStart, ControllerView, DecisionLine, DesiredAnswer, EndpointView, Point, ReplicaLine, SignalsAnswer } from "./view.ts";
