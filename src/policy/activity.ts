import type { Ms, Observation } from "../model/index.ts";
import { type Reader, sumOf } from "./reading.ts";

/**
 * Whether anybody uses the endpoint. `unknown`: neither the ledger nor the signals say; it then counts as busy for going to
 * zero, and as idle for waking up.
 */
export type Activity = { readonly state: "busy" | "idle" | "unknown"; readonly why: string };

/** Busy by an arrival, something in flight, held or waiting; idle only where arrivals and what is in flight are both known to be none. */
export function activityOf(observation: Observation, reader: Reader): Activity {
  if (observation.cause === "held") return { state: "busy", why: "a request is held at the gateway" };
  const live = observation.replicas.filter((replica) => replica.state === "ready" || replica.state === "draining").map(({ id }) => id);
  const slots = observation.slots;
  if (slots !== null) {
    const arrivals = slots.reduce((sum, slot) => sum + slot.arrivals, 0);
    if (arrivals > 0) return { state: "busy", why: `${arrivals} requests arrived` };
    const lastMs = slots.reduce((last, slot) => Math.max(last, slot.atMs), Number.NEGATIVE_INFINITY);
    const open = sumOf(slots.filter((slot) => slot.atMs === lastMs).map((slot) => slot.inFlightMean + slot.heldMean));
    // A slot exists for each second in which something was open, so a last one well in the past says that nothing is.
    if (open > 0 && observation.nowMs - lastMs <= 5_000) return { state: "busy", why: `${round(open)} requests are in flight or held` };
  }
  for (const name of ["held", "in_flight", "queue_depth", "request_rate"] as const) {
    const value = reader.endpoint(name);
    if (typeof value === "number" && value > 0) return { state: "busy", why: `${name} is ${round(value)}` };
  }
  const running = reader.overall("running", live);
  const waiting = reader.overall("waiting", live);
  if (typeof running === "number" && typeof waiting === "number" && running + waiting > 0)
    return { state: "busy", why: `${round(running + waiting)} requests are in the engines` };
  const nothingOpen = typeof reader.endpoint("in_flight") === "number" || running === 0 || live.length === 0;
  const noArrivals = slots !== null || typeof reader.endpoint("request_rate") === "number";
  if (slots !== null || (nothingOpen && noArrivals)) return { state: "idle", why: "nothing arrived and nothing is in flight" };
  return { state: "unknown", why: "neither a ledger nor signals say whether requests arrive" };
}

/** Since when the endpoint has been idle; `null` while it is not known to be. */
export function idleSince(before: Ms | null, activity: Activity, nowMs: Ms): Ms | null {
  return activity.state === "idle" ? (before ?? nowMs) : null;
}

const round = (value: number) => Math.round(value * 100) / 100;
