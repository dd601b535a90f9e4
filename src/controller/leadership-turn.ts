import type { History, Saved } from "../history/index.ts";
import { type Clock, type Log, type Ms, messageOf } from "../model/index.ts";
import { type KubernetesApi, serverSkewMs } from "../platforms/index.ts";
import { joinElection, type Leadership } from "./leadership.ts";
import { type SharedState, sharedHistory, sharedState } from "./leadership-state.ts";

/** What a controller that shares its work with others is given for the time in which it leads. */
export interface Turn {
  leads(): boolean;
  /** The local history, with what the leader before us knew. */
  history(local: History): History;
  /** The API server's time: what leaders leave to each other is in it, however wrong a machine's own clock is. */
  readonly clock: Clock;
}

export interface TurnsOptions<Running extends { close(how: "leave"): Promise<void> }> {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  readonly identity: string;
  /** Where our admin API is, for the others. */
  readonly url?: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs?: Ms;
  readonly renewDeadlineMs?: Ms;
  readonly retryMs?: Ms;
  /** Starts what only the leader does. */
  start(turn: Turn): Promise<Running>;
}

export interface Turns<Running> {
  readonly leadership: Leadership;
  /** null while another one leads. */
  current(): Running | null;
  /** Ends what runs, writes down what it knows, and gives the lease back. */
  close(): Promise<void>;
}

/**
 * Runs `start` while we lead. What it runs is closed as soon as we lead no more, and can do nothing even before that is done, because
 * platforms ask `leads` before each write. The next leader begins with the state that was written last, so that its first decision is that of a
 * controller which had never been away.
 */
export function takeTurns<Running extends { close(how: "leave"): Promise<void> }>(options: TurnsOptions<Running>): Turns<Running> {
  const { clock, log } = options;
  const leadership = joinElection(options);
  const { leads } = leadership;
  const shared: SharedState = sharedState({ ...options, leads });
  let running: Running | null = null;
  let changing: Promise<void> = Promise.resolve();
  let cancelRetry = () => {};
  let closed = false;

  async function follow(): Promise<void> {
    cancelRetry();
    if (closed) return;
    if (!leads()) return end();
    if (running !== null) return;
    try {
      const states: ReadonlyMap<string, Saved> = await shared.load();
      if (!leads()) return;
      const skewMs = serverSkewMs(options.api, clock);
      if (skewMs !== 0)
        log(
          "warn",
          `this machine's clock is ${skewMs < 0 ? "ahead of" : "behind"} the API server's by ${Math.abs(skewMs) / 1000} s: theirs counts`,
        );
      const serverClock = skewMs === 0 ? clock : { ...clock, now: () => clock.now() + skewMs };
      running = await options.start({ leads, history: (local) => sharedHistory(local, states, shared), clock: serverClock });
      if (!leads()) await end();
    } catch (error) {
      log("error", `the leader could not start: ${messageOf(error)}; trying again`);
      cancelRetry = clock.after(2_000, change);
    }
  }

  async function end(): Promise<void> {
    const ending = running;
    running = null;
    await ending?.close("leave");
  }

  function change(): void {
    changing = changing.then(follow).catch((error) => log("error", `a change of leadership failed: ${messageOf(error)}`));
  }
  leadership.onChange(change);

  return {
    leadership,
    current: () => running,
    async close() {
      closed = true;
      cancelRetry();
      await changing;
      await end();
      await shared.flush();
      shared.close();
      await leadership.close();
    },
  };
}
