import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { realClock } from "../clock/index.ts";
import type { TraceRequest } from "../traces/index.ts";
import { type LoadOptions, runLoad } from "./index.ts";

interface Seen {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: {
    model: string;
    max_tokens: number;
    ignore_eos: boolean;
    stream: boolean;
    stream_options: { include_usage: boolean };
    messages?: { content: string }[];
    prompt?: string;
  };
}

/** A server that answers each request by `answer`; everything it saw is kept. */
async function serving<T>(
  answer: (response: ServerResponse, seen: Seen, index: number) => void,
  use: (url: string, seen: Seen[]) => Promise<T>,
): Promise<T> {
  const all: Seen[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (part) => {
      text += part;
    });
    request.on("end", () => {
      const seen = { path: request.url ?? "", headers: request.headers, body: JSON.parse(text) };
      all.push(seen);
      answer(response, seen, all.length - 1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, all);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const event = (body: unknown) => `data: ${JSON.stringify(body)}\n\n`;
const role = event({ choices: [{ index: 0, delta: { role: "assistant", content: "" } }] });
const token = event({ choices: [{ index: 0, delta: { content: "la" } }] });
const usage = (tokens: number) => event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: tokens } });
const head = (response: ServerResponse) => response.writeHead(200, { "content-type": "text/event-stream" });
const whole = (response: ServerResponse, { body }: Seen) => {
  head(response).write(role);
  for (let n = 0; n < body.max_tokens; n++) response.write(token);
  response.end(`${usage(body.max_tokens)}data: [DONE]\n\n`);
};
const rows = (count: number, everyMs = 1): TraceRequest[] =>
  Array.from({ length: count }, (_, at) => ({ arrivalMs: at * everyMs, promptTokens: 10 + at, outputTokens: 3 }));
const options = (url: string, trace: readonly TraceRequest[], more: Partial<LoadOptions> = {}): LoadOptions => ({
  url,
  model: "m",
  trace,
  clock: realClock(),
  ...more,
});

it("sends what the trace says and counts what comes back", async () => {
  await serving(whole, async (url, seen) => {
    const report = await runLoad(options(url, rows(20), { headers: { authorization: "Bearer x" } }));
    expect(report).toMatchObject({
      sent: 20,
      ok: 20,
      failed: 0,
      cancelled: 0,
      outputTokens: 60,
      shortAnswers: 0,
      failures: [],
      interrupted: false,
    });
    expect(report.chunks).toBe(20 * 5); // role, three tokens, usage
    expect(report.ttftMs.count).toBe(20);
    expect(report.e2eMs.p50).toBeGreaterThan(0);
    expect(seen.map(({ path }) => path)).toEqual(Array(20).fill("/v1/chat/completions"));
    const first = seen.find(({ body }) => body.messages![0]!.content.length === 40)!;
    expect(first.body).toMatchObject({
      model: "m",
      max_tokens: 3,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(first.headers.authorization).toBe("Bearer x");
    expect(seen.map(({ body }) => body.messages![0]!.content.length).sort((a, b) => a - b)).toEqual(
      rows(20).map((row) => row.promptTokens * 4),
    );
  });
});

it("speaks the completions API, under an address that ends in /v1 too", async () => {
  await serving(
    (response, { body }) => {
      head(response).end(`${event({ choices: [{ text: "x" }] }).repeat(body.max_tokens)}data: [DONE]\n\n`);
    },
    async (url, seen) => {
      const report = await runLoad(options(`${url}/v1/`, rows(2), { api: "completions" }));
      expect(report).toMatchObject({ ok: 2, outputTokens: 6 });
      expect(seen[0]!.path).toBe("/v1/completions");
      expect(seen[0]!.body.prompt).toHaveLength(40);
    },
  );
});

it("tells every kind of failure apart", async () => {
  await serving(
    (response, seen, index) => {
      switch (index) {
        case 0:
          return response.writeHead(503, { "content-type": "application/json" }).end('{"error":{"message":"no replica is ready"}}');
        case 1:
          return head(response).end(role + token);
        case 2:
          head(response).write(role + token);
          return setImmediate(() => response.destroy());
        case 3:
          return response.destroy();
        case 4:
          return head(response).end(`${role}data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n`);
        case 5:
          return head(response).write(role + token); // and then silence
        default:
          return whole(response, seen);
      }
    },
    async (url) => {
      // one at a time, so that the index is the row's
      const report = await runLoad(options(url, rows(7), { maxInFlight: 1, timeoutMs: 300 }));
      expect(report).toMatchObject({ sent: 7, ok: 1, failed: 6 });
      const count = (kind: string) => report.failures.filter((failure) => failure.kind === kind).reduce((sum, one) => sum + one.count, 0);
      expect([count("http"), count("broken"), count("connection"), count("event"), count("timeout")]).toEqual([1, 2, 1, 1, 1]);
      expect(report.failures.find(({ kind }) => kind === "http")).toEqual({
        kind: "http",
        status: 503,
        count: 1,
        example: "no replica is ready",
      });
      expect(report.failures.find(({ kind }) => kind === "event")!.example).toBe("out of memory");
    },
  );
});

it("reports a refused connection", async () => {
  const url = await serving(whole, async (own) => own);
  const report = await runLoad(options(url, rows(3)));
  expect(report).toMatchObject({ sent: 3, ok: 0, failed: 3, failures: [{ kind: "refused", count: 3 }] });
});

it("judges the objective with the time of 16 tokens for short answers, failures as missed", async () => {
  const objective = { attainment: 0.9, timeToFirstTokenMs: 10_000, timePerOutputTokenMs: 1000 };
  await serving(
    (response, seen, index) => (index === 0 ? response.writeHead(500).end() : whole(response, seen)),
    async (url) => {
      const report = await runLoad(options(url, rows(4), { objective }));
      expect(report.objective).toEqual({ ...objective, attained: 0.75, met: false });
      expect(report.tpotMs.max).toBeCloseTo((report.e2eMs.max! - report.ttftMs.max!) / 15, -1);
    },
  );
});

it("measures in the clock's time", async () => {
  await serving(
    (response, seen) => setTimeout(() => whole(response, seen), 30),
    async (url) => {
      const report = await runLoad(options(url, rows(2, 500), { clock: realClock(10) }));
      expect(report.ttftMs.min).toBeGreaterThan(280);
      expect(report.durationMs).toBeGreaterThan(790);
      expect(report.requestsPerSecond).toBeLessThan(2 / 0.45);
    },
  );
});

it("stops cleanly with a report of what it saw", async () => {
  const stop = new AbortController();
  await serving(
    (response, seen, index) => {
      if (index < 2) return whole(response, seen);
      head(response).write(role + token);
      stop.abort();
    },
    async (url) => {
      const report = await runLoad(options(url, rows(1000, 50), { maxInFlight: 1, signal: stop.signal }));
      expect(report).toMatchObject({ sent: 3, ok: 2, failed: 0, cancelled: 1, interrupted: true });
    },
  );
});

it("ends at the limit or the duration", async () => {
  await serving(whole, async (url) => {
    expect((await runLoad(options(url, rows(100), { limit: 5 }))).sent).toBe(5);
    expect((await runLoad(options(url, rows(100), { durationMs: 7 }))).sent).toBe(7);
    expect((await runLoad(options(url, rows(10), { rate: 2, clock: realClock(10_000) }))).sent).toBe(20);
  });
});

it("refuses an address that is none", async () => {
  await expect(runLoad(options("localhost:80", rows(1)))).rejects.toMatchObject({ code: "usage" });
});
