import { readdirSync, readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { parseConfigFiles } from "../../src/config/index.ts";
import { folder, freePorts, type Running, start, until } from "./tidegate.ts";

const examples = new URL("../../examples/", import.meta.url);
const path = (file: string) => new URL(file, examples).pathname;
/** Examples that need something that is not here, and who runs them instead. */
const elsewhere: Readonly<Record<string, string>> = {
  "vllm.yaml": "the integration suite vllm",
  "llama-cpp.yaml": "the integration suite llamacpp",
  "tidegate.yaml": "the reference of every key: src/config/examples.test.ts",
  "hpa-on-local-processes.yaml": "beside the manifest that it binds",
  "static.yaml": "replicas that somebody else runs: src/platforms/static",
};
const together: Readonly<Record<string, readonly string[]>> = {
  "hpa-gpu-utilization.yaml": ["hpa-gpu-utilization.yaml", "hpa-on-local-processes.yaml"],
};
const runnable = readdirSync(examples).filter((file) => file.endsWith(".yaml") && elsewhere[file] === undefined);

let running: Running | undefined;
afterEach(async () => {
  running?.process.kill("SIGTERM");
  await running?.ended;
});

it.each(runnable)(
  "%s runs: every endpoint answers a request",
  async (file) => {
    const home = folder();
    try {
      const files = (together[file] ?? [file]).map(path);
      const texts = files.map((name) => ({ file: name, text: readFileSync(name, "utf8") }));
      const { endpoints } = parseConfigFiles(texts, { env: {} });
      const [port, adminPort] = await freePorts(2);
      const flags = ["--port", String(port), "--admin-port", String(adminPort), "--speed", "10", "--state", home.path];
      running = start(["up", ...files, ...flags]);
      await until(
        () => fetch(`http://127.0.0.1:${adminPort}/livez`),
        ({ status }) => status === 200,
      );
      const statuses = endpoints.map(async ({ model }) => {
        const answer = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ model, prompt: "hello", max_tokens: 4 }),
        });
        return answer.status;
      });
      expect(await Promise.all(statuses)).toEqual(endpoints.map(() => 200));
    } finally {
      running?.process.kill("SIGTERM");
      await running?.ended;
      home.remove();
    }
  },
  60_000,
);
