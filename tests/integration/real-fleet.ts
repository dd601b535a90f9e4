import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { ControllerView, EndpointView } from "../../src/controller/index.ts";
import { alive, folder, freePorts, run, start, until } from "../e2e/tidegate.ts";
import { type Asked, type Streamed, startClients } from "./clients.ts";

export interface RealFleet {
  /** The gateway. */
  readonly url: string;
  view(): Promise<EndpointView>;
  pin(replicas: number): Promise<void>;
  /** Until so many replicas are wanted and ready, and none drains. */
  settled(replicas: number, timeoutMs: number): Promise<EndpointView>;
  /** Ends everything, and sees to it that no replica is left. */
  end(): Promise<void>;
}

export interface RealEngine {
  readonly model: string;
  readonly engine: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly startTimeout: string;
  readonly max: number;
}

/** `tidegate up` with real engines as local processes, one at first, counts by `pin`. It ends with the test. */
export async function startRealFleet({ model, engine, command, env = {}, startTimeout, max }: RealEngine): Promise<RealFleet> {
  const home = folder();
  onTestFinished(() => home.remove());
  const [port, adminPort] = await freePorts(2);
  const admin = `http://127.0.0.1:${adminPort}`;
  const file = home.write(
    "tidegate.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: real }
spec:
  model: ${model}
  engine: { kind: ${engine} }
  platform:
    kind: process
    command: ${JSON.stringify(command)}
    env: ${JSON.stringify(env)}
    startTimeout: ${startTimeout}
    drainTimeout: 1m
  replicas: { min: 1, max: ${max} }
  signals: { scrapeInterval: 1s }
  policy: { kind: static, replicas: 1 }
`,
  );
  const up = start(["up", file, "--port", String(port), "--admin-port", String(adminPort), "--state", `${home.path}/state`, "--plain"]);
  onTestFinished(async () => {
    if (up.process.exitCode === null) up.process.kill("SIGTERM");
    await up.ended;
  });
  const view = async () => ((await (await fetch(`${admin}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
  return {
    url: `http://127.0.0.1:${port}`,
    view,
    pin: async (replicas) => expect(await run(["pin", "real", String(replicas), "--admin", admin])).toMatchObject({ code: 0 }),
    settled: (replicas, timeoutMs) =>
      until(view, ({ now }) => now !== null && now.ready === replicas && now.wanted === replicas && now.draining === 0, timeoutMs),
    async end() {
      const state = readFileSync(join(home.path, "state", "platform", "process-real.json"), "utf8");
      const pids = (JSON.parse(state) as { replicas: { pid: number }[] }).replicas.map(({ pid }) => pid);
      expect(pids).toHaveLength((await view()).replicas.filter(({ state }) => state === "ready").length);
      up.process.kill("SIGTERM");
      expect((await up.ended).code).toBe(143);
      await until(
        async () => pids.filter(alive).length,
        (count) => count === 0,
      );
    },
  };
}

const readyOf = ({ replicas }: EndpointView) =>
  replicas
    .filter(({ state }) => state === "ready")
    .map(({ id }) => id)
    .sort();

export interface ScalingRun {
  readonly clients: number;
  readonly content: Asked["content"];
  readonly pauseMs: number;
  /** Streams that are waited for at each count. */
  readonly streams: number;
  readonly timeoutMs: number;
  /** Called while all replicas serve. */
  atMost?(view: EndpointView): Promise<void>;
}

/** 1 → most → 1 while clients stream: nothing fails, nothing breaks, every count serves with all that it has. @returns the streams */
export async function scalesUnderLoad(fleet: RealFleet, { model, max }: RealEngine, options: ScalingRun): Promise<readonly Streamed[]> {
  const { content, pauseMs, streams: least, timeoutMs } = options;
  await fleet.settled(1, timeoutMs);
  const clients = startClients(options.clients, { url: fleet.url, model, content }, { pauseMs });
  await clients.served(0, 1, least, timeoutMs);
  await fleet.pin(max);
  const full = await fleet.settled(max, timeoutMs);
  const atMost = await clients.served(clients.streams.length, max, least, timeoutMs);
  expect([...atMost].sort()).toEqual(readyOf(full));
  await options.atMost?.(full);
  await fleet.pin(1);
  await fleet.settled(1, timeoutMs);
  const left = await clients.served(clients.streams.length + options.clients, 1, least, timeoutMs);
  await clients.end();

  expect(clients.failures).toEqual([]);
  expect([...atMost]).toContain([...left][0]);
  const { length: arrived } = clients.streams;
  const last = await until(
    fleet.view,
    ({ totals }) => totals !== null && totals.arrived === arrived && totals.inFlight + totals.held === 0,
  );
  expect(last.totals).toMatchObject({ arrived, completed: arrived, failed: 0, rejected: 0, cancelled: 0 });
  expect(clients.streams.filter(({ text }) => text === "")).toEqual([]);
  await fleet.end();
  return clients.streams;
}
