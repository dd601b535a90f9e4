import { onTestFinished } from "vitest";
import { freePorts, start } from "../../e2e/tidegate.ts";

export interface GatewayProcess {
  readonly url: string;
  readonly admin: string;
}

/** `tidegate gateway`, which ends with the test, waiting for nothing. */
export async function startGatewayProcess(): Promise<GatewayProcess> {
  const [port, adminPort] = await freePorts(2);
  const args = ["gateway", "--port", `${port}`, "--admin-port", `${adminPort}`, "--grace", "0", "--log-level", "error"];
  const running = start(args);
  onTestFinished(async () => {
    if (running.process.exitCode === null && running.process.signalCode === null) running.process.kill("SIGTERM");
    await running.ended;
  });
  await running.saw("gateway http", 60_000);
  return { url: `http://127.0.0.1:${port}`, admin: `http://127.0.0.1:${adminPort}` };
}
