import { type Clock, type Log, type Ms, messageOf } from "../model/index.ts";
import { isStatus, type KubernetesApi, type KubernetesObject } from "../platforms/index.ts";

export interface LeadershipOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** No two controllers may share it: a pod's name and something random. */
  readonly identity: string;
  /** Where our admin API is, written on the lease while we lead; absent: nobody is told. */
  readonly url?: string;
  /** A lease that nobody renewed for so long may be taken. */
  readonly leaseMs?: Ms;
  /** Who could not renew for so long acts no more. Shorter than `leaseMs`: the difference is what keeps two from acting at once. */
  readonly renewDeadlineMs?: Ms;
  readonly retryMs?: Ms;
  readonly clock: Clock;
  readonly log: Log;
}

/** Which of several controllers acts. */
export interface Leadership {
  /** Whether we may act at this very moment: false as soon as the renew deadline has passed, whoever noticed. */
  leads(): boolean;
  /** Who holds the lease as far as we know; null: nobody. */
  holder(): string | null;
  /** Where the holder's admin API is, as far as we know. */
  holderUrl(): string | null;
  /** Calls back when `leads` changed. @returns a function that ends it */
  onChange(listener: () => void): () => void;
  /** Gives the lease back, so that the next one need not wait for its end. */
  close(): Promise<void>;
}

const urlAnnotation = "tidegate.dev/admin-url";

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}
interface Lease extends KubernetesObject {
  readonly spec?: LeaseSpec;
}

/**
 * Leader election on a coordination.k8s.io/v1 Lease. No two clocks are compared: a follower takes the lease over when its record has not
 * changed for the lease's duration by the follower's own clock, and a leader counts its deadline from before it asked. A leader whose
 * process stood still for long therefore finds on waking that it no longer leads.
 * Source: Kubernetes, "Leases", and the rules of client-go's leader election (lease, renew deadline, retry period).
 * @throws TidegateError `platform/refused` when `renewDeadlineMs` leaves no room
 */
export function joinElection(options: LeadershipOptions): Leadership {
  const { api, namespace, name, identity, clock, log } = options;
  const { leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = options;
  if (!(retryMs < renewDeadlineMs && renewDeadlineMs < leaseMs))
    throw new RangeError(`retryMs (${retryMs}) < renewDeadlineMs (${renewDeadlineMs}) < leaseMs (${leaseMs}) does not hold`);
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
  const path = `${collection}/${encodeURIComponent(name)}`;
  const listeners = new Set<() => void>();
  const closing = new AbortController();
  /** The record as last seen, and when it was first seen so. */
  let seen: { readonly record: string; readonly spec: LeaseSpec; readonly sinceMs: Ms } | null = null;
  let seenUrl: string | null = null;
  /** When we last asked for what was then granted; null: we do not hold the lease. */
  let renewedAtMs: Ms | null = null;
  let said = false;
  let cancelDeadline = () => {};

  const leads = () => renewedAtMs !== null && clock.now() < renewedAtMs + renewDeadlineMs;

  function tell(): void {
    const now = leads();
    if (now === said) return;
    said = now;
    if (now) log("info", `${identity} leads (lease ${namespace}/${name})`);
    else log("warn", `${identity} leads no more (lease ${namespace}/${name}): it stops acting`);
    for (const listener of [...listeners]) {
      try {
        listener();
      } catch (error) {
        log("error", `a listener of the election failed: ${messageOf(error)}`);
      }
    }
  }

  function remember(spec: LeaseSpec): void {
    const record = JSON.stringify(spec);
    if (seen?.record !== record) seen = { record, spec, sinceMs: clock.now() };
  }

  const mine = (before: LeaseSpec | null): LeaseSpec => {
    const now = microTime(clock.now());
    const held = before?.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseMs / 1000),
      acquireTime: held ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before?.leaseTransitions ?? 0) + (held || before === null ? 0 : 1),
    };
  };

  /** One try to take or renew the lease. @throws KubernetesError */
  async function attempt(): Promise<void> {
    const askedAtMs = clock.now();
    let lease: Lease | null = null;
    try {
      lease = await api.ask<Lease>({ path, urgent: true, signal: closing.signal });
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
    const spec = lease?.spec ?? null;
    if (spec !== null) remember(spec);
    seenUrl = lease?.metadata.annotations?.[urlAnnotation] ?? null;
    const other = spec?.holderIdentity !== undefined && spec.holderIdentity !== "" && spec.holderIdentity !== identity;
    if (other) {
      const freeAtMs = (seen?.sinceMs ?? askedAtMs) + (spec.leaseDurationSeconds ?? leaseMs / 1000) * 1000;
      if (clock.now() < freeAtMs) return lose();
    }
    const next = mine(spec);
    try {
      const { resourceVersion, labels = {}, annotations = {} } = lease?.metadata ?? {};
      const { [urlAnnotation]: _, ...others } = annotations;
      const own = options.url === undefined ? others : { ...others, [urlAnnotation]: options.url };
      const metadata = { name, namespace, labels, annotations: own, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
      const body = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: next };
      const written = await api.ask<Lease>({
        ...(lease === null ? { method: "POST", path: collection } : { method: "PUT", path }),
        ...{ body, urgent: true, signal: closing.signal },
      });
      remember(written.spec ?? next);
      seenUrl = options.url ?? null;
    } catch (error) {
      if (!isStatus(error, 409)) throw error;
      if (other || spec === null) return lose(); // somebody was quicker; the next look tells who
      throw error;
    }
    renewedAtMs = askedAtMs;
    cancelDeadline();
    cancelDeadline = clock.after(Math.max(0, askedAtMs + renewDeadlineMs - clock.now()), tell);
    tell();
  }

  function lose(): void {
    renewedAtMs = null;
    cancelDeadline();
    tell();
  }

  async function run(): Promise<void> {
    let failing = false;
    while (!closing.signal.aborted) {
      try {
        await attempt();
        failing = false;
      } catch (error) {
        if (closing.signal.aborted) return;
        if (!failing) log("warn", `lease ${namespace}/${name} could not be ${leads() ? "renewed" : "read"}: ${messageOf(error)}`);
        failing = true;
        tell();
      }
      await clock.sleep(retryMs, closing.signal).catch(() => {});
    }
  }
  const running = run();

  return {
    leads,
    holder: () => seen?.spec.holderIdentity || null,
    holderUrl: () => (seen?.spec.holderIdentity ? seenUrl : null),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      if (closing.signal.aborted) return;
      const held = leads();
      closing.abort(new Error("closed"));
      cancelDeadline();
      await running;
      renewedAtMs = null;
      tell();
      if (!held) return;
      try {
        const lease = await api.ask<Lease>({ path });
        if (lease.spec?.holderIdentity !== identity) return;
        const { resourceVersion, labels = {} } = lease.metadata;
        const metadata = { name, namespace, labels, resourceVersion };
        const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: microTime(clock.now()) };
        await api.ask({ method: "PUT", path, body: { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec } });
      } catch (error) {
        log("info", `the lease ${namespace}/${name} could not be given back, it runs out by itself: ${messageOf(error)}`);
      }
    },
  };
}

/** RFC 3339 with microseconds, as a Lease's times are. */
const microTime = (atMs: Ms): string => new Date(atMs).toISOString().replace("Z", "000Z");
