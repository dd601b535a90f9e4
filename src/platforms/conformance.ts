import { afterEach, describe, expect, it } from "vitest";
import type { Platform, PlatformStatus } from "./platform.ts";

type Case =
  | "lists every pool"
  | "status is JSON"
  | "asking twice changes nothing"
  | "marks the named victims first"
  | "keeps a draining replica until it is drained"
  | "refuses an unknown pool"
  | "refuses a count that is none"
  | "may be drained of what it does not know"
  | "a listener may leave"
  | "closes twice";

export interface ConformanceSubject {
  /** A fresh platform with `pools`, and how to free what it took. */
  make(): Promise<{ readonly platform: Platform; readonly cleanUp: () => Promise<void> }>;
  readonly pools: readonly string[];
  /** Cases that make no sense here, with the reason. */
  readonly skip?: Readonly<Partial<Record<Case, string>>>;
}

/** Waits, on the platform's own word, until its status is as wished; fails after `limitMs` real milliseconds. */
export async function statusWhen(
  platform: Platform,
  wished: (status: PlatformStatus) => boolean,
  limitMs = 10_000,
): Promise<PlatformStatus> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const status = await platform.status();
    if (wished(status)) return status;
    if (performance.now() > endMs) throw new Error(`status never came: ${JSON.stringify(status, null, 1)}`);
    await new Promise<void>((resolve) => {
      const go = () => {
        leave();
        clearTimeout(timer);
        resolve();
      };
      const leave = platform.onChange(go);
      const timer = setTimeout(go, 50);
    });
  }
}

/** What every platform owes, whoever holds its replicas. */
export function platformConformance(name: string, subject: ConformanceSubject): void {
  describe(`${name} as a platform`, () => {
    const pool = subject.pools[0]!;
    let cleanUp = async () => {};
    afterEach(async () => {
      await cleanUp();
      cleanUp = async () => {};
    });
    const rule = (title: Case, check: (platform: Platform) => Promise<void>) => {
      const reason = subject.skip?.[title];
      if (reason !== undefined) return void it.skip(`${title} (${reason})`, () => {});
      it(title, async () => {
        const made = await subject.make();
        cleanUp = made.cleanUp;
        await check(made.platform);
      });
    };
    const ask = (platform: Platform, replicas: number, drain: readonly string[] = []) =>
      platform.scale(pool, { kind: "scale", replicas, drain });
    const count = ({ replicas }: PlatformStatus, state: string) => replicas.filter((replica) => replica.state === state).length;

    rule("lists every pool", async (platform) => {
      const { pools } = await platform.status();
      expect(Object.keys(pools).sort()).toEqual([...subject.pools].sort());
    });

    rule("status is JSON", async (platform) => {
      await ask(platform, 1);
      const status = await platform.status();
      expect(JSON.parse(JSON.stringify(status))).toEqual(status);
    });

    rule("asking twice changes nothing", async (platform) => {
      const first = await ask(platform, 2);
      const asked = await statusWhen(platform, ({ pools }) => pools[pool]?.reported === 2);
      const ids = asked.replicas.map(({ id }) => id);
      expect(await ask(platform, 2)).toBe(first);
      const status = await platform.status();
      expect(status.replicas.map(({ id }) => id)).toEqual(ids);
      expect(status.pools[pool]).toMatchObject({ reported: 2, otherWriter: false });
    });

    rule("marks the named victims first", async (platform) => {
      await ask(platform, 3);
      const { replicas } = await statusWhen(platform, (status) => count(status, "ready") === 3);
      const victim = replicas[0]!.id;
      expect(await ask(platform, 2, [victim])).toBe("accepted");
      const after = await platform.status();
      expect(after.replicas.filter(({ state }) => state === "draining").map(({ id }) => id)).toEqual([victim]);
      expect(after.pools[pool]).toMatchObject({ wanted: 2, reported: 2 });
    });

    rule("keeps a draining replica until it is drained", async (platform) => {
      await ask(platform, 1);
      const { replicas } = await statusWhen(platform, (status) => count(status, "ready") === 1);
      await ask(platform, 0);
      const draining = (await platform.status()).replicas.find(({ id }) => id === replicas[0]!.id);
      expect(draining?.state).toBe("draining");
      platform.drained(replicas[0]!.id);
      await statusWhen(platform, (status) => count(status, "draining") === 0);
    });

    rule("refuses an unknown pool", async (platform) => {
      const asked = platform.scale("no-such-pool", { kind: "scale", replicas: 1, drain: [] });
      await expect(asked).rejects.toMatchObject({ code: "platform/refused", message: expect.stringContaining("no-such-pool") });
    });

    rule("refuses a count that is none", async (platform) => {
      for (const replicas of [-1, 1.5, Number.NaN])
        await expect(ask(platform, replicas)).rejects.toMatchObject({ code: "platform/refused" });
      expect((await platform.status()).pools[pool]).toMatchObject({ wanted: 0 });
    });

    rule("may be drained of what it does not know", async (platform) => {
      const before = await platform.status();
      platform.drained("no-such-replica");
      expect((await platform.status()).pools).toEqual(before.pools);
    });

    rule("a listener may leave", async (platform) => {
      let calls = 0;
      const leave = platform.onChange(() => calls++);
      leave();
      leave();
      await ask(platform, 1);
      await Promise.resolve();
      expect(calls).toBe(0);
    });

    rule("closes twice", async (platform) => {
      await platform.close("end");
      await platform.close("end");
      await platform.close("leave");
    });
  });
}
