/** Reports that people open: one page by itself, nothing from other hosts. */
export { type ComparisonReport, comparisonReport } from "./comparison.ts";
export { CONTENDERS, rangeText, shadowPage } from "./shadow.ts";
export { estimateText } from "./words.ts";
