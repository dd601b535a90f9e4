import { readFileSync } from "node:fs";
import { Agent } from "undici";
import { type Ms, messageOf, type PrometheusSpec, TidegateError } from "../model/index.ts";
import { type Answer, exchange, reasonOf } from "./exchange.ts";

/** `value` may be NaN or infinite, as PromQL's may. */
export interface PrometheusPoint {
  readonly atMs: Ms;
  readonly value: number;
}
export interface PrometheusSeries {
  readonly labels: Readonly<Record<string, string>>;
  /** One point of an instant query, oldest first of a range query. */
  readonly points: readonly PrometheusPoint[];
}
export interface PrometheusAnswer {
  /** A scalar is one series without labels. */
  readonly series: readonly PrometheusSeries[];
  readonly warnings: readonly string[];
  /** A part of the data could not be reached (Thanos, Cortex, remote read): sums are too small. */
  readonly partial: boolean;
}

/**
 * A Prometheus-compatible query API. Errors are TidegateErrors: `signal/unreachable` when the server does not answer or refuses
 * us, `signal/malformed` when it does not understand the query (its own words are passed on) or we do not understand it,
 * `config/unreadable` when a TLS file cannot be read.
 */
export interface PrometheusClient {
  /** Evaluates at the server's now, or at `atMs`. With `lookbackMs`, what has no sample so recent is absent from the answer. */
  query(query: string, options?: { readonly atMs?: Ms; readonly lookbackMs?: Ms }): Promise<PrometheusAnswer>;
  queryRange(query: string, range: { readonly startMs: Ms; readonly endMs: Ms; readonly stepMs: Ms }): Promise<PrometheusAnswer>;
  close(): Promise<void>;
}

/** Server and query errors that may be over by the next time. Source: Prometheus HTTP API, `errorType`. */
const passing = new Set(["timeout", "canceled", "unavailable", "internal", "too_many_requests"]);
/** Remarks about the query, as opposed to those about missing data. */
const remark = /^PromQL (?:warning|info):/;

export function createPrometheus(spec: Omit<PrometheusSpec, "queries">): PrometheusClient {
  const base = spec.url.replace(/\/+$/, "");
  let agent: Agent | null = null;

  const read = (file: string | null) => {
    if (file === null) return undefined;
    try {
      return readFileSync(file);
    } catch (error) {
      throw new TidegateError("config/unreadable", `TLS file ${file} for ${base}: ${messageOf(error)}`, { retryable: true, cause: error });
    }
  };
  /** Built when first needed, so that a file that is not there yet is a fault that passes and not a failed start. */
  const dispatcher = () => {
    if (agent === null) {
      const { caFile, certFile, keyFile, insecureSkipVerify } = spec.tls;
      const [ca, cert, key] = [read(caFile), read(certFile), read(keyFile)];
      agent = new Agent({
        connections: 4,
        allowH2: false,
        connect: {
          timeout: Math.max(1, Math.ceil(spec.timeoutMs)),
          rejectUnauthorized: !insecureSkipVerify,
          ...(ca && { ca }),
          ...(cert && { cert }),
          ...(key && { key }),
        },
      });
    }
    return agent;
  };
  const authorization =
    spec.bearerToken !== null
      ? `Bearer ${spec.bearerToken}`
      : spec.basic !== null
        ? `Basic ${Buffer.from(`${spec.basic.username}:${spec.basic.password}`).toString("base64")}`
        : null;

  async function call(path: string, parameters: Readonly<Record<string, string>>): Promise<PrometheusAnswer> {
    const url = `${base}/api/v1/${path}`;
    let answer: Answer;
    try {
      answer = await exchange(url, dispatcher(), {
        headers: {
          accept: "application/json",
          "content-type": "application/x-www-form-urlencoded",
          ...(authorization !== null && { authorization }),
        },
        body: new URLSearchParams(parameters).toString(),
        timeoutMs: spec.timeoutMs,
      });
    } catch (error) {
      if (error instanceof TidegateError) throw error;
      throw new TidegateError("signal/unreachable", `Prometheus at ${base}: ${reasonOf(error, spec.timeoutMs)}`, {
        retryable: true,
        cause: error,
      });
    }
    return parseAnswer(answer, base, parameters["query"] ?? "");
  }

  const seconds = (ms: Ms) => String(ms / 1000);
  return {
    query: (query, { atMs, lookbackMs } = {}) =>
      call("query", {
        query,
        timeout: `${Math.max(1, Math.round(spec.timeoutMs))}ms`,
        ...(atMs !== undefined && { time: seconds(atMs) }),
        ...(lookbackMs !== undefined && { lookback_delta: `${Math.max(1, Math.round(lookbackMs))}ms` }),
      }),
    queryRange: (query, { startMs, endMs, stepMs }) =>
      call("query_range", { query, start: seconds(startMs), end: seconds(endMs), step: seconds(stepMs) }),
    async close() {
      await agent?.destroy();
    },
  };
}

function parseAnswer({ status, body }: Answer, base: string, query: string): PrometheusAnswer {
  if (status === 401 || status === 403) {
    throw new TidegateError(
      "signal/unreachable",
      `Prometheus at ${base} refuses us (status ${status}); check prometheus.bearerToken or prometheus.basic`,
    );
  }
  const asked = `query ${JSON.stringify(query)} to Prometheus at ${base}`;
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (error) {
    if (status >= 500 || status === 429)
      throw new TidegateError("signal/unreachable", `Prometheus at ${base}: status ${status}`, { retryable: true });
    throw new TidegateError("signal/malformed", `${asked}: status ${status} and no JSON; is this the address of a Prometheus API?`, {
      cause: error,
    });
  }
  const answer = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>;
  if (answer["status"] !== "success") {
    const type = String(answer["errorType"] ?? `status ${status}`);
    const text = `${asked}: ${type}: ${String(answer["error"] ?? "no reason given")}`;
    const passes = passing.has(type) || (answer["errorType"] === undefined && status >= 500);
    throw new TidegateError(passes ? "signal/unreachable" : "signal/malformed", text, { retryable: passes });
  }
  const warnings = Array.isArray(answer["warnings"]) ? answer["warnings"].map(String) : [];
  const series = parseData(answer["data"]);
  if (series === null) throw new TidegateError("signal/malformed", `${asked}: an answer of an unknown shape`);
  return { series, warnings, partial: answer["isPartial"] === true || warnings.some((warning) => !remark.test(warning)) };
}

function parseData(data: unknown): PrometheusSeries[] | null {
  if (typeof data !== "object" || data === null) return null;
  const { resultType, result } = data as { resultType?: unknown; result?: unknown };
  if (!Array.isArray(result)) return null;
  if (resultType === "scalar") {
    const point = parsePoint(result);
    return point === null ? null : [{ labels: {}, points: [point] }];
  }
  if (resultType !== "vector" && resultType !== "matrix") return null;
  const all: PrometheusSeries[] = [];
  for (const row of result as unknown[]) {
    if (typeof row !== "object" || row === null) return null;
    const { metric, value, values } = row as { metric?: unknown; value?: unknown; values?: unknown };
    if (typeof metric !== "object" || metric === null) return null;
    const raw: unknown = resultType === "vector" ? (value === undefined ? [] : [value]) : (values ?? []);
    if (!Array.isArray(raw)) return null;
    const points = raw.map(parsePoint);
    if (points.includes(null)) return null;
    // A native histogram has `histogram` instead of a value: no number, so nothing that could be used.
    if (points.length > 0) all.push({ labels: metric as Record<string, string>, points: points as PrometheusPoint[] });
  }
  return all;
}

function parsePoint(pair: unknown): PrometheusPoint | null {
  if (!Array.isArray(pair) || typeof pair[0] !== "number" || typeof pair[1] !== "string") return null;
  const value = pair[1] === "+Inf" ? Infinity : pair[1] === "-Inf" ? -Infinity : Number(pair[1]);
  return pair[1] === "" || (Number.isNaN(value) && pair[1] !== "NaN") ? null : { atMs: pair[0] * 1000, value };
}
