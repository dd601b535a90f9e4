import { type ConfigIssue, checkDocuments, checkDoor, checkFleet, formatIssue, type SecretSources } from "../config/index.ts";
import { type Clock, type DoorEndpoint, type Endpoint, type Fleet, type Log, type Ms, TidegateError } from "../model/index.ts";
import { type Follow, follow, isStatus, type KubernetesApi, type KubernetesObject } from "../platforms/index.ts";
import { collectionPath, documentOf, type OwnKind, type OwnObject } from "./objects.ts";
import { refusedInCluster } from "./trust.ts";

export interface SourceOptions {
  readonly api: KubernetesApi;
  /** null: all of the cluster. */
  readonly namespaces: readonly string[] | null;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ConfigSourceOptions extends SourceOptions {
  readonly secrets: SecretSources;
  /** Called when something that matters has changed; not for what was there at the start. */
  onChange(config: ClusterConfig): void;
}

/** Why what is written is not what holds; `reason` in CamelCase, for conditions. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

export interface ClusterEndpoint {
  readonly object: OwnObject;
  /** By the newest spec that was valid; null: there was none yet, or the name or model is another one's. */
  readonly endpoint: Endpoint | null;
  readonly problem: Problem | null;
  /** What is worth knowing of a valid one. */
  readonly warnings: readonly string[];
}
export interface ClusterFleet {
  readonly object: OwnObject;
  readonly fleet: Fleet | null;
  readonly problem: Problem | null;
}
/** Oldest first. */
export interface ClusterConfig {
  readonly endpoints: readonly ClusterEndpoint[];
  readonly fleets: readonly ClusterFleet[];
}

export interface ConfigSource {
  current(): ClusterConfig;
  close(): void;
}

/** Changes that come together are one change. */
const settleMs: Ms = 100;
/** A kind that is not there, or that we may not read, is asked for again this often. */
const againMs: Ms = 60_000;

interface ManifestKind {
  readonly kind: string;
  readonly apiVersion: string;
  readonly plural: string;
}
/** Other autoscalers' documents that can stand in for an Endpoint's policy. */
const MANIFESTS: readonly ManifestKind[] = [
  { kind: "HorizontalPodAutoscaler", apiVersion: "autoscaling/v2", plural: "horizontalpodautoscalers" },
  { kind: "ScaledObject", apiVersion: "keda.sh/v1alpha1", plural: "scaledobjects" },
];

interface ManifestObject extends KubernetesObject {
  readonly spec?: { readonly scaleTargetRef?: { readonly name?: string } };
}

/** A collection of manifests: whether the first answer has come, and what was refused. */
interface Asked {
  close: () => void;
  settled: boolean;
  denied: string | null;
}

/** A collection of objects by uid. */
interface Collection<Item extends KubernetesObject> {
  readonly items: ReadonlyMap<string, Item>;
  readonly following: Follow;
}

/**
 * Endpoint and Fleet objects of a cluster, read as a file's documents are and kept up to date.
 * - One that is wrong does not touch the others, and its own last valid spec goes on.
 * - Where an Endpoint has no policy, HorizontalPodAutoscalers and ScaledObjects of its namespace are read too; only then.
 * - Names and models are one endpoint's each, as in a file; the older object keeps them.
 *
 * @throws KubernetesError where Endpoints or Fleets cannot be listed at the start
 */
export async function followConfig(options: ConfigSourceOptions): Promise<ConfigSource> {
  const { clock, log } = options;
  const namespaces: readonly (string | null)[] = options.namespaces ?? [null];
  const manifests = new Map<string, ReadonlyMap<string, ManifestObject>>();
  const asked = new Map<string, Asked>();
  const valid = new Map<string, Endpoint>();
  const checked = new Map<string, { readonly key: string; readonly result: Omit<ClusterEndpoint, "object"> }>();
  let current: ClusterConfig = { endpoints: [], fleets: [] };
  let said = "";
  let cancelSettle: (() => void) | null = null;
  let started = false;
  let closed = false;

  const endpoints = namespaces.map((namespace) => collection<OwnObject>(options, collectionPath("Endpoint", namespace), changed));
  const fleets = namespaces.map((namespace) => collection<OwnObject>(options, collectionPath("Fleet", namespace), changed));

  function changed(): void {
    if (!started || closed) return;
    cancelSettle ??= clock.after(settleMs, () => {
      cancelSettle = null;
      if (closed) return;
      const before = said;
      refresh();
      if (said !== before) options.onChange(current);
    });
  }

  function refresh(): void {
    const objects = inOrder(endpoints.flatMap(({ items }) => [...items.values()]));
    if (objects.some(({ spec }) => spec?.["policy"] === undefined)) askManifests();
    const uids = new Set(objects.map(({ metadata }) => metadata.uid));
    for (const known of [valid, checked]) for (const uid of [...known.keys()]) if (!uids.has(uid)) known.delete(uid);
    const names = new Map<string, string>();
    const models = new Map<string, string>();
    const all = objects.flatMap((object): readonly ClusterEndpoint[] => {
      const own = check(object);
      if (own === null) return [];
      const { name, namespace = "default" } = object.metadata;
      const place = `${namespace}/${name}`;
      const holder = names.get(name);
      if (holder !== undefined) {
        const message = `metadata.name: is taken by the older Endpoint ${holder} in this controller; rename one, or run a controller for each namespace`;
        return [{ object, endpoint: null, problem: { reason: "NameTaken", message }, warnings: [] }];
      }
      names.set(name, place);
      const { endpoint } = own;
      const served = endpoint === null ? undefined : models.get(endpoint.model);
      if (endpoint !== null && served !== undefined) {
        const message = `spec.model: is served by the older Endpoint ${served} (value ${JSON.stringify(endpoint.model)}); give each its own model name`;
        return [{ object, endpoint: null, problem: { reason: "ModelTaken", message }, warnings: [] }];
      }
      if (endpoint !== null) models.set(endpoint.model, place);
      return [{ object, ...own }];
    });
    const budgets = inOrder(fleets.flatMap(({ items }) => [...items.values()])).map((object, at, [first]) => {
      const { fleet, issues } = checkFleet(documentOf("Fleet", object), nameOf("Fleet", object));
      if (issues.length > 0)
        return { object, fleet: null, problem: { reason: "ConfigInvalid", message: messageOf(issues, object, "Fleet") } };
      if (at === 0 || first === undefined) return { object, fleet, problem: null };
      const message = `is a second Fleet beside ${nameOf("Fleet", first)}; keep one: a controller has one budget`;
      return { object, fleet: null, problem: { reason: "SecondFleet", message } };
    });
    current = { endpoints: all, fleets: budgets };
    said = JSON.stringify([
      all.map(({ object: { metadata }, endpoint, problem, warnings }) => [metadata.uid, metadata.generation, endpoint, problem, warnings]),
      budgets.map(({ object: { metadata }, fleet, problem }) => [metadata.uid, metadata.generation, fleet, problem]),
    ]);
  }

  /** null: it cannot be told yet. */
  function check(object: OwnObject): Omit<ClusterEndpoint, "object"> | null {
    const { uid, generation } = object.metadata;
    const bound = boundTo(object);
    // While its manifests are read, what held before goes on.
    if (bound === null) return checked.get(uid)?.result ?? null;
    const key = JSON.stringify([generation, bound]);
    const before = checked.get(uid);
    if (before?.key === key) return before.result;
    const refused = refusedInCluster(object);
    const found =
      refused.length > 0
        ? { endpoints: [], issues: [], warnings: [] }
        : checkDocuments([documentOf("Endpoint", object), ...bound.documents], { ...options.secrets, name: nameOf("Endpoint", object) });
    const [fresh] = found.endpoints;
    if (fresh !== undefined) valid.set(uid, fresh);
    const wrong = refused.length > 0 ? refused.join("\n") : messageOf(found.issues, object, "Endpoint");
    const denied = bound.denied === null ? "" : `\n${bound.denied}`;
    const result = {
      endpoint: valid.get(uid) ?? null,
      problem: fresh === undefined ? { reason: refused.length > 0 ? "NotInCluster" : "ConfigInvalid", message: `${wrong}${denied}` } : null,
      warnings: fresh === undefined ? [] : found.warnings.map((issue) => withoutPlace(issue, object, "Endpoint")),
    };
    checked.set(uid, { key, result });
    return result;
  }

  // ── what may stand in for a policy ────────────────────────────────────────────────────────────────────────────────────────────

  /** The manifests that may be bound to it; null: they are being read. */
  function boundTo(object: OwnObject): { readonly documents: readonly unknown[]; readonly denied: string | null } | null {
    if (object.spec?.["policy"] !== undefined) return { documents: [], denied: null };
    const platform = object.spec?.["platform"] as { readonly target?: { readonly name?: string } } | undefined;
    const documents: unknown[] = [];
    const denied: string[] = [];
    for (const kind of MANIFESTS)
      for (const namespace of namespaces.filter((one) => one === null || one === object.metadata.namespace)) {
        const where = `${kind.plural} ${namespace ?? ""}`;
        const state = asked.get(where);
        if (state === undefined || !state.settled) return null;
        if (state.denied !== null) denied.push(state.denied);
        for (const { metadata, spec } of manifests.get(where)?.values() ?? [])
          if (metadata.namespace === object.metadata.namespace && spec?.scaleTargetRef?.name === platform?.target?.name) {
            const { name, namespace: own, annotations } = metadata;
            documents.push({ apiVersion: kind.apiVersion, kind: kind.kind, metadata: { name, namespace: own, annotations }, spec });
          }
      }
    return { documents, denied: denied.length === 0 ? null : denied.join("\n") };
  }

  function askManifests(): void {
    for (const kind of MANIFESTS)
      for (const namespace of namespaces) if (!asked.has(`${kind.plural} ${namespace ?? ""}`)) ask(kind, namespace);
  }

  function ask(kind: ManifestKind, namespace: string | null): void {
    const where = `${kind.plural} ${namespace ?? ""}`;
    const path = `/apis/${kind.apiVersion}${namespace === null ? "" : `/namespaces/${encodeURIComponent(namespace)}`}/${kind.plural}`;
    const state: Asked = asked.get(where) ?? { close: () => {}, settled: false, denied: null };
    asked.set(where, state);
    const found = collection<ManifestObject>({ ...options, log: quiet(log) }, path, changed);
    state.close = found.following.close;
    found.following.first
      .then(
        () => {
          state.denied = null;
          manifests.set(where, found.items);
        },
        (error: unknown) => {
          if (!isStatus(error, 403) && !isStatus(error, 404)) return void manifests.set(where, found.items);
          // KEDA may not be installed, and who has no use for manifests need not grant them.
          if (isStatus(error, 403)) state.denied = error.message;
          found.following.close();
          if (!closed) state.close = clock.after(againMs, () => ask(kind, namespace));
        },
      )
      .finally(() => {
        state.settled = true;
        changed();
      });
  }

  const close = () => {
    closed = true;
    cancelSettle?.();
    for (const { following } of [...endpoints, ...fleets]) following.close();
    for (const state of asked.values()) state.close();
  };
  try {
    await Promise.all([...endpoints, ...fleets].map(({ following }) => following.first));
  } catch (error) {
    close();
    throw withWayOut(error);
  }
  refresh();
  started = true;
  return {
    current: () => current,
    close,
  };
}

export interface DoorSourceOptions extends SourceOptions {
  /** What a gateway should know, oldest first. */
  onChange(doors: readonly DoorEndpoint[]): void;
}

/**
 * Endpoint objects as a gateway knows them; needs no right but to read them. One that is wrong stays as it last was.
 * @throws KubernetesError where Endpoints cannot be listed at the start
 */
export async function followDoors(options: DoorSourceOptions): Promise<{ close(): void }> {
  const known = new Map<string, DoorEndpoint>();
  let said = "";
  const all = (options.namespaces ?? [null]).map((namespace) =>
    collection<OwnObject>(options, collectionPath("Endpoint", namespace), refresh),
  );
  function refresh(): void {
    const doors = inOrder(all.flatMap(({ items }) => [...items.values()])).flatMap((object) => {
      const { uid } = object.metadata;
      const { door, issues } = checkDoor(documentOf("Endpoint", object), nameOf("Endpoint", object));
      if (door !== null) known.set(uid, door);
      else if (known.has(uid)) options.log("warn", `${messageOf(issues, object, "Endpoint")}: its last valid spec goes on`);
      return known.get(uid) ?? [];
    });
    const first = doors.filter((door, at) => doors.findIndex(({ name, model }) => name === door.name || model === door.model) === at);
    const text = JSON.stringify(first);
    if (text === said) return;
    said = text;
    options.onChange(first);
  }
  const close = () => {
    for (const { following } of all) following.close();
  };
  try {
    await Promise.all(all.map(({ following }) => following.first));
  } catch (error) {
    close();
    throw withWayOut(error);
  }
  return { close };
}

function collection<Item extends KubernetesObject>(
  { api, clock, log }: SourceOptions,
  path: string,
  changed: () => void,
): Collection<Item> {
  const items = new Map<string, Item>();
  const following = follow<Item>({
    ...{ api, path, query: {}, clock, log },
    onList(all) {
      items.clear();
      for (const item of all) items.set(item.metadata.uid, item);
      changed();
    },
    onChange(type, item) {
      const before = items.get(item.metadata.uid);
      if (type === "deleted") items.delete(item.metadata.uid);
      else items.set(item.metadata.uid, item);
      // Most changes are of a status, our own among them.
      if (type === "deleted" || before === undefined || !sameSpec(before, item)) changed();
    },
  });
  return { items, following };
}

function sameSpec(a: KubernetesObject & { readonly spec?: unknown }, b: KubernetesObject & { readonly spec?: unknown }): boolean {
  if (a.metadata.generation !== undefined && a.metadata.generation !== b.metadata.generation) return false;
  return JSON.stringify([a.spec, a.metadata.annotations]) === JSON.stringify([b.spec, b.metadata.annotations]);
}

/** A cluster that does not know our kinds says no more than 404. */
const withWayOut = (error: unknown): unknown =>
  isStatus(error, 404)
    ? new TidegateError(
        "platform/refused",
        `${error.message.trim()}: the cluster does not know Endpoints and Fleets; install them with: tidegate crd | kubectl apply --server-side -f -`,
        { retryable: true, cause: error },
      )
    : error;

/** Oldest first, so that who was there first keeps name and model. */
function inOrder(objects: readonly OwnObject[]): readonly OwnObject[] {
  const age = ({ metadata }: OwnObject) => Date.parse(metadata.creationTimestamp);
  const place = ({ metadata }: OwnObject) => `${metadata.namespace}/${metadata.name}`;
  return objects.toSorted((a, b) => age(a) - age(b) || (place(a) < place(b) ? -1 : 1));
}

const nameOf = (kind: OwnKind, { metadata }: OwnObject) => `${kind} ${metadata.namespace}/${metadata.name}`;

/** The object is known to the reader; what is said of other documents names them. */
function withoutPlace(issue: ConfigIssue, object: OwnObject, kind: OwnKind): string {
  const path = issue.path.replace(/^document 1 ?/, "");
  return formatIssue({ ...issue, path }).replace(`${nameOf(kind, object)} `, "");
}
const messageOf = (issues: readonly ConfigIssue[], object: OwnObject, kind: OwnKind) =>
  issues.map((issue) => withoutPlace(issue, object, kind)).join("\n");

/** That a kind is not there is said once and at a level that nobody is woken for. */
const quiet =
  (log: Log): Log =>
  (level, message, fields) =>
    log(level === "warn" ? "debug" : level, message, fields);
