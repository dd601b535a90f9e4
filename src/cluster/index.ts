/** Endpoint and Fleet objects of a cluster: followed, and told how they fare by status and events. */
export {
  type ClusterConfig,
  type ClusterEndpoint,
  type ClusterFleet,
  type ConfigSource,
  type ConfigSourceOptions,
  type DoorSourceOptions,
  followConfig,
  followDoors,
  type Problem,
} from "./config-source.ts";
export { type ClusterEvent, type EventRecorder, eventRecorder } from "./event-recorder.ts";
export { type ObjectReference, type OwnObject, referenceTo } from "./objects.ts";
export { STATUS_MANAGER, type StatusWriter, statusWriter } from "./status-writer.ts";
