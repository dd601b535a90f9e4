import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PrometheusSpec } from "../../../src/model/index.ts";
import { createPrometheus, type PrometheusClient } from "../../../src/signals/index.ts";
import { freePorts, until } from "../../e2e/tidegate.ts";

export const promtool = process.env["TIDEGATE_PROMTOOL"] ?? "promtool";
const program = process.env["TIDEGATE_PROMETHEUS"] ?? "prometheus";

/** bcrypt of the password below, for the server's web config. */
export const login = { username: "tidegate", password: "scrape-me" };
const loginHash = "$2b$04$abcdefghijklmnopqrstuuY9IzzDs2KOfMw3usTjoBXx1ZNABU.fW";

export interface Pair {
  readonly cert: string;
  readonly key: string;
}
/** An authority of our own, with a server certificate for 127.0.0.1 and a client certificate by it. */
export interface Authority {
  readonly ca: string;
  readonly server: Pair;
  readonly client: Pair;
}

export function authority(folder: string, name: string): Authority {
  const file = (what: string) => join(folder, `${name}-${what}`);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const ca = { cert: file("ca.pem"), key: file("ca.key") };
  openssl("req", "-x509", ...curve, "-keyout", ca.key, "-out", ca.cert, "-days", "2", "-subj", `/CN=${name} test authority`);
  const issue = (who: string, extensions: string): Pair => {
    const [cert, key, request, wishes] = [file(`${who}.pem`), file(`${who}.key`), file(`${who}.csr`), file(`${who}.ext`)];
    writeFileSync(wishes, extensions);
    openssl("req", "-new", ...curve, "-keyout", key, "-out", request, "-subj", `/CN=${who}`);
    const by = ["-CA", ca.cert, "-CAkey", ca.key, "-CAcreateserial"];
    openssl("x509", "-req", "-in", request, ...by, "-out", cert, "-days", "2", "-extfile", wishes);
    return { cert, key };
  };
  return {
    ca: ca.cert,
    server: issue("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
    client: issue("client", "extendedKeyUsage=clientAuth\n"),
  };
}

export interface Options {
  readonly folder: string;
  /** Jobs, each in the server's own words on one line of YAML. */
  readonly scrapes: readonly string[];
  readonly ruleFiles?: readonly string[];
  readonly tls?: { readonly server: Pair; readonly clientCa?: string };
  readonly basic?: boolean;
  /** Path that the server is under, such as /prom. */
  readonly prefix?: string;
  readonly flags?: readonly string[];
}

/** A real Prometheus server on loopback, which may be killed, stopped and started again. */
export interface Server {
  readonly url: string;
  /** Starts it, on the same data as before, and resolves once it answers queries. */
  begin(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  kill(): Promise<void>;
  /** A client of ours with what the server asks for, and with what else is given. */
  client(more?: Partial<Omit<PrometheusSpec, "queries">>): PrometheusClient;
}

export async function prometheus(options: Options): Promise<Server> {
  const { folder, tls, basic = false } = options;
  const [port] = (await freePorts(1)) as [number];
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}${options.prefix ?? ""}`;
  const config = join(folder, "prometheus.yml");
  writeFileSync(
    config,
    `global: { scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s }
rule_files: ${JSON.stringify(options.ruleFiles ?? [])}
scrape_configs: [${options.scrapes.join(", ")}]
`,
  );
  const web = join(folder, "web.yml");
  const pair = tls && `cert_file: ${tls.server.cert}, key_file: ${tls.server.key}`;
  const asks = tls?.clientCa === undefined ? "" : `, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ${tls.clientCa}`;
  writeFileSync(
    web,
    `${tls === undefined ? "" : `tls_server_config: { ${pair}${asks} }\n`}${basic ? `basic_auth_users: { ${login.username}: ${JSON.stringify(loginHash)} }\n` : ""}`,
  );
  let child: ChildProcess | null = null;
  let output = "";

  const client: Server["client"] = (more = {}) =>
    createPrometheus({
      url,
      timeoutMs: 2000,
      bearerToken: null,
      basic: basic ? login : null,
      tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: tls !== undefined },
      ...more,
    });

  return {
    url,
    client,
    async begin() {
      output = "";
      const started = spawn(
        program,
        [
          `--config.file=${config}`,
          `--web.config.file=${web}`,
          `--web.listen-address=127.0.0.1:${port}`,
          `--storage.tsdb.path=${join(folder, "data")}`,
          "--log.level=warn",
          `--web.route-prefix=${options.prefix ?? "/"}`,
          ...(options.flags ?? []),
        ],
        { stdio: ["ignore", "ignore", "pipe"] },
      );
      started.stderr.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
      child = started;
      await until(
        async () => started.exitCode !== null || (await listening(port)),
        (up) => up,
      );
      if (started.exitCode !== null) throw new Error(`prometheus ended with ${started.exitCode}: ${output}`);
      // Where it asks for a client's certificate only the test has one.
      if (tls?.clientCa !== undefined) return;
      const asking = client();
      await until(
        () => asking.query("vector(1)"),
        ({ series }) => series.length === 1,
      );
      await asking.close();
    },
    signal: (signal) => void child?.kill(signal),
    async kill() {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function listening(port: number): Promise<boolean> {
  const { connect } = await import("node:net");
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
