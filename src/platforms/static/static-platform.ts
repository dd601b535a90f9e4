import { type Endpoint, type Ms, messageOf, type Replica, type ReplicaState, TidegateError } from "../../model/index.ts";
import { askHealth, FAILED_CHECKS, type HealthAnswer, healthPace, joinUrl } from "../health.ts";
import type { Platform, PlatformContext, PlatformReplica } from "../platform.ts";

interface Unit {
  readonly id: string;
  readonly url: string;
  state: "starting" | "ready" | "failed";
  readonly entered: Partial<Record<ReplicaState, Ms>>;
  sinceMs: Ms;
  trouble: Replica["trouble"];
  message: string | null;
  failedChecks: number;
}

/**
 * A fixed list of URLs that somebody else runs, as `replica-1`, `replica-2`, … of the endpoint's first pool. They are `starting` until
 * their first healthy answer (503 is an engine that loads), `failed` after three bad answers in a row, and `ready` again on a good one.
 * The number is only recommended: `scale` logs the recommendation when it changes and answers `refused`.
 */
export async function staticPlatform(endpoint: Endpoint, context: PlatformContext): Promise<Platform> {
  if (endpoint.platform.kind !== "static") {
    throw new TidegateError("platform/refused", `endpoint ${endpoint.name} has platform ${endpoint.platform.kind}, not static`);
  }
  const { clock } = context;
  const pace = healthPace(clock.speed);
  const first = endpoint.pools[0]?.name ?? "default";
  const pools = endpoint.pools.length === 0 ? [first] : endpoint.pools.map(({ name }) => name);
  const recommended = new Map<string, number>();
  const listeners = new Set<() => void>();
  const closing = new AbortController();
  const units: readonly Unit[] = endpoint.platform.urls.map((url, at) => ({
    id: `replica-${at + 1}`,
    url: url.replace(/\/+$/, ""),
    state: "starting",
    entered: { starting: clock.now() },
    sinceMs: clock.now(),
    trouble: undefined,
    message: null,
    failedChecks: 0,
  }));

  function enter(unit: Unit, state: Unit["state"]): void {
    if (unit.state === state) return;
    unit.state = state;
    unit.entered[state] ??= clock.now();
    unit.sinceMs = clock.now();
    context.log(state === "failed" ? "warn" : "info", unit.message ?? `${unit.id} (${unit.url}) is ${state}`, { replica: unit.id });
    for (const listener of [...listeners]) {
      try {
        listener();
      } catch (error) {
        context.log("error", `a listener of platform ${endpoint.name} failed: ${messageOf(error)}`);
      }
    }
  }

  function judge(unit: Unit, answer: HealthAnswer): void {
    if (answer.healthy) {
      unit.failedChecks = 0;
      unit.trouble = undefined;
      unit.message = null;
      enter(unit, "ready");
      return;
    }
    if (unit.state === "starting" && answer.status === 503) return;
    unit.failedChecks++;
    if (unit.failedChecks < FAILED_CHECKS) return;
    unit.message = `${unit.id} (${unit.url}) failed ${unit.failedChecks} health checks in a row (${endpoint.engine.healthPath}: ${answer.said})`;
    unit.trouble ??= { code: "unhealthy", sinceMs: clock.now() };
    enter(unit, "failed");
  }

  async function watch(unit: Unit): Promise<void> {
    const { signal } = closing;
    try {
      while (!signal.aborted) {
        const answer = await askHealth(joinUrl(unit.url, endpoint.engine.healthPath), pace.timeoutRealMs, signal);
        if (signal.aborted) return;
        judge(unit, answer);
        await clock.sleep(unit.state === "starting" ? pace.startingMs : pace.readyMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) context.log("error", `health of ${unit.id} is no longer watched: ${messageOf(error)}`, { replica: unit.id });
    }
  }
  for (const unit of units) void watch(unit);

  return {
    kind: "static",
    acts: false,
    async status() {
      const count = (pool: string) => (pool === first ? units.length : 0);
      return {
        pools: Object.fromEntries(pools.map((pool) => [pool, { wanted: count(pool), reported: count(pool), otherWriter: false }])),
        replicas: units.map(
          ({ id, url, state, entered, sinceMs, trouble, message }): PlatformReplica => ({
            ...{ id, url, state, pool: first, entered: { ...entered }, readiness: { status: state === "ready", sinceMs } },
            ...(trouble === undefined ? {} : { trouble }),
            ...(message === null ? {} : { message }),
          }),
        ),
      };
    },
    async scale(pool, { replicas }) {
      if (!pools.includes(pool)) {
        throw new TidegateError("platform/refused", `endpoint ${endpoint.name} has no pool ${pool}; it has ${pools.join(", ")}`);
      }
      if (recommended.get(pool) !== replicas) {
        context.log("info", `${endpoint.name}/${pool}: ${replicas} replicas recommended, ${units.length} are in the list`, {
          pool,
          replicas,
        });
      }
      recommended.set(pool, replicas);
      return "refused";
    },
    drained() {},
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      closing.abort();
    },
  };
}
