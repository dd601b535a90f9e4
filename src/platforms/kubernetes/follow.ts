import { type Clock, type Log, type Ms, messageOf } from "../../model/index.ts";
import { isStatus, type KubernetesApi } from "./api.ts";
import type { KubernetesList, KubernetesObject } from "./objects.ts";

export interface FollowOptions<Item extends KubernetesObject> {
  readonly api: KubernetesApi;
  /** Of the collection. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Everything that there is now: what is not among it is gone. Awaited, as `onChange` is. */
  onList(items: readonly Item[]): void | Promise<void>;
  onChange(type: "changed" | "deleted", item: Item): void | Promise<void>;
  /** Between 0 and 1, for the spread of repeated tries. */
  readonly random?: () => number;
  /**
   * A watch silent for so long is dead. API servers send a bookmark about every minute, but none that says nothing new: the first one of a
   * watch may come after two.
   */
  readonly silenceMs?: Ms;
}

export interface Follow {
  /** Resolves with the first list, rejects with the first failure. */
  readonly first: Promise<void>;
  /** Since when what we know may be old, and why; null: it is up to date. */
  readonly trouble: () => { readonly sinceMs: Ms; readonly error: unknown } | null;
  close(): void;
}

const pageSize = 500;
/** The server ends a watch after this time, or up to as much longer: spread, so that not all come back at once. */
const watchSeconds = 300;
const firstDelayMs: Ms = 200;
const longestDelayMs: Ms = 10_000;

/**
 * A collection by list and watch. A watch that ends or breaks is resumed where it was; only when the server no longer has that
 * place (410) everything is listed again. Bookmarks move the place while nothing happens. Failures are tried again after delays
 * that double up to 10 s.
 * Source: Kubernetes API concepts, "Efficient detection of changes", "410 Gone responses", "Watch bookmarks".
 */
export function follow<Item extends KubernetesObject>(options: FollowOptions<Item>): Follow {
  const { api, path, query, clock, log } = options;
  const random = options.random ?? Math.random;
  const silenceMs = options.silenceMs ?? 150_000;
  const closing = new AbortController();
  /** From where to watch; null: everything is to be listed first. */
  let place: string | null = null;
  let trouble: { sinceMs: Ms; error: unknown } | null = { sinceMs: clock.now(), error: new Error(`${path} was not listed yet`) };
  let settleFirst: { resolve: () => void; reject: (error: unknown) => void };
  const first = new Promise<void>((resolve, reject) => {
    settleFirst = { resolve, reject };
  });
  first.catch(() => {});

  async function list(): Promise<void> {
    const items: Item[] = [];
    let next: string | undefined;
    let version = "";
    do {
      const page: KubernetesList<Item> = await api.ask({
        path,
        query: { ...query, limit: pageSize, continue: next },
        signal: closing.signal,
      });
      items.push(...page.items);
      version = page.metadata.resourceVersion;
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
    await options.onList(items);
    place = version;
  }

  /** Until the watch ends. @throws what broke it */
  async function watch(from: string): Promise<void> {
    const dead = new AbortController();
    let cancelSilence = () => {};
    const hear = () => {
      cancelSilence();
      cancelSilence = clock.after(silenceMs, () => dead.abort(new Error(`the watch of ${path} was silent for ${silenceMs} ms`)));
    };
    const timeoutSeconds = Math.ceil(watchSeconds * (1 + random()));
    const events = await api.watch<Item>({
      path,
      query: { ...query, watch: true, allowWatchBookmarks: true, resourceVersion: from, timeoutSeconds },
      signal: AbortSignal.any([closing.signal, dead.signal]),
    });
    trouble = null;
    hear();
    try {
      for await (const event of events) {
        if (event.type === "ERROR") {
          if (event.object.code === 410) throw new Expired();
          throw new Error(`the watch of ${path} said: ${event.object.message ?? event.object.reason ?? "an error"}`);
        }
        cancelSilence(); // a slow listener is not a silent server
        if (event.type !== "BOOKMARK") await options.onChange(event.type === "DELETED" ? "deleted" : "changed", event.object);
        place = event.object.metadata.resourceVersion;
        hear();
      }
    } finally {
      cancelSilence();
    }
  }

  async function run(): Promise<void> {
    let delayMs = firstDelayMs;
    while (!closing.signal.aborted) {
      const startedMs = clock.now();
      try {
        if (place === null) {
          await list();
          trouble = null;
          settleFirst.resolve();
        }
        await watch(place as unknown as string);
        delayMs = firstDelayMs;
        if (clock.now() - startedMs < 1_000) await clock.sleep(delayMs * (1 + random()), closing.signal);
      } catch (error) {
        if (closing.signal.aborted) return;
        if (error instanceof Expired || isStatus(error, 410)) {
          log("info", `${path}: the server no longer has what happened since ${place}: listing again`);
          place = null;
          if (clock.now() - startedMs >= 1_000) continue;
        } else {
          if (trouble === null) log("warn", `${path}: ${messageOf(error)}; trying again`);
          trouble ??= { sinceMs: clock.now(), error };
          trouble = { sinceMs: trouble.sinceMs, error };
          settleFirst.reject(error);
        }
        if (clock.now() - startedMs > longestDelayMs) delayMs = firstDelayMs;
        await clock.sleep(delayMs * (0.5 + random()), closing.signal).catch(() => {});
        delayMs = Math.min(longestDelayMs, delayMs * 2);
      }
    }
  }
  void run().catch((error) => {
    if (!closing.signal.aborted) log("error", `${path} is no longer followed: ${messageOf(error)}`);
  });

  return { first, trouble: () => trouble, close: () => closing.abort(new Error("closed")) };
}

class Expired extends Error {}
