import { expect, it } from "vitest";
import { fakeClock } from "../../clock/fake-clock.ts";
import type { ApiRequest, KubernetesApi, WatchEvent } from "./api.ts";
import { followPods } from "./follow-pods.ts";
import { examplePod } from "./kubernetes.fixture.ts";
import type { Pod } from "./objects.ts";

const pod = (name: string, app: string, version = 1) => examplePod({ name, labels: { app }, version });

/** Lists what there is, by the selector asked for; `send` goes to every watch that is open. */
function setUp(there: readonly Pod[]) {
  const clock = fakeClock();
  const lists: ApiRequest[] = [];
  const watches = new Map<ApiRequest, (event: WatchEvent<Pod> | "end") => void>();
  const api = {
    server: "https://fake",
    async ask<Answer>(request: ApiRequest) {
      lists.push(request);
      await Promise.resolve();
      request.signal?.throwIfAborted();
      const app = /^app=(.*)$/.exec(String(request.query?.["labelSelector"] ?? ""))?.[1];
      const items = there.filter(({ metadata }) => app === undefined || metadata.labels?.["app"] === app);
      return { metadata: { resourceVersion: "100" }, items } as Answer;
    },
    async watch(request: ApiRequest) {
      request.signal?.throwIfAborted();
      const events: (WatchEvent<Pod> | "end")[] = [];
      let wake = () => {};
      watches.set(request, (event) => {
        events.push(event);
        wake();
      });
      request.signal?.addEventListener("abort", () => watches.delete(request));
      return (async function* () {
        for (;;) {
          const event = events.shift();
          if (event === "end") return;
          if (event !== undefined) yield event;
          else
            await new Promise<void>((resolve, reject) => {
              wake = resolve;
              request.signal?.addEventListener("abort", () => reject(request.signal?.reason));
            });
        }
      })();
    },
    skewMs: () => 0,
    close() {},
  } as unknown as KubernetesApi;
  const seen: string[] = [];
  const open = (app: string, namespace = "ns") =>
    followPods({
      ...{ api, clock, namespace, selector: `app=${app}`, log: () => {} },
      onList: (pods) => void seen.push(`${app}: list ${pods.map(({ metadata }) => metadata.name).join(",")}`),
      onChange: (type, { metadata }) => void seen.push(`${app}: ${type} ${metadata.name}`),
    });
  const send = (type: "ADDED" | "MODIFIED" | "DELETED", object: Pod) => {
    for (const tell of watches.values()) tell({ type, object });
  };
  const flush = async () => {
    for (let turn = 0; turn < 3; turn++) await clock.advance(1);
  };
  return { clock, lists, watches, seen, open, send, flush };
}

it("gives a few pools a watch each, by their selectors", async () => {
  const { open, lists, watches, flush } = setUp([pod("a-1", "a"), pod("b-1", "b")]);
  const follows = [open("a"), open("b"), open("c")];
  await Promise.all(follows.map(({ first }) => first));
  await flush();
  expect(lists.map(({ query }) => query?.["labelSelector"])).toEqual(["app=a", "app=b", "app=c"]);
  expect(watches.size).toBe(3);
});

it("shares one list and one watch of the namespace among many, and tells each its own pods only", async () => {
  const { open, lists, watches, seen, send, flush } = setUp([pod("a-1", "a"), pod("b-1", "b"), pod("x-1", "x")]);
  const first = [open("a"), open("b"), open("c")];
  await flush();
  const before = lists.length;
  seen.length = 0;
  const later = Array.from({ length: 30 }, (_, at) => open(`d${at}`));
  await Promise.all([...first, ...later].map((one) => one.first));
  await flush();
  expect(lists.length - before).toBe(1);
  expect(watches.size).toBe(1);
  expect(seen.filter((line) => !line.endsWith("list "))).toEqual(["a: list a-1", "b: list b-1"]);
  expect([...first, ...later].every((one) => one.trouble() === null)).toBe(true);
  seen.length = 0;
  send("ADDED", pod("c-1", "c", 101));
  send("DELETED", pod("b-1", "b", 102));
  send("ADDED", pod("y-1", "nobody's", 103));
  await flush();
  expect(seen).toEqual(["c: changed c-1", "b: deleted b-1"]);
  // Who comes later is told from what is known.
  seen.length = 0;
  await open("x").first;
  expect(seen).toEqual(["x: list x-1"]);
  expect(lists.length - before).toBe(1);
});

it("a pod whose labels leave a selector is gone for that pool", async () => {
  const { open, seen, send, flush } = setUp([pod("p", "a")]);
  const all = ["a", "b", "c", "d"].map((app) => open(app));
  await Promise.all(all.map(({ first }) => first));
  await flush();
  seen.length = 0;
  send("MODIFIED", pod("p", "b", 105));
  await flush();
  expect(seen).toEqual(["a: deleted p", "b: changed p"]);
});

it("counts each namespace by itself, and watches no more when the last one closes", async () => {
  const { open, lists, watches, flush } = setUp([]);
  const here = ["a", "b", "c"].map((app) => open(app, "here"));
  const there = ["a", "b", "c"].map((app) => open(app, "there"));
  await flush();
  expect(lists).toHaveLength(6);
  const fourth = open("d", "here");
  await flush();
  expect(watches.size).toBe(4);
  for (const one of [...here, ...there, fourth]) one.close();
  await flush();
  expect(watches.size).toBe(0);
  open("a", "here");
  await flush();
  expect(lists.at(-1)?.query).toMatchObject({ labelSelector: "app=a" });
});
