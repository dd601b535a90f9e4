import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { ControllerView, EndpointView } from "../../../src/controller/index.ts";
import { alive, folder, freePorts, run, start, until } from "../../e2e/tidegate.ts";
import { words } from "./model.ts";
import { modelName, vllmCommand, vllmEnv } from "./servers.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** One streamed answer read to its end. @returns the replica that gave it. @throws where it is refused or breaks off */
async function stream(url: string, maxTokens: number): Promise<string> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: modelName,
      messages: [{ role: "user", content: words.join("") }],
      max_tokens: maxTokens,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  const body = await answer.text();
  if (answer.status !== 200) throw new Error(`${answer.status} ${body}`);
  if (!body.endsWith("data: [DONE]\n\n")) throw new Error(`broken stream: …${body.slice(-200)}`);
  const told = Number(/"completion_tokens":(\d+)/.exec(body)?.[1]);
  if (told !== maxTokens) throw new Error(`${told} tokens came, ${maxTokens} were asked for`);
  return answer.headers.get("x-tidegate-replica") ?? "";
}

it("scales real vLLM 1 to 2 to 1 under load, with no failed request and no broken stream", async () => {
  const home = folder();
  cleanups.push(() => home.remove());
  const [port, adminPort] = await freePorts(2);
  const url = `http://127.0.0.1:${port}`;
  const admin = `http://127.0.0.1:${adminPort}`;
  const file = home.write(
    "tidegate.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: real }
spec:
  model: ${modelName}
  engine: { kind: vllm }
  platform:
    kind: process
    command: ${JSON.stringify(vllmCommand)}
    env: ${JSON.stringify(vllmEnv)}
    startTimeout: 5m
    drainTimeout: 1m
  replicas: { min: 1, max: 2 }
  signals: { scrapeInterval: 1s }
  policy: { kind: static, replicas: 1 }
`,
  );
  const up = start(["up", file, "--port", String(port), "--admin-port", String(adminPort), "--state", `${home.path}/state`, "--plain"]);
  cleanups.push(async () => {
    if (up.process.exitCode === null) up.process.kill("SIGTERM");
    await up.ended;
  });
  const view = async (): Promise<EndpointView> =>
    ((await (await fetch(`${admin}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
  const pin = async (replicas: number) => expect(await run(["pin", "real", String(replicas), "--admin", admin])).toMatchObject({ code: 0 });
  const settled = (replicas: number) =>
    until(view, ({ now }) => now !== null && now.ready === replicas && now.wanted === replicas && now.draining === 0, 240_000);
  await settled(1);

  const streams: string[] = [];
  const failures: string[] = [];
  let more = true;
  // Each client asks again soon after it has its answer, so there is nearly always a stream under way where the count changes, and
  // time for the next replica to load on the same processors.
  const clients = Array.from({ length: 3 }, async (_, client) => {
    for (let turn = 0; more; turn++) {
      await stream(url, 40 + ((client * 61 + turn * 37) % 160)).then(
        (replica) => streams.push(replica),
        (error: unknown) => failures.push(String(error)),
      );
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });
  const served = (from: number, replicas: number) =>
    until(
      async () => new Set(streams.slice(from)),
      (by) => by.size === replicas && streams.length >= from + 20,
      120_000,
    );
  await served(0, 1);
  await pin(2);
  const two = await settled(2);
  const atTwo = await served(streams.length, 2);
  expect([...atTwo].sort()).toEqual(
    two.replicas
      .filter(({ state }) => state === "ready")
      .map(({ id }) => id)
      .sort(),
  );
  await pin(1);
  await settled(1);
  const left = await served(streams.length + 3, 1);
  more = false;
  await Promise.all(clients);

  expect(failures).toEqual([]);
  expect([...atTwo]).toContain([...left][0]);
  const last = await until(
    view,
    ({ totals }) => totals !== null && totals.arrived === streams.length && totals.inFlight + totals.held === 0,
  );
  expect(last.totals).toMatchObject({ arrived: streams.length, completed: streams.length, failed: 0, rejected: 0, cancelled: 0 });
  const state = readFileSync(join(home.path, "state", "platform", "process-real.json"), "utf8");
  const pids = (JSON.parse(state) as { replicas: { pid: number }[] }).replicas.map(({ pid }) => pid);
  expect(pids).toHaveLength(1);
  up.process.kill("SIGTERM");
  expect((await up.ended).code).toBe(143);
  await until(
    async () => pids.filter(alive).length,
    (count) => count === 0,
  );
}, 600_000);
