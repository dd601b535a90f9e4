import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { History, Saved } from "../history/index.ts";
import { type Clock, type Log, type Ms, messageOf } from "../model/index.ts";
import { isStatus, type KubernetesApi, type KubernetesList, type KubernetesObject } from "../platforms/index.ts";

/** What policies know, kept in the cluster for whoever leads next: a few ConfigMaps. */
export interface SharedState {
  /** The newest known of each endpoint. @throws KubernetesError */
  load(): Promise<ReadonlyMap<string, Saved>>;
  /** Written soon; the newest wins. */
  save(endpoint: string, saved: Saved): void;
  /** Writes at once what is not written. */
  flush(): Promise<void>;
  close(): void;
}

export interface SharedStateOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** Of the Lease: what belongs together bears its name. */
  readonly name: string;
  /** Who does not lead writes nothing. */
  leads(): boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly everyMs?: Ms;
}

interface ConfigMap extends KubernetesObject {
  readonly binaryData?: Readonly<Record<string, string>>;
}

/** etcd takes 1.5 MiB a write and a ConfigMap 1 MiB, base64 and metadata included. */
const mostBytes = 700 * 1024;
/** No endpoint comes into a ConfigMap that holds so much, though those in it may grow: hundreds of endpoints take a few writes. */
const fullBytes = 128 * 1024;
const label = "tidegate.dev/lease";

/** As text under a key: compressed, with the name that a key may not be able to hold. */
interface Kept {
  readonly endpoint: string;
  readonly saved: Saved;
}
const packed = (kept: Kept): string => gzipSync(JSON.stringify(kept)).toString("base64");
const unpacked = (text: string) => JSON.parse(gunzipSync(Buffer.from(text, "base64")).toString("utf8")) as Kept;
const keyOf = (endpoint: string) => createHash("sha256").update(endpoint).digest("hex").slice(0, 16);

export function sharedState(options: SharedStateOptions): SharedState {
  const { api, namespace, name, clock, log } = options;
  const everyMs = options.everyMs ?? 5_000;
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`;
  const waiting = new Map<string, Saved>();
  let writing: Promise<void> = Promise.resolve();
  let cancel: (() => void) | null = null;
  let troubled = false;
  /** Of each ConfigMap, by number: the length of each key's text. */
  const places: Map<string, number>[] = [];

  const bytesIn = (place: ReadonlyMap<string, number>) => [...place.values()].reduce((sum, bytes) => sum + bytes, 0);

  /** Where the text goes, and where it must go away because it has outgrown its place. */
  function placeFor(key: string, bytes: number): { readonly to: number; readonly from: number | null } {
    const at = places.findIndex((place) => place.has(key));
    const place = places[at];
    if (place !== undefined && (place.size === 1 || bytesIn(place) - (place.get(key) ?? 0) + bytes <= mostBytes)) {
      place.set(key, bytes);
      return { to: at, from: null };
    }
    place?.delete(key);
    let to = places.findIndex((one) => bytesIn(one) + bytes <= fullBytes);
    if (to === -1) to = places.push(new Map()) - 1;
    places[to]?.set(key, bytes);
    return { to, from: at === -1 ? null : at };
  }

  /** What has changed of one ConfigMap; what else is in it stays. */
  async function write(place: number, changed: ReadonlyMap<string, string | null>): Promise<void> {
    const named = `${name}-${place}`;
    const binaryData = Object.fromEntries(changed);
    const query = { fieldManager: "tidegate" };
    try {
      // Its metadata in answer: all that is in it would come back otherwise.
      const accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
      await api.ask({ method: "PATCH", accept, path: `${collection}/${encodeURIComponent(named)}`, query, body: { binaryData } });
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
      const metadata = { name: named, namespace, labels: { [label]: name } };
      const there = Object.fromEntries([...changed].filter(([, text]) => text !== null));
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata, binaryData: there };
      await api.ask({ method: "POST", path: collection, query, body });
    }
  }

  /** A few writes, each of which may not be larger than a ConfigMap. */
  function batches(saves: readonly (readonly [string, Saved])[]): ReadonlyMap<number, ReadonlyMap<string, string | null>> {
    const byPlace = new Map<number, Map<string, string | null>>();
    const put = (place: number, key: string, text: string | null) => {
      const texts = byPlace.get(place) ?? new Map<string, string | null>();
      byPlace.set(place, texts.set(key, text));
    };
    for (const [endpoint, saved] of saves) {
      const text = packed({ endpoint, saved });
      if (text.length > mostBytes) {
        log("warn", `the state of ${endpoint} takes ${text.length} bytes, too much for a ConfigMap: the next leader starts afresh`);
        continue;
      }
      const key = keyOf(endpoint);
      const { to, from } = placeFor(key, text.length);
      put(to, key, text);
      if (from !== null) put(from, key, null);
    }
    return byPlace;
  }

  async function writeAll(): Promise<void> {
    const saves = [...waiting];
    for (const [place, texts] of batches(saves)) {
      if (!options.leads()) {
        waiting.clear();
        return;
      }
      try {
        await write(place, texts);
      } catch (error) {
        if (!troubled) log("warn", `what policies know cannot be kept for the next leader: ${messageOf(error)}`);
        troubled = true;
        return;
      }
    }
    troubled = false;
    for (const [endpoint, saved] of saves) if (waiting.get(endpoint) === saved) waiting.delete(endpoint);
  }

  const flush = () => {
    writing = writing.then(writeAll);
    return writing;
  };

  function arm(): void {
    cancel ??= clock.after(everyMs, () => {
      cancel = null;
      void flush().then(() => waiting.size > 0 && arm());
    });
  }

  return {
    async load() {
      const list = await api.ask<KubernetesList<ConfigMap>>({ path: collection, query: { labelSelector: `${label}=${name}` } });
      const states = new Map<string, Saved>();
      places.length = 0;
      for (const { metadata, binaryData } of list.items) {
        const place = new Map<string, number>();
        const number = Number(metadata.name.slice(name.length + 1));
        if (Number.isSafeInteger(number)) places[number] = place;
        for (const [key, text] of Object.entries(binaryData ?? {})) {
          try {
            const { endpoint, saved } = unpacked(text);
            place.set(key, text.length);
            if (saved.seq >= (states.get(endpoint)?.seq ?? 0)) states.set(endpoint, saved);
          } catch (error) {
            log("warn", `${key} of ConfigMap ${metadata.name} cannot be read, its endpoint starts afresh: ${messageOf(error)}`);
          }
        }
      }
      for (let at = 0; at < places.length; at++) places[at] ??= new Map();
      return states;
    },
    save(endpoint, saved) {
      waiting.set(endpoint, saved);
      arm();
    },
    flush,
    close() {
      cancel?.();
      cancel = null;
      waiting.clear();
    },
  };
}

/** A history whose saved states are also kept in the cluster, and that goes on from the newer of both. */
export function sharedHistory(local: History, states: ReadonlyMap<string, Saved>, shared: SharedState): History {
  return {
    ...local,
    save(endpoint, saved) {
      local.save(endpoint, saved);
      shared.save(endpoint, saved);
    },
    load(endpoint) {
      const here = local.load(endpoint);
      const there = states.get(endpoint) ?? null;
      return here === null || (there !== null && there.seq > here.seq) ? there : here;
    },
  };
}
