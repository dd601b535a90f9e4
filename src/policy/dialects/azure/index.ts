/** Azure Monitor's autoscale settings. */
export { parseDateTime } from "../../schedule.ts";
export { azureDialect } from "./dialect.ts";
export { actionCount, compare, type Evaluation, evaluate, guardFlapping, type RuleReading } from "./evaluate.ts";
export { formatIsoDuration, parseIsoDuration } from "./iso-duration.ts";
export { activeProfile, compileProfile, type Rule, WEEKDAYS } from "./profile.ts";
export { zoneOfWindows } from "./windows-zones.ts";
export {
  ACTION_TYPES,
  AGGREGATIONS,
  type AutoscaleProfile,
  type AutoscaleSetting,
  CPU_METRIC,
  type MetricTrigger,
  OPERATORS,
  type ScaleRule,
  STATISTICS,
} from "./words.ts";
