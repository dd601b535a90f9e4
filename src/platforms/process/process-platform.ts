import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { epochOf } from "../../clock/index.ts";
import {
  type Endpoint,
  type Ms,
  messageOf,
  type ProcessPlatformSpec,
  type Replica,
  type ReplicaState,
  STAGES,
  type Stage,
  TidegateError,
} from "../../model/index.ts";
import { askHealth, FAILED_CHECKS, type HealthAnswer, healthPace, joinUrl } from "../health.ts";
import type { Platform, PlatformContext, PlatformReplica, PlatformStatus } from "../platform.ts";
import { checkCommand, fillCommand, fillText, type Placeholders, tidegateCommand } from "./command.ts";
import { findByNonce, groupAlive, isOurs, killRemains, look, REPLICA_VARIABLE, signalGroup } from "./identity.ts";
import { takeLock } from "./lock.ts";
import { freePort, urlOf } from "./ports.ts";
import { pruneLogs, type ReplicaLog, replicaLog } from "./replica-log.ts";
import { stageOf } from "./stages.ts";
import { lockPath, logFolder, openFolder, readState, type SavedReplica, statePath, writeState } from "./state-file.ts";

export interface ProcessPlatformOptions {
  /** What `{tidegate}` stands for: the program and the arguments that run this Tidegate. */
  readonly tidegateCommand?: readonly string[];
  /** The clock's `epochMs`, for `{epoch}`; without it, worked out from the clock. */
  readonly epochMs?: Ms;
}

/** How long ended replicas stay in the status. */
const goneVisibleMs = 60_000;
const failedVisibleMs = 600_000;
/** After SIGKILL, in real time; longer only takes what the system cannot end now (a process in the kernel's hands). */
const killWaitRealMs = 10_000;

interface Unit {
  readonly id: string;
  readonly nonce: string;
  readonly pool: string;
  readonly index: number;
  readonly seq: number;
  state: ReplicaState;
  stage: Stage;
  /** Whether the stage is more than our assumption after the start. */
  announced: boolean;
  entered: Partial<Record<ReplicaState | Stage, Ms>>;
  trouble: Replica["trouble"];
  message: string | null;
  port: number | null;
  url: string | null;
  pid: number | null;
  start: string | null;
  /** null: adopted, or not started. */
  child: ChildProcess | null;
  /** The leader has ended; how, in words. */
  exit: string | null;
  log: ReplicaLog | null;
  /** Failures in a row before this one, of those that it replaces. */
  failures: number;
  failedChecks: number;
  answer: string;
  deadlineMs: Ms;
  ending: Promise<void> | null;
  cancelDrainLimit: () => void;
  readonly watching: AbortController;
}

/** A failed replica's place: the next one is not started before `dueMs`. */
interface Retry {
  readonly dueMs: Ms;
  readonly failures: number;
}

/**
 * Replicas as child processes of this machine. Each leads a process group of its own and writes its output into its own file, so
 * neither Ctrl-C in the terminal nor our death touches it; what is written down in the state folder lets the next start adopt it.
 * - Stages: lines of the output (see `stageOf`), else `load` from the start on.
 * - A replica that fails stays visible, and another one takes its place after the backoff, which is over once one has been ready for
 *   `restartBackoff.maxMs`.
 * - Adopted replicas make the wanted count, so a restart by itself changes nothing.
 *
 * `close("end")` waits for `drained` or the drain time-out of each ready replica; called once more, it waits no longer.
 * All times are the clock's.
 * @throws TidegateError `platform/refused`: command or state folder unusable, or another controller owns these replicas
 */
export async function processPlatform(
  endpoint: Endpoint,
  context: PlatformContext,
  options: ProcessPlatformOptions = {},
): Promise<Platform> {
  if (endpoint.platform.kind !== "process") throw refused(`endpoint ${endpoint.name} has platform ${endpoint.platform.kind}, not process`);
  if (process.platform === "win32") throw refused("platform process needs process groups, which Windows lacks: run Tidegate under WSL");
  const spec: ProcessPlatformSpec = endpoint.platform;
  const { clock, stateFolder } = context;
  const tidegate = options.tidegateCommand ?? tidegateCommand();
  const pace = healthPace(clock.speed);
  const stateFile = statePath(stateFolder, endpoint.name);
  const logsFolder = logFolder(stateFolder, endpoint.name);
  const units: Unit[] = [];
  const wanted = new Map<string, number>(endpoint.pools.map(({ name }) => [name, 0]));
  const retries = new Map<string, Retry[]>(endpoint.pools.map(({ name }) => [name, []]));
  const listeners = new Set<() => void>();
  const hurry = new AbortController();
  let next = 1;
  let notifying = false;
  let unwritable = false;
  let released = false;
  let placing: Promise<void> = Promise.resolve();
  let cancelRetry = () => {};
  let cancelTick = () => {};
  let closed: Promise<void> | null = null;

  const live = (pool: string) => units.filter((unit) => unit.pool === pool && (unit.state === "starting" || unit.state === "ready"));
  const hasProcess = (unit: Unit) => unit.pid !== null && unit.exit === null;
  const holdsPlace = (unit: Unit) => hasProcess(unit) || unit.ending !== null || ["starting", "ready", "draining"].includes(unit.state);

  function saved(): readonly SavedReplica[] {
    return units
      .filter((unit) => unit.port !== null && (unit.pid === null ? unit.state === "starting" : unit.exit === null || unit.ending !== null))
      .map(({ id, nonce, pool, index, seq, pid, start, port, url, state, stage, entered, failures }) => ({
        ...{ id, nonce, pool, index, seq, pid, start, port: port!, url: url!, state, entered, failures },
        stage: state === "starting" ? stage : null,
      }));
  }

  function writeDown(): void {
    const graceMs = spec.terminateGraceMs / clock.speed;
    const state = { version: 1, endpoint: endpoint.name, next, atMs: clock.now(), wallMs: Date.now(), graceMs, replicas: saved() } as const;
    writeState(stateFile, state);
    unwritable = false;
  }

  function changed(): void {
    try {
      if (!released) writeDown();
    } catch (error) {
      if (!unwritable)
        context.log("error", `${stateFile} cannot be written: after a crash some replicas may not be adopted: ${messageOf(error)}`);
      unwritable = true;
    }
    if (notifying) return;
    notifying = true;
    queueMicrotask(() => {
      notifying = false;
      for (const listener of [...listeners]) {
        try {
          listener();
        } catch (error) {
          context.log("error", `a listener of platform ${endpoint.name} failed: ${messageOf(error)}`);
        }
      }
    });
  }

  function enter(unit: Unit, state: ReplicaState): void {
    unit.state = state;
    unit.entered[state] ??= clock.now();
  }

  function enterStage(unit: Unit, stage: Stage): void {
    if (unit.state !== "starting" || unit.entered.ready !== undefined) return;
    const forward = STAGES.indexOf(stage) - STAGES.indexOf(unit.stage);
    if (forward < 0 && !unit.announced) {
      // What we took for loading was this: the time since the start belongs to the first stage that is announced.
      const sinceMs = unit.entered[unit.stage] ?? clock.now();
      delete unit.entered[unit.stage];
      unit.entered[stage] = sinceMs;
    } else if (forward < 0) return;
    const same = forward === 0;
    unit.announced = true;
    unit.stage = stage;
    unit.entered[stage] ??= clock.now();
    if (!same) changed();
  }

  function newUnit(pool: string, failures: number, seq: number): Unit {
    const used = new Set(units.filter((unit) => unit.pool === pool && holdsPlace(unit)).map(({ index }) => index));
    let index = 0;
    while (used.has(index)) index++;
    const id = pool === "default" ? `${endpoint.name}-${seq}` : `${endpoint.name}-${pool}-${seq}`;
    const nowMs = clock.now();
    return {
      ...{ id, nonce: randomUUID(), pool, index, seq, failures },
      ...{ state: "starting", stage: "schedule", announced: false, entered: { starting: nowMs, schedule: nowMs } },
      ...{ trouble: undefined, message: null, port: null, url: null, pid: null, start: null, child: null, exit: null, log: null },
      ...{
        failedChecks: 0,
        answer: "nothing yet",
        deadlineMs: Number.POSITIVE_INFINITY,
        ending: null,
        cancelDrainLimit: () => {},
        watching: new AbortController(),
      },
    };
  }

  /** Starts what is missing and may be started now. */
  function fill(): void {
    cancelRetry();
    if (closed !== null) return;
    const nowMs = clock.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [pool, count] of wanted) {
      const waiting = retries
        .get(pool)!
        .filter(({ dueMs }) => nowMs < dueMs + spec.restartBackoff.maxMs)
        .sort((a, b) => a.dueMs - b.dueMs);
      const missing = count - live(pool).length;
      const used = waiting.slice(0, Math.max(0, missing));
      const due = used.filter(({ dueMs }) => dueMs <= nowMs);
      const starts = [...due.map(({ failures }) => failures), ...Array<number>(Math.max(0, missing - waiting.length)).fill(0)];
      retries.set(
        pool,
        waiting.filter((retry) => !due.includes(retry)),
      );
      for (const retry of used) if (retry.dueMs > nowMs) nextMs = Math.min(nextMs, retry.dueMs);
      for (const failures of starts) {
        const unit = newUnit(pool, failures, next++);
        units.push(unit);
        placing = placing.then(() => place(unit));
      }
      if (starts.length > 0) changed();
    }
    if (Number.isFinite(nextMs)) cancelRetry = clock.after(nextMs - nowMs, fill);
  }

  /** Finds a port for a replica and starts it; one by one, so that no two get the same port. */
  async function place(unit: Unit): Promise<void> {
    const wanting = () => unit.state === "starting" && closed === null;
    if (!wanting()) return;
    try {
      const taken = new Set(units.flatMap((other) => (other.port !== null && holdsPlace(other) ? [other.port] : [])));
      const port = await freePort(spec.host, spec.ports, taken);
      if (!wanting()) return;
      if (port === null) {
        if (unit.trouble === undefined) {
          unit.trouble = { code: "unschedulable", sinceMs: clock.now() };
          unit.message = `${unit.id}: no free port in platform.ports ${spec.ports?.join("-")}: widen the range or lower the pool's maximum`;
          context.log("warn", unit.message, { replica: unit.id });
          changed();
        }
        clock.after(Math.max(1_000, 200 * clock.speed), () => {
          placing = placing.then(() => place(unit));
        });
        return;
      }
      unit.port = port;
      unit.url = urlOf(spec.host, port);
      unit.trouble = undefined;
      unit.message = null;
      launch(unit, port);
    } catch (error) {
      fail(unit, "crash", `could not be started: ${messageOf(error)}`);
    }
  }

  function launch(unit: Unit, port: number): void {
    const values: Placeholders = {
      ...{ port, host: spec.host, id: unit.id, index: unit.index, pool: unit.pool, model: endpoint.model },
      ...{ speed: clock.speed, epoch: options.epochMs ?? epochOf(clock) },
    };
    const [program = "", ...args] = fillCommand(spec.command, values, tidegate);
    const own = Object.entries(spec.env).map(([name, text]) => [name, fillText(text, values, tidegate)]);
    writeDown(); // a process that nobody has heard of would be an orphan if we died now
    mkdirSync(logsFolder, { recursive: true });
    follow(unit);
    const output = openSync(unit.log!.path, "a");
    try {
      unit.child = spawn(program, args, {
        cwd: spec.cwd ?? undefined,
        env: { ...process.env, ...Object.fromEntries(own), [REPLICA_VARIABLE]: `${unit.id}:${unit.nonce}` },
        detached: true,
        stdio: ["ignore", output, output],
      });
    } finally {
      closeSync(output);
    }
    unit.child.unref();
    unit.child.on("error", (error) => {
      if (unit.pid === null) fail(unit, "crash", `command ${program} could not be started: ${messageOf(error)}`);
    });
    unit.child.on("exit", (code, signal) => exited(unit, signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`));
    if (unit.child.pid === undefined) return; // "error" comes
    unit.pid = unit.child.pid;
    unit.start = look(unit.pid)?.start ?? null;
    unit.stage = "load";
    unit.entered.load = clock.now();
    unit.deadlineMs = clock.now() + spec.startTimeoutMs;
    context.log("info", `${unit.id} started`, { replica: unit.id, pid: unit.pid, url: unit.url, log: unit.log!.path });
    changed();
    void watch(unit);
    pruneLogs(logsFolder, new Set(units.flatMap((other) => (holdsPlace(other) && other.log !== null ? [other.log.path] : []))));
  }

  function follow(unit: Unit): void {
    unit.log = replicaLog(join(logsFolder, `${encodeURIComponent(unit.id)}.log`), (line) => {
      const stage = stageOf(line, endpoint.engine.kind);
      if (stage !== null) enterStage(unit, stage);
    });
  }

  /** Asks for health until the replica is on its way out. */
  async function watch(unit: Unit): Promise<void> {
    const { signal } = unit.watching;
    try {
      while (!signal.aborted) {
        const answer = await askHealth(joinUrl(unit.url!, endpoint.engine.healthPath), pace.timeoutRealMs, signal);
        if (signal.aborted) return;
        judge(unit, answer);
        await clock.sleep(unit.state === "ready" ? pace.readyMs : pace.startingMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) context.log("error", `health of ${unit.id} is no longer watched: ${messageOf(error)}`, { replica: unit.id });
    }
  }

  function judge(unit: Unit, answer: HealthAnswer): void {
    const nowMs = clock.now();
    if (!answer.healthy) unit.answer = answer.said;
    if (unit.state === "starting") {
      readLog(unit);
      if (answer.healthy) {
        unit.failedChecks = 0;
        enter(unit, "ready");
        context.log("info", `${unit.id} is ready`, { replica: unit.id, afterMs: Math.round(nowMs - (unit.entered.starting ?? nowMs)) });
        changed();
      } else if (nowMs >= unit.deadlineMs) {
        const limitMs = Math.round(unit.deadlineMs - (unit.entered.load ?? nowMs));
        fail(unit, "unhealthy", `was not ready within ${limitMs} ms (${endpoint.engine.healthPath}: ${unit.answer})`);
      }
    } else if (unit.state === "ready") {
      unit.failedChecks = answer.healthy ? 0 : unit.failedChecks + 1;
      if (unit.failedChecks >= FAILED_CHECKS) {
        fail(unit, "unhealthy", `failed ${FAILED_CHECKS} health checks in a row (${endpoint.engine.healthPath}: ${unit.answer})`);
      } else if (answer.healthy && nowMs - (unit.entered.ready ?? nowMs) >= spec.restartBackoff.maxMs) unit.failures = 0;
    }
  }

  function readLog(unit: Unit, last = false): void {
    try {
      unit.log?.read(last);
    } catch (error) {
      context.log("debug", `log of ${unit.id} cannot be read: ${messageOf(error)}`);
    }
  }

  function fail(unit: Unit, code: "crash" | "unhealthy", why: string): void {
    if (unit.state !== "starting" && unit.state !== "ready") return;
    readLog(unit, true);
    const tail = unit.log === null || unit.log.lines.length === 0 ? "it wrote nothing" : `its last lines:\n${unit.log.lines.join("\n")}`;
    unit.watching.abort();
    enter(unit, "failed");
    unit.trouble = { code, sinceMs: clock.now() };
    unit.message = `${unit.id} ${why}; ${tail}`;
    const { initialMs, maxMs } = spec.restartBackoff;
    const delayMs = Math.min(maxMs, initialMs * 2 ** Math.min(unit.failures, 30));
    retries.get(unit.pool)?.push({ dueMs: clock.now() + delayMs, failures: unit.failures + 1 });
    context.log("warn", unit.message, { replica: unit.id, nextTryInMs: delayMs, log: unit.log?.path });
    if (unit.pid !== null) void end(unit);
    changed();
    fill();
  }

  function exited(unit: Unit, how: string): void {
    if (unit.exit !== null) return;
    unit.exit = how;
    if (closed !== null && unit.ending === null && unit.state !== "draining") return;
    if (unit.state === "draining") void end(unit);
    else fail(unit, "crash", how);
  }

  /** Ends the process and its group: SIGTERM, grace, SIGKILL; done once nothing of it is left. A draining replica is then gone. */
  function end(unit: Unit): Promise<void> {
    unit.ending ??= (async () => {
      unit.watching.abort();
      unit.cancelDrainLimit();
      if (unit.pid !== null) await endProcess(unit, unit.pid);
      if (unit.state === "draining") enter(unit, "gone");
    })().finally(() => {
      unit.exit ??= "ended";
      unit.ending = null;
      readLog(unit, true);
      changed();
    });
    return unit.ending;
  }

  async function endProcess(unit: Unit, pid: number): Promise<void> {
    const send = (signal: NodeJS.Signals) => {
      if (signalGroup({ pid, start: unit.start }, signal) || unit.exit !== null) return;
      unit.child?.kill(signal); // while it has not ended, the pid is our child's
    };
    const over = () => {
      if (unit.child === null && !isOurs({ ...unit, pid })) unit.exit ??= "ended";
      return unit.exit !== null && !groupAlive(pid);
    };
    const stepMs = Math.max(100, 10 * clock.speed);
    const crashed = unit.exit !== null && unit.state === "failed";
    if (!crashed) {
      const killAtMs = clock.now() + spec.terminateGraceMs;
      send("SIGTERM");
      while (!over() && clock.now() < killAtMs) await clock.sleep(Math.min(stepMs, Math.max(1, killAtMs - clock.now())));
      if (over()) return;
      context.log("warn", `${unit.id} did not end within ${spec.terminateGraceMs} ms of SIGTERM: SIGKILL`, { replica: unit.id, pid });
    }
    send("SIGKILL");
    const giveUpMs = clock.now() + killWaitRealMs * clock.speed;
    while (!over() && clock.now() < giveUpMs) await clock.sleep(stepMs);
    if (!over()) context.log("error", `pid ${pid} of ${unit.id} is still there after SIGKILL`, { replica: unit.id, pid });
  }

  /** Begins the way out. One that never served is ended at once; another when it is drained, or its time is over. */
  function drain(unit: Unit): void {
    const served = unit.entered.ready !== undefined;
    unit.watching.abort();
    enter(unit, "draining");
    context.log("info", `${unit.id} drains`, { replica: unit.id });
    changed();
    if (!served) void end(unit);
    else limitDrain(unit);
  }

  function limitDrain(unit: Unit): void {
    const leftMs = (unit.entered.draining ?? clock.now()) + spec.drainTimeoutMs - clock.now();
    unit.cancelDrainLimit = clock.after(leftMs, () => {
      if (unit.state !== "draining" || unit.ending !== null) return;
      context.log("warn", `${unit.id} still had requests in flight after ${spec.drainTimeoutMs} ms of draining: ended`, {
        replica: unit.id,
      });
      void end(unit);
    });
  }

  /** Follows the output, misses adopted processes that ended, forgets what has been over for long. */
  function tick(): void {
    const nowMs = clock.now();
    for (const unit of units) {
      if (!hasProcess(unit)) continue;
      readLog(unit);
      if (unit.child === null && !isOurs({ ...unit, pid: unit.pid! })) exited(unit, "ended");
    }
    const over = (unit: Unit) =>
      unit.ending === null &&
      ((unit.state === "gone" && nowMs - (unit.entered.gone ?? nowMs) > goneVisibleMs) ||
        (unit.state === "failed" && nowMs - (unit.entered.failed ?? nowMs) > failedVisibleMs));
    const kept = units.filter((unit) => !over(unit));
    if (kept.length < units.length) {
      units.splice(0, units.length, ...kept);
      changed();
    }
    const busy = units.some((unit) => unit.state === "starting" || unit.ending !== null);
    cancelTick = clock.after(busy ? Math.max(200, 25 * clock.speed) : Math.max(1_000, 200 * clock.speed), tick);
  }

  async function adopt(): Promise<void> {
    const { state, broken } = readState(stateFile);
    if (broken !== null)
      context.log("error", `the state file could not be read and was set aside as ${broken}: replicas named in it may still run`);
    if (state === null) return;
    next = Math.max(next, state.next);
    const nowMs = clock.now();
    const shiftMs = nowMs - state.atMs - (Date.now() - state.wallMs) * clock.speed;
    const shift = Math.abs(shiftMs) < 1_000 ? 0 : shiftMs;
    const adopted: Unit[] = [];
    for (const entry of state.replicas) {
      const pid = entry.pid ?? findByNonce(entry.id, entry.nonce);
      const start = entry.start ?? (pid !== null && entry.pid === null ? (look(pid)?.start ?? null) : null);
      if (pid === null || !isOurs({ id: entry.id, nonce: entry.nonce, pid, start })) {
        killRemains(entry.id, entry.nonce);
        context.log("info", `${entry.id} ended while nobody watched: forgotten`, { replica: entry.id, pid: entry.pid });
        continue;
      }
      const entered = Object.fromEntries(Object.entries(entry.entered).map(([name, atMs]) => [name, atMs + shift])) as Unit["entered"];
      const unit: Unit = {
        ...newUnit(entry.pool, entry.failures, entry.seq),
        ...{ id: entry.id, nonce: entry.nonce, index: entry.index, pid, start, port: entry.port, url: entry.url, entered },
        state: entry.state,
        stage: entry.stage ?? "load",
        announced: entry.stage !== null && entry.stage !== "schedule",
        deadlineMs: nowMs + (entered.ready === undefined ? spec.startTimeoutMs : Math.min(spec.startTimeoutMs, FAILED_CHECKS * 5_000)),
      };
      if (!wanted.has(unit.pool)) enter(unit, "draining"); // its pool is no longer in the config
      follow(unit);
      units.push(unit);
      adopted.push(unit);
    }
    await Promise.all(
      adopted.map(async (unit) => {
        readLog(unit);
        if (unit.state === "failed" || (unit.state === "draining" && unit.entered.ready === undefined)) return void end(unit);
        if (unit.state === "draining") return limitDrain(unit);
        unit.state = "starting"; // until it has answered
        judge(unit, await askHealth(joinUrl(unit.url!, endpoint.engine.healthPath), pace.timeoutRealMs, unit.watching.signal));
        void watch(unit);
      }),
    );
    for (const pool of wanted.keys()) wanted.set(pool, live(pool).length);
    if (adopted.length > 0) {
      const names = adopted.map(({ id, pid }) => `${id} (pid ${pid})`).join(", ");
      context.log("info", `adopted ${adopted.length} running replicas: ${names}`);
    }
  }

  function describe(unit: Unit): PlatformReplica {
    const readySince = unit.entered.ready;
    const outSince = unit.entered.failed ?? unit.entered.gone ?? unit.entered.starting ?? 0;
    const ready = unit.state === "ready" || unit.state === "draining";
    return {
      id: unit.id,
      pool: unit.pool,
      state: unit.state,
      ...(unit.state === "starting" ? { stage: unit.stage } : {}),
      entered: { ...unit.entered },
      readiness: { status: ready && readySince !== undefined, sinceMs: ready ? (readySince ?? outSince) : outSince },
      ...(unit.trouble === undefined ? {} : { trouble: unit.trouble }),
      url: unit.url,
      ...(unit.message === null ? {} : { message: unit.message }),
      ...(unit.log === null ? {} : { logFile: unit.log.path }),
    };
  }

  function poolNamed(pool: string): string {
    if (wanted.has(pool)) return pool;
    throw refused(`endpoint ${endpoint.name} has no pool ${pool}; it has ${[...wanted.keys()].join(", ")}`);
  }

  async function closeDown(how: "leave" | "end"): Promise<void> {
    cancelRetry();
    if (how === "end") {
      for (const unit of units) if (unit.state === "starting" || unit.state === "ready") drain(unit);
      await placing;
      const left = () => units.filter((unit) => unit.state === "draining" || unit.ending !== null);
      while (left().length > 0) {
        if (hurry.signal.aborted) await Promise.all(left().map(end));
        else await clock.sleep(Math.max(100, 10 * clock.speed), hurry.signal).catch(() => {});
      }
    } else {
      await placing;
      await Promise.all(units.map(({ ending }) => ending)); // who has had SIGTERM must not miss its SIGKILL
    }
    changed();
    release();
  }

  function release(): void {
    cancelTick();
    for (const unit of units) {
      unit.watching.abort();
      unit.cancelDrainLimit();
    }
    released = true;
    unlock();
  }

  const unlock = openFolder(stateFolder, () => {
    mkdirSync(logsFolder, { recursive: true });
    return takeLock(lockPath(stateFile));
  });
  try {
    await adopt();
    if (units.length === 0) checkCommand(spec, tidegate);
    openFolder(stateFolder, writeDown);
  } catch (error) {
    release();
    throw error;
  }
  tick();

  return {
    kind: "process",
    acts: true,
    async status(): Promise<PlatformStatus> {
      const pools = [...wanted].map(([pool, count]) => [pool, { wanted: count, reported: live(pool).length, otherWriter: false }]);
      return { pools: Object.fromEntries(pools), replicas: units.map(describe) };
    },
    async scale(name, want) {
      const pool = poolNamed(name);
      if (closed !== null) throw refused(`platform of endpoint ${endpoint.name} is closed`);
      if (!Number.isInteger(want.replicas) || want.replicas < 0) {
        throw refused(`pool ${pool} cannot have ${want.replicas} replicas: ask for a whole number from 0`);
      }
      const current = live(pool);
      if (want.replicas > current.length) checkCommand(spec, tidegate);
      wanted.set(pool, want.replicas);
      const named = (unit: Unit) => (want.drain.includes(unit.id) ? 0 : 1);
      const started = (unit: Unit) => (unit.state === "starting" ? 0 : 1);
      const victims = current.sort((a, b) => named(a) - named(b) || started(a) - started(b) || b.seq - a.seq);
      for (const victim of victims.slice(0, Math.max(0, current.length - want.replicas))) drain(victim);
      fill();
      return "accepted";
    },
    drained(replica) {
      const unit = units.find(({ id, state }) => id === replica && state === "draining");
      if (unit !== undefined) void end(unit);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close(how) {
      if (closed === null) closed = closeDown(how);
      else if (how === "end") hurry.abort();
      return closed;
    },
  };
}

const refused = (message: string) => new TidegateError("platform/refused", message);
