/** Other systems' files, in. Pure: documents as parsed from YAML or JSON go in, what they mean comes out. */
export { type ManifestIssue, parseHpa } from "./hpa.ts";
