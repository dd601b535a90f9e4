/** AWS: EC2 Auto Scaling groups and Application Auto Scaling's targets. */

export { isTimeZone, parseCron, parseDateTime } from "../../schedule.ts";
export { type AlarmRule, type AlarmState, evaluateAlarm } from "./alarm.ts";
export { adjust, roundPercentChange } from "./capacity.ts";
export { awsDialect } from "./dialect.ts";
export { mathOf, PREDEFINED } from "./metrics.ts";
export { combine, type Proposal } from "./propose.ts";
export { parseSchedule } from "./scheduled.ts";
export { stepFor, stepsIssue } from "./steps.ts";
export { CLASSIC, scaleInCapacity, scaleOutCapacity } from "./target-tracking.ts";
export { type AwsDocument, COMPARISONS, STATISTICS, type TargetTracking } from "./words.ts";
