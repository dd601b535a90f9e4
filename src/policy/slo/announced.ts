import type { AnnouncedEvent, Ms } from "../../model/index.ts";
import { type Cron, lastDue, parseCron } from "../schedule.ts";

/** Of each event that multiplies the load: which occurrence is near, and the work per second before it. */
export type Announced = { readonly [name: string]: { readonly startMs: Ms; readonly work: number } };
export const noAnnounced: Announced = {};

/** An event that is on, or begins within the horizon. */
export interface Coming {
  readonly event: AnnouncedEvent;
  readonly startMs: Ms;
  /** Work per second to be able to carry, and replicas to have at least; 0 where the event does not say. */
  readonly work: number;
  readonly replicas: number;
}

export type Calendar = readonly { readonly event: AnnouncedEvent; readonly cron: Cron | null }[];

/** Expects validated events. */
export const calendarOf = (events: readonly AnnouncedEvent[]): Calendar =>
  events.map((event) => ({ event, cron: event.cron === null ? null : parseCron(event.cron, { kind: "unix", withYear: false }) }));

/**
 * What is announced from `nowMs` to `horizonMs` later. `workNow`: work per second at present, null where nobody knows; an event that multiplies the load
 * multiplies what there was when it came into sight, since afterwards the present load has it in it.
 */
export function comingOf(
  calendar: Calendar,
  before: Announced,
  nowMs: Ms,
  horizonMs: Ms,
  workNow: number | null,
): { readonly coming: readonly Coming[]; readonly announced: Announced } {
  const coming: Coming[] = [];
  const announced: Record<string, Announced[string]> = {};
  for (const { event, cron } of calendar) {
    const startMs = startOf(event, cron, nowMs, horizonMs);
    if (startMs === null) continue;
    let work = 0;
    if (event.times !== null) {
      const known = before[event.name];
      const seen = known?.startMs === startMs ? known : workNow === null ? null : { startMs, work: workNow };
      if (seen !== null) announced[event.name] = seen;
      work = event.times * (seen?.work ?? 0);
    }
    coming.push({ event, startMs, work, replicas: event.replicas ?? 0 });
  }
  return { coming, announced };
}

function startOf({ atMs, timeZone, forMs }: AnnouncedEvent, cron: Cron | null, nowMs: Ms, horizonMs: Ms): Ms | null {
  if (cron !== null) return lastDue(cron, timeZone, nowMs - forMs, nowMs + horizonMs);
  return atMs !== null && atMs > nowMs - forMs && atMs <= nowMs + horizonMs ? atMs : null;
}
