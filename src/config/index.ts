/** `tidegate.yaml`: Kubernetes-shaped documents in, Endpoints out, every default filled in; errors say where and what to do. Pure. */

export { emulatedCommand, splitCommand } from "./command.ts";
export { type CustomResourceDefinition, customResourceDefinitions } from "./crd.ts";
export { DEFAULTS, ENGINE_DEFAULTS } from "./defaults.ts";
export { type ConfigText, readChecked } from "./documents-checked.ts";
export type { SecretSources } from "./endpoint.ts";
export { type ConfigIssue, formatIssue } from "./issue.ts";
export {
  type Config,
  type ConfigCheck,
  type ConfigOptions,
  checkConfig,
  checkDocuments,
  checkDoor,
  checkFleet,
  parseConfig,
  parseConfigDocuments,
  parseConfigFiles,
} from "./parse.ts";
export { type ProfileDocument, parseProfile, profileDocument } from "./profile.ts";
export { configJsonSchema } from "./schema.ts";
export type { EndpointStatus, FleetStatus, StatusCondition } from "./status.ts";
export { nearest } from "./suggest.ts";
export { duration, parseBytes, share } from "./units.ts";
