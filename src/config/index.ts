/** `tidegate.yaml`: Kubernetes-shaped documents in, Endpoints out, every default filled in; errors say where and what to do. Pure. */

export { emulatedCommand, splitCommand } from "./command.ts";
export { DEFAULTS, ENGINE_DEFAULTS } from "./defaults.ts";
export { type ConfigText, readChecked } from "./documents-checked.ts";
export { type ConfigIssue, formatIssue } from "./issue.ts";
export {
  type Config,
  type ConfigCheck,
  type ConfigOptions,
  checkConfig,
  parseConfig,
  parseConfigDocuments,
  parseConfigFiles,
} from "./parse.ts";
export { type ProfileDocument, parseProfile, profileDocument } from "./profile.ts";
export { configJsonSchema } from "./schema.ts";
export { nearest } from "./suggest.ts";
export { duration, parseBytes, share } from "./units.ts";
