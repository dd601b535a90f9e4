import { Command, InvalidArgumentError, Option } from "commander";
import type { EngineProfile } from "../engine/index.ts";
import type { Endpoint, Ms } from "../model/index.ts";
import type { Shadow, ShadowReport, Terms, Via } from "../shadow/index.ts";
import { EXIT } from "./exit.ts";
import { from0, wholeFrom0 } from "./numbers.ts";

interface ReportFlags {
  readonly html?: string;
  readonly output: "table" | "json";
  readonly seeds: number;
  readonly attainment?: number;
  readonly ttft?: string;
  readonly tpot?: string;
  readonly price?: number;
  readonly profile?: string;
  readonly gpu?: string;
  readonly coldStart?: string;
}

interface WatchFlags extends ReportFlags {
  readonly namespace: readonly string[];
  readonly allNamespaces?: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly for?: string;
  readonly state: string;
  readonly keep: string;
  readonly min?: number;
  readonly max?: number;
  readonly port?: string;
  readonly via?: Via;
  readonly gpuMetrics?: string;
  readonly prometheus?: string;
  readonly host: string;
  readonly adminPort?: string;
  readonly logLevel: string;
  readonly plain?: boolean;
}

const defaultState = ".tidegate/shadow";
const collect = (value: string, all: readonly string[]) => [...all, value];
const share = (text: string): number => {
  const value = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError("give a share between 0 and 1, such as 0.99 or 99%.");
  return value;
};

/** What the watching and the later report both take. */
const reportOptions = (command: Command): Command =>
  command
    .option("--ttft <d>", "objective: time to first token, such as 2s")
    .option("--tpot <d>", "objective: time per output token, such as 50ms")
    .option("--attainment <share>", "objective: share of requests within both, such as 99%", share)
    .option("--price <x>", "of one replica for an hour, with all its GPUs; 1 a GPU otherwise", from0)
    .option("--profile <name>", "whose speed a replica has in the simulation, such as 8B, MODEL/GPU/TP or a file of `tidegate calibrate`")
    .option("--gpu <type>", "on which GPU, such as h100-80g")
    .option("--cold-start <d>", "from asked for to ready, where fewer than three were measured")
    .option("--seeds <n>", "simulated runs of each; 0 simulates nothing", wholeFrom0, 5)
    .option("--html <file>", "write a self-contained report too")
    .addOption(new Option("-o, --output <format>", "of the summary").choices(["table", "json"]).default("table"));

export function shadowCommand(): Command {
  return reportOptions(
    new Command("shadow").description(
      "Watch the HPAs and ScaledObjects of a cluster: what each did, what slo would have done, and what the difference costs. Reads only.",
    ),
  )
    .argument("[file...]", "instead of a cluster: config files of endpoints whose count somebody else sets")
    .option("-n, --namespace <name>", "where to look; repeat it for several. Without it the kubeconfig context's", collect, [])
    .option("-A, --all-namespaces", "look in the whole cluster")
    .option("--kubeconfig <file>", "without it $KUBECONFIG, ~/.kube/config, or the service account of the pod")
    .option("--context <name>", "of the kubeconfig; its current one otherwise")
    .option("--for <d>", "end after so long, such as 2h; without it at Ctrl-C")
    .option(
      "--state <folder>",
      "history of what was seen and decided; a second run goes on with it",
      process.env["TIDEGATE_STATE"] ?? defaultState,
    )
    .option("--keep <size>", "of the history; the oldest goes first", "2GiB")
    .option("--min <n>", "least replicas that slo may want; the autoscaler's own otherwise", wholeFrom0)
    .option("--max <n>", "most replicas that slo may want; the autoscaler's own otherwise", wholeFrom0)
    .option("--port <port>", "of the pods' metrics: a number or a port's name; the port named http, else the first, otherwise")
    .addOption(new Option("--via <way>", "how pods are reached; what works otherwise").choices(["direct", "api-server"]))
    .option("--gpu-metrics <url>", "a DCGM exporter's page, or a path on the pods: for autoscalers that follow GPU utilization")
    .option("--prometheus <url>", "a server that answers the queries of KEDA's prometheus triggers")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--admin-port <port>", "serve /metrics, /healthz and /readyz there")
    .option("--log-level <level>", "debug, info, warn or error", "warn")
    .option("--plain", "plain lines instead of the live view")
    .addCommand(laterCommand())
    .addHelpText(
      "after",
      `
  tidegate shadow --namespace llm --for 24h --price 2.50 --html shadow.html
  tidegate shadow report .tidegate/shadow --html shadow.html       # again, later, from what was recorded
  tidegate explain llm --last 5 --state .tidegate/shadow           # why slo would have changed the count

docs/shadow.md has the Role that it needs: get, list and watch only.`,
    )
    .action(async (files: readonly string[], flags: WatchFlags) => {
      process.exitCode = await watch(files, flags);
    });
}

const laterCommand = () =>
  reportOptions(new Command("report").description("the summary of what was recorded, once more"))
    .argument("[state]", "state folder of the watching", defaultState)
    .option("--endpoint <name>", "only this one")
    .option("--last <d>", "only the newest part, such as 24h")
    .action(async (state: string, own: ReportFlags & { readonly endpoint?: string; readonly last?: string }, command: Command) => {
      // The parent has the same options, and takes those that stand behind the verb's name.
      const given = command.parent?.opts<WatchFlags>();
      const flags = {
        ...own,
        ...Object.fromEntries(Object.entries(given ?? {}).filter(([name]) => command.parent?.getOptionValueSource(name) === "cli")),
      };
      const reports = await reportsOf(state, flags, { endpoint: own.endpoint ?? null, last: own.last });
      await show(reports, flags);
    });

async function watch(files: readonly string[], flags: WatchFlags): Promise<number> {
  const { TidegateError, parseDuration } = await import("../model/index.ts");
  const usage = (message: string) => new TidegateError("usage", message);
  const forMs = flags.for === undefined ? null : parseDuration(flags.for);
  if (forMs === undefined) throw usage(`--for is ${JSON.stringify(flags.for)}; give a duration with its unit, such as 2h`);
  if (flags.allNamespaces && flags.namespace.length > 0) throw usage("--all-namespaces and --namespace exclude each other; keep one");
  if (files.length > 0 && (flags.namespace.length > 0 || flags.allNamespaces))
    throw usage("files and --namespace exclude each other: a file says itself where its replicas are");
  const [{ openHistory }, { realClock }, { openLog, untilSignal }, { parseBytes }] = await Promise.all([
    import("../history/index.ts"),
    import("../clock/index.ts"),
    import("./fleet.ts"),
    import("../config/index.ts"),
  ]);
  const maxBytes = parseBytes(flags.keep);
  if (maxBytes === undefined) throw usage(`--keep is ${JSON.stringify(flags.keep)}; give a size such as 2GiB`);
  const live = process.stdout.isTTY === true && flags.plain !== true && flags.output !== "json" && process.env["CI"] === undefined;
  const clock = realClock();
  const history = openHistory(flags.state, { bounds: { maxBytes } });
  const log = await openLog(live ? { folder: flags.state } : "stderr", flags.logLevel);
  let shadow: Shadow;
  const closers: (() => Promise<void> | void)[] = [() => history.close()];
  const closeAll = async () => {
    for (const close of closers.reverse()) await close();
    closers.length = 0;
  };
  try {
    const common = { history, clock, log };
    if (files.length > 0) {
      const { shadowFiles } = await import("../shadow/index.ts");
      shadow = await shadowFiles({ ...common, ...(await filesOf(files, flags)), stateFolder: flags.state });
    } else {
      const [{ connectKubernetes }, { shadowCluster }] = await Promise.all([import("../platforms/index.ts"), import("../shadow/index.ts")]);
      const at = { kubeconfig: flags.kubeconfig ?? null, context: flags.context ?? null };
      const api = await connectKubernetes({ ...at, userAgent: "tidegate-shadow" });
      closers.push(() => api.close());
      const own = process.env["POD_NAMESPACE"] || api.namespace || "default";
      const namespaces = flags.allNamespaces ? null : flags.namespace.length > 0 ? [...new Set(flags.namespace)] : [own];
      shadow = await shadowCluster({ ...common, api, namespaces, terms: await termsOf(flags), via: flags.via ?? null });
    }
    closers.push(() => shadow.close());
    if (flags.adminPort !== undefined) closers.push(await serve(shadow, flags));
    const { shadowLines, shadowTable } = await import("./shadow-view.ts");
    let hide = () => {};
    if (live) {
      const { createLogUpdate } = await import("log-update");
      const update = createLogUpdate(process.stdout);
      const draw = () => update(shadowTable(shadow.view(), process.stdout.columns ?? 100));
      const timer = setInterval(draw, 500);
      hide = () => {
        clearInterval(timer);
        draw();
        update.done();
      };
    } else {
      // JSON alone belongs on standard output then.
      const out = flags.output === "json" ? process.stderr : process.stdout;
      const seen = new Map<string, string>();
      const say = () => {
        for (const line of shadowLines(shadow.view(), seen)) out.write(`${line}\n`);
      };
      const timer = setInterval(say, 500);
      hide = () => {
        clearInterval(timer);
        say();
      };
    }
    const done = forMs === null ? undefined : clock.sleep(forMs).then(() => EXIT.ok);
    let failed: unknown = null;
    const code = await untilSignal(
      async () => {
        hide();
        process.stderr.write("tidegate: working out the summary; Ctrl-C again leaves it: tidegate shadow report gives it later\n");
        try {
          await closeAll();
          await show(await reportsOf(flags.state, flags, { endpoint: null, last: undefined }), flags);
        } catch (error) {
          failed = error;
        }
      },
      async () => {},
      done,
    );
    if (failed !== null) throw failed;
    // Ctrl-C is how one ends it.
    process.exit(code === EXIT.interrupted ? EXIT.ok : code);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function termsOf(flags: WatchFlags): Promise<Terms> {
  const port = flags.port === undefined ? undefined : /^\d+$/.test(flags.port) ? Number(flags.port) : flags.port;
  return {
    attainment: flags.attainment,
    timeToFirstToken: flags.ttft,
    timePerOutputToken: flags.tpot,
    pricePerReplicaHour: flags.price,
    gpu: flags.gpu,
    min: flags.min,
    max: flags.max,
    coldStart: flags.coldStart,
    port,
    gpuMetrics: flags.gpuMetrics,
    prometheusUrl: flags.prometheus,
  };
}

/** The endpoints of config files, and each under `slo` with what the flags say of it. */
async function filesOf(files: readonly string[], flags: WatchFlags) {
  const [{ readConfig }, { parseConfigDocuments }, { TidegateError }] = await Promise.all([
    import("./fleet.ts"),
    import("../config/index.ts"),
    import("../model/index.ts"),
  ]);
  const { endpoints, warnings } = await readConfig(files);
  if (endpoints.length === 0)
    throw new TidegateError("config/invalid", `${files.join(", ")} holds no Endpoint document; add one, see examples/tidegate.yaml`);
  for (const warning of warnings) process.stderr.write(`tidegate: ${warning}\n`);
  const terms = await termsOf(flags);
  const stated = parseConfigDocuments(
    [
      {
        apiVersion: "tidegate.dev/v1alpha1",
        kind: "Endpoint",
        metadata: { name: "stated" },
        spec: {
          model: "m",
          engine: { kind: "vllm" },
          platform: { kind: "static", urls: ["http://127.0.0.1"] },
          replicas: { max: 1 },
          objective: {
            ...(terms.attainment === undefined ? {} : { attainment: terms.attainment }),
            ...(terms.timeToFirstToken === undefined ? {} : { timeToFirstToken: terms.timeToFirstToken }),
            ...(terms.timePerOutputToken === undefined ? {} : { timePerOutputToken: terms.timePerOutputToken }),
          },
          policy: { kind: "slo", ...(terms.coldStart === undefined ? {} : { coldStart: terms.coldStart }) },
        },
      },
    ],
    { env: {}, name: "the flags" },
  ).endpoints[0] as Endpoint;
  const oursOf = (endpoint: Endpoint): Endpoint => ({
    ...endpoint,
    policy: endpoint.policy.kind === "slo" ? endpoint.policy : stated.policy,
    objective: {
      attainment: terms.attainment ?? endpoint.objective.attainment,
      timeToFirstTokenMs:
        terms.timeToFirstToken === undefined ? endpoint.objective.timeToFirstTokenMs : stated.objective.timeToFirstTokenMs,
      timePerOutputTokenMs:
        terms.timePerOutputToken === undefined ? endpoint.objective.timePerOutputTokenMs : stated.objective.timePerOutputTokenMs,
    },
    pools: endpoint.pools.map((pool) => ({
      ...pool,
      min: terms.min ?? pool.min,
      max: terms.max ?? pool.max,
      pricePerReplicaHour: terms.pricePerReplicaHour ?? (pool.pricePerReplicaHour === 0 ? pool.gpusPerReplica : pool.pricePerReplicaHour),
    })),
  });
  return { endpoints, oursOf };
}

/** @returns what ends it */
async function serve(shadow: Shadow, flags: WatchFlags): Promise<() => Promise<void>> {
  const [{ serveAdmin }, { portOf }, { TidegateError }] = await Promise.all([
    import("./admin-server.ts"),
    import("./up.ts"),
    import("../model/index.ts"),
  ]);
  const port = portOf(flags.adminPort as string, "--admin-port", (message) => new TidegateError("usage", message));
  const admin = await serveAdmin({ port, host: flags.host, token: process.env["TIDEGATE_ADMIN_TOKEN"] ?? null });
  admin.mount(
    [
      (request, response) => {
        const path = (request.url ?? "/").split("?")[0];
        if (path === "/livez" || path === "/healthz" || path === "/readyz") {
          const ok = path !== "/readyz" || shadow.healthy();
          response
            .writeHead(ok ? 200 : 503, { "content-type": "text/plain; charset=utf-8" })
            .end(ok ? "ok\n" : "not all that is watched was seen\n");
          return true;
        }
        if (path !== "/api/v1/shadow") return false;
        response.writeHead(200, { "content-type": "application/json; charset=utf-8" }).end(`${JSON.stringify(shadow.view())}\n`);
        return true;
      },
    ],
    [shadow.metrics.registry],
  );
  process.stderr.write(`tidegate: ${admin.url}/metrics\n`);
  return admin.close;
}

async function reportsOf(
  state: string,
  flags: ReportFlags,
  which: { readonly endpoint: string | null; readonly last: string | undefined },
): Promise<readonly ShadowReport[]> {
  const [{ openHistory }, { shadowReport }, { profileOf }, { duration }] = await Promise.all([
    import("../history/index.ts"),
    import("../shadow/index.ts"),
    import("./simulate-setup.ts"),
    import("./trace-output.ts"),
  ]);
  const ms = async (text: string | undefined, flag: string): Promise<Ms | undefined> =>
    text === undefined ? undefined : await duration(text, flag);
  const [ttftMs, tpotMs, coldStartMs, lastMs] = [
    await ms(flags.ttft, "--ttft"),
    await ms(flags.tpot, "--tpot"),
    await ms(flags.coldStart, "--cold-start"),
    await ms(which.last, "--last"),
  ];
  const history = openHistory(state, { readOnly: true });
  try {
    const newestMs = Math.max(0, ...history.endpoints().map((name) => history.latest(name, "decision", 1)[0]?.atMs ?? 0));
    const speed: Pick<ReportFlags, "profile" | "gpu"> = {
      ...(flags.profile === undefined ? {} : { profile: flags.profile }),
      ...(flags.gpu === undefined ? {} : { gpu: flags.gpu }),
    };
    return await shadowReport({
      history,
      endpoint: which.endpoint,
      ...(lastMs === undefined ? {} : { fromMs: newestMs - lastMs }),
      objective: {
        ...(flags.attainment === undefined ? {} : { attainment: flags.attainment }),
        ...(ttftMs === undefined ? {} : { timeToFirstTokenMs: ttftMs }),
        ...(tpotMs === undefined ? {} : { timePerOutputTokenMs: tpotMs }),
      },
      ...(flags.price === undefined ? {} : { pricePerReplicaHour: flags.price }),
      ...(coldStartMs === undefined ? {} : { coldStart: { medianMs: coldStartMs, sigma: 0.25 } }),
      profileOf: (endpoint: Endpoint): EngineProfile => profileOf(endpoint, endpoint.pools[0] as Endpoint["pools"][0], speed),
      seeds: flags.seeds,
      onProgress: progress(),
    });
  } finally {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
    history.close();
  }
}

/** A line on standard error for runs that take their time. */
function progress(): (endpoint: string, share: number) => void {
  let saidMs = performance.now();
  return (endpoint, part) => {
    if (performance.now() - saidMs < (process.stderr.isTTY ? 500 : 10_000)) return;
    saidMs = performance.now();
    const text = `${endpoint}: simulated ${Math.floor(100 * part)} %`;
    process.stderr.write(process.stderr.isTTY ? `\r${text}\u001b[K` : `${text}\n`);
  };
}

async function show(reports: readonly ShadowReport[], flags: ReportFlags): Promise<void> {
  if (flags.html !== undefined) {
    const [{ shadowPage }, { writeOut }] = await Promise.all([import("../report/index.ts"), import("./study-output.ts")]);
    writeOut(flags.html, await shadowPage(reports), "--html");
  }
  if (flags.output === "json") process.stdout.write(`${JSON.stringify(reports, null, 2)}\n`);
  else {
    const { reportText } = await import("./shadow-view.ts");
    process.stdout.write(reports.map(reportText).join("\n"));
  }
}
