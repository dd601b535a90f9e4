import { Counter, Gauge, Registry } from "prom-client";
import type { AdminHandler } from "../http/index.ts";
import { type Clock, type Log, messageOf } from "../model/index.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import { type FollowCondition, followCondition, honoursTolerance } from "./follow.ts";
import { type KedaScaler, startKedaScaler } from "./keda/server.ts";
import type { Cluster } from "./metrics-api/cluster.ts";
import { type MetricsApi, type MetricsApiOptions, startMetricsApi } from "./metrics-api/server.ts";
import type { Source } from "./source.ts";

export interface BridgeOptions {
  readonly source: Source;
  readonly host: string;
  /** null: no metrics API. */
  readonly metricsApi: (Pick<MetricsApiOptions, "port" | "tls" | "custom" | "external"> & { readonly cluster: Cluster }) | null;
  /** null: no external scaler. */
  readonly keda: { readonly port: number; readonly tls: CertificateFiles | null } | null;
  readonly version: string;
  /** Real time. */
  readonly clock: Clock;
  readonly log: Log;
}

/** An endpoint and whether the HPA that follows it can follow each step. */
export interface EndpointCondition extends FollowCondition {
  readonly endpoint: string;
  readonly namespace: string;
}

export interface Bridge {
  readonly metricsPort: number | null;
  readonly kedaPort: number | null;
  readonly registry: Registry;
  conditions(): readonly EndpointCondition[];
  close(): Promise<void>;
}

/** Serves what a controller decides to those who act in its place. @throws TidegateError of the servers; none is left running */
export async function startBridge({ source, host, metricsApi, keda, version, clock, log }: BridgeOptions): Promise<Bridge> {
  const registry = new Registry();
  const registers = [registry];
  const connected = new Gauge({
    name: "tidegate_bridge_connected",
    help: "1 while the controller is heard",
    registers,
    collect() {
      connected.set(source.connected() ? 1 : 0);
    },
  });
  const answers = new Counter({
    name: "tidegate_bridge_answers_total",
    help: "answers of the metrics API by HTTP status",
    labelNames: ["code"],
    registers,
  });
  let honoured: boolean | null = null;
  const said = new Map<string, string>();
  const conditions = (): readonly EndpointCondition[] =>
    source.endpoints().map(({ name, namespace, pools }) => {
      const sum = (bound: "min" | "max") => pools.reduce((total, pool) => total + pool[bound], 0);
      return { endpoint: name, namespace, ...followCondition(sum("min"), sum("max"), honoured) };
    });
  const tell = () => {
    for (const { endpoint, status, message } of conditions()) {
      if (said.get(endpoint) === message) continue;
      said.set(endpoint, message);
      if (status === "False") log("warn", `${endpoint}: ${message}`);
    }
  };

  let metrics: MetricsApi | null = null;
  let scaler: KedaScaler | null = null;
  const close = async () => {
    await Promise.all([metrics?.close(), scaler?.close()]);
    source.close();
  };
  try {
    if (metricsApi !== null) {
      const onAnswer = (code: number) => answers.inc({ code });
      metrics = await startMetricsApi({ source, host, version, clock, log, onAnswer, ...metricsApi });
      const { cluster } = metricsApi;
      void cluster.ask<{ readonly major: string; readonly minor: string }>({ path: "/version" }).then(
        (answer) => {
          honoured = honoursTolerance(answer);
          tell();
        },
        (error) => log("warn", `the cluster's version is not known: ${messageOf(error)}`),
      );
    }
    if (keda !== null) scaler = await startKedaScaler({ source, host, clock, log, ...keda });
  } catch (error) {
    await close();
    throw error;
  }
  const unsubscribe = source.onChange((name) => {
    if (!said.has(name) && honoured !== null) tell();
  });
  return {
    metricsPort: metrics?.port ?? null,
    kedaPort: scaler?.port ?? null,
    registry,
    conditions,
    async close() {
      unsubscribe();
      await close();
    },
  };
}

/**
 * The bridge's admin port: /livez, /healthz, /readyz (the controller is heard), /version, and /api/v1/conditions, which says of each
 * endpoint whether the HPA that follows it can follow every step.
 */
export function bridgeHandler(bridge: Bridge, source: Source, version: string): AdminHandler {
  return (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const text = (status: number, body: string) => response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(body);
    const json = (body: unknown) =>
      response.writeHead(200, { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" }).end(JSON.stringify(body));
    if (pathname === "/livez" || pathname === "/healthz") text(200, "ok\n");
    else if (pathname === "/readyz")
      text(source.connected() ? 200 : 503, source.connected() ? "ok\n" : "[-] the controller is not heard\n");
    else if (pathname === "/version") json({ version, node: process.versions.node });
    else if (pathname === "/api/v1/conditions") json(bridge.conditions());
    else return false;
    return true;
  };
}
