import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { realClock } from "../../clock/index.ts";
import { coldStartMs, type ProcessPlatformSpec, stageDurations } from "../../model/index.ts";
import { platformConformance, statusWhen } from "../conformance.ts";
import { createPlatform, endLeftovers, type Platform, type PlatformReplica, type PlatformStatus } from "../index.ts";
import { exampleContext, exampleEndpoint, processSpec, replicaCommand } from "./fixtures/example.ts";
import { look, REPLICA_VARIABLE } from "./identity.ts";
import { type SavedState, statePath } from "./state-file.ts";

let folder: string;
let open: Platform[] = [];
let log: string[] = [];
const strangers: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tidegate-process-"));
  log = [];
});
afterEach(async () => {
  for (const platform of open) await endNow(platform);
  open = [];
  await endLeftovers(folder, realClock(50));
  for (const stranger of strangers.splice(0)) stranger.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

async function endNow(platform: Platform): Promise<void> {
  void platform.close("end");
  await platform.close("end");
}

async function start(spec: Partial<ProcessPlatformSpec> = {}, engine: "emulated" | "vllm" = "emulated"): Promise<Platform> {
  const endpoint = exampleEndpoint({ platform: processSpec(spec) });
  const context = exampleContext(folder, { log: (_level, message) => log.push(message) });
  const platform = await createPlatform({ ...endpoint, engine: { ...endpoint.engine, kind: engine } }, context, {
    process: { tidegateCommand: [process.execPath, "main.ts"] },
  });
  open.push(platform);
  return platform;
}

const scale = (platform: Platform, replicas: number, drain: readonly string[] = []) =>
  platform.scale("default", { kind: "scale", replicas, drain });
const inState = ({ replicas }: PlatformStatus, state: string) => replicas.filter((replica) => replica.state === state);
const ready = (platform: Platform, count: number) => statusWhen(platform, (status) => inState(status, "ready").length === count);
const stateFile = () => JSON.parse(readFileSync(statePath(folder, "chat"), "utf8")) as SavedState;
const alive = (pid: number) => look(pid)?.alive === true;
async function tell(replica: PlatformReplica, path = "/"): Promise<{ pid: number; env: string | null; argv: readonly string[] }> {
  return (await (await fetch(`${replica.url}${path}`, { headers: { connection: "close" } })).json()) as never;
}
async function until(wished: () => boolean): Promise<void> {
  for (let tries = 0; !wished(); tries++) {
    if (tries > 500) throw new Error("it never came");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

platformConformance("process", {
  pools: ["default"],
  make: async () => {
    const platform = await start();
    return { platform, cleanUp: () => endNow(platform) };
  },
});

it("fills in the placeholders of command and environment, and leaves other braces alone", async () => {
  const flags = ["--", "{id}", "{index}", "{model}", "{speed}", "{host}:{port}", '{"a":1}', "{tidegate}", "{unknown}"];
  const platform = await start({ command: replicaCommand(...flags), env: { WHO: "{id} of {model}" } });
  await scale(platform, 1);
  const [replica] = (await ready(platform, 1)).replicas;
  const port = new URL(replica!.url!).port;
  const said = await tell(replica!);
  expect(said.env).toBe("chat-1 of tiny");
  expect(said.argv.slice(3)).toEqual([
    "chat-1",
    "0",
    "tiny",
    "20",
    `127.0.0.1:${port}`,
    '{"a":1}',
    process.execPath,
    "main.ts",
    "{unknown}",
  ]);
});

it("measures the stages that a replica announces, each from its first line", async () => {
  const platform = await start({ command: replicaCommand("--load", "800", "--stages") });
  await scale(platform, 1);
  expect((await platform.status()).replicas).toMatchObject([{ state: "starting", stage: "schedule", url: null }]);
  await statusWhen(platform, ({ replicas }) => replicas[0]?.stage === "warmup");
  const [replica] = (await ready(platform, 1)).replicas;
  expect(replica).toMatchObject({ readiness: { status: true } });
  const durations = stageDurations(replica!, 0);
  expect(Object.keys(durations)).toEqual(["schedule", "provision", "pull", "load", "warmup"]);
  for (const ms of Object.values(durations)) expect(ms).toBeGreaterThanOrEqual(0);
  expect(durations.load).toBeGreaterThan(1_000);
  expect(coldStartMs(replica!)).toBeGreaterThan(16_000);
});

it("restarts a crashed replica under a new id, later each time, and tells its last lines", async () => {
  const platform = await start({ command: replicaCommand("--exit-after", "100"), restartBackoff: { initialMs: 2_000, maxMs: 60_000 } });
  await scale(platform, 1);
  const { replicas, pools } = await statusWhen(platform, (status) => inState(status, "failed").length === 3);
  const failed = replicas.filter(({ state }) => state === "failed");
  expect(failed.map(({ id }) => id)).toEqual(["chat-1", "chat-2", "chat-3"]);
  expect(failed[0]).toMatchObject({ trouble: { code: "crash" }, readiness: { status: false } });
  expect(failed[0]?.message).toMatch(/chat-1 ended with exit code 3; its last lines:\nreplica on \d+, pid \d+\nCUDA out of memory/);
  expect(readFileSync(failed[0]!.logFile!, "utf8")).toContain("CUDA out of memory");
  const waits = failed.slice(1).map((later, at) => later.entered.starting! - failed[at]!.entered.failed!);
  expect(waits[0]).toBeGreaterThanOrEqual(2_000);
  expect(waits[1]).toBeGreaterThanOrEqual(4_000);
  expect(pools["default"]?.wanted).toBe(1);
});

it("refuses a command that does not exist or may not run, by name, and tries nothing", async () => {
  await expect(start({ command: ["no-such-engine", "serve"] })).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining("command no-such-engine was not found on PATH"),
  });
  const script = join(folder, "engine.sh");
  writeFileSync(script, "#!/bin/sh\n");
  chmodSync(script, 0o644);
  await expect(start({ command: [script] })).rejects.toThrow(/engine\.sh .*is not executable: chmod \+x/);
  await expect(start({ cwd: join(folder, "nowhere") })).rejects.toThrow(/platform\.cwd .*nowhere is not a folder/);
});

it("refuses to scale up once the command is gone, and keeps what runs", async () => {
  const script = join(folder, "engine.sh");
  writeFileSync(script, `#!/bin/sh\nexec "${process.execPath}" "$@"\n`, { mode: 0o755 });
  const platform = await start({ command: [script, ...replicaCommand().slice(1)] });
  await scale(platform, 1);
  await ready(platform, 1);
  rmSync(script);
  await expect(scale(platform, 2)).rejects.toThrow(/engine\.sh was not found/);
  expect((await platform.status()).pools["default"]).toMatchObject({ wanted: 1, reported: 1 });
});

it("gives up a replica that is not ready in time, and ends it", async () => {
  const platform = await start({
    command: replicaCommand("--load", "60000"),
    startTimeoutMs: 8_000,
    restartBackoff: { initialMs: 600_000, maxMs: 600_000 },
  });
  await scale(platform, 1);
  await until(() => stateFile().replicas[0]?.pid != null);
  const { pid } = stateFile().replicas[0]!;
  const { replicas } = await statusWhen(platform, (status) => inState(status, "failed").length === 1);
  expect(replicas[0]).toMatchObject({ trouble: { code: "unhealthy" } });
  expect(replicas[0]?.message).toMatch(/was not ready within 8000 ms \(\/health: answered 503\)/);
  await until(() => !alive(pid!));
});

it("replaces a ready replica whose health fails three times", async () => {
  const platform = await start({ restartBackoff: { initialMs: 100, maxMs: 1_000 } });
  await scale(platform, 1);
  const [first] = (await ready(platform, 1)).replicas;
  await tell(first!, "/hang");
  const { replicas } = await statusWhen(platform, (status) => inState(status, "ready").some(({ id }) => id === "chat-2"));
  expect(replicas[0]).toMatchObject({ id: "chat-1", state: "failed", trouble: { code: "unhealthy" } });
});

it("drops starting replicas at once, youngest first, before ready ones", async () => {
  const platform = await start({ command: ["/bin/sh", "-c", `test {index} = 0 || sleep 60; exec "$@"`, "sh", ...replicaCommand()] });
  await scale(platform, 3);
  await ready(platform, 1);
  await scale(platform, 2);
  expect(inState(await platform.status(), "starting").map(({ id }) => id)).toEqual(["chat-2"]);
  await statusWhen(platform, (status) => inState(status, "gone").some(({ id }) => id === "chat-3"));
});

it("waits with the end until drained, and a scale-up does not call a draining replica back", async () => {
  const platform = await start();
  await scale(platform, 1);
  const [first] = (await ready(platform, 1)).replicas;
  const { pid } = await tell(first!);
  await scale(platform, 0);
  await scale(platform, 1);
  const both = await ready(platform, 1);
  expect(both.replicas.map(({ id, state }) => [id, state])).toEqual([
    ["chat-1", "draining"],
    ["chat-2", "ready"],
  ]);
  expect(alive(pid)).toBe(true);
  platform.drained("chat-1");
  const { replicas } = await statusWhen(platform, (status) => inState(status, "gone").length === 1);
  expect(Object.keys(replicas[0]!.entered)).toEqual(["starting", "schedule", "load", "ready", "draining", "gone"]);
  expect(alive(pid)).toBe(false);
});

it("ends a draining replica when its time is over, by SIGKILL where SIGTERM is ignored, children included", async () => {
  const platform = await start({ command: replicaCommand("--stubborn", "--child"), drainTimeoutMs: 4_000, terminateGraceMs: 4_000 });
  await scale(platform, 1);
  const [first] = (await ready(platform, 1)).replicas;
  const { pid } = await tell(first!);
  const child = Number(/child-pid (\d+)/.exec(readFileSync(first!.logFile!, "utf8"))?.[1]);
  expect(alive(child)).toBe(true);
  await scale(platform, 0);
  const { replicas } = await statusWhen(platform, (status) => inState(status, "gone").length === 1);
  expect(replicas[0]!.entered.gone! - replicas[0]!.entered.draining!).toBeGreaterThanOrEqual(8_000);
  expect([alive(pid), alive(child)]).toEqual([false, false]);
  expect(log.join("\n")).toMatch(/chat-1 did not end within 4000 ms of SIGTERM: SIGKILL/);
  expect(readFileSync(first!.logFile!, "utf8")).toContain("SIGTERM ignored");
});

it("ends the children of a replica that crashed", async () => {
  const platform = await start({ command: replicaCommand("--child"), restartBackoff: { initialMs: 600_000, maxMs: 600_000 } });
  await scale(platform, 1);
  const [first] = (await ready(platform, 1)).replicas;
  const child = Number(/child-pid (\d+)/.exec(readFileSync(first!.logFile!, "utf8"))?.[1]);
  process.kill((await tell(first!)).pid, "SIGKILL");
  const { replicas } = await statusWhen(platform, (status) => inState(status, "failed").length === 1);
  expect(replicas[0]?.message).toContain("was ended by SIGKILL");
  await until(() => !alive(child));
});

it("keeps to its port range, and says what waits for a port", async () => {
  const free = await start();
  await scale(free, 1);
  const port = Number(new URL((await ready(free, 1)).replicas[0]!.url!).port);
  await endNow(free);
  const platform = await start({ ports: [port, port] });
  await scale(platform, 2);
  const { replicas } = await statusWhen(
    platform,
    (status) => inState(status, "ready").length === 1 && status.replicas.some(({ trouble }) => trouble?.code === "unschedulable"),
  );
  const [first, second] = replicas.filter(({ state }) => state !== "gone");
  expect(second).toMatchObject({ state: "starting", stage: "schedule", url: null, message: expect.stringContaining(`${port}-${port}`) });
  await scale(platform, 1, [first!.id]);
  platform.drained(first!.id);
  const after = await statusWhen(platform, (status) => inState(status, "ready").some(({ id }) => id === second!.id));
  expect(after.replicas.find(({ id }) => id === second!.id)).not.toHaveProperty("trouble");
});

const driver = fileURLToPath(new URL("./fixtures/controller.ts", import.meta.url));

/** Runs a controller of its own until all its replicas are ready, and kills it without warning. */
async function killedController(replicas: number, spec: Partial<ProcessPlatformSpec> = {}): Promise<PlatformStatus> {
  const endpoint = exampleEndpoint({ platform: processSpec(spec) });
  const controller = spawn(process.execPath, [driver, JSON.stringify({ endpoint, stateFolder: folder, replicas, speed: 20 })], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => controller.once("exit", resolve));
  let text = "";
  const status = await new Promise<PlatformStatus>((resolve, reject) => {
    controller.once("exit", () => reject(new Error("the controller ended by itself")));
    controller.stdout.on("data", (chunk) => {
      text += chunk;
      const last = text.slice(0, text.lastIndexOf("\n")).split("\n").at(-1);
      if (!last) return;
      const told = JSON.parse(last) as PlatformStatus;
      if (inState(told, "ready").length === replicas) resolve(told);
    });
  });
  controller.kill("SIGKILL");
  await ended;
  return status;
}

it("adopts the replicas of a controller that was killed: same processes, no scaling, none left over", async () => {
  const before = await killedController(2);
  const pids = await Promise.all(before.replicas.map(async (replica) => (await tell(replica)).pid));
  const platform = await start();
  const status = await platform.status();
  expect(status.pools).toEqual({ default: { wanted: 2, reported: 2, otherWriter: false } });
  expect(status.replicas.map(({ id, state, url }) => ({ id, state, url }))).toEqual(
    before.replicas.map(({ id, url }) => ({ id, url, state: "ready" })),
  );
  expect(await Promise.all(status.replicas.map(async (replica) => (await tell(replica)).pid))).toEqual(pids);
  for (const [at, replica] of status.replicas.entries()) expect(coldStartMs(replica)).toBeCloseTo(coldStartMs(before.replicas[at]!)!, 0);

  process.kill(pids[0]!, "SIGKILL"); // no child of ours, and yet missed
  const healed = await statusWhen(platform, (now) => inState(now, "ready").some(({ id }) => id === "chat-3"));
  expect(inState(healed, "failed").map(({ id }) => id)).toEqual(["chat-1"]);
  const third = await tell(inState(healed, "ready").find(({ id }) => id === "chat-3")!);
  await endNow(platform);
  expect([...pids, third.pid].map(alive)).toEqual([false, false, false]);
});

it("leaves replicas running on request, and the next one adopts them", async () => {
  const first = await start();
  await scale(first, 1);
  const { pid } = await tell((await ready(first, 1)).replicas[0]!);
  await first.close("leave");
  expect(alive(pid)).toBe(true);
  const second = await start();
  expect((await second.status()).replicas).toMatchObject([{ id: "chat-1", state: "ready" }]);
  await scale(second, 2);
  expect((await ready(second, 2)).replicas.map(({ id }) => id)).toEqual(["chat-1", "chat-2"]);
});

it("finds a replica that was started, but not yet written down", async () => {
  const before = await killedController(1);
  const { pid } = await tell(before.replicas[0]!);
  const state = stateFile();
  const replicas = state.replicas.map((replica) => ({ ...replica, pid: null, start: null, state: "starting" }));
  writeFileSync(statePath(folder, "chat"), JSON.stringify({ ...state, replicas }));
  const platform = await start();
  expect((await tell((await ready(platform, 1)).replicas[0]!)).pid).toBe(pid);
});

it("never touches a process that merely has the pid of a replica", async () => {
  await killedController(1);
  const idle = ["-e", "setInterval(() => {}, 1000)"];
  const plain = spawn(process.execPath, idle, { detached: true, stdio: "ignore" });
  const other = spawn(process.execPath, idle, { detached: true, stdio: "ignore", env: { [REPLICA_VARIABLE]: "chat-1:of-somebody-else" } });
  strangers.push(plain, other);
  const state = stateFile();
  const real = state.replicas[0]!;
  await endLeftovers(folder, realClock(50));
  const replicas = [
    { ...real, pid: plain.pid!, start: real.start },
    { ...real, id: "chat-2", pid: other.pid!, start: look(other.pid!)!.start },
  ];
  writeFileSync(statePath(folder, "chat"), JSON.stringify({ ...state, replicas }));
  expect(await endLeftovers(folder, realClock(50))).toEqual([]);
  writeFileSync(statePath(folder, "chat"), JSON.stringify({ ...state, replicas }));
  const platform = await start();
  expect((await platform.status()).replicas).toEqual([]);
  await endNow(platform);
  expect([alive(plain.pid!), alive(other.pid!)]).toEqual([true, true]);
});

it("ends what was left over instead of adopting it, on request", async () => {
  const before = await killedController(2, { terminateGraceMs: 2_000, command: replicaCommand("--stubborn") });
  const pids = await Promise.all(before.replicas.map(async (replica) => (await tell(replica)).pid));
  expect((await endLeftovers(folder, realClock(20))).toSorted()).toEqual(["chat-1", "chat-2"]);
  expect(pids.map(alive)).toEqual([false, false]);
  expect((await (await start()).status()).replicas).toEqual([]);
});

it("lets only one controller own a state folder's replicas, and takes over from a dead one", async () => {
  const first = await start();
  await expect(start()).rejects.toMatchObject({ code: "platform/refused", message: expect.stringContaining(`pid ${process.pid}`) });
  await expect(endLeftovers(folder, realClock(20))).rejects.toMatchObject({ code: "platform/refused" });
  await first.close("end");
  writeFileSync(join(folder, "process-chat.lock"), JSON.stringify({ pid: process.pid, start: "another boot:1", nonce: "x" }));
  const second = await start();
  await second.close("end");
  expect(readdirSync(folder).filter((name) => name.includes("lock"))).toEqual([]);
});

it("says at once when the state folder cannot be used", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const context = exampleContext(join(file, "state"));
  await expect(createPlatform(exampleEndpoint(), context)).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining(`state folder ${join(file, "state")} cannot be written`),
  });
});

it("closes with waiting for what is in flight, until asked again", async () => {
  const platform = await start();
  await scale(platform, 2);
  const { replicas } = await ready(platform, 2);
  const closing = platform.close("end");
  platform.drained(replicas[0]!.id);
  await statusWhen(platform, (status) => inState(status, "gone").length === 1);
  expect(inState(await platform.status(), "draining")).toHaveLength(1);
  await platform.close("end");
  await closing;
  expect(inState(await platform.status(), "gone")).toHaveLength(2);
  await expect(scale(platform, 1)).rejects.toMatchObject({ code: "platform/refused" });
});
