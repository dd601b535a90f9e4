/** AIBrix's PodAutoscaler: APA, its own KPA (as released and repaired), and the HPA that it makes. */
export { apa, guardPending, type KpaOutcome, kpa, stabilize } from "./algorithms.ts";
export { asHpa } from "./as-hpa.ts";
export { aibrixDialect } from "./dialect.ts";
export { cheapestMix, type Load, markOf, type Profile } from "./optimizer.ts";
export { type AibrixOptions, aibrixPolicy, PANIC_ANNOTATION } from "./policy.ts";
export { PROFILES_ANNOTATION, parseProfiles } from "./profiles.ts";
export { meanOf, needOf, type Readings, readingsOf, signalOf } from "./readings.ts";
export { effectiveBounds, localClock } from "./schedule.ts";
export { AIBRIX_PREFIX, type AibrixSettings, ANNOTATIONS, RESYNC_MS, settingsOf, WEEKDAYS } from "./settings.ts";
export { AIBRIX_FOLLOWED, AIBRIX_VERSIONS, type AibrixFeatures } from "./version.ts";
