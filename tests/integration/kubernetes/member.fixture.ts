// One of several controllers, as a process of its own that a test may kill: `fork`ed with a JSON of `MemberOptions`.
import { realClock } from "../../../src/clock/index.ts";
import { type Controller, startController, takeTurns } from "../../../src/controller/index.ts";
import { adminDoor } from "../../../src/http/index.ts";
import type { Endpoint } from "../../../src/model/index.ts";
import { connectKubernetes } from "../../../src/platforms/index.ts";

export interface MemberOptions {
  readonly identity: string;
  readonly lease: string;
  readonly kubeconfig: string;
  readonly stateFolder: string;
  readonly endpoint: Endpoint;
  /** Admin addresses. */
  readonly gateways: readonly string[];
  /** How wrong its clock is. */
  readonly skewMs: number;
  readonly leaseMs: number;
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

/** Told by the test: a pin for an hour. */
export interface MemberOrder {
  readonly pin: number;
}

/** Told to the test. */
export type MemberNews = { readonly leads: boolean } | { readonly line: string };

const options = JSON.parse(process.argv[2] ?? "{}") as MemberOptions;
const { kubeconfig, lease, identity, endpoint, stateFolder, skewMs, leaseMs, renewDeadlineMs, retryMs } = options;
const tell = (news: MemberNews) => void process.send?.(news);
const real = realClock();
const clock = { ...real, now: () => real.now() + skewMs };
const log = (level: string, message: string) => tell({ line: `${level} ${message}` });
const api = await connectKubernetes({ kubeconfig, context: null });
const doors = options.gateways.map((url) => adminDoor(url, { token: null, clock }));
const turns = takeTurns<Controller>({
  ...{ api, namespace: "default", name: lease, identity, clock, log, leaseMs, renewDeadlineMs, retryMs },
  async start(turn) {
    const { clock: now } = turn;
    const controller = await startController({
      endpoints: [endpoint],
      fleet: null,
      doors,
      stateFolder,
      clock: now,
      log,
      version: "test",
      turn,
    });
    tell({ leads: true });
    return controller;
  },
});
turns.leadership.onChange(() => {
  if (!turns.leadership.leads()) tell({ leads: false });
});
process.on("message", ({ pin }: MemberOrder) => {
  turns
    .current()
    ?.endpoint(endpoint.name)
    .pin({ replicas: pin, untilMs: clock.now() + 3_600_000 });
});
// The test that started it is gone.
process.on("disconnect", () => process.exit(1));
