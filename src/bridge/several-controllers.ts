import { TidegateError } from "../model/index.ts";
import type { FollowedEndpoint, Source } from "./source.ts";

/** A source over whichever controllers there are at the moment. */
export interface SeveralControllers extends Source {
  /** Follows these from now on, and no others. */
  set(urls: readonly string[]): void;
}

/** When the oldest of what stands decided was decided; minus infinity: nothing is. */
const decidedAtMs = ({ pools }: FollowedEndpoint) =>
  pools.length === 0 ? Number.NEGATIVE_INFINITY : Math.min(...pools.map(({ desired }) => desired?.atMs ?? Number.NEGATIVE_INFINITY));

/**
 * Several controllers, of which one leads: each is asked, and for each endpoint the one is believed that stood by its decision last. One
 * that waits says nothing of any endpoint; one that led before says what grows old.
 */
export function severalControllers(follow: (url: string) => Source): SeveralControllers {
  const sources = new Map<string, { readonly source: Source; readonly unsubscribe: () => void }>();
  const listeners = new Set<(endpoint: string) => void>();

  /** By name, with who says so. */
  function newest(): ReadonlyMap<string, { readonly endpoint: FollowedEndpoint; readonly source: Source }> {
    const found = new Map<string, { readonly endpoint: FollowedEndpoint; readonly source: Source }>();
    for (const { source } of sources.values())
      for (const endpoint of source.endpoints()) {
        const other = found.get(endpoint.name);
        if (other === undefined || decidedAtMs(endpoint) > decidedAtMs(other.endpoint)) found.set(endpoint.name, { endpoint, source });
      }
    return found;
  }

  function drop(url: string): void {
    const { source, unsubscribe } = sources.get(url) ?? {};
    sources.delete(url);
    unsubscribe?.();
    source?.close();
  }

  return {
    set(urls) {
      for (const url of [...sources.keys()]) if (!urls.includes(url)) drop(url);
      for (const url of urls) {
        if (sources.has(url)) continue;
        const source = follow(url);
        const unsubscribe = source.onChange((name) => {
          for (const listener of listeners) listener(name);
        });
        sources.set(url, { source, unsubscribe });
      }
    },
    endpoints: () => [...newest().values()].map(({ endpoint }) => endpoint),
    async readings(endpoint, signal) {
      const source = newest().get(endpoint)?.source;
      if (source !== undefined) return source.readings(endpoint, signal);
      throw new TidegateError("admin/unreachable", `no controller says anything of endpoint ${endpoint}`, { retryable: true });
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    connected: () => [...sources.values()].some(({ source }) => source.connected()),
    close() {
      for (const url of [...sources.keys()]) drop(url);
    },
  };
}
