import { expect, it } from "vitest";
import { fakeClock } from "../../clock/fake-clock.ts";
import { type ApiRequest, type KubernetesApi, KubernetesError, type WatchEvent } from "./api.ts";
import { type Follow, follow } from "./follow.ts";
import type { KubernetesObject } from "./objects.ts";

const item = (name: string, version: number): KubernetesObject => ({
  metadata: { name, uid: name, resourceVersion: String(version), creationTimestamp: "2026-01-01T00:00:00Z" },
});
type Event = WatchEvent<KubernetesObject>;
const bookmark = (version: number): Event => ({ type: "BOOKMARK", object: item("", version) });
const expired: Event = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired" } };
const down = new KubernetesError("platform/unreachable", "down", { status: null });

/** A server that plays what it is told: each watch gives its events, then ends, breaks or stays silent. */
function setUp(
  lists: readonly (readonly KubernetesObject[] | KubernetesError)[],
  watches: readonly (readonly (Event | "break" | "silence")[] | KubernetesError)[],
) {
  const clock = fakeClock();
  const asked: { list: ApiRequest[]; watch: ApiRequest[] } = { list: [], watch: [] };
  const api: KubernetesApi = {
    server: "https://fake",
    async ask<Answer>(request: ApiRequest) {
      const answer = lists[Math.min(asked.list.push(request), lists.length) - 1]!;
      if (answer instanceof Error) throw answer;
      return { metadata: { resourceVersion: "100" }, items: answer } as Answer;
    },
    async watch<Item extends KubernetesObject>(request: ApiRequest) {
      const script = watches[asked.watch.push(request) - 1] ?? ["silence"];
      if (script instanceof Error) throw script;
      return (async function* () {
        for (const step of script) {
          if (step === "break") throw down;
          if (step === "silence")
            await new Promise((_, reject) => request.signal?.addEventListener("abort", () => reject(request.signal?.reason)));
          yield step as WatchEvent<Item>;
        }
      })();
    },
    skewMs: () => 0,
    close() {},
  };
  const seen: string[] = [];
  const following: Follow = follow<KubernetesObject>({
    ...{ api, clock, path: "/pods", query: { labelSelector: "app=x" }, log: () => {}, random: () => 0.5 },
    onList: (items) => void seen.push(`list ${items.map(({ metadata }) => metadata.name).join(",")}`),
    onChange: (type, { metadata }) => void seen.push(`${type} ${metadata.name}`),
  });
  return { clock, asked, seen, following };
}
const places = (requests: readonly ApiRequest[]) => requests.map(({ query }) => query?.["resourceVersion"]);

it("lists once, then resumes each watch where the last one was, by events and by bookmarks", async () => {
  const { clock, asked, seen, following } = setUp(
    [[item("a", 1)]],
    [[{ type: "ADDED", object: item("b", 101) }], [bookmark(150)], ["break"], [{ type: "DELETED", object: item("a", 160) }, "silence"]],
  );
  await clock.advance(5_000);
  expect(asked.list).toHaveLength(1);
  expect(places(asked.watch)).toEqual(["100", "101", "150", "150"]);
  expect(seen).toEqual(["list a", "changed b", "deleted a"]);
  expect(asked.watch[0]!.query).toMatchObject({ allowWatchBookmarks: true, labelSelector: "app=x", timeoutSeconds: 450 });
  following.close();
});

it.each([
  { rule: "as an event", gone: [expired] },
  { rule: "as an answer", gone: new KubernetesError("platform/refused", "too old", { status: 410 }) },
])("lists again after 410, told $rule", async ({ gone }) => {
  const { clock, asked, seen, following } = setUp([[item("a", 1)], [item("c", 2)]], [gone, ["silence"]]);
  await clock.advance(5_000);
  expect(asked.list).toHaveLength(2);
  expect(seen).toEqual(["list a", "list c"]);
  following.close();
});

it("lists in pages, and gives them as one list", async () => {
  const clock = fakeClock();
  const asked: unknown[] = [];
  const seen: string[] = [];
  const api: KubernetesApi = {
    server: "https://fake",
    async ask<Answer>({ query }: ApiRequest) {
      asked.push(query?.["continue"]);
      const last = query?.["continue"] === "more";
      return { metadata: { resourceVersion: "7", continue: last ? "" : "more" }, items: [item(last ? "b" : "a", 1)] } as Answer;
    },
    watch: () => new Promise(() => {}),
    skewMs: () => 0,
    close() {},
  };
  const following = follow<KubernetesObject>({
    ...{ api, clock, path: "/pods", query: {}, log: () => {}, onChange: () => {} },
    onList: (items) => void seen.push(items.map(({ metadata }) => metadata.name).join(",")),
  });
  await clock.advance(100);
  expect(asked).toEqual([undefined, "more"]);
  expect(seen).toEqual(["a,b"]);
  following.close();
});

it("notices a watch that is silently dead, and resumes it", async () => {
  const { clock, asked, following } = setUp([[]], [["silence"], ["silence"]]);
  await clock.advance(149_000);
  expect(asked.watch).toHaveLength(1);
  expect(following.trouble()).toBeNull();
  await clock.advance(3_000);
  expect(places(asked.watch)).toEqual(["100", "100"]);
  expect(asked.list).toHaveLength(1);
  following.close();
});

it("tells since when it cannot follow, tries less and less often, and is well again", async () => {
  const failures = Array.from({ length: 9 }, () => down);
  const { clock, asked, following } = setUp([[]], [...failures, ["silence"]]);
  await clock.advance(1_000);
  expect(following.trouble()).toMatchObject({ sinceMs: 0, error: down });
  await clock.advance(60_000);
  expect(asked.watch.length).toBeLessThanOrEqual(12);
  expect(following.trouble()).toBeNull();
  following.close();
});

it("tells the first failure to who waits for the first list", async () => {
  const { clock, following } = setUp([down, []], [["silence"]]);
  await clock.advance(0);
  await expect(following.first).rejects.toBe(down);
  following.close();
});

it("does not take a slow listener for a silent server, and pulls nothing meanwhile", async () => {
  const clock = fakeClock();
  let pulled = 0;
  let release = () => {};
  const api: KubernetesApi = {
    server: "https://fake",
    ask: async <Answer>() => ({ metadata: { resourceVersion: "1" }, items: [] }) as Answer,
    watch: async <Item extends KubernetesObject>(request: ApiRequest) =>
      (async function* () {
        for (;;) {
          request.signal?.throwIfAborted();
          yield { type: "ADDED", object: item(`p${++pulled}`, pulled + 1) } as unknown as WatchEvent<Item>;
        }
      })(),
    skewMs: () => 0,
    close() {},
  };
  const following = follow<KubernetesObject>({
    ...{ api, clock, path: "/pods", query: {}, log: () => {}, onList: () => {} },
    onChange: () => new Promise<void>((resolve) => (release = resolve)),
  });
  await clock.advance(200_000);
  expect(pulled).toBe(1);
  release();
  await clock.advance(1);
  expect(pulled).toBe(2);
  following.close();
  release();
});
