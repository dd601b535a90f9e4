import { gunzipSync, gzipSync } from "node:zlib";
import type { History, Saved } from "../history/index.ts";
import { type Clock, type Log, type Ms, messageOf } from "../model/index.ts";
import type { KubernetesApi, KubernetesList, KubernetesObject } from "../platforms/index.ts";

/** What policies know, kept in the cluster for whoever leads next: one ConfigMap for each endpoint. */
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
const key = "state.json.gz";
const label = "tidegate.dev/lease";
const endpointAnnotation = "tidegate.dev/endpoint";

export function sharedState(options: SharedStateOptions): SharedState {
  const { api, namespace, name, clock, log } = options;
  const everyMs = options.everyMs ?? 5_000;
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`;
  const waiting = new Map<string, Saved>();
  let writing: Promise<void> = Promise.resolve();
  let cancel: (() => void) | null = null;
  let troubled = false;

  async function write(endpoint: string, saved: Saved): Promise<void> {
    const packed = gzipSync(JSON.stringify(saved)).toString("base64");
    if (packed.length > mostBytes) {
      log("warn", `the state of ${endpoint} takes ${packed.length} bytes, too much for a ConfigMap: the next leader starts afresh`);
      return;
    }
    const named = `${name}-${endpoint}`;
    const body = {
      ...{ apiVersion: "v1", kind: "ConfigMap" },
      metadata: { name: named, namespace, labels: { [label]: name }, annotations: { [endpointAnnotation]: endpoint } },
      binaryData: { [key]: packed },
    };
    const query = { fieldManager: "tidegate", force: true };
    const path = `${collection}/${encodeURIComponent(named)}`;
    await api.ask({ method: "PATCH", path, query, contentType: "application/apply-patch+yaml", body });
  }

  async function writeAll(): Promise<void> {
    for (const [endpoint, saved] of [...waiting]) {
      if (!options.leads()) {
        waiting.clear();
        return;
      }
      try {
        await write(endpoint, saved);
        if (waiting.get(endpoint) === saved) waiting.delete(endpoint);
        troubled = false;
      } catch (error) {
        if (!troubled) log("warn", `the state of ${endpoint} cannot be kept for the next leader: ${messageOf(error)}`);
        troubled = true;
        return;
      }
    }
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
      for (const { metadata, binaryData } of list.items) {
        const endpoint = metadata.annotations?.[endpointAnnotation];
        const packed = binaryData?.[key];
        if (endpoint === undefined || packed === undefined) continue;
        try {
          states.set(endpoint, JSON.parse(gunzipSync(Buffer.from(packed, "base64")).toString("utf8")) as Saved);
        } catch (error) {
          log("warn", `ConfigMap ${metadata.name} cannot be read, ${endpoint} starts afresh: ${messageOf(error)}`);
        }
      }
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
