import { type Clock, type Log, type Ms, messageOf } from "../model/index.ts";
import { isStatus, type KubernetesApi } from "../platforms/index.ts";
import { GROUP, type ObjectReference, VERSION } from "./objects.ts";

export const REPORTING_CONTROLLER = "tidegate.dev/controller";

export interface ClusterEvent {
  readonly type: "Normal" | "Warning";
  /** In CamelCase, for machines: why. */
  readonly reason: string;
  /** In CamelCase: what was done, or was to be. */
  readonly action: string;
  /** For people. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly api: KubernetesApi;
  /** Which of several controllers. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Log;
  mayWrite(): boolean;
}

/** Events of events.k8s.io/v1 about our objects. Never throws: who cannot tell goes on. */
export interface EventRecorder {
  record(object: ObjectReference, event: ClusterEvent): void;
  /** Writes at once what waits. */
  flush(): Promise<void>;
  close(): void;
}

interface Known {
  readonly path: string;
  count: number;
  /** As it was last written. */
  writtenCount: number;
  lastAtMs: Ms;
  writtenAtMs: Ms;
}

/** An event that comes again within this time is the same one, with a higher count, as in client-go. */
const seriesMs: Ms = 6 * 60_000;
/** The count of a series is written this often. */
const seriesEveryMs: Ms = 60_000;
/** Of one object: so many at once, and one more in this time. */
const burst = 25;
const refillMs: Ms = 15_000;
/** In bytes, as the API allows. */
const longestNote = 1024;
const waitingAtMost = 500;

/**
 * New events are written as they come; what repeats is counted and written once a minute; an object that says too much is cut short.
 * Source: Kubernetes API reference, Event v1 (events.k8s.io), "series"; client-go's spam filter.
 */
export function eventRecorder(options: EventRecorderOptions): EventRecorder {
  const { api, identity, clock, log } = options;
  const known = new Map<string, Known>();
  const tokens = new Map<string, { left: number; atMs: Ms }>();
  const waiting: (() => Promise<void>)[] = [];
  let sending: Promise<void> | null = null;
  let cancel: (() => void) | null = null;
  let number = 0;
  let troubled = false;

  function mayTell(uid: string, nowMs: Ms): boolean {
    const bucket = tokens.get(uid) ?? { left: burst, atMs: nowMs };
    const refilled = Math.floor((nowMs - bucket.atMs) / refillMs);
    const left = Math.min(burst, bucket.left + refilled);
    tokens.set(uid, { left: Math.max(0, left - 1), atMs: bucket.atMs + refilled * refillMs });
    return left > 0;
  }

  function send(work: () => Promise<void>): void {
    if (waiting.length >= waitingAtMost) waiting.shift();
    waiting.push(work);
    sending ??= drain().finally(() => {
      sending = null;
    });
  }

  async function drain(): Promise<void> {
    for (let work = waiting.shift(); work !== undefined; work = waiting.shift()) {
      if (!options.mayWrite()) continue;
      try {
        await work();
        troubled = false;
      } catch (error) {
        if (!troubled) log("warn", `an event cannot be written: ${messageOf(error)}`);
        troubled = true;
      }
    }
  }

  async function writeSeries(key: string, event: Known): Promise<void> {
    const { count, lastAtMs } = event;
    try {
      await api.ask({ method: "PATCH", path: event.path, body: { series: { count, lastObservedTime: microTime(lastAtMs) } } });
      Object.assign(event, { writtenCount: count, writtenAtMs: clock.now() });
    } catch (error) {
      known.delete(key); // it may have lived its hour: the next one is new
      if (!isStatus(error, 404)) throw error;
    }
  }

  /** Writes counts that are due, and forgets series that have ended. */
  function sweep(all: boolean): void {
    const nowMs = clock.now();
    for (const [key, event] of known) {
      if (event.count > event.writtenCount && (all || nowMs - event.writtenAtMs >= seriesEveryMs)) send(() => writeSeries(key, event));
      else if (nowMs - event.lastAtMs >= seriesMs) known.delete(key);
    }
    for (const [uid, { atMs }] of tokens) if (nowMs - atMs > burst * refillMs) tokens.delete(uid);
  }

  function arm(): void {
    cancel ??= clock.after(seriesEveryMs / 4, () => {
      cancel = null;
      sweep(false);
      if (known.size > 0) arm();
    });
  }

  return {
    record(object, { type, reason, action, note }) {
      const nowMs = clock.now();
      const { kind, namespace, name, uid } = object;
      // A warning is the same one with other numbers in it, and a change the same for another reason.
      const text = type === "Warning" ? note.replace(/\d+/g, "#") : note.replace(/; reason: .*/s, "");
      const key = JSON.stringify([uid, type, reason, action, text]);
      const before = known.get(key);
      if (before !== undefined && nowMs - before.lastAtMs < seriesMs) {
        before.count++;
        before.lastAtMs = nowMs;
        return;
      }
      if (!mayTell(uid, nowMs)) return log("debug", `${kind} ${namespace}/${name}: too many events; not told: ${reason}: ${note}`);
      const collection = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`;
      const eventName = `${name}.${Math.round(nowMs).toString(16)}${(++number % 4096).toString(16).padStart(3, "0")}`;
      known.set(key, { path: `${collection}/${eventName}`, count: 1, writtenCount: 1, lastAtMs: nowMs, writtenAtMs: nowMs });
      arm();
      send(async () => {
        await api.ask({
          ...{ method: "POST", path: collection },
          body: {
            ...{ apiVersion: "events.k8s.io/v1", kind: "Event", metadata: { name: eventName, namespace }, eventTime: microTime(nowMs) },
            ...{ reportingController: REPORTING_CONTROLLER, reportingInstance: identity.slice(0, 128), action, reason, type },
            regarding: { apiVersion: `${GROUP}/${VERSION}`, kind, namespace, name, uid },
            note: cut(note),
          },
        });
      });
    },
    async flush() {
      sweep(true);
      await sending;
    },
    close() {
      cancel?.();
      waiting.length = 0;
      known.clear();
    },
  };
}

function cut(note: string): string {
  if (Buffer.byteLength(note) <= longestNote) return note;
  let text = note.slice(0, longestNote - 3);
  while (Buffer.byteLength(text) > longestNote - 3) text = text.slice(0, -1);
  return `${text}…`;
}

/** RFC 3339 with microseconds, as an Event's times are. */
const microTime = (atMs: Ms): string => new Date(Math.round(atMs)).toISOString().replace("Z", "000Z");
