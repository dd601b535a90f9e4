import { isDeepStrictEqual } from "node:util";
import { type Clock, type Log, type Ms, messageOf } from "../model/index.ts";
import { isStatus, type KubernetesApi } from "../platforms/index.ts";
import { GROUP, type ObjectReference, objectPath, VERSION } from "./objects.ts";

/** Under this name the status stands in `managedFields`. */
export const STATUS_MANAGER = "tidegate-controller";

export interface StatusWriterOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly log: Log;
  /** Who does not lead writes nothing. */
  mayWrite(): boolean;
  /** Between two writes of one object's status. */
  readonly everyMs?: Ms;
  /** The same where only what drifts has changed. */
  readonly driftEveryMs?: Ms;
  /** Between any two writes: 20 a second, whatever the number of objects. */
  readonly spacingMs?: Ms;
}

/**
 * Status by server-side apply, under a field manager of its own: whoever applies the spec keeps it. What has not changed is not
 * written; what changed is written soon, and no more often than it may be.
 */
export interface StatusWriter {
  /** What should stand there. `drift`: what of it changes all the time, and may wait. `standing`: what stands there as far as is known. */
  say(object: ObjectReference, status: object, drift?: object, standing?: object): void;
  /** The object is gone. */
  forget(uid: string): void;
  /** Writes at once what is not written. */
  flush(): Promise<void>;
  close(): void;
}

interface Entry {
  object: ObjectReference;
  status: object;
  /** As JSON: without what drifts, and all of it. */
  main: string;
  whole: string;
  writtenMain: string | null;
  writtenWhole: string | null;
  /** Not before. */
  dueMs: Ms;
  writtenAtMs: Ms;
}

const deniedAgainMs: Ms = 60_000;

export function statusWriter(options: StatusWriterOptions): StatusWriter {
  const { api, clock, log } = options;
  const { everyMs = 5_000, driftEveryMs = 60_000, spacingMs = 50 } = options;
  const entries = new Map<string, Entry>();
  let cancel: (() => void) | null = null;
  let writing: Promise<void> | null = null;
  let closed = false;
  let troubled = false;

  /** When it should be written; null: it stands. */
  function dueOf({ main, whole, writtenMain, writtenWhole, dueMs, writtenAtMs }: Entry): Ms | null {
    if (main !== writtenMain) return dueMs;
    return whole === writtenWhole ? null : Math.max(dueMs, writtenAtMs + driftEveryMs);
  }

  function next(): { readonly entry: Entry; readonly dueMs: Ms } | null {
    let first: { entry: Entry; dueMs: Ms } | null = null;
    for (const entry of entries.values()) {
      const dueMs = dueOf(entry);
      if (dueMs !== null && (first === null || dueMs < first.dueMs)) first = { entry, dueMs };
    }
    return first;
  }

  async function write(entry: Entry): Promise<void> {
    const { object, status, main, whole } = entry;
    const { kind, namespace, name, uid } = object;
    try {
      await api.ask({
        ...{ method: "PATCH", path: `${objectPath(object)}/status`, contentType: "application/apply-patch+yaml" },
        query: { fieldManager: STATUS_MANAGER, force: true },
        body: { apiVersion: `${GROUP}/${VERSION}`, kind, metadata: { namespace, name, uid }, status },
      });
      Object.assign(entry, { writtenMain: main, writtenWhole: whole, writtenAtMs: clock.now(), dueMs: clock.now() + everyMs });
      troubled = false;
    } catch (error) {
      // Gone, or another object of that name: whoever follows them will say so.
      if (isStatus(error, 404) || isStatus(error, 409)) return void entries.delete(uid);
      if (!troubled) log("warn", `the status of ${kind} ${namespace}/${name} cannot be written: ${messageOf(error)}`);
      troubled = true;
      entry.dueMs = clock.now() + (isStatus(error, 403) ? deniedAgainMs : everyMs);
    }
  }

  function arm(): void {
    if (closed || writing !== null) return;
    cancel?.();
    cancel = null;
    const first = next();
    if (first === null) return;
    cancel = clock.after(Math.max(spacingMs, first.dueMs - clock.now()), () => {
      cancel = null;
      const now = next();
      if (now === null || now.dueMs > clock.now() || !options.mayWrite()) return arm();
      writing = write(now.entry).finally(() => {
        writing = null;
        arm();
      });
    });
  }

  return {
    say(object, status, drift = {}, standing) {
      const main = JSON.stringify(status);
      const full = { ...status, ...drift };
      const whole = JSON.stringify(full);
      const before = entries.get(object.uid);
      if (before !== undefined) Object.assign(before, { object, status: full, main, whole });
      else {
        const stands = standing !== undefined && isDeepStrictEqual(standing, full);
        entries.set(object.uid, {
          ...{ object, status: full, main, whole, writtenMain: stands ? main : null, writtenWhole: stands ? whole : null },
          ...{ dueMs: clock.now(), writtenAtMs: Number.NEGATIVE_INFINITY },
        });
      }
      if (before === undefined || dueOf(before) !== null) arm();
    },
    forget: (uid) => void entries.delete(uid),
    async flush() {
      await writing;
      for (const entry of [...entries.values()]) if (dueOf(entry) !== null && options.mayWrite()) await write(entry);
    },
    close() {
      closed = true;
      cancel?.();
      entries.clear();
    },
  };
}
