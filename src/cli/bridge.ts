import { Command } from "commander";
import { portOf } from "./up.ts";
import { version } from "./version.ts";

interface BridgeFlags {
  readonly controller: string;
  readonly host: string;
  readonly adminPort: string;
  readonly metricsPort: string;
  readonly customMetrics: boolean;
  readonly externalMetrics: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly kedaPort?: string;
  readonly kedaClientCa?: string;
  readonly kedaInsecure: boolean;
  readonly logLevel: string;
}

/** `tidegate bridge`: what a running controller decides, for an HPA or KEDA that acts in its place. */
export function bridgeCommand(): Command {
  return new Command("bridge")
    .description("serve a controller's decisions and signals to an HPA (metrics API) or to KEDA (external scaler)")
    .option(
      "--controller <url>",
      "admin address of the controller; dns+http://NAME:PORT: all behind that name, of which one leads",
      process.env["TIDEGATE_ADMIN"] ?? "http://127.0.0.1:9090",
    )
    .option("--host <address>", "address to listen on", process.env["TIDEGATE_HOST"] ?? "127.0.0.1")
    .option("--admin-port <port>", "probes, /metrics and conditions", process.env["TIDEGATE_ADMIN_PORT"] ?? "9091")
    .option("--custom-metrics", "serve custom.metrics.k8s.io/v1beta2", false)
    .option("--external-metrics", "serve external.metrics.k8s.io/v1beta1, which has one owner in a cluster", false)
    .option("--metrics-port <port>", "where the metrics API is served, over TLS", "6443")
    .option("--tls-cert <file>", "certificate of metrics API and external scaler; read again when it changes")
    .option("--tls-key <file>", "its key")
    .option("--kubeconfig <file>", "the cluster that says who may ask; without it KUBECONFIG or the pod's service account")
    .option("--context <name>", "of the kubeconfig")
    .option("--keda-port <port>", "serve KEDA's external scaler there, over gRPC")
    .option("--keda-client-ca <file>", "let only clients in whose certificate is by this authority (mTLS)")
    .option("--keda-insecure", "external scaler without TLS", false)
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText(
      "after",
      "\nTIDEGATE_ADMIN_TOKEN in the environment: sent to the controller, and asked for on the admin port.\nManifests to go with it: docs/bridge.md.",
    )
    .action(async (flags: BridgeFlags) => {
      const { TidegateError } = await import("../model/index.ts");
      const usage = (message: string) => new TidegateError("usage", message);
      const servesMetrics = flags.customMetrics || flags.externalMetrics;
      if (!servesMetrics && flags.kedaPort === undefined)
        throw usage("nothing to serve; give --custom-metrics, --external-metrics or --keda-port PORT");
      const { tlsCert, tlsKey } = flags;
      if ((tlsCert === undefined) !== (tlsKey === undefined)) throw usage("--tls-cert and --tls-key go together");
      const files = tlsCert === undefined || tlsKey === undefined ? null : { certFile: tlsCert, keyFile: tlsKey };
      if (servesMetrics && files === null) throw usage("the metrics API is served over TLS; give --tls-cert and --tls-key");
      if (flags.kedaPort !== undefined && files === null && !flags.kedaInsecure)
        throw usage("the external scaler is served over TLS; give --tls-cert and --tls-key, or --keda-insecure");
      if (flags.kedaClientCa !== undefined && (files === null || flags.kedaInsecure))
        throw usage(
          "--keda-client-ca asks clients for certificates, which needs TLS; give --tls-cert and --tls-key, and no --keda-insecure",
        );

      const { openLog, untilSignal } = await import("./fleet.ts");
      const { realClock } = await import("../clock/index.ts");
      const { adminSource, bridgeHandler, startBridge } = await import("../bridge/index.ts");
      const { connectKubernetes } = await import("../platforms/index.ts");
      const { serveAdmin } = await import("./admin-server.ts");
      const clock = realClock();
      const log = await openLog("stderr", flags.logLevel);
      const token = process.env["TIDEGATE_ADMIN_TOKEN"] ?? null;
      const source = adminSource({ url: flags.controller, token, clock, log });
      const metricsPort = portOf(flags.metricsPort, "--metrics-port", usage);
      const bridge = await startBridge({
        source,
        host: flags.host,
        metricsApi:
          files === null || !servesMetrics
            ? null
            : {
                port: metricsPort,
                tls: files,
                custom: flags.customMetrics,
                external: flags.externalMetrics,
                cluster: await connectKubernetes({
                  kubeconfig: flags.kubeconfig ?? null,
                  context: flags.context ?? null,
                  userAgent: "tidegate-bridge",
                }),
              },
        keda:
          flags.kedaPort === undefined
            ? null
            : {
                port: portOf(flags.kedaPort, "--keda-port", usage),
                tls: files === null || flags.kedaInsecure ? null : { ...files, clientCaFile: flags.kedaClientCa ?? null },
              },
        version,
        clock,
        log,
      });
      const admin = await serveAdmin({ port: portOf(flags.adminPort, "--admin-port", usage), host: flags.host, token });
      admin.mount([bridgeHandler(bridge, source, version)], [bridge.registry]);
      const served = [
        ...(bridge.metricsPort === null ? [] : [`metrics API https://${flags.host}:${bridge.metricsPort}`]),
        ...(bridge.kedaPort === null ? [] : [`external scaler ${flags.host}:${bridge.kedaPort}`]),
        `admin ${admin.url}`,
      ];
      process.stdout.write(`bridge to ${flags.controller}   ${served.join("   ")}   Ctrl-C ends it\n`);
      const end = async () => {
        await bridge.close();
        await admin.close();
      };
      process.exitCode = await untilSignal(end, end);
      process.exit();
    });
}
