import { add64, ceilToInt64, clamp32, div64, type Int64, MAX_INT64, mul64 } from "./int64.ts";
import { HpaError, type PodSamples, type Tolerances } from "./words.ts";

/** Closed on both ends, in doubles, in exactly this form; NaN and ±Infinity are outside. */
export function isWithin(ratio: number, { scaleDown, scaleUp }: Tolerances): boolean {
  return 1 - scaleDown <= ratio && ratio <= 1 + scaleUp;
}

export interface UtilizationRatio {
  readonly ratio: number;
  /** Whole percent, truncated before it is divided by the target. */
  readonly utilization: number;
  readonly rawAverageMilli: Int64;
}

/** Over the samples of pods that have a request. @throws HpaError when their requests sum up to 0. */
export function utilizationRatio(samples: PodSamples, requests: ReadonlyMap<string, Int64>, targetUtilization: number): UtilizationRatio {
  let used: Int64 = 0;
  let requested: Int64 = 0;
  let count = 0;
  for (const [pod, { milli }] of samples) {
    const request = requests.get(pod);
    if (request === undefined) continue;
    used = add64(used, milli);
    requested = add64(requested, request);
    count++;
  }
  if (requested === 0) throw new HpaError("no metrics returned matched known pods");
  const utilization = clamp32(div64(mul64(used, 100), requested));
  return { ratio: utilization / targetUtilization, utilization, rawAverageMilli: div64(used, count) };
}

/** The truncated mean over all samples against the target; `samples` is not empty. */
export function usageRatio(samples: PodSamples, targetMilli: Int64): { readonly ratio: number; readonly usageMilli: Int64 } {
  let used: Int64 = 0;
  for (const { milli } of samples.values()) used = add64(used, milli);
  const usageMilli = div64(used, samples.size);
  return { ratio: Number(usageMilli) / Number(targetMilli), usageMilli };
}

/** What the status says of an Object or External metric per pod. */
export function perPodUsage(usageMilli: Int64, statusReplicas: number): Int64 {
  if (statusReplicas === 0) return 0;
  if (usageMilli === MAX_INT64) return MAX_INT64;
  return ceilToInt64(Number(usageMilli) / statusReplicas);
}

/** Stops at the largest int64. */
export function sumSeries(values: readonly Int64[]): Int64 {
  let sum: Int64 = 0;
  for (const value of values) {
    const next: Int64 = add64(sum, value);
    if (sum > 0 && value > 0 && next < sum) return MAX_INT64;
    sum = next;
  }
  return sum;
}
