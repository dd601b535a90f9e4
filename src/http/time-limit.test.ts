import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { timeLimit } from "./index.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

it("aborts in time, as AbortSignal.timeout does", async () => {
  const { signal } = timeLimit(20);
  const reason = await new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason)));
  expect((reason as Error).name).toBe("TimeoutError");
});

it("never aborts once it was cleared", async () => {
  const { signal, clear } = timeLimit(10);
  clear();
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(signal.aborted).toBe(false);
});

it("takes an answer that came while this process stood still", async () => {
  const server = createServer((_request, response) => response.end("there"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const status = await new Promise((resolve) => {
    const { signal } = timeLimit(50);
    const request = get(`http://127.0.0.1:${port}`, { signal, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", (error) => resolve(error.name));
    // Longer than the limit, at once: the timer is the first that is looked at afterwards.
    const until = performance.now() + 400;
    while (performance.now() < until);
  });
  expect(status).toBe(200);
});
