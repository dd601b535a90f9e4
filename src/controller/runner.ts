import type { Entry, History } from "../history/index.ts";
import { createDoorSeries, LEDGER_NAMES, mergeReports, mergeSlots } from "../ledger/index.ts";
import {
  type Cause,
  type Clock,
  type Condition,
  type Decision,
  type Door,
  type DoorBound,
  type DoorEndpoint,
  type DoorReport,
  type DoorTotals,
  type Endpoint,
  type Log,
  type Ms,
  messageOf,
  type Outcome,
  type Policy,
  type Replica,
  type Route,
  type Series,
  type Slot,
  TidegateError,
} from "../model/index.ts";
import type { Platform, PlatformStatus } from "../platforms/index.ts";
import { shareOfBound } from "../routing/index.ts";
import type { Collector } from "../signals/index.ts";
import { Books } from "./books.ts";
import { DecisionLines } from "./decision-lines.ts";
import { desiredCounts, desiredView, readingsOf } from "./desired.ts";
import { createDrains } from "./drains.ts";
import type { Metrics } from "./metrics.ts";
import type { Counts, Quota } from "./quota.ts";
import { createSampleStore } from "./samples.ts";
import { createLoop, isCarriedOut, type Loop, type Order, type Pin } from "./step.ts";
import type { DesiredView, EndpointView, Point, SignalReading } from "./view.ts";

/** How often the surroundings are looked at between decisions: routes, drains, charts. */
const tickMs: Ms = 1000;
/** Between two looks, however long one took. */
const shortestPauseMs: Ms = 50;
/** Routes are said again this often, so that a gateway that restarted learns them. */
const repeatRoutesMs: Ms = 5000;
/** Rows of the ledger kept while the policy cannot be asked; the oldest go first. */
const keptSlots = 20_000;

export interface RunnerOptions {
  readonly endpoint: Endpoint;
  readonly policy: Policy;
  readonly platform: Platform;
  readonly collector: Collector;
  /** Empty where no gateway of ours is in the path. */
  readonly doors: readonly Door[];
  readonly history: History;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** The budget that this endpoint shares with others. */
  readonly quota: Quota;
  /** Called after each look, and the decision where there was one. */
  readonly onLook: () => void;
  /** Of the loop that another spec of this endpoint had. */
  readonly past?: Past;
}

/** What a loop leaves to the one that takes over from it, beside the policy's state, which is in the history. */
export interface Past {
  readonly books: Books;
  readonly decisions: DecisionLines;
  readonly status: PlatformStatus | null;
  readonly desired: Counts | null;
  readonly desiredAtMs: Ms | null;
}

/** One endpoint's loop in the world: gathers, asks the policy when it is due, carries out, records. */
export interface Runner {
  readonly name: string;
  view(): EndpointView;
  /** Points newer than `sinceMs`, oldest first. */
  points(sinceMs: Ms): readonly Point[];
  desired(): DesiredView;
  /** The newest reading of a signal by every subject. */
  readings(signal: string): readonly SignalReading[];
  /** Decides at once where the policy wakes on this cause. */
  wake(cause: Cause): void;
  /** Decides at once, whatever the policy wakes on: its share of a budget has changed. */
  ask(): void;
  pause(untilMs: Ms | null): void;
  pin(pin: Pin | null): void;
  /** Ready: the last look at platform and doors went well. */
  healthy(): boolean;
  stop(how: "leave" | "end"): Promise<void>;
  /** Ends the loop and saves its state, but leaves the platform open: for a loop that takes over. */
  release(): Promise<Past>;
  /** Ends every replica without waiting for what is in flight: for a second signal. */
  endNow(): Promise<void>;
}

interface Trouble {
  readonly code: string;
  readonly text: string;
  readonly sinceMs: Ms;
}

export function startRunner(options: RunnerOptions): Runner {
  const { endpoint, policy, platform, collector, doors, history, clock, metrics, log, quota } = options;
  const saved = history.load(endpoint.name);
  const loop: Loop = createLoop(endpoint, policy, platform.acts, saved);
  /** What the config asks a Prometheus server for is taken from there. */
  const queried = new Set(endpoint.prometheus?.queries.map(({ signal }) => signal));
  const doorSeries = createDoorSeries({ names: new Set([...LEDGER_NAMES].filter((name) => !queried.has(name))) });
  const doorEndpoint: DoorEndpoint = {
    name: endpoint.name,
    model: endpoint.model,
    objective: endpoint.objective,
    limits: endpoint.gateway,
  };
  /** Up to where each door has reported, and up to where the policy has been told. */
  const cursors: (string | null)[] = doors.map((_, at) => loop.cursors[at] ?? null);
  let toldCursors: readonly (string | null)[] = [...cursors];
  const troubles = new Map<string, Trouble>();
  const drains = createDrains();
  const routesSaid = { text: "", atMs: Number.NEGATIVE_INFINITY };
  const books = options.past?.books.takeOver(endpoint) ?? new Books(endpoint, clock.now());
  const decisions = options.past?.decisions ?? new DecisionLines();
  let pendingSlots: Slot[] = [];
  let pendingEntries: Entry[] = [];
  let status: PlatformStatus | null = options.past?.status ?? null;
  let lastReport: DoorReport | null = null;
  /** When it was asked for. */
  let reportAskedMs: Ms = Number.NEGATIVE_INFINITY;
  let series: readonly Series[] = [];
  const samples = createSampleStore();
  let pendingCause: Cause | null = null;
  let running: Promise<void> | null = null;
  let cancelTimer: () => void = () => {};
  /** When it was last seen whether the policy is due. */
  let lookedAtMs: Ms = Number.NEGATIVE_INFINITY;
  let stopped = false;
  let lastConditions: readonly Condition[] = [];
  let limited: readonly string[] = [];
  let desired: Counts | null = options.past?.desired ?? null;
  let desiredAtMs: Ms | null = options.past?.desiredAtMs ?? null;
  /** Of the last decision; null: there was none yet, so that gateways keep the bounds that they have. */
  let advised: NonNullable<Decision["door"]> | null = null;

  record([loop.started(clock.now())]);

  function trouble(code: string, error: unknown | null): void {
    if (error === null) {
      if (troubles.delete(code)) log("info", `${endpoint.name}: ${code} is well again`);
      return;
    }
    const text = messageOf(error);
    const before = troubles.get(code);
    if (before === undefined) log("warn", `${endpoint.name}: ${text}`, { code });
    troubles.set(code, { code, text, sinceMs: before?.sinceMs ?? clock.now() });
  }

  /** A history that cannot be written must not stop the loop; what is kept back is written when it can be. */
  function record(entries: readonly Entry[]): void {
    pendingEntries.push(...entries);
    try {
      history.append(endpoint.name, pendingEntries);
      pendingEntries = [];
      trouble("history", null);
    } catch (error) {
      // Kept in memory up to a bound; what falls out is a gap, which replay bridges at the next snapshot.
      pendingEntries = pendingEntries.slice(-500);
      trouble("history", error);
    }
  }

  async function look(): Promise<void> {
    try {
      status = await platform.status();
      trouble("platform", null);
    } catch (error) {
      trouble("platform", error);
    }
    const askedMs = clock.now();
    const reports = await Promise.all(
      doors.map(async (door, at) => {
        try {
          const report = await door.report(endpoint.name, cursors[at] ?? null);
          cursors[at] = report.cursor;
          return report;
        } catch (error) {
          return error instanceof Error ? error : new Error(String(error));
        }
      }),
    );
    const failed = reports.find((report): report is Error => report instanceof Error);
    trouble("gateway", failed ?? null);
    const answered = reports.filter((report): report is DoorReport => !(report instanceof Error));
    for (const report of answered) pendingSlots.push(...report.slots);
    pendingSlots = pendingSlots.slice(-keptSlots);
    reportAskedMs = askedMs;
    lastReport = failed === undefined && answered.length > 0 ? mergeReports(answered) : null;
  }

  /** Each gateway's part, as if they shared the traffic evenly. */
  function boundOf(pool: string): DoorBound | null {
    const { order } = endpoint.gateway;
    const bound = order?.perReplica ?? (order?.kind === "late-last" ? advised?.[pool] : undefined);
    return bound === undefined ? null : shareOfBound(bound, doors.length);
  }

  async function route(nowMs: Ms): Promise<void> {
    if (status === null || doors.length === 0) return;
    const routes: Route[] = status.replicas.flatMap((replica) => {
      if (replica.url === null || (replica.state !== "ready" && replica.state !== "draining")) return [];
      const known = advised !== null || endpoint.gateway.order?.perReplica != null;
      const bound = known ? { bound: boundOf(replica.pool) } : {};
      return [{ replica: replica.id, url: replica.url, state: replica.state, ...bound }];
    });
    const text = JSON.stringify(routes);
    if (text === routesSaid.text && nowMs - routesSaid.atMs < repeatRoutesMs) return;
    const said = await Promise.allSettled(doors.map((door) => door.setRoutes(doorEndpoint, routes)));
    const refused = said.find((result) => result.status === "rejected");
    trouble("routes", refused === undefined ? null : refused.reason);
    if (refused !== undefined) return;
    Object.assign(routesSaid, { text, atMs: nowMs });
    drains.said(routes, clock.now());
  }

  /** Ends draining replicas that have nothing left to do. */
  function drain(): void {
    for (const replica of status?.replicas ?? []) {
      if (replica.state !== "draining") continue;
      if (doors.length > 0) {
        if (drains.idle(replica.id, lastReport, reportAskedMs)) platform.drained(replica.id);
      } else {
        const since = replica.entered.draining ?? Number.POSITIVE_INFINITY;
        const fresh = (name: string) => {
          const found = series.find((one) => one.name === name && one.subject.kind === "replica" && one.subject.id === replica.id)?.latest;
          return found !== undefined && found !== null && found.atMs > since ? found.value : null;
        };
        if (fresh("running") === 0 && fresh("waiting") === 0) platform.drained(replica.id);
      }
    }
  }

  function observeSeries(nowMs: Ms): void {
    const engineSeries = collector.collect(nowMs);
    series = doors.length > 0 ? doorSeries(engineSeries, lastReport, nowMs) : engineSeries;
    samples.add(series);
  }

  async function decide(cause: Cause): Promise<void> {
    // Never seen, or its counts are old: there is nothing to decide about, and nobody to ask.
    if (status === null || troubles.has("platform")) return;
    const nowMs = clock.now();
    // A gateway that is silent is not one where nothing happened: its seconds come with a later report.
    const slots = doors.length > 0 && !troubles.has("gateway") ? mergeSlots(pendingSlots) : null;
    if (slots !== null) {
      pendingSlots = [];
      toldCursors = [...cursors];
    }
    const from = Object.values(status.pools).reduce((sum, pool) => sum + pool.wanted, 0);
    const grant = (asked: Counts) => quota.grant(endpoint.name, asked);
    const result = loop.step({ nowMs, cause, status, series: samples.take(), slots, grant });
    record(result.entries);
    advised = endpoint.dryRun ? {} : (result.decision.door ?? {});
    desired = desiredCounts(status.pools, result.orders);
    const done: Entry[] = [];
    for (const order of result.orders) done.push(...loop.settle(order, await carryOut(order), clock.now()));
    if (done.length > 0) {
      record(done);
      status = await platform.status().catch(() => status);
    }
    try {
      history.save(endpoint.name, loop.save(nowMs, toldCursors));
    } catch (error) {
      trouble("history", error);
    }
    const actions = done.flatMap((entry) => (entry.kind === "action" ? [entry.action] : []));
    lastConditions = result.decision.conditions;
    limited = result.limited;
    const line = decisions.add(result.decision, cause, nowMs, from, actions);
    metrics.decision(endpoint.name, line, result.decision);
    if (line.changed) log("info", `${endpoint.name}: ${line.from} → ${line.to} replicas: ${line.reason}`, { seq: line.seq });
  }

  async function carryOut(order: Order): Promise<Outcome["result"]> {
    if (!isCarriedOut(order.by)) return "refused";
    try {
      const result = await platform.scale(order.pool, { kind: "scale", replicas: order.replicas, drain: order.drain });
      trouble("scale", null);
      return result;
    } catch (error) {
      trouble("scale", error);
      return error instanceof TidegateError && error.code === "platform/unreachable" ? "unreachable" : "refused";
    }
  }

  async function tick(): Promise<void> {
    const cause = pendingCause ?? "tick";
    pendingCause = null;
    await look();
    let nowMs = clock.now();
    if (status !== null) {
      // A draining replica carries no new load. Its page is read only where no gateway tells when it is idle.
      const isRead = (state: Replica["state"]) => state === "ready" || (state === "draining" && doors.length === 0);
      collector.targets(
        status.replicas.flatMap((replica) => (replica.url !== null && isRead(replica.state) ? [{ id: replica.id, url: replica.url }] : [])),
      );
    }
    observeSeries(nowMs);
    for (const start of books.account(status, nowMs)) metrics.coldStart(endpoint.name, start);
    if (status !== null) quota.holds(endpoint.name, status);
    await route(nowMs);
    lookedAtMs = nowMs;
    if (loop.due(nowMs, cause)) {
      await decide(cause);
      nowMs = clock.now();
      await route(nowMs);
    }
    drain();
    if (desired !== null && !troubles.has("platform")) desiredAtMs = nowMs;
    metrics.point(endpoint.name, books.chart(status, series, nowMs), status, nowMs, series);
    metrics.desired(desiredView(endpoint, { status, desired, desiredAtMs, series, nowMs }));
    options.onLook();
  }

  function schedule(delayMs: Ms): void {
    cancelTimer();
    if (stopped) return;
    cancelTimer = clock.after(delayMs, run);
  }

  function run(): void {
    if (running !== null || stopped) return;
    cancelTimer();
    const startMs = clock.now();
    running = tick()
      .catch((error) =>
        log("error", `${endpoint.name}: the loop failed: ${messageOf(error)}`, { stack: error instanceof Error ? error.stack : null }),
      )
      .finally(() => {
        running = null;
        // Due and yet not asked (the platform is away): the next look is a tick later, not at once. What became due since is next.
        const dueMs = loop.nextAtMs > lookedAtMs ? loop.nextAtMs : Number.POSITIVE_INFINITY;
        if (pendingCause !== null) schedule(0);
        else schedule(Math.max(shortestPauseMs, Math.min(startMs + tickMs, dueMs) - clock.now()));
      });
  }

  /** While the platform closes: out of the routes, then let go as soon as nothing is in flight. */
  async function drainAll(closing: Promise<void>): Promise<void> {
    let done = false;
    const finish = () => {
      done = true;
    };
    closing.then(finish, finish);
    while (!done) {
      await look();
      await route(clock.now()).catch(() => undefined);
      drain();
      await Promise.race([closing.catch(() => undefined), clock.sleep(200)]);
    }
  }

  const weight: Record<Cause, number> = { held: 3, replica: 2, config: 1, tick: 0 };
  function wake(cause: Cause): void {
    if (pendingCause === null || weight[cause] > weight[pendingCause]) pendingCause = cause;
    if (running === null) schedule(0);
  }

  async function release(): Promise<Past> {
    stopped = true;
    cancelTimer();
    for (const end of unsubscribe) end();
    await running;
    await collector.close();
    try {
      history.append(endpoint.name, pendingEntries);
      history.save(endpoint.name, loop.save(clock.now(), toldCursors));
    } catch (error) {
      log("error", messageOf(error));
    }
    return { books, decisions, status, desired, desiredAtMs };
  }

  const unsubscribe = [
    platform.onChange(() => wake("replica")),
    ...doors.map((door) => door.onHeld((name) => name === endpoint.name && wake("held"))),
  ];
  schedule(0);

  return {
    name: endpoint.name,
    view() {
      const totals: DoorTotals | null = lastReport?.totals ?? null;
      const ended = totals === null ? 0 : totals.completed + totals.failed + totals.rejected;
      return {
        name: endpoint.name,
        namespace: endpoint.namespace,
        model: endpoint.model,
        engine: endpoint.engine.kind,
        platform: endpoint.platform.kind,
        policy: endpoint.policy.kind,
        objective: endpoint.objective,
        bounds: {
          min: endpoint.pools.reduce((sum, pool) => sum + pool.min, 0),
          max: endpoint.pools.reduce((sum, pool) => sum + pool.max, 0),
        },
        pools: endpoint.pools.map(({ name }) => ({
          name,
          selector: status?.about?.[name]?.selector ?? null,
          otherWriter: status?.about?.[name]?.otherWriter ?? null,
        })),
        replicas: (status?.replicas ?? []).map((replica) => ({
          ...replica,
          inFlight: lastReport === null ? null : (lastReport.replicas.find((at) => at.replica === replica.id)?.inFlight ?? 0),
        })),
        now: books.points.at(-1) ?? null,
        totals,
        attainment: totals === null || ended === 0 ? null : totals.withinObjective / ended,
        cost: { total: books.cost, perHour: books.perHour(status), replicaHours: books.replicaMs / 3_600_000 },
        coldStarts: books.coldStarts,
        coldStartP90Ms: books.coldStartP90Ms,
        decisions: decisions.lines,
        conditions: lastConditions,
        limitedByFleet: limited,
        dryRun: endpoint.dryRun,
        pausedUntilMs: loop.pausedUntilMs,
        pin: loop.pin,
        nextAtMs: Number.isFinite(loop.nextAtMs) ? loop.nextAtMs : null,
        trouble: [...troubles.values()],
      };
    },
    points: (sinceMs) => books.points.filter((point) => point.atMs > sinceMs),
    desired: () => desiredView(endpoint, { status, desired, desiredAtMs, series, nowMs: clock.now() }),
    readings: (signal) => readingsOf(series, signal),
    wake,
    ask() {
      loop.ask();
      wake("config");
    },
    pause(untilMs) {
      loop.pause(untilMs);
      record([
        {
          kind: "note",
          atMs: clock.now(),
          code: untilMs === null ? "resumed" : "paused",
          text: untilMs === null ? "resumed" : `paused until ${untilMs}`,
        },
      ]);
      wake("config");
    },
    pin(pin) {
      loop.setPin(pin);
      record([
        {
          kind: "note",
          atMs: clock.now(),
          code: pin === null ? "unpinned" : "pinned",
          text: pin === null ? "unpinned" : `pinned at ${pin.replicas} until ${pin.untilMs}`,
        },
      ]);
      wake("config");
    },
    healthy: () => status !== null && !troubles.has("platform") && !troubles.has("gateway"),
    async endNow() {
      stopped = true;
      const first = platform.close("end");
      await platform.close("end");
      await first;
    },
    release,
    async stop(how) {
      await release();
      const closing = platform.close(how);
      if (how === "end") await drainAll(closing);
      await closing;
    },
  };
}
