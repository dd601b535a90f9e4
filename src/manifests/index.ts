/** Other systems' files, in. Pure: documents as parsed from YAML or JSON go in, what they mean comes out. */
export { HPA_API_VERSIONS, type ManifestIssue, parseHpa } from "./hpa.ts";
