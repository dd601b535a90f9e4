/** AIBrix's PodAutoscaler: APA, its own KPA (as released and repaired), and the HPA that it makes. */
export { apa, guardPending, kpa, stabilize } from "./algorithms.ts";
export { asHpa } from "./as-hpa.ts";
export { aibrixDialect } from "./dialect.ts";
export { cheapestMix, type Load, markOf, type Profile } from "./optimizer.ts";
export { type AibrixOptions, aibrixPolicy, PANIC_ANNOTATION } from "./policy.ts";
export { PROFILES_ANNOTATION, parseProfiles } from "./profiles.ts";
export { needOf, type Readings, readingsOf, signalOf } from "./readings.ts";
export { localClock } from "./schedule.ts";
export { AIBRIX_PREFIX, ANNOTATIONS, RESYNC_MS, settingsOf, WEEKDAYS } from "./settings.ts";
export { AIBRIX_VERSIONS } from "./version.ts";
