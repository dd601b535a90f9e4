import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { askHealth, healthPace } from "./health.ts";

it.each([0.5, 1, 1.5, 2.3, 8, 60])("finds a healthy replica healthy at a speed of %d", async (speed) => {
  const server = createServer((_, response) => void response.end("ok"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`;
  expect(await askHealth(url, healthPace(speed).timeoutRealMs, new AbortController().signal)).toEqual({ healthy: true });
});
