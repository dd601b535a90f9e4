import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { ControllerView, EndpointView } from "../../src/controller/index.ts";
import { alive, folder, freePorts, run, start, until } from "./tidegate.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const config = (policy: string, replicas = "{ min: 1, max: 4 }") => `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: emulated/llama-3.1-8b
  engine: { kind: emulated, profile: 8B, coldStart: 10s, seed: 7 }
  platform: { kind: process }
  replicas: ${replicas}
  objective: { attainment: 0.99, timeToFirstToken: 2s, timePerOutputToken: 100ms }
  price: { perReplicaHour: 2.50 }
  policy: ${policy}
`;

async function fleet(text: string, speed: number) {
  const home = folder();
  cleanups.push(() => home.remove());
  const [port, adminPort] = await freePorts(2);
  const file = home.write("tidegate.yaml", text);
  const state = join(home.path, "state");
  const admin = `http://127.0.0.1:${adminPort}`;
  const args = [
    "up",
    file,
    "--port",
    String(port),
    "--admin-port",
    String(adminPort),
    "--state",
    state,
    "--speed",
    String(speed),
    "--plain",
  ];
  const begin = () => {
    const running = start(args);
    cleanups.push(async () => {
      if (running.process.exitCode === null) running.process.kill("SIGTERM");
      await running.ended;
    });
    return running;
  };
  const view = async (): Promise<EndpointView> =>
    ((await (await fetch(`${admin}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
  return { home, state, port, admin, begin, view, url: `http://127.0.0.1:${port}` };
}

const chat = (url: string, tokens = 8) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "emulated/llama-3.1-8b",
      messages: [{ role: "user", content: "hello there" }],
      max_tokens: tokens,
      ignore_eos: true,
    }),
  });

it("wakes from zero on the first request, holds it, serves it, and goes back to zero; every decision replays", async () => {
  const speed = 20;
  const one = await fleet(config("{ kind: slo, interval: 5s, zeroAfter: 20s }", "{ min: 0, max: 2 }"), speed);
  const up = one.begin();
  await until(one.view, (view) => view.now !== null && view.now.ready === 0);
  const answer = await chat(one.url);
  expect(answer.status).toBe(200);
  expect(((await answer.json()) as { usage: { completion_tokens: number } }).usage.completion_tokens).toBe(8);
  const served = await until(one.view, (view) => view.coldStarts.length === 1);
  expect(served.coldStarts[0]?.stages).toHaveProperty("load");
  await until(one.view, (view) => view.now?.ready === 0 && view.now.wanted === 0 && view.now.draining === 0);
  const metrics = await (await fetch(`${one.admin}/metrics`)).text();
  for (const name of ["tidegate_desired_replicas", "tidegate_replicas", "tidegate_decisions_total", "tidegate_cold_start_seconds_bucket"]) {
    expect(metrics).toContain(name);
  }
  expect((await fetch(`${one.admin}/readyz`)).status).toBe(200);
  up.process.kill("SIGTERM");
  expect((await up.ended).code).toBe(143);
  const replayed = await run(["replay", "--state", one.state]);
  expect(replayed).toMatchObject({ code: 0 });
  expect(replayed.stdout).toMatch(/chat: \d+ decisions .* 0 differ/);
  const explained = await run(["explain", "chat", "--state", one.state, "--last", "2"]);
  expect(explained.code).toBe(0);
  expect(explained.stdout).toContain("=> default:");
}, 60_000);

it("serves a trace over scale-out and scale-in without a failed request or a broken stream, and the ledger adds up", async () => {
  const speed = 10;
  const one = await fleet(config("{ kind: slo, interval: 5s }"), speed);
  one.begin();
  await until(one.view, (view) => view.now?.ready === 1);
  const trace = one.home.write(
    "burst.csv",
    `arrival_s,prompt_tokens,output_tokens\n${Array.from({ length: 900 }, (_, at) => `${(at < 100 ? at * 0.5 : at < 800 ? 50 + (at - 100) * 0.08 : 106 + (at - 800) * 0.8).toFixed(3)},${900 + ((at * 37) % 800)},${100 + ((at * 53) % 200)}`).join("\n")}\n`,
  );
  const load = await run(["load", trace, "--url", one.url, "--model", "emulated/llama-3.1-8b", "--speed", String(speed), "-o", "json"]);
  expect(load.stderr + load.stdout).not.toMatch(/broken: [1-9]/);
  expect(load.code).toBe(0);
  const view = await until(one.view, ({ totals }) => totals !== null && totals.inFlight + totals.held === 0);
  expect(view.totals).toMatchObject({ arrived: 900, completed: 900, failed: 0, rejected: 0, cancelled: 0 });
  expect(Math.max(...view.decisions.map(({ to }) => to))).toBeGreaterThan(1);
}, 90_000);

it("kill -9 of a replica fails at most what streamed from it, and the fleet heals", async () => {
  const one = await fleet(config("{ kind: static, replicas: 2 }"), 20);
  one.begin();
  const ready = await until(one.view, (view) => view.now?.ready === 2);
  const state = readFileSync(join(one.state, "platform", "process-chat.json"), "utf8");
  const victim = JSON.parse(state).replicas[0] as { id: string; pid: number };
  expect(ready.replicas.map(({ id }) => id)).toContain(victim.id);
  const long = Array.from({ length: 8 }, () =>
    chat(one.url, 400)
      .then(async (answer) => answer.ok && (await answer.json()) !== null)
      .catch(() => false),
  );
  const during = await until(one.view, (view) => (view.totals?.inFlight ?? 0) === 8);
  const onVictim = during.replicas.find(({ id }) => id === victim.id)?.inFlight ?? 0;
  process.kill(victim.pid, "SIGKILL");
  const results = await Promise.all(long);
  expect(results.filter((ok) => !ok).length).toBeLessThanOrEqual(onVictim);
  await until(one.view, (view) => view.now?.ready === 2 && view.replicas.every(({ id, state }) => id !== victim.id || state !== "ready"));
  expect((await chat(one.url)).status).toBe(200);
}, 60_000);

it("kill -9 of the controller: the replicas go on, the next start adopts them and changes no count", async () => {
  const one = await fleet(config("{ kind: static, replicas: 2 }"), 20);
  const first = one.begin();
  await until(one.view, (view) => view.now?.ready === 2);
  const file = join(one.state, "platform", "process-chat.json");
  const before = (JSON.parse(readFileSync(file, "utf8")).replicas as { id: string; pid: number }[]).map(({ id, pid }) => ({ id, pid }));
  first.process.kill("SIGKILL");
  await first.ended;
  expect(before.every(({ pid }) => alive(pid))).toBe(true);
  const second = one.begin();
  const adopted = await until(one.view, (view) => view.now?.ready === 2);
  expect(
    adopted.replicas
      .filter(({ state }) => state === "ready")
      .map(({ id }) => id)
      .sort(),
  ).toEqual(before.map(({ id }) => id).sort());
  expect(adopted.decisions.every(({ changed }) => !changed)).toBe(true);
  expect((await chat(one.url)).status).toBe(200);
  second.process.kill("SIGTERM");
  await second.ended;
  await until(
    async () => before.filter(({ pid }) => alive(pid)).length,
    (left) => left === 0,
  );
  expect((await run(["replay", "--state", one.state])).code).toBe(0);
}, 60_000);

it("a second signal ends the replicas at once, whatever is in flight, and leaves none behind", async () => {
  const one = await fleet(config("{ kind: static, replicas: 2 }"), 1).then(async (made) => ({ ...made, up: made.begin() }));
  await until(one.view, (view) => view.now?.ready === 2, 40_000);
  const pids = (JSON.parse(readFileSync(join(one.state, "platform", "process-chat.json"), "utf8")).replicas as { pid: number }[]).map(
    ({ pid }) => pid,
  );
  void chat(one.url, 5000).catch(() => undefined);
  await until(one.view, (view) => (view.totals?.inFlight ?? 0) === 1);
  one.up.process.kill("SIGTERM");
  await one.up.saw("Ctrl-C again");
  one.up.process.kill("SIGTERM");
  expect((await one.up.ended).code).toBe(143);
  expect(pids.filter(alive)).toEqual([]);
}, 60_000);
