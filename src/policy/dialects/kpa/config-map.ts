import { KPA_DEFAULTS, type KpaConfig } from "./settings.ts";
import { choice, count, duration, HOUR_MS, number, type Parsed } from "./values.ts";

type Rule<K extends keyof KpaConfig> = { readonly field: K; readonly parse: (text: string) => Parsed<KpaConfig[K]> };
const rule = <K extends keyof KpaConfig>(field: K, parse: Rule<K>["parse"]): Rule<K> => ({ field, parse });

const ANY = Number.POSITIVE_INFINITY;
const boolean = choice<boolean>({ true: true, false: false });
/** Values up to 1 are read as the fraction that they are. */
const fraction = (text: string): Parsed<number> => {
  const parsed = number(Number.MIN_VALUE, 100)(text);
  return "issue" in parsed ? parsed : { value: parsed.value > 1 ? parsed.value / 100 : parsed.value };
};
const above1 = (text: string): Parsed<number> =>
  Number(text) > 1 ? { value: Number(text) } : { issue: `is ${JSON.stringify(text)}; use a number above 1` };

/** Keys of the ConfigMap `config-autoscaler`. */
const RULES = {
  "container-concurrency-target-percentage": rule("containerConcurrencyTargetFraction", fraction),
  "container-concurrency-target-default": rule("containerConcurrencyTargetDefault", number(0.01, ANY)),
  "requests-per-second-target-default": rule("rpsTargetDefault", number(0.01, ANY)),
  "target-burst-capacity": rule("targetBurstCapacity", number(0, ANY, -1)),
  "stable-window": rule("stableWindowMs", duration(6_000, HOUR_MS, true)),
  "panic-window-percentage": rule("panicWindowPercentage", number(1, 100)),
  "panic-threshold-percentage": rule("panicThresholdPercentage", number(Number.MIN_VALUE, ANY)),
  "max-scale-up-rate": rule("maxScaleUpRate", above1),
  "max-scale-down-rate": rule("maxScaleDownRate", above1),
  "enable-scale-to-zero": rule("enableScaleToZero", boolean),
  "scale-to-zero-grace-period": rule("scaleToZeroGracePeriodMs", duration(1, ANY, false)),
  "scale-to-zero-pod-retention-period": rule("scaleToZeroPodRetentionMs", duration(0, ANY, false)),
  "scale-down-delay": rule("scaleDownDelayMs", duration(0, ANY, true)),
  "activator-capacity": rule("activatorCapacity", number(1, ANY)),
  "initial-scale": rule("initialScale", count(0)),
  "allow-zero-initial-scale": rule("allowZeroInitialScale", boolean),
  "min-scale": rule("minScale", count(0)),
  "max-scale": rule("maxScale", count(0)),
  "max-scale-limit": rule("maxScaleLimit", count(0)),
} satisfies Record<string, Rule<keyof KpaConfig>>;

export interface ConfigIssue {
  readonly key: string;
  readonly message: string;
}

/** `data` over what Knative ships. Keys that begin with an underscore are examples. */
export function parseConfig(data: Readonly<Record<string, string>>): {
  readonly config: KpaConfig;
  readonly issues: readonly ConfigIssue[];
} {
  const stated: Record<string, unknown> = {};
  const issues: ConfigIssue[] = [];
  for (const [key, text] of Object.entries(data)) {
    if (key.startsWith("_") || key === "pod-autoscaler-class") continue;
    const known = Object.hasOwn(RULES, key) ? (RULES[key as keyof typeof RULES] as Rule<keyof KpaConfig>) : undefined;
    if (known === undefined) {
      issues.push({ key, message: "is not a key of config-autoscaler; remove it or mend its name" });
      continue;
    }
    const parsed = known.parse(text);
    if ("issue" in parsed) issues.push({ key, message: parsed.issue });
    else stated[known.field] = parsed.value;
  }
  const config: KpaConfig = { ...KPA_DEFAULTS, ...(stated as Partial<KpaConfig>) };
  const at = (key: string, message: string) => issues.push({ key, message });
  if (config.initialScale === 0 && !config.allowZeroInitialScale)
    at("initial-scale", "is 0; set allow-zero-initial-scale to true, or use 1 or more");
  if (config.maxScale !== 0 && config.maxScale < config.minScale)
    at("max-scale", `is ${config.maxScale}, less than min-scale (${config.minScale}); raise it`);
  if (config.maxScaleLimit !== 0 && (config.maxScale === 0 || config.maxScale > config.maxScaleLimit)) {
    at("max-scale", `has to be from 1 to max-scale-limit (${config.maxScaleLimit})`);
  }
  return { config, issues };
}
