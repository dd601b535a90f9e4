/** Reports that people open: one page by itself, nothing from other hosts. */
export { type ComparisonReport, comparisonReport } from "./comparison.ts";
