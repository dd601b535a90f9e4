import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ControllerView } from "../src/controller/index.ts";
import { openHistory, replay } from "../src/history/index.ts";

const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const config = fileURLToPath(new URL("./fleet.yaml", import.meta.url));
const [port, adminPort] = [18_080, 19_090];

const start = (args: readonly string[], stdout: "ignore" | "pipe") =>
  spawn(process.execPath, [main, ...args], { stdio: ["ignore", stdout, "inherit"] });
const ended = (child: ChildProcess) => new Promise<number | null>((resolve) => child.on("close", resolve));

/** `npm run bench -- fleet TRACE [RATE] [SPEED]`: a trace through gateway, loop and emulated 8B replicas, and what came of it. */
export async function bench([trace, rate = "12", speed = "5"]: readonly string[]): Promise<void> {
  if (trace === undefined) throw new Error("name a trace: npm run bench -- fleet TRACE [RATE] [SPEED]");
  const state = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const up = start(
    ["up", config, "--port", String(port), "--admin-port", String(adminPort), "--state", state, "--speed", speed, "--plain"],
    "ignore",
  );
  const upEnded = ended(up);
  const view = async () => ((await (await fetch(`http://127.0.0.1:${adminPort}/api/v1/view`)).json()) as ControllerView).endpoints[0];
  try {
    for (;;) {
      if ((await view().catch(() => undefined))?.now?.ready === 1) break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const load = start(
      ["load", trace, "--url", `http://127.0.0.1:${port}`, "--model", "meta-llama/Llama-3.1-8B-Instruct", "--rate", rate, "--speed", speed],
      "pipe",
    );
    load.stdout?.pipe(process.stdout);
    await ended(load);
    const after = await view();
    if (after?.totals === null || after === undefined) throw new Error("the controller gave no totals");
    const { arrived, completed, failed, cancelled, rejected, inFlight, held } = after.totals;
    process.stdout.write(
      `ledger: ${arrived} arrived = ${completed} completed + ${failed} failed + ${cancelled} cancelled + ${rejected} rejected + ${inFlight} in flight + ${held} held\n`,
    );
    process.stdout.write(
      `objective met by ${((after.attainment ?? 0) * 100).toFixed(2)} %, ${after.cost.replicaHours.toFixed(2)} replica-hours, most wanted ${Math.max(...after.decisions.map(({ to }) => to))}\n`,
    );
  } finally {
    up.kill("SIGTERM");
    await upEnded;
    const history = openHistory(state, { readOnly: true });
    const report = replay(history.entries("chat"));
    process.stdout.write(`replay: ${report.decisions} decisions, ${report.differences.length} differ\n`);
    history.close();
    rmSync(state, { recursive: true, force: true });
  }
}
