import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { folder, run } from "./tidegate.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});
const home = () => {
  const made = folder();
  cleanups.push(() => made.remove());
  return made;
};
const good = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: m
  engine: { kind: emulated }
  platform: { kind: process }
  replicas: { min: 1, max: 4 }
  policy: { kind: slo }
`;
/** One clear message: exit 2, and no stack. */
const clear = (ended: { code: number | null; stderr: string }, ...texts: readonly (string | RegExp)[]) => {
  expect(ended.code).toBe(2);
  for (const text of texts) expect(ended.stderr).toMatch(text);
  expect(ended.stderr).not.toMatch(/\n\s+at /);
};

it("a config with an unknown key names file, line, column, key and the nearest known one", async () => {
  const file = home().write("bad.yaml", good.replace("max: 4", "maxx: 4"));
  clear(await run(["up", file]), /bad\.yaml:9:\d+/, "maxx", "max");
});

it("a missing config file is named", async () => clear(await run(["up", join(home().path, "none.yaml")]), "none.yaml"));

it("an occupied port is named with the flag that changes it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  cleanups.push(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const here = home();
  const file = here.write("t.yaml", good);
  const state = join(here.path, "state");
  clear(await run(["up", file, "--port", String(port), "--admin-port", "0", "--state", state]), String(port), "--port");
  clear(await run(["up", file, "--port", "0", "--admin-port", String(port), "--state", state]), String(port), "--admin-port");
});

it("an unwritable state folder is named with the flag that changes it", async () => {
  const here = home();
  const file = here.write("t.yaml", good);
  clear(await run(["up", file, "--port", "0", "--admin-port", "0", "--state", join(file, "state")]), "state", "--state");
});

it("an unknown trace column is named with line and the known ones", async () => {
  const file = home().write("t.csv", "arrival_s,prompt_tokns,output_tokens\n0,1,1\n");
  clear(await run(["load", file, "--url", "http://127.0.0.1:9", "--model", "m"]), /t\.csv:1/, "prompt_tokns", "prompt_tokens");
});

it("a missing model in the config is an error of its own", async () => {
  const file = home().write("t.yaml", good.replace("  model: m\n", ""));
  clear(await run(["validate", file]), /t\.yaml:\d+:\d+/, "model");
});

it("an unknown verb and an unknown flag exit 2", async () => {
  expect((await run(["upp"])).code).toBe(2);
  expect((await run(["up", "--nope"])).code).toBe(2);
});

it.each([
  "demo",
  "up",
  "gateway",
  "controller",
  "engine",
  "load",
  "trace",
  "validate",
  "top",
  "explain",
  "replay",
  "pause",
  "resume",
  "pin",
  "unpin",
])("%s --help exits 0 and says what it does", async (verb) => {
  const { code, stdout } = await run([verb, "--help"]);
  expect(code).toBe(0);
  expect(stdout).toContain(`tidegate ${verb}`);
});
