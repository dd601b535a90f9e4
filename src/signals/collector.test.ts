import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it, vi } from "vitest";
import { fakeClock } from "../clock/index.ts";
import { type Endpoint, type EngineSpec, type PrometheusSpec, type Series, TidegateError } from "../model/index.ts";
import { type Collector, createCollector, type ReadPage } from "./index.ts";

const startMs = 1_000_000;
const scrapeEveryMs = 5000;
const engineSpec: EngineSpec = { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null };
const endpointOf = (engine: Partial<EngineSpec> = {}, prometheus: PrometheusSpec | null = null): Endpoint => ({
  name: "chat",
  namespace: "default",
  model: "m",
  engine: { ...engineSpec, ...engine },
  platform: { kind: "static", target: null, urls: [] },
  pools: [],
  objective: { attainment: 0.95, timeToFirstTokenMs: 1000, timePerOutputTokenMs: 100 },
  policy: { kind: "static", replicas: {} },
  metrics: {},
  prometheus,
  scrapeEveryMs,
  staleAfterMs: 20_000,
  gateway: { maxHeld: 1, holdTimeoutMs: 1, upstreamTimeoutMs: 1, maxBodyBytes: 1, attempts: 1 },
  dryRun: false,
});

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** Pages by URL; a function may throw. A URL that is not there is unreachable. */
function setup(engine: Partial<EngineSpec> = {}, sampleEveryMs: number | null = null) {
  const clock = fakeClock(startMs);
  const pages = new Map<string, string | (() => string | Promise<string>)>();
  const reads: string[] = [];
  const logs: string[] = [];
  const readPage: ReadPage = async (url) => {
    reads.push(`${clock.now() - startMs} ${url}`);
    const page = pages.get(url);
    if (page === undefined) throw new TidegateError("signal/unreachable", `${url} is down`, { retryable: true });
    return typeof page === "string" ? page : page();
  };
  const needs = sampleEveryMs === null ? [] : [{ name: "running", per: "replica" as const, sampleEveryMs }];
  const collector = createCollector(endpointOf(engine), {
    clock,
    readPage,
    needs,
    log: (level, message) => logs.push(`${level} ${message}`),
  });
  endings.push(() => collector.close());
  return { clock, pages, reads, logs, collector, collect: () => look(collector, clock.now()) };
}

function look(collector: Collector, nowMs: number) {
  const series = collector.collect(nowMs);
  const find = (name: string, id: string | null) =>
    series.find(
      (one) =>
        one.name === name && (id === null ? one.subject.kind === "endpoint" : one.subject.kind === "replica" && one.subject.id === id),
    );
  return { series, find, value: (name: string, id: string | null = null) => find(name, id)?.latest?.value };
}

interface Load {
  readonly running?: number;
  readonly waiting?: number;
  readonly kv?: number;
  readonly prompt?: number;
  readonly finished?: number;
  /** Observations up to 1 s, up to 2 s, at all. */
  readonly ttft?: readonly [number, number, number];
}
const vllmPage = ({ running = 0, waiting = 0, kv = 0, prompt = 0, finished = 0, ttft = [0, 0, 0] }: Load) => `
vllm:num_requests_running{engine="0"} ${running}
vllm:num_requests_waiting{engine="0"} ${waiting}
vllm:kv_cache_usage_perc{engine="0"} ${kv}
vllm:prompt_tokens_total{engine="0"} ${prompt}
vllm:request_success_total{engine="0",finished_reason="stop"} ${finished}
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0"} ${ttft[0]}
vllm:time_to_first_token_seconds_bucket{engine="0",le="2.0"} ${ttft[1]}
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} ${ttft[2]}
vllm:time_to_first_token_seconds_sum{engine="0"} ${ttft[2]}
`;
const a = { id: "a", url: "http://a:8000/" };
const b = { id: "b", url: "http://b:8000" };
const both = (pages: Map<string, unknown>, load: Load, second = load) => {
  pages.set("http://a:8000/metrics", vllmPage(load));
  pages.set("http://b:8000/metrics", vllmPage(second));
};

it("gives each replica's series and the endpoint's sums, means and merged quantiles", async () => {
  const { clock, pages, collector, collect } = setup();
  both(pages, { running: 2, waiting: 1, kv: 0.5, prompt: 100 }, { running: 4, waiting: 0, kv: 0.25, prompt: 1000 });
  collector.targets([a, b]);
  await clock.advance(0);
  expect(collect().value("running")).toBe(6);
  both(pages, { running: 2, waiting: 1, kv: 0.5, prompt: 600, ttft: [4, 4, 4] }, { running: 4, kv: 0.25, prompt: 1000, ttft: [0, 4, 4] });
  await clock.advance(scrapeEveryMs);
  const { value, find } = collect();
  expect([value("running", "a"), value("running", "b"), value("running")]).toEqual([2, 4, 6]);
  expect([value("waiting"), value("queue_depth"), value("in_flight"), value("kv_used")]).toEqual([1, 1, 7, 0.375]);
  expect([value("prompt_tokens_per_second", "a"), value("prompt_tokens_per_second", "b")]).toEqual([100, 0]);
  expect(find("prompt_tokens_per_second", null)?.latest).toEqual({ atMs: startMs + 5000, windowMs: 5000, value: 100 });
  expect(value("ttft")).toEqual({ bounds: [1, 2], counts: [4, 4, 0], sum: 8 });
  expect([value("ttft_p50", "a"), value("ttft_p50", "b"), value("ttft_p50")]).toEqual([0.5, 1.5, 1]);
});

it("hands out each sample once and keeps the latest", async () => {
  const { clock, pages, collector, collect } = setup();
  both(pages, { running: 1 });
  collector.targets([a]);
  await clock.advance(2 * scrapeEveryMs);
  expect(
    collect()
      .find("running", "a")
      ?.samples.map(({ atMs }) => atMs - startMs),
  ).toEqual([0, 5000, 10_000]);
  expect(collect().find("running", "a")).toMatchObject({ samples: [], latest: { value: 1 }, fault: null });
});

it("reads at fixed times, as often as the most impatient need", async () => {
  const { clock, pages, collector, reads } = setup({}, 2000);
  both(pages, {});
  await clock.advance(700);
  collector.targets([a]);
  await clock.advance(6000);
  expect(reads.map((read) => read.split(" ")[0])).toEqual(["700", "2700", "4700", "6700"]);
});

it("keeps the last values through an outage, growing old, and never makes them 0", async () => {
  const { clock, pages, collector, collect, logs } = setup();
  both(pages, { running: 3, waiting: 2 });
  collector.targets([a]);
  await clock.advance(scrapeEveryMs);
  collect();
  pages.clear();
  await clock.advance(3 * scrapeEveryMs);
  const { find } = collect();
  for (const id of ["a", null]) {
    const kept = {
      samples: [],
      latest: { atMs: startMs + 5000, value: 3 },
      fault: { code: "signal/unreachable", sinceMs: startMs + 10_000 },
    };
    expect(find("running", id)).toMatchObject(kept);
  }
  both(pages, { running: 1 });
  await clock.advance(scrapeEveryMs);
  expect(collect().find("running", null)).toMatchObject({ latest: { value: 1 }, fault: null });
  expect(logs).toEqual(["warn chat: http://a:8000/metrics is down", "info chat: the metrics page of a is readable again"]);
});

it("makes no sum of a part of the replicas", async () => {
  const { clock, pages, collector, collect } = setup();
  both(pages, { running: 3, prompt: 10 });
  collector.targets([a, b]);
  await clock.advance(scrapeEveryMs);
  collect();
  pages.delete("http://b:8000/metrics");
  await clock.advance(2 * scrapeEveryMs);
  const { find } = collect();
  const partial = { code: "partial", sinceMs: startMs + 10_000 };
  expect(find("running", null)).toMatchObject({ samples: [], latest: { value: 6, atMs: startMs + 5000 }, fault: partial });
  expect(find("prompt_tokens_per_second", null)).toMatchObject({ samples: [], fault: partial });
  expect(find("running", "a")).toMatchObject({ latest: { atMs: startMs + 15_000 }, fault: null });
});

it("waits for a new replica's second reading before it sums rates again", async () => {
  const { clock, pages, collector, collect } = setup();
  both(pages, { prompt: 10 }, { prompt: 1_000_000 });
  collector.targets([a]);
  await clock.advance(scrapeEveryMs);
  collector.targets([a, b]);
  await clock.advance(scrapeEveryMs);
  expect(collect().find("prompt_tokens_per_second", null)).toMatchObject({
    latest: { value: 0, atMs: startMs + 5000 },
    fault: { code: "partial" },
  });
  await clock.advance(scrapeEveryMs);
  expect(collect().find("prompt_tokens_per_second", null)).toMatchObject({ latest: { value: 0, atMs: startMs + 15_000 }, fault: null });
});

it("makes no rate of a restart", async () => {
  const { clock, pages, collector, collect } = setup();
  for (const prompt of [1000, 2000, 500, 1500]) {
    both(pages, { prompt });
    if (prompt === 1000) collector.targets([a]);
    await clock.advance(prompt === 1000 ? 0 : scrapeEveryMs);
  }
  const { samples } = collect().find("prompt_tokens_per_second", "a") as Series;
  expect(samples.map(({ atMs, value }) => [atMs - startMs, value])).toEqual([
    [5000, 200],
    [15_000, 200],
  ]);
});

it("lets a quantile without observations grow old, without a fault", async () => {
  const { clock, pages, collector, collect } = setup();
  both(pages, {});
  collector.targets([a]);
  await clock.advance(0);
  both(pages, { ttft: [4, 4, 4] });
  await clock.advance(14 * scrapeEveryMs);
  const { find } = collect();
  for (const id of ["a", null]) {
    const { samples, fault } = find("ttft_p95", id) as Series;
    // Seen at 5 s, gone from the window of 60 s at 65 s.
    expect(samples.map(({ atMs }) => atMs - startMs).filter((_, at) => [0, 11].includes(at))).toEqual([5000, 60_000]);
    expect(samples).toHaveLength(12);
    expect(fault).toBeNull();
  }
});

it("marks what a page no longer has, and names a page that is none", async () => {
  const { clock, pages, collector, collect } = setup();
  both(pages, { running: 2 });
  collector.targets([a]);
  await clock.advance(0);
  pages.set("http://a:8000/metrics", "vllm:num_requests_waiting 1\n");
  await clock.advance(scrapeEveryMs);
  expect(collect().find("running", "a")).toMatchObject({ latest: { value: 2 }, fault: { code: "signal/absent" } });
  pages.set("http://a:8000/metrics", "<html>");
  await clock.advance(scrapeEveryMs);
  expect(collect().find("waiting", "a")).toMatchObject({ latest: { value: 1 }, fault: { code: "signal/malformed" } });
});

it("shows a fault before there ever was a value, and forgets replicas that are gone", async () => {
  const { clock, collector, collect, pages } = setup();
  collector.targets([a]);
  await clock.advance(0);
  expect(collect().find("running", "a")).toMatchObject({ latest: null, fault: { code: "signal/unreachable" } });
  both(pages, { running: 2 });
  await clock.advance(scrapeEveryMs);
  collector.targets([]);
  await clock.advance(scrapeEveryMs);
  const { find } = collect();
  expect(find("running", "a")).toBeUndefined();
  expect(find("running", null)).toMatchObject({ latest: { value: 2 }, fault: { code: "no-replicas" } });
});

it("drops what comes from an address that was replaced while it was read", async () => {
  const { clock, pages, collector, collect } = setup();
  let answer = (_: string) => {};
  pages.set("http://a:8000/metrics", () => new Promise<string>((resolve) => (answer = resolve)));
  collector.targets([a]);
  await clock.advance(0);
  collector.targets([{ id: "a", url: "http://elsewhere" }]);
  answer(vllmPage({ running: 9 }));
  await clock.advance(0);
  expect(collect().series).toEqual([]);
});

it("does not overlap readings of a page that is slow", async () => {
  const { clock, pages, collector, reads } = setup();
  let answer = (_: string) => {};
  pages.set("http://a:8000/metrics", () => new Promise<string>((resolve) => (answer = resolve)));
  collector.targets([a]);
  await clock.advance(3 * scrapeEveryMs);
  expect(reads).toHaveLength(1);
  answer(vllmPage({}));
  await clock.advance(scrapeEveryMs);
  expect(reads).toHaveLength(2);
  answer(vllmPage({}));
});

it("takes each replica's GPUs from a cluster's exporter by pod, and their mean for the endpoint", async () => {
  const url = "http://dcgm:9400/metrics";
  const { clock, pages, collector, collect, reads } = setup({ gpuMetrics: url });
  both(pages, {});
  pages.set(
    url,
    'DCGM_FI_DEV_GPU_UTIL{gpu="0",pod="a"} 80\nDCGM_FI_DEV_GPU_UTIL{gpu="1",pod="b"} 20\nDCGM_FI_DEV_GPU_UTIL{gpu="2",pod="x"} 99\n',
  );
  collector.targets([a, b]);
  await clock.advance(0);
  const { value } = collect();
  expect([value("gpu_utilization", "a"), value("gpu_utilization", "b"), value("gpu_utilization")]).toEqual([80, 20, 50]);
  expect(reads.filter((read) => read.includes("dcgm"))).toHaveLength(1);
  pages.delete(url);
  await clock.advance(scrapeEveryMs);
  const { find } = collect();
  for (const id of ["a", null]) expect(find("gpu_utilization", id)).toMatchObject({ samples: [], fault: { code: "signal/unreachable" } });
});

it("takes a host's GPUs without pods for the endpoint as a whole, and a replica's own page for the replica", async () => {
  const url = "http://host:9400/metrics";
  const text = 'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 80\nDCGM_FI_DEV_GPU_UTIL{gpu="1"} 40\n';
  const shared = setup({ gpuMetrics: url });
  shared.pages.set(url, text);
  both(shared.pages, {});
  shared.collector.targets([a]);
  await shared.clock.advance(0);
  const seen = shared.collect();
  expect([seen.value("gpu_utilization", "a"), seen.value("gpu_utilization")]).toEqual([undefined, 60]);

  const own = setup({ gpuMetrics: "/gpu", metricsPath: null });
  own.pages.set("http://a:8000/gpu", text);
  own.collector.targets([a]);
  await own.clock.advance(0);
  const mine = own.collect();
  expect([mine.value("gpu_utilization", "a"), mine.value("gpu_utilization")]).toEqual([60, 60]);
});

it("asks Ollama for nothing", async () => {
  const { clock, collector, reads } = setup({ kind: "ollama" });
  collector.targets([a]);
  await clock.advance(scrapeEveryMs);
  expect(reads).toEqual([]);
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void): Promise<string> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    answer(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it("reads over HTTP: values, garbage, refusals, silence", async () => {
  let answer = (response: ServerResponse) => void response.end(vllmPage({ running: 5 }));
  const url = await serve((_, response) => answer(response));
  const clock = fakeClock(startMs);
  // 300 ms apart on the fake clock, so that the time-out, in real time, is 270 ms.
  const collector = createCollector({ ...endpointOf(), scrapeEveryMs: 300 }, { clock, log: () => {} });
  endings.push(() => collector.close());
  collector.targets([{ id: "a", url }]);
  const until = (expected: object) =>
    vi.waitFor(
      async () => {
        await clock.advance(0);
        expect(look(collector, clock.now()).find("running", "a")).toMatchObject(expected);
      },
      { timeout: 5000, interval: 10 },
    );
  await until({ latest: { value: 5 }, fault: null });
  answer = (response) => void response.end("<html>not metrics</html>");
  await clock.advance(300);
  await until({ latest: { value: 5 }, fault: { code: "signal/malformed" } });
  answer = (response) => void response.writeHead(503).end("loading");
  await clock.advance(300);
  await until({ latest: { value: 5 }, fault: { code: "signal/unreachable" } });
  answer = (response) => void response.end(vllmPage({ running: 6 }));
  await clock.advance(300);
  await until({ latest: { value: 6 }, fault: null });
  answer = () => {};
  await clock.advance(300);
  await until({ latest: { value: 6 }, fault: { code: "signal/unreachable" } });
});

it("closes at once while a page is silent", async () => {
  const url = await serve(() => {});
  const collector = createCollector(endpointOf(), { clock: fakeClock(), log: () => {} });
  collector.targets([{ id: "a", url }]);
  await collector.close();
  expect(collector.collect(0)).toEqual([]);
});

it("takes series from Prometheus in place of pages, by replica and for the endpoint", async () => {
  let warnings: string[] = [];
  let values: Record<string, string> = { a: "5", "b:8000": "7", other: "100" };
  const prometheusUrl = await serve((_, response, body) => {
    const query = new URLSearchParams(body).get("query");
    const result =
      query === "by replica"
        ? Object.entries(values).map(([pod, value]) => ({ metric: { pod }, value: [1, value] }))
        : query === "one"
          ? [{ metric: {}, value: [1, "0.5"] }]
          : [
              { metric: { x: "1" }, value: [1, "1"] },
              { metric: { x: "2" }, value: [1, "2"] },
            ];
    response.end(JSON.stringify({ status: "success", warnings, data: { resultType: "vector", result } }));
  });
  const prometheus: PrometheusSpec = {
    url: prometheusUrl,
    timeoutMs: 2000,
    bearerToken: null,
    basic: null,
    tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false },
    queries: [
      { signal: "waiting", query: "by replica", replicaLabel: "pod" },
      { signal: "arrivals", query: "one", replicaLabel: null },
      { signal: "ambiguous", query: "two", replicaLabel: null },
    ],
  };
  const clock = fakeClock(startMs);
  const readPage: ReadPage = async () => vllmPage({ running: 1, waiting: 50 });
  const collector = createCollector(endpointOf({}, prometheus), { clock, readPage, log: () => {} });
  endings.push(() => collector.close());
  collector.targets([a, b]);
  const until = (check: (seen: ReturnType<typeof look>) => void) =>
    vi.waitFor(
      async () => {
        await clock.advance(scrapeEveryMs);
        check(look(collector, clock.now()));
      },
      { timeout: 5000, interval: 10 },
    );
  await until(({ value, find }) => {
    expect([value("waiting", "a"), value("waiting", "b"), value("waiting"), value("running"), value("arrivals")]).toEqual([
      5, 7, 12, 2, 0.5,
    ]);
    expect(find("ambiguous", null)).toMatchObject({ latest: null, fault: { code: "signal/malformed" } });
  });
  values = { a: "6" };
  await until(({ find }) => {
    expect(find("waiting", "a")).toMatchObject({ latest: { value: 6 }, fault: null });
    expect(find("waiting", "b")).toMatchObject({ latest: { value: 7 }, fault: { code: "signal/absent" } });
    expect(find("waiting", null)).toMatchObject({ latest: { value: 12 }, fault: { code: "partial" } });
  });
  warnings = ["store 10.0.0.1 is unavailable"];
  await until(({ find }) =>
    expect(find("arrivals", null)).toMatchObject({ latest: { value: 0.5 }, fault: { code: "signal/unreachable" } }),
  );
});
