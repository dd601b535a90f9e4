import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { ControllerView, EndpointView, Point } from "../../src/controller/index.ts";
import { openHistory } from "../../src/history/index.ts";
import type { LoadReport } from "../../src/load/index.ts";
import type { DoorTotals } from "../../src/model/index.ts";
import { alive, folder, freePorts, type Running, run, start, until } from "./tidegate.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const token = "between-us";
const model = "emulated/llama-3.1-8b";
const config = (policy: string, replicas: string) => `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: ${model}
  engine: { kind: emulated, profile: 8B, coldStart: 10s, seed: 7 }
  platform: { kind: process }
  replicas: ${replicas}
  objective: { attainment: 0.99, timeToFirstToken: 2s, timePerOutputToken: 100ms }
  policy: ${policy}
`;

/** A process of ours that is ended with the test. Gateways after all others: a controller drains by what they report. */
function begin(args: readonly string[]): Running {
  const running = start(args, { TIDEGATE_ADMIN_TOKEN: token });
  cleanups[args[0] === "gateway" ? "unshift" : "push"](async () => {
    if (running.process.exitCode === null && running.process.signalCode === null) running.process.kill("SIGTERM");
    await running.ended;
  });
  return running;
}

async function ask<T>(url: string): Promise<T> {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

async function gateway(speed: number) {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const args = [
    "gateway",
    "--port",
    `${port}`,
    "--admin-port",
    `${adminPort}`,
    "--speed",
    `${speed}`,
    "--grace",
    "2",
    "--log-level",
    "error",
  ];
  const admin = `http://127.0.0.1:${adminPort}`;
  const again = async () => {
    const running = begin(args);
    await running.saw("gateway http");
    return running;
  };
  const totals = async () => (await ask<{ totals: DoorTotals }>(`${admin}/admin/v1/endpoints/chat/report`)).totals;
  return { url: `http://127.0.0.1:${port}`, admin, again, totals, running: await again() };
}

async function controller(text: string, speed: number, gateways: readonly { readonly admin: string }[]) {
  const home = folder();
  cleanups.push(() => home.remove());
  const [adminPort] = await freePorts(1);
  const state = join(home.path, "state");
  const admin = `http://127.0.0.1:${adminPort}`;
  const file = home.write("tidegate.yaml", text);
  const args = ["controller", file, ...gateways.flatMap((one) => ["--gateway", one.admin])];
  const flags = ["--admin-port", `${adminPort}`, "--state", state, "--speed", `${speed}`, "--plain"];
  const replicas = () =>
    (JSON.parse(readFileSync(join(state, "platform", "process-chat.json"), "utf8")).replicas as { id: string; pid: number }[])
      .map(({ id, pid }) => ({ id, pid }))
      .sort((a, b) => a.pid - b.pid);
  return {
    home,
    state,
    admin,
    replicas,
    begin: () => begin([...args, ...flags]),
    view: async (): Promise<EndpointView> => (await ask<ControllerView>(`${admin}/api/v1/view`)).endpoints[0] as EndpointView,
    points: () => ask<readonly Point[]>(`${admin}/api/v1/endpoints/chat/points`),
  };
}

/** Requests at a constant pace, so that whoever counts them twice or not at all wants another number of replicas. */
const steady = (seconds: number, perSecond: number) =>
  `arrival_s,prompt_tokens,output_tokens\n${Array.from({ length: seconds * perSecond }, (_, at) => `${(at / perSecond).toFixed(3)},400,40`).join("\n")}\n`;

const chat = (url: string, asked = model) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: asked, messages: [{ role: "user", content: "hello there" }], max_tokens: 8, ignore_eos: true }),
  });
/** Arrivals in all the slots that decisions were given. */
function toldArrivals(state: string): number {
  const history = openHistory(state, { readOnly: true });
  try {
    const slots = [...history.entries("chat")].flatMap((entry) => (entry.kind === "decision" ? (entry.observation.slots ?? []) : []));
    return slots.reduce((total, slot) => total + slot.arrivals, 0);
  } finally {
    history.close();
  }
}
const pause = (realMs: number) => new Promise((resolve) => setTimeout(resolve, realMs));

it("two gateways are summed; kill -9 of the controller under load: serving goes on, and the next one adopts all and changes no count", {
  timeout: 240_000,
  retry: 1,
}, async () => {
  const speed = 4;
  const first = await gateway(speed);
  await pause(1000); // leaves the clocks of the two, which run from their own starts, three seconds apart
  const second = await gateway(speed);
  const rules = "rules: [{ signal: request_rate, target: 1.5 }], behavior: { scaleUp: { stabilizationWindowSeconds: 15 } }";
  const apart = await controller(config(`{ kind: signals, interval: 5s, ${rules} }`, "{ min: 1, max: 6 }"), speed, [first, second]);
  const killed = apart.begin();
  await until(apart.view, ({ now }) => now?.ready === 1, 40_000);

  const perSecond = 1.75; // of each: both together want 2.33 replicas, one alone 1.17
  const trace = apart.home.write("steady.csv", steady(3_000, perSecond));
  const loads = [first, second].map(({ url }) =>
    start(["load", trace, "--url", url, "--model", model, "--speed", `${speed}`, "-o", "json"]),
  );
  cleanups.push(async () => {
    for (const { process: child } of loads) child.kill("SIGKILL");
    await Promise.all(loads.map(({ ended }) => ended));
  });
  const steadyFor = 30;
  const count = 3;
  await until(
    async () => (await apart.points()).slice(-steadyFor),
    (points) => points.length === steadyFor && points.every(({ wanted, ready }) => wanted === count && ready === count),
    90_000,
  );
  const { requestRate } = await until(
    async () => (await apart.view()).now as Point,
    (now) => now.requestRate !== null,
  );
  expect(Math.abs((requestRate as number) - 2 * perSecond)).toBeLessThan(1);
  const replicas = apart.replicas();
  expect(replicas).toHaveLength(count);
  killed.process.kill("SIGKILL");
  await killed.ended;
  const atKill = await Promise.all([first.totals(), second.totals()]);
  await pause(30_000 / speed);
  const alone = await Promise.all([first.totals(), second.totals()]);
  for (const [at, { completed, failed, rejected }] of alone.entries()) {
    expect(completed - (atKill[at]?.completed as number)).toBeGreaterThan(10 * perSecond);
    expect({ failed, rejected }).toEqual({ failed: 0, rejected: 0 });
  }

  const restarted = apart.begin();
  const adopted = await until(apart.view, ({ now }) => now?.ready === count);
  expect(adopted.replicas.map(({ id }) => id).sort()).toEqual(replicas.map(({ id }) => id).sort());
  const points = await until(apart.points, ({ length }) => length > 45, 60_000);
  expect(new Set(points.map(({ wanted, ready }) => `${ready}/${wanted}`))).toEqual(new Set([`${count}/${count}`]));
  expect((await apart.view()).decisions.every(({ changed }) => !changed)).toBe(true);
  expect(apart.replicas()).toEqual(replicas);

  for (const { process: child } of loads) child.kill("SIGINT");
  const reports = (await Promise.all(loads.map(({ ended }) => ended))).map(({ stdout }) => JSON.parse(stdout) as LoadReport);
  for (const report of reports) expect(report).toMatchObject({ failed: 0, failures: [], ok: report.sent - report.cancelled });
  const last = await until(apart.view, ({ totals }) => totals !== null && totals.inFlight + totals.held === 0);
  const sum = (of: (report: LoadReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  expect(last.totals).toMatchObject({ arrived: sum(({ sent }) => sent), failed: 0, rejected: 0 });
  expect(last.totals?.completed).toBeGreaterThanOrEqual(sum(({ ok }) => ok));
  // What the policy was told over both lives of the controller is what arrived: nothing twice, nothing lost.
  await until(
    async () => toldArrivals(apart.state),
    (told) => told >= sum(({ sent }) => sent),
  );
  await pause(3_000);
  expect(toldArrivals(apart.state)).toBe(sum(({ sent }) => sent));

  restarted.process.kill("SIGTERM");
  expect((await restarted.ended).code).toBe(143);
  await until(
    async () => replicas.filter(({ pid }) => alive(pid)),
    (left) => left.length === 0,
  );
  expect((await run(["replay", "--state", apart.state])).stdout).toMatch(/chat: \d+ decisions .* 0 differ/);
});

it("kill -9 of one of two gateways: the loop holds and says so, the other serves, and the next one learns its routes", async () => {
  const speed = 8;
  const [first, second] = [await gateway(speed), await gateway(speed)];
  const apart = await controller(config("{ kind: slo, interval: 5s, coldStart: 10s }", "{ min: 1, max: 3 }"), speed, [first, second]);
  apart.begin();
  await until(apart.view, ({ now }) => now?.ready === 1, 40_000);
  const replicas = apart.replicas();
  for (const { url } of [first, second]) expect((await chat(url)).status).toBe(200);
  await until(apart.view, ({ totals }) => totals?.completed === 2);

  second.running.process.kill("SIGKILL");
  await second.running.ended;
  const { trouble } = await until(apart.view, (view) => view.trouble.some(({ code }) => code === "gateway"));
  expect(trouble.map(({ text }) => text).join()).toContain(second.admin);
  expect((await fetch(`${apart.admin}/readyz`)).status).toBe(503);
  expect((await chat(first.url)).status).toBe(200);
  expect((await apart.view()).now).toMatchObject({ wanted: 1, ready: 1 });

  await second.again();
  await until(apart.view, (view) => view.trouble.length === 0);
  expect((await fetch(`${apart.admin}/readyz`)).status).toBe(200);
  expect((await chat(second.url)).status).toBe(200);
  expect(apart.replicas()).toEqual(replicas);
}, 60_000);

it("a request held while there is no controller wakes the fleet from zero as soon as there is one", async () => {
  const speed = 8;
  const door = await gateway(speed);
  const apart = await controller(config("{ kind: slo, interval: 5s, zeroAfter: 20s }", "{ min: 0, max: 2 }"), speed, [door]);
  const killed = apart.begin();
  await until(apart.view, ({ now }) => now !== null && now.wanted === 0 && now.ready === 0);
  await until(
    async () => (await chat(door.url, "unknown")).status,
    (status) => status === 404,
  ); // it has been told of the endpoint
  killed.process.kill("SIGKILL");
  await killed.ended;
  const held = chat(door.url);
  await until(door.totals, (totals) => totals.held === 1);
  apart.begin();
  expect((await held).status).toBe(200);
  expect(await door.totals()).toMatchObject({ arrived: 1, completed: 1, held: 0, failed: 0, rejected: 0 });
  await until(apart.view, ({ now }) => now?.wanted === 0 && now.ready === 0 && now.draining === 0);
}, 60_000);

it("says so where gateway and controller run at different speeds", async () => {
  const fast = await gateway(8);
  const slow = await controller(config("{ kind: static, replicas: 1 }", "{ min: 1, max: 1 }"), 4, [fast]);
  slow.begin();
  const { trouble } = await until(slow.view, (view) => view.trouble.length > 0);
  expect(trouble.map(({ text }) => text).join()).toContain(
    `the gateway at ${fast.admin} runs at --speed 8 and this process at 4; start both at the same`,
  );
}, 60_000);
