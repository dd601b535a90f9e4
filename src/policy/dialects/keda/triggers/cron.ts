import type { Ms } from "../../../../model/index.ts";
import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { type CronSchedule, nextFiring, parseCron, type TimeZone, timeZone } from "./cron-schedule.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric, type TriggerReading } from "./trigger.ts";

export interface CronTrigger extends TriggerMetric {
  readonly nextStart: NextFiring;
  readonly nextEnd: NextFiring;
  readonly desiredReplicas: number;
}

/** The first firing after a moment; `null`: none within years. */
type NextFiring = (afterMs: Ms) => Ms | null;

/** @throws KedaError */
export function parseCronTrigger(config: TriggerConfig): CronTrigger {
  const parameters = parametersOf("cron", config);
  const zone = parameters.required("timezone");
  const start = parameters.required("start");
  const end = parameters.required("end");
  const desiredReplicas = parameters.integer("desiredReplicas", null);
  if (start === end) throw new KedaError(`trigger cron: start and end are both ${JSON.stringify(start)}; give different times`);
  if (desiredReplicas === 0) throw new KedaError("trigger cron: desiredReplicas is 0; give the count inside of the window");
  return {
    name: cronMetricName(config),
    target: 1,
    activation: 0,
    nextStart: remembered(parseCron(start), timeZone(zone)),
    nextEnd: remembered(parseCron(end), timeZone(zone)),
    desiredReplicas,
  };
}

export const cronTrigger: TriggerKind = { types: ["cron"], metric: parseCronTrigger };

const SPELLED: Readonly<Record<string, string>> = { " ": "", "*": "x", "/": "Sl", "?": "Qm", ",": "Cm" };
const spell = (schedule: string): string => schedule.replace(/[ */?,]/g, (char) => SPELLED[char] ?? "");

export function cronMetricName({ index, metadata }: Pick<TriggerConfig, "index" | "metadata">): string {
  const { timezone = "", start = "", end = "" } = metadata;
  return indexedMetricName(index, normalizeMetricName(`cron-${timezone}-${spell(start)}-${spell(end)}`));
}

/** A firing found once holds for every moment between the one asked about and itself. */
function remembered(schedule: CronSchedule, zone: TimeZone): NextFiring {
  let known: { readonly fromMs: Ms; readonly nextMs: Ms | null } | null = null;
  return (afterMs) => {
    if (known === null || afterMs < known.fromMs || (known.nextMs ?? Number.NEGATIVE_INFINITY) <= afterMs) {
      known = { fromMs: afterMs, nextMs: nextFiring(schedule, zone, afterMs) };
    }
    return known.nextMs;
  };
}

/** Inside of the window where the next end comes no later than the next start. */
export function cronReading(nowMs: Ms, { nextStart, nextEnd, desiredReplicas }: CronTrigger): TriggerReading {
  const nextStartMs = nextStart(nowMs) ?? Number.NEGATIVE_INFINITY;
  const nextEndMs = nextEnd(nowMs) ?? Number.NEGATIVE_INFINITY;
  const isInside = nextEndMs <= nextStartMs;
  return { value: isInside ? desiredReplicas : 0, isActive: isInside };
}
