import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { folder, freePorts, type Running, start, until } from "../../e2e/tidegate.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const token = "s3cret";
const home = folder();
let fleet: Running;
let browser: Browser;
let page: Page;
let adminUrl = "";
const said: string[] = [];
const asked: string[] = [];

const config = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: m
  engine: { kind: emulated, profile: 8B, coldStart: 4s }
  platform: { kind: process }
  replicas: { min: 0, max: 3 }
  policy: { kind: slo }
`;

beforeAll(async () => {
  const [port, adminPort] = await freePorts(2);
  const file = home.write("tidegate.yaml", config);
  fleet = start(["up", file, "--port", String(port), "--admin-port", String(adminPort), "--speed", "4", "--state", `${home.path}/state`], {
    TIDEGATE_ADMIN_TOKEN: token,
  });
  adminUrl = `http://127.0.0.1:${adminPort}`;
  await until(
    () => fetch(`${adminUrl}/livez`),
    ({ status }) => status === 200,
  );
  browser = await chromium.launch({
    executablePath: process.env["TIDEGATE_CHROMIUM"] as string,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  const context = await browser.newContext({
    httpCredentials: { username: "me", password: token },
    viewport: { width: 1400, height: 1700 },
  });
  page = await context.newPage();
  // A browser asks without credentials first, is refused, and asks again.
  page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(adminUrl);
  // Traffic from zero: the first request is held until a replica is there.
  const answer = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m", prompt: "hello", max_tokens: 8, ignore_eos: true }),
  });
  expect(answer.status).toBe(200);
}, 90_000);

afterAll(async () => {
  await browser?.close();
  fleet?.process.kill("SIGTERM");
  await fleet?.ended;
  home.remove();
});

it("shows the fleet live: replicas, demand, charts and decisions with their reasons", async () => {
  await page.getByRole("status").getByText("live").waitFor();
  await page.getByText("1 ready").first().waitFor();
  expect(await page.locator("section.charts canvas").count()).toBeGreaterThanOrEqual(8);
  const decision = page.locator("section.decisions li").filter({ hasText: "0 → 1" }).first();
  await decision.waitFor();
  await decision.locator("summary").click();
  await decision.getByText("asked because of held").waitFor();
  await page.getByText("What would change it:").waitFor();
});

it("shows what a cold start spent its time on", async () => {
  await page.locator("section").filter({ hasText: "Cold starts" }).getByText("chat-").first().waitFor();
});

it("asks no other host, and says nothing in the console", () => {
  expect(asked.filter((url) => !url.startsWith(adminUrl) && !url.startsWith("data:"))).toEqual([]);
  expect(said).toEqual([]);
});

it("has no serious barrier for assistive technology", async () => {
  await page.evaluate(axe);
  const { violations } = (await page.evaluate("axe.run()")) as { violations: { id: string; impact: string; nodes: { html: string }[] }[] };
  expect(
    violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
  ).toEqual([]);
});

it("says so when the controller is gone, and shows it again when it is back", async () => {
  const [, adminPort] = adminUrl.split("127.0.0.1:");
  fleet.process.kill("SIGTERM");
  await fleet.ended;
  await page.getByText("connection lost").waitFor({ timeout: 20_000 });
  const [port] = await freePorts(1);
  fleet = start(
    [
      "up",
      `${home.path}/tidegate.yaml`,
      "--port",
      String(port),
      "--admin-port",
      String(adminPort),
      "--speed",
      "4",
      "--state",
      `${home.path}/state`,
    ],
    {
      TIDEGATE_ADMIN_TOKEN: token,
    },
  );
  await page.getByRole("status").getByText("live").waitFor({ timeout: 30_000 });
}, 60_000);
