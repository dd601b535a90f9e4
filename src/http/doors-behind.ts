import { mergeReports } from "../ledger/index.ts";
import { type Clock, type Door, type DoorEndpoint, type DoorTotals, type Log, type Ms, type Route, TidegateError } from "../model/index.ts";
import { shareOfBound } from "../routing/index.ts";
import { adminDoor } from "./admin-door.ts";
import { followAddresses, isFollowed } from "./followed-addresses.ts";

export interface DoorsBehindOptions {
  /** Sent as a bearer token; null: none. */
  readonly token: string | null;
  readonly clock: Clock;
  readonly log: Log;
  /** Every address of a host name now. @throws as `dns.lookup` */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly open?: (url: string) => Door;
  readonly everyMs?: Ms;
}

/** A door with something to let go of when it is no longer wanted. */
export type ClosableDoor = Door & { close(): void };

/** The door at an admin address: one gateway, or by `dns+http://` every gateway behind a name. @throws TidegateError `usage` */
export function doorAt(url: string, options: DoorsBehindOptions): ClosableDoor {
  if (isFollowed(url)) return doorsBehind(url, options);
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return { ...adminDoor(url, options), close() {} };
  throw new TidegateError(
    "usage",
    `--gateway is ${JSON.stringify(url)}; give an admin address such as http://gateway:9090, or dns+http://NAME:9090 for all behind a name`,
  );
}

/** For the first addresses, before the door is said to lead nowhere. */
const firstLimitMs: Ms = 2_000;

interface Member {
  readonly door: Door;
  /** False once the name no longer leads to it. */
  listed: boolean;
  readonly held: Map<(endpoint: string) => void, () => void>;
  /** By endpoint, as it last told. */
  readonly totals: Map<string, DoorTotals>;
}

/**
 * All gateways behind a name, such as a headless Service, as one door: their reports are summed, and the cursor is one for each.
 * - The name is looked up again every few seconds (see `followAddresses`); a gateway that is new is told the routes at once.
 * - A gateway that the name no longer leads to is asked on for as long as it answers: it may still finish requests, on replicas that would
 *   otherwise seem idle. What it did stays in the totals; what it still had in hand when it went silent counts as failed.
 * - One that the name leads to and that does not answer makes the whole door silent, for its requests would be missing from the sum.
 *
 * @throws TidegateError as `adminDoor`; `admin/unreachable` while there is no gateway
 */
export function doorsBehind(url: string, options: DoorsBehindOptions): ClosableDoor {
  const { token, clock, log } = options;
  const open = options.open ?? ((member: string) => adminDoor(member, { token, clock }));
  const members = new Map<string, Member>();
  const routes = new Map<string, { readonly endpoint: DoorEndpoint; readonly routes: readonly Route[] }>();
  const listeners = new Set<(endpoint: string) => void>();
  /** By endpoint: what gateways that have gone did. */
  const departed = new Map<string, DoorTotals>();
  let tellFirst = () => {};
  const first = new Promise<void>((resolve) => {
    tellFirst = resolve;
  });
  const unfollow = followAddresses(url, options, (addresses) => {
    const listed = new Set(addresses);
    for (const [address, member] of members) member.listed = listed.has(address);
    for (const address of addresses) if (!members.has(address)) void join(address);
    tellFirst();
  });
  const cancelFirst = clock.after(firstLimitMs * clock.speed, tellFirst);

  async function join(address: string): Promise<void> {
    const member: Member = { door: open(address), listed: true, held: new Map(), totals: new Map() };
    members.set(address, member);
    for (const listener of listeners) member.held.set(listener, member.door.onHeld(listener));
    log("info", `gateway ${address} has come (${url})`);
    // Where it does not answer yet, the next round of routes tells it.
    await Promise.allSettled([...routes.values()].map((one) => member.door.setRoutes(one.endpoint, shared(one.routes))));
  }

  /** Each gateway's part of what a replica may be given, as if they shared the traffic evenly. */
  function shared(all: readonly Route[]): readonly Route[] {
    const gateways = Math.max(1, [...members.values()].filter(({ listed }) => listed).length);
    return all.map((route) => (route.bound == null ? route : { ...route, bound: shareOfBound(route.bound, gateways) }));
  }

  function leave(address: string, member: Member): void {
    members.delete(address);
    for (const stop of member.held.values()) stop();
    for (const [endpoint, totals] of member.totals) {
      const ended = { ...totals, failed: totals.failed + totals.inFlight + totals.held, inFlight: 0, queued: 0, held: 0 };
      departed.set(endpoint, addTotals(departed.get(endpoint) ?? ended, departed.has(endpoint) ? ended : null));
    }
    log("info", `gateway ${address} has gone (${url})`);
  }

  /** @throws TidegateError of a gateway that the name leads to, after all have been asked */
  async function all<Answer>(ask: (door: Door, address: string) => Promise<Answer>): Promise<ReadonlyMap<string, Answer>> {
    await first;
    const answers = new Map<string, Answer>();
    const failures: unknown[] = [];
    await Promise.all(
      [...members].map(async ([address, member]) => {
        try {
          answers.set(address, await ask(member.door, address));
        } catch (error) {
          if (member.listed) failures.push(error);
          else if (members.get(address) === member) leave(address, member);
        }
      }),
    );
    if (failures.length > 0) throw failures[0];
    return answers;
  }

  return {
    async setRoutes(endpoint, next) {
      routes.set(endpoint.name, { endpoint, routes: next });
      await all((door) => door.setRoutes(endpoint, shared(next)));
    },
    async report(endpoint, cursor) {
      const cursors = cursorsOf(cursor);
      const reports = await all((door, address) => door.report(endpoint, cursors[address] ?? null));
      if (reports.size === 0)
        throw new TidegateError("admin/unreachable", `no gateway is behind ${url}; check the name, and that a gateway is ready`, {
          retryable: true,
        });
      for (const [address, { totals }] of reports) members.get(address)?.totals.set(endpoint, totals);
      const merged = mergeReports([...reports.values()]);
      const totals = addTotals(merged.totals, departed.get(endpoint) ?? null);
      return {
        ...merged,
        totals,
        cursor: JSON.stringify(Object.fromEntries([...reports].map(([address, report]) => [address, report.cursor]))),
      };
    },
    async forget(endpoint) {
      routes.delete(endpoint);
      departed.delete(endpoint);
      await all((door) => door.forget(endpoint));
    },
    onHeld(listener) {
      listeners.add(listener);
      for (const member of members.values()) member.held.set(listener, member.door.onHeld(listener));
      return () => {
        listeners.delete(listener);
        for (const { held } of members.values()) {
          held.get(listener)?.();
          held.delete(listener);
        }
      };
    },
    close() {
      unfollow();
      cancelFirst();
      tellFirst();
    },
  };
}

function addTotals(a: DoorTotals, b: DoorTotals | null): DoorTotals {
  if (b === null) return a;
  const keys = Object.keys(a) as (keyof DoorTotals)[];
  return Object.fromEntries(keys.map((key) => [key, a[key] + b[key]])) as unknown as DoorTotals;
}

/** A cursor that is none of ours (another kind of door gave it) says nothing: everything is told again. */
function cursorsOf(cursor: string | null): Readonly<Record<string, string>> {
  if (cursor === null) return {};
  try {
    const parsed: unknown = JSON.parse(cursor);
    return typeof parsed === "object" && parsed !== null ? (parsed as Readonly<Record<string, string>>) : {};
  } catch {
    return {};
  }
}
