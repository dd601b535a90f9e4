import { readerOf } from "../manifests/index.ts";
import type {
  DialectKind,
  DoorLimits,
  Endpoint,
  EngineSpec,
  Manifest,
  Objective,
  PlatformSpec,
  PolicySpec,
  Pool,
  PrometheusSpec,
  Target,
} from "../model/index.ts";
import { dialectOf } from "../policy/index.ts";
import { emulatedCommand, misspeltPlaceholder, splitCommand } from "./command.ts";
import { DEFAULTS, ENGINE_DEFAULTS } from "./defaults.ts";
import { type Remark, splitMessage } from "./documents.ts";
import { type Path, parsePath } from "./issue.ts";
import { resolvePolicy, signalRemark } from "./policy.ts";
import type { EndpointDocument, EndpointSpecDocument, SecretReference } from "./schema.ts";

/** Where secrets come from: `readSecret` returns the text of a file and throws where it cannot. */
export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readSecret?: ((path: string) => string) | undefined;
}

/** A document of another autoscaler that names this endpoint's target, as far as binding needs it. */
export interface BoundManifest {
  readonly dialect: DialectKind;
  /** The document's kind, such as HorizontalPodAutoscaler, for messages. */
  readonly what: string;
  readonly manifest: Manifest;
  /** "hpa.yaml:1:1", for messages. */
  readonly place: string;
}

/** Builds the Endpoint of a document whose shape is right. What is wrong goes to `remarks`, what is worth knowing to `warnings`. */
export function resolveEndpoint(
  document: EndpointDocument,
  named: BoundManifest | null,
  secrets: SecretSources,
  remarks: Remark[],
  warnings: Remark[],
): Endpoint {
  const { metadata, spec } = document;
  const secret = secretReader(secrets, remarks);
  const bound = spec.policy !== undefined && "manifest" in spec.policy ? inlineManifest(spec.policy, metadata, remarks) : named;
  const pools = resolvePools(spec, bound, remarks, warnings);
  const prometheus = spec.prometheus === undefined ? null : resolvePrometheus(spec.prometheus, secret, remarks);
  const own = (prometheus?.queries ?? []).map((query) => query.signal);
  for (const [metric, signal] of Object.entries(spec.metrics)) pushMaybe(remarks, signalRemark(signal, own, ["spec", "metrics", metric]));
  if (bound !== null)
    for (const name of metricsOf(bound))
      if (!Object.hasOwn(spec.metrics, name) && signalRemark(name, own, []) !== undefined)
        warnings.push({
          path: ["spec", "metrics"],
          hideValue: true,
          message: `says nothing of ${name}, a metric of ${describe(bound)} that is no signal of ours`,
          wayOut: `add the signal that it is, such as ${name}: gpu_utilization, or a prometheus query of that name`,
        });
  if (spec.signals.staleAfter < spec.signals.scrapeInterval)
    remarks.push({
      path: ["spec", "signals", "staleAfter"],
      message: "is shorter than signals.scrapeInterval, so that every reading would be stale",
      wayOut: "raise it to some intervals, such as six",
    });
  const policy: PolicySpec =
    bound !== null
      ? bindManifest(bound, pools)
      : spec.policy !== undefined && !("manifest" in spec.policy)
        ? resolvePolicy(spec.policy, pools, own, remarks)
        : { kind: "static", replicas: {} }; // Its absence, or what is wrong with it, is an issue already.
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    model: spec.model,
    engine: resolveEngine(spec.engine),
    platform: resolvePlatform(spec, pools, secret, remarks, warnings),
    pools,
    objective: objectiveOf(spec),
    policy,
    metrics: spec.metrics,
    prometheus,
    scrapeEveryMs: spec.signals.scrapeInterval,
    staleAfterMs: spec.signals.staleAfter,
    gateway: limitsOf(spec),
    dryRun: spec.dryRun,
  };
}

export const objectiveOf = ({ objective }: EndpointSpecDocument): Objective => ({
  attainment: objective.attainment,
  timeToFirstTokenMs: objective.timeToFirstToken,
  timePerOutputTokenMs: objective.timePerOutputToken,
});

export const limitsOf = ({ gateway }: EndpointSpecDocument): DoorLimits => ({
  maxHeld: gateway.maxHeld,
  holdTimeoutMs: gateway.holdTimeout,
  upstreamTimeoutMs: gateway.upstreamTimeout,
  maxBodyBytes: gateway.maxBody,
  attempts: gateway.attempts,
  order: {
    kind: gateway.order,
    perReplica:
      gateway.perReplica === null
        ? null
        : {
            maxInFlight: gateway.perReplica.requests,
            maxPromptTokens: gateway.perReplica.promptTokens,
            promptTokensPerSecond: gateway.perReplica.promptTokensPerSecond,
          },
    oldestEvery: gateway.oldestEvery,
    classes: gateway.classes,
  },
});

export const targetOf = (document: EndpointDocument): Target | null => document.spec.platform.target ?? null;

/** The manifest that stands in `spec.policy` itself; null where it is not one, which is then among the remarks. */
function inlineManifest(
  { kind, manifest }: { readonly kind: DialectKind; readonly manifest: Readonly<Record<string, unknown>> },
  { name, namespace }: EndpointDocument["metadata"],
  remarks: Remark[],
): BoundManifest | null {
  const base: Path = ["spec", "policy", "manifest"];
  const read = readerOf(kind).read(manifest);
  if ("manifest" in read) {
    const unnamed = read.manifest.name === "" ? { name, namespace } : {};
    return { dialect: kind, what: kind, manifest: { ...read.manifest, ...unnamed }, place: "spec.policy.manifest" };
  }
  remarks.push(...read.issues.map(({ path, message }) => ({ path: [...base, ...parsePath(path)], ...splitMessage(message) })));
  return null;
}

const describe = ({ what, manifest, place }: BoundManifest): string => `${what} ${manifest.name} (${place})`;

/** Names of the metrics that a manifest takes from elsewhere than the pods' resources. */
function metricsOf({ dialect, manifest }: BoundManifest): string[] {
  const { rules } = readerOf(dialect).intent(manifest, null).intent;
  return [...new Set(rules.map(({ signal }) => signal).filter((signal) => signal !== "cpu" && signal !== "memory"))];
}

/** The policy that a manifest comes to: the pool's bounds, which are the narrower of both, become the manifest's own. */
function bindManifest({ dialect, manifest }: BoundManifest, pools: readonly Pool[]): PolicySpec {
  const [pool] = pools;
  return { kind: dialect, manifest: pool === undefined || pools.length > 1 ? manifest : dialectOf(dialect).withBounds(manifest, pool) };
}

function pushMaybe(remarks: Remark[], remark: Remark | undefined): void {
  if (remark !== undefined) remarks.push(remark);
}

function resolveEngine(engine: EndpointSpecDocument["engine"]): EngineSpec {
  const defaults = ENGINE_DEFAULTS[engine.kind];
  return {
    kind: engine.kind,
    healthPath: engine.healthPath ?? defaults.healthPath,
    metricsPath: engine.metricsPath === undefined ? defaults.metricsPath : engine.metricsPath,
    gpuMetrics: engine.gpuMetrics === undefined ? defaults.gpuMetrics : engine.gpuMetrics,
  };
}

function resolvePools(spec: EndpointSpecDocument, bound: BoundManifest | null, remarks: Remark[], warnings: Remark[]): Pool[] {
  if (spec.pools !== undefined) {
    for (const key of ["replicas", "price"] as const)
      if (spec[key] !== undefined)
        remarks.push({
          path: ["spec", key],
          onKey: true,
          message: "stands beside spec.pools",
          wayOut: `move it into the pools, or keep only replicas and price`,
        });
    if (bound !== null && spec.pools.length > 1 && !dialectOf(bound.dialect).countsPools)
      remarks.push({
        path: ["spec", "pools"],
        hideValue: true,
        message: `are ${spec.pools.length}, but ${describe(bound)} counts one`,
        wayOut: "keep one pool, or state a policy: { kind: slo }",
      });
    const names = new Set<string>();
    return spec.pools.map((pool, at) => {
      const path: Path = ["spec", "pools", at];
      if (names.has(pool.name)) remarks.push({ path: [...path, "name"], message: "is the name of two pools", wayOut: "rename one" });
      names.add(pool.name);
      return {
        name: pool.name,
        role: pool.role,
        gpu: pool.gpu,
        gpusPerReplica: pool.gpusPerReplica,
        spot: pool.spot,
        pricePerReplicaHour: pool.price.perReplicaHour,
        ...resolveBounds(pool, path, bound, remarks, warnings),
        standby: pool.standby,
      };
    });
  }
  // A manifest that could not be read may well state them.
  const unread = bound === null && spec.policy !== undefined && "manifest" in spec.policy;
  const bounded = bound !== null && dialectOf(bound.dialect).bounds(bound.manifest) !== null;
  if (spec.replicas === undefined && !bounded && !unread)
    remarks.push({
      path: ["spec", "replicas"],
      message: "is missing, and no manifest gives the bounds",
      wayOut: "add replicas: { min: 0, max: 4 }",
    });
  const stated = spec.replicas ?? { standby: DEFAULTS.replicas.standby };
  return [
    {
      name: "default",
      ...DEFAULTS.pool,
      pricePerReplicaHour: (spec.price ?? DEFAULTS.price).perReplicaHour,
      ...resolveBounds(stated, ["spec", "replicas"], bound, remarks, warnings, spec.replicas === undefined),
      standby: stated.standby,
    },
  ];
}

/** Bounds that the endpoint and its manifest both state: the narrower hold. */
function resolveBounds(
  stated: { min?: number | undefined; max?: number | undefined },
  path: Path,
  bound: BoundManifest | null,
  remarks: Remark[],
  warnings: Remark[],
  absent = false,
): { min: number; max: number } {
  const label = path
    .slice(1)
    .join(".")
    .replace(/\.(\d+)/, "[$1]");
  if (stated.min !== undefined && stated.max !== undefined && stated.max < stated.min) {
    const message = `is below ${label}.min (${stated.min})`;
    remarks.push({ path: [...path, "max"], message, wayOut: "raise it or lower the minimum" });
  }
  const theirs = bound === null ? null : dialectOf(bound.dialect).bounds(bound.manifest);
  if (bound === null || theirs === null) {
    if (stated.max === undefined && !absent)
      remarks.push({ path: [...path, "max"], message: "is missing", wayOut: "add it: the most replicas, which is the ceiling of cost" });
    return { min: stated.min ?? DEFAULTS.replicas.min, max: stated.max ?? Number.MAX_SAFE_INTEGER };
  }
  const min = Math.max(stated.min ?? 0, theirs.min);
  const max = Math.min(stated.max ?? theirs.max, theirs.max);
  const who = describe(bound);
  if (min > max && (stated.min ?? 0) <= (stated.max ?? Number.MAX_SAFE_INTEGER)) {
    const key = stated.max !== undefined && stated.max < theirs.min ? "max" : "min";
    const message =
      key === "max" ? `is below the least count (${theirs.min}) of ${who}` : `is above the greatest count (${theirs.max}) of ${who}`;
    remarks.push({ path: [...path, key], message, wayOut: "change one of the two so that the ranges meet" });
  } else {
    for (const key of ["min", "max"] as const)
      if (stated[key] !== undefined && stated[key] !== theirs[key])
        warnings.push({
          path: [...path, key],
          message: `differs from ${key === "min" ? "the least" : "the greatest"} count (${theirs[key]}) of ${who}`,
          wayOut: `the narrower holds: ${key} ${key === "min" ? min : max}`,
        });
  }
  return { min, max };
}

type ReadSecret = (reference: SecretReference, path: Path) => string;

function secretReader({ env, readSecret }: SecretSources, remarks: Remark[]): ReadSecret {
  return (reference, path) => {
    if (reference.env !== undefined) {
      const value = env[reference.env];
      if (value !== undefined && value !== "") return value;
      const message = `names the environment variable ${reference.env}, which is ${value === undefined ? "not set" : "empty"}`;
      remarks.push({
        path: [...path, "env"],
        hideValue: true,
        message,
        wayOut: `set ${reference.env} before starting, or use { file: PATH }`,
      });
      return "";
    }
    const file = reference.file as string;
    let trouble = "no files can be read here";
    if (readSecret !== undefined) {
      try {
        const value = readSecret(file).replace(/\r?\n$/, "");
        if (value !== "") return value;
        trouble = "it is empty";
      } catch (error) {
        trouble = error instanceof Error ? error.message : String(error);
      }
    }
    const message = `names the secret file ${file}, which cannot be used: ${trouble}`;
    remarks.push({ path: [...path, "file"], hideValue: true, message, wayOut: "create it readable for this user, or use { env: NAME }" });
    return "";
  };
}

function resolvePlatform(
  spec: EndpointSpecDocument,
  pools: readonly Pool[],
  secret: ReadSecret,
  remarks: Remark[],
  warnings: Remark[],
): PlatformSpec {
  const { platform } = spec;
  const base: Path = ["spec", "platform"];
  const target = platform.target ?? null;
  if (platform.kind === "static") {
    const urls = platform.urls.map((url) => url.replace(/\/+$/, ""));
    urls.forEach((url, at) => {
      refuseCredentials(url, [...base, "urls", at], "leave them out; a replica needs none", remarks);
      if (urls.indexOf(url) !== at) remarks.push({ path: [...base, "urls", at], message: "stands twice", wayOut: "remove one" });
    });
    return { kind: "static", target, urls };
  }
  if (platform.kind === "kubernetes") {
    const { targets, drainTimeout } = platform;
    const names = pools.map(({ name }) => name);
    for (const name of Object.keys(targets).filter((one) => !names.includes(one)))
      remarks.push({ path: [...base, "targets", name], message: "is no pool of this endpoint", wayOut: `use one of: ${names.join(", ")}` });
    const missing = names.filter((name) => !Object.hasOwn(targets, name));
    if (missing.length > 0 && !(names.length === 1 && target !== null))
      remarks.push({
        path: [...base, names.length === 1 ? "target" : "targets"],
        message: names.length === 1 ? "is missing" : `name no object for ${missing.length === 1 ? "pool" : "pools"} ${missing.join(", ")}`,
        wayOut: "name the Kubernetes object to scale: { apiVersion: apps/v1, kind: Deployment, name: NAME }",
      });
    return {
      kind: "kubernetes",
      target,
      targets,
      namespace: platform.namespace ?? null,
      kubeconfig: platform.kubeconfig ?? null,
      context: platform.context ?? null,
      port: platform.port ?? null,
      drainTimeoutMs: drainTimeout,
    };
  }
  const env = Object.fromEntries(
    Object.entries(platform.env).map(([name, value]) => [name, typeof value === "string" ? value : secret(value, [...base, "env", name])]),
  );
  const plainEnv = Object.values(platform.env).filter((value) => typeof value === "string");
  const command = resolveCommand(spec, remarks);
  const { ports, restartBackoff } = platform;
  checkPorts(ports, pools, base, remarks, warnings);
  if (restartBackoff.max < restartBackoff.initial)
    remarks.push({ path: [...base, "restartBackoff", "max"], message: "is shorter than restartBackoff.initial", wayOut: "raise it" });
  const everything = [...command, ...plainEnv];
  const misspelt = misspeltPlaceholder(everything);
  if (misspelt !== undefined)
    remarks.push({
      path: [...base, misspeltPlaceholder(command) === undefined ? "env" : "command"],
      hideValue: true,
      message: `has {${misspelt.written}}, which is not a placeholder`,
      wayOut: `did you mean {${misspelt.meant}}?`,
    });
  else if (command.length > 0 && !everything.some((word) => word.includes("{port}")) && !(ports !== null && ports[0] === ports[1]))
    remarks.push({
      path: [...base, "command"],
      message: "never says {port}, so that replicas could not be told where to listen",
      wayOut: 'add for example "--port", "{port}"',
    });
  return {
    kind: "process",
    target,
    command,
    env,
    cwd: platform.cwd ?? null,
    host: platform.host,
    ports,
    startTimeoutMs: platform.startTimeout,
    drainTimeoutMs: platform.drainTimeout,
    terminateGraceMs: platform.terminateGrace,
    restartBackoff: { initialMs: restartBackoff.initial, maxMs: restartBackoff.max },
  };
}

function resolveCommand(spec: EndpointSpecDocument, remarks: Remark[]): readonly string[] {
  const { platform, engine } = spec;
  const path: Path = ["spec", "platform", "command"];
  if (platform.kind !== "process") return [];
  const { command } = platform;
  if (command === undefined) {
    if (engine.kind === "emulated") return emulatedCommand(engine);
    const wayOut = `add the command that starts one replica, such as ["vllm", "serve", "{model}", "--host", "{host}", "--port", "{port}"]`;
    remarks.push({ path, message: "is missing", wayOut });
    return [];
  }
  const split = typeof command === "string" ? splitCommand(command) : { words: command };
  if ("problem" in split) {
    remarks.push({ path, message: split.problem, wayOut: 'write a list of words; for a shell, ["sh", "-c", "exec …"]' });
    return [];
  }
  if ((split.words[0] ?? "") === "") {
    remarks.push({ path, message: "names no program", wayOut: "begin with the program to run" });
    return [];
  }
  return split.words;
}

function checkPorts(
  ports: readonly [number, number] | null,
  pools: readonly Pool[],
  base: Path,
  remarks: Remark[],
  warnings: Remark[],
): void {
  if (ports === null) return;
  const path = [...base, "ports"];
  const [first, last] = ports;
  if (first < 1 || last > 65_535) remarks.push({ path, message: "is outside 1 to 65535", wayOut: "write for example 9000-9100" });
  else if (last < first) remarks.push({ path, message: `ends (${last}) before it begins (${first})`, wayOut: `write ${last}-${first}` });
  else {
    const most = pools.reduce((sum, pool) => sum + pool.max + pool.standby, 0);
    if (last - first + 1 < most && most < 65_535)
      warnings.push({ path, message: `has ${last - first + 1} ports for up to ${most} replicas`, wayOut: "widen the range" });
  }
}

function refuseCredentials(url: string, path: Path, wayOut: string, remarks: Remark[]): void {
  const { username, password } = new URL(url);
  if (username !== "" || password !== "")
    remarks.push({ path, hideValue: true, message: "has a user name or password in the URL", wayOut });
}

function resolvePrometheus(stated: NonNullable<EndpointSpecDocument["prometheus"]>, secret: ReadSecret, remarks: Remark[]): PrometheusSpec {
  const base: Path = ["spec", "prometheus"];
  const { auth, tls } = stated;
  refuseCredentials(stated.url, [...base, "url"], "use prometheus.auth with a password from { env: NAME }", remarks);
  const path = [...base, "auth"];
  let bearerToken: string | null = null;
  let basic: PrometheusSpec["basic"] = null;
  if (auth !== null) {
    const byName = auth.username !== undefined || auth.password !== undefined;
    if (auth.bearerToken !== undefined && byName)
      remarks.push({ path, hideValue: true, message: "states both bearerToken and username or password", wayOut: "keep one of the two" });
    else if (auth.bearerToken !== undefined) bearerToken = secret(auth.bearerToken, [...path, "bearerToken"]);
    else if (auth.username !== undefined && auth.password !== undefined)
      basic = { username: auth.username, password: secret(auth.password, [...path, "password"]) };
    else {
      const message = byName
        ? `has a ${auth.username === undefined ? "password without username" : "username without password"}`
        : "is empty";
      remarks.push({ path, hideValue: true, message, wayOut: "give bearerToken, or username with password" });
    }
  }
  if ((tls.certFile === null) !== (tls.keyFile === null))
    remarks.push({
      path: [...base, "tls"],
      hideValue: true,
      message: `has ${tls.certFile === null ? "keyFile without certFile" : "certFile without keyFile"}`,
      wayOut: "give both or none",
    });
  const seen = new Set<string>();
  stated.queries.forEach(({ signal }, at) => {
    const where: Path = [...base, "queries", at, "signal"];
    if (seen.has(signal)) remarks.push({ path: where, message: "is queried twice", wayOut: "remove one of the queries" });
    seen.add(signal);
  });
  return { url: stated.url.replace(/\/+$/, ""), timeoutMs: stated.timeout, bearerToken, basic, tls, queries: stated.queries };
}
