import type { Clock, Log } from "../../model/index.ts";
import type { KubernetesApi } from "./api.ts";
import { type Follow, follow } from "./follow.ts";
import { type LabelSelector, parseLabelSelector } from "./label-selector.ts";
import type { Pod } from "./objects.ts";

export interface FollowPodsOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  readonly selector: string;
  readonly clock: Clock;
  readonly log: Log;
  onList(pods: readonly Pod[]): void;
  onChange(type: "changed" | "deleted", pod: Pod): void;
}

/** From so many pools of one namespace on, its pods are listed and watched once for all of them. */
const sharedFrom = 4;

interface Subscriber {
  readonly options: FollowPodsOptions;
  readonly matches: LabelSelector;
  /** Its own list and watch; null: it is served by the shared one. */
  own: Follow | null;
  listed(): void;
  failed(error: unknown): void;
}

/** One for each namespace of an API server; gone with its last subscriber. */
interface Feed {
  readonly subscribers: Set<Subscriber>;
  shared: { readonly follow: Follow; readonly pods: Map<string, Pod>; listed: boolean } | null;
}

const feeds = new WeakMap<KubernetesApi, Map<string, Feed>>();

/**
 * The pods of one pool. A few pools of a namespace have a list and a watch each, by their selectors; many share one of the whole
 * namespace, so that a start or the loss of the server's window costs one list, not one for each.
 */
export function followPods(options: FollowPodsOptions): Follow {
  const { api, namespace } = options;
  const matches = parseLabelSelector(options.selector);
  if (matches === null) return followOwn(options);
  const known = feeds.get(api) ?? new Map<string, Feed>();
  feeds.set(api, known);
  const feed = known.get(namespace) ?? { subscribers: new Set(), shared: null };
  known.set(namespace, feed);

  const { promise: first, resolve: listed, reject: failed } = Promise.withResolvers<void>();
  first.catch(() => {});
  const subscriber: Subscriber = { options, matches, own: null, listed, failed };
  feed.subscribers.add(subscriber);
  if (feed.shared !== null) {
    if (feed.shared.listed) tell(subscriber, feed.shared.pods.values());
  } else if (feed.subscribers.size >= sharedFrom) share(feed, options);
  else {
    subscriber.own = followOwn(options);
    subscriber.own.first.then(listed, (error: unknown) => subscriber.own !== null && failed(error));
  }
  return {
    first,
    trouble: () => (subscriber.own ?? feed.shared?.follow)?.trouble() ?? null,
    close() {
      subscriber.own?.close();
      feed.subscribers.delete(subscriber);
      if (feed.subscribers.size > 0) return;
      feed.shared?.follow.close();
      known.delete(namespace);
    },
  };
}

const pathOf = (namespace: string) => `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;

const followOwn = ({ api, namespace, selector, clock, log, onList, onChange }: FollowPodsOptions): Follow =>
  follow<Pod>({ api, clock, log, path: pathOf(namespace), query: { labelSelector: selector }, onList, onChange });

function share(feed: Feed, { api, namespace, clock, log }: FollowPodsOptions): void {
  const pods = new Map<string, Pod>();
  const shared = {
    pods,
    listed: false,
    follow: follow<Pod>({
      ...{ api, clock, log, path: pathOf(namespace), query: {} },
      onList(items) {
        pods.clear();
        for (const item of items) pods.set(item.metadata.uid, lean(item));
        shared.listed = true;
        for (const subscriber of [...feed.subscribers]) tell(subscriber, pods.values());
      },
      onChange(type, item) {
        const { uid } = item.metadata;
        const before = pods.get(uid);
        const pod = lean(item);
        if (type === "deleted") pods.delete(uid);
        else pods.set(uid, pod);
        for (const { matches, options } of [...feed.subscribers]) {
          const isOne = matches(labelsOf(pod));
          if (isOne) options.onChange(type, pod);
          else if (before !== undefined && matches(labelsOf(before))) options.onChange("deleted", pod);
        }
      },
    }),
  };
  feed.shared = shared;
  shared.follow.first.catch((error: unknown) => {
    for (const subscriber of [...feed.subscribers]) subscriber.failed(error);
  });
  // Until the shared list comes, what these know stands; it is newer than anything they could tell by then.
  for (const subscriber of feed.subscribers) {
    subscriber.own?.close();
    subscriber.own = null;
  }
}

function tell({ options, matches, listed }: Subscriber, pods: Iterable<Pod>): void {
  options.onList([...pods].filter((pod) => matches(labelsOf(pod))));
  listed();
}

const labelsOf = ({ metadata }: Pod) => metadata.labels ?? {};

/** Only what we read: pods of others are kept too, for pools that come later. */
function lean({ metadata, spec, status }: Pod): Pod {
  const { managedFields: _, ...meta } = metadata;
  const containers = spec.containers.map(({ name, ports, startupProbe, resources }) => ({
    name,
    ...(ports === undefined ? {} : { ports }),
    ...(startupProbe === undefined ? {} : { startupProbe }),
    ...(resources === undefined ? {} : { resources }),
  }));
  return {
    metadata: meta,
    spec: {
      containers,
      ...(spec.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
      ...(spec.readinessGates === undefined ? {} : { readinessGates: spec.readinessGates }),
    },
    ...(status === undefined ? {} : { status }),
  };
}
