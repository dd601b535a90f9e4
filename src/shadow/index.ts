/** Watches what others' autoscalers do, decides beside them, and says what the difference would have cost. Writes nothing but its history. */
export { type ShadowReport, type ShadowReportOptions, shadowReport } from "./report.ts";
export { type ClusterOptions, type FilesOptions, type Shadow, type ShadowView, shadowCluster, shadowFiles } from "./shadow.ts";
export type { WatchView } from "./watch.ts";
export type { Agreement, Skipped, Terms, Via } from "./words.ts";
