import { expect, it } from "vitest";
import { parse } from "yaml";
import { MANIFEST_KINDS } from "../manifests/index.ts";
import { TidegateError } from "../model/index.ts";
import { type ConfigOptions, checkConfig, formatIssue, parseConfig, parseConfigDocuments, parseConfigFiles } from "./index.ts";

const head = (name = "a") => `apiVersion: tidegate.dev/v1alpha1\nkind: Endpoint\nmetadata: { name: ${name} }\n`;
const parts = {
  model: "a",
  engine: "{ kind: emulated }",
  platform: "{ kind: process }",
  replicas: "{ max: 4 }",
  policy: "{ kind: slo }",
};
/** An Endpoint whose spec's keys stand on lines 5 and up, in the order of `parts`, then the others; undefined leaves one out. */
function endpoint(changed: Record<string, string | undefined> = {}, name = "a"): string {
  const lines = Object.entries({ ...parts, ...changed }).flatMap(([key, value]) => (value === undefined ? [] : [`  ${key}: ${value}`]));
  return `${head(name)}spec:\n${lines.join("\n")}\n`;
}
const hpa = (
  extra: { name?: string; namespace?: string; target?: string; min?: number; max?: number; metric?: string } = {},
) => `apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: ${extra.name ?? "h"}, namespace: ${extra.namespace ?? "default"} }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: ${extra.target ?? "d"} }
  minReplicas: ${extra.min ?? 2}
  maxReplicas: ${extra.max ?? 10}
  metrics: [{ type: Pods, pods: { metric: { name: ${extra.metric ?? "held"} }, target: { type: AverageValue, averageValue: 75 } } }]
`;
const bindable = "{ kind: process, target: { apiVersion: apps/v1, kind: Deployment, name: d } }";

const check = (text: string, options: Partial<ConfigOptions> = {}) => {
  const { issues, warnings, endpoints } = checkConfig([{ file: "t.yaml", text }], { env: {}, ...options });
  return { issues: issues.map(formatIssue), warnings: warnings.map(formatIssue), endpoints };
};

it("fills in every default", () => {
  const { endpoints, warnings, issues } = check(endpoint());
  expect([issues, warnings]).toEqual([[], []]);
  expect(endpoints[0]).toMatchObject({
    name: "a",
    namespace: "default",
    engine: { kind: "emulated", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: "/metrics/gpu" },
    platform: { kind: "process", target: null, env: {}, cwd: null, host: "127.0.0.1", ports: null, startTimeoutMs: 600_000 },
    pools: [
      { name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 0, min: 0, max: 4, standby: 0 },
    ],
    objective: { attainment: 0.99, timeToFirstTokenMs: 2_000, timePerOutputTokenMs: 50 },
    policy: { kind: "slo", spec: { intervalMs: 5_000, coldStartMs: 60_000, zeroAfterMs: 600_000, wakeUpPenaltyGpuMs: null, schedule: [] } },
    gateway: {
      maxHeld: 1000,
      holdTimeoutMs: 600_000,
      upstreamTimeoutMs: 600_000,
      maxBodyBytes: 10_485_760,
      attempts: 3,
      order: { kind: "late-last", perReplica: null, oldestEvery: 10, classes: {} },
    },
    metrics: {},
    prometheus: null,
    scrapeEveryMs: 5_000,
    staleAfterMs: 30_000,
    dryRun: false,
  });
});

it.each<[string, string, string]>([
  // Documents
  [
    "an unknown key, with the nearest",
    endpoint({ replcas: "{}" }),
    "t.yaml:10:3 spec.replcas: is not a known key; known here: price, pools, objective, metrics, prometheus, signals, gateway, dryRun",
  ],
  [
    "a key written wrong, once",
    endpoint({ model: undefined, modle: "x" }),
    't.yaml:9:3 spec.modle: is not a known key; did you mean "model"?',
  ],
  [
    "a nested unknown key",
    endpoint({ gateway: "{ maxHold: 3 }" }),
    't.yaml:10:14 spec.gateway.maxHold: is not a known key; did you mean "maxHeld"?',
  ],
  ["a duplicate key", `${endpoint()}  model: b\n`, "t.yaml:10:3 the same key stands twice in one mapping; remove one of the two"],
  [
    "an unknown kind",
    "apiVersion: v1\nkind: Endpiont\n",
    't.yaml:2:7 kind: is not a kind that Tidegate knows (value "Endpiont"); did you mean "Endpoint"?',
  ],
  ["a missing kind", "apiVersion: v1\n", `t.yaml:1:1 kind: is missing; add it, one of: Endpoint, Fleet, ${MANIFEST_KINDS.join(", ")}`],
  [
    "a wrong apiVersion",
    "apiVersion: v1\nkind: Endpoint\n",
    't.yaml:1:13 apiVersion: is not the apiVersion of kind Endpoint (value "v1"); write apiVersion: tidegate.dev/v1alpha1',
  ],
  [
    "a document that is no mapping",
    "- 1\n",
    "t.yaml:1:1 is not a document of keys (value [1]); begin with apiVersion: tidegate.dev/v1alpha1 and kind: Endpoint",
  ],
  [
    "an empty file",
    "# nothing\n",
    "t.yaml holds no Endpoint document; give a file with one too (apiVersion: tidegate.dev/v1alpha1, kind: Endpoint)",
  ],
  ["tabs", "a:\n\tb: 1\n", "t.yaml:2:1 a tab is used to indent; indent with spaces"],
  // Shapes
  ["a missing key", endpoint({ engine: undefined }), "t.yaml:4:1 spec.engine: is missing; add it: the inference server in a replica"],
  [
    "a key with nothing after it",
    endpoint({ model: "" }),
    "t.yaml:5:10 spec.model: must be text (value null); nothing stands after the colon; fill it in or remove the key",
  ],
  ["a number for text", endpoint({ model: "8" }), 't.yaml:5:10 spec.model: must be text (value 8); put it in quotes: "8"'],
  [
    "an unknown engine",
    endpoint({ engine: "{ kind: vlm }" }),
    't.yaml:6:19 spec.engine.kind: is not a known value (value "vlm"); did you mean "vllm"?',
  ],
  [
    "a missing discriminator",
    endpoint({ platform: "{}" }),
    "t.yaml:7:3 spec.platform.kind: is missing; use one of: process, static, kubernetes",
  ],
  [
    "an emulated engine's key on another",
    endpoint({ engine: "{ kind: other, profile: 8B }", platform: "{ kind: static, urls: [http://h] }" }),
    "t.yaml:6:26 spec.engine.profile: is not a known key; known here: healthPath, metricsPath, gpuMetrics",
  ],
  [
    "a name unfit for DNS",
    endpoint({}, "Big_One"),
    't.yaml:3:19 metadata.name: is not a name as in DNS (value "Big_One"); use lower-case letters, digits and dashes, at most 63, such as llama-3-8b',
  ],
  // Units
  [
    "a bare number for a duration",
    endpoint({ signals: "{ staleAfter: 30 }" }),
    "t.yaml:10:26 spec.signals.staleAfter: needs a unit (value 30); write 30s if that is what you mean",
  ],
  [
    "a bare number in quotes",
    endpoint({ signals: '{ staleAfter: "30" }' }),
    't.yaml:10:26 spec.signals.staleAfter: needs a unit (value "30"); write 30s if that is what you mean',
  ],
  [
    "an unknown unit",
    endpoint({ signals: "{ staleAfter: 2 min }" }),
    't.yaml:10:26 spec.signals.staleAfter: is not a duration (value "2 min"); write for example 30s, 2m, 1h30m or 250ms',
  ],
  [
    "no time at all",
    endpoint({ signals: "{ scrapeInterval: 0s }" }),
    't.yaml:10:30 spec.signals.scrapeInterval: is no time at all (value "0s"); write for example 30s',
  ],
  [
    "a bare number for an amount",
    endpoint({ gateway: "{ maxBody: 10 }" }),
    "t.yaml:10:23 spec.gateway.maxBody: needs a unit (value 10); write 10B if that is what you mean",
  ],
  [
    "a share out of range",
    endpoint({ objective: "{ attainment: 99 }" }),
    "t.yaml:10:28 spec.objective.attainment: is not between 0 and 1 (value 99); write for example 0.99 or 99%",
  ],
  // Bounds
  [
    "max below min",
    endpoint({ replicas: "{ min: 4, max: 2 }" }),
    "t.yaml:8:28 spec.replicas.max: is below replicas.min (4) (value 2); raise it or lower the minimum",
  ],
  [
    "no max",
    endpoint({ replicas: "{ min: 4 }" }),
    "t.yaml:8:3 spec.replicas.max: is missing; add it: the most replicas, which is the ceiling of cost",
  ],
  [
    "no bounds",
    endpoint({ replicas: undefined }),
    "t.yaml:4:1 spec.replicas: is missing, and no manifest gives the bounds; add replicas: { min: 0, max: 4 }",
  ],
  [
    "replicas beside pools",
    endpoint({ pools: "[{ name: p, max: 1 }]" }),
    "t.yaml:8:3 spec.replicas: stands beside spec.pools; move it into the pools, or keep only replicas and price",
  ],
  [
    "two pools of one name",
    endpoint({ replicas: undefined, pools: "[{ name: p, max: 1 }, { name: p, max: 1 }]" }),
    't.yaml:9:40 spec.pools[1].name: is the name of two pools (value "p"); rename one',
  ],
  [
    "a pool's max below its min",
    endpoint({ replicas: undefined, pools: "[{ name: p, min: 2, max: 1 }]" }),
    "t.yaml:9:35 spec.pools[0].max: is below pools[0].min (2) (value 1); raise it or lower the minimum",
  ],
  // Platforms
  [
    "no command for a real engine",
    endpoint({ engine: "{ kind: vllm }" }),
    't.yaml:7:3 spec.platform.command: is missing; add the command that starts one replica, such as ["vllm", "serve", "{model}", "--host", "{host}", "--port", "{port}"]',
  ],
  [
    "a command that needs a shell",
    endpoint({ platform: '{ kind: process, command: "a {port} | b" }' }),
    't.yaml:7:39 spec.platform.command: has |, which only a shell understands (value "a {port} | b"); write a list of words; for a shell, ["sh", "-c", "exec …"]',
  ],
  [
    "a command without {port}",
    endpoint({ platform: "{ kind: process, command: [serve] }" }),
    't.yaml:7:39 spec.platform.command: never says {port}, so that replicas could not be told where to listen (value ["serve"]); add for example "--port", "{port}"',
  ],
  [
    "a placeholder written wrong",
    endpoint({ platform: "{ kind: process, command: [serve, '{prot}'] }" }),
    "t.yaml:7:39 spec.platform.command: has {prot}, which is not a placeholder; did you mean {port}?",
  ],
  [
    "an empty command",
    endpoint({ platform: "{ kind: process, command: [] }" }),
    "t.yaml:7:39 spec.platform.command: names no program (value []); begin with the program to run",
  ],
  [
    "ports backwards",
    endpoint({ platform: "{ kind: process, ports: 9100-9000 }" }),
    't.yaml:7:37 spec.platform.ports: ends (9000) before it begins (9100) (value "9100-9000"); write 9000-9100',
  ],
  [
    "ports that do not exist",
    endpoint({ platform: "{ kind: process, ports: 70000-70001 }" }),
    't.yaml:7:37 spec.platform.ports: is outside 1 to 65535 (value "70000-70001"); write for example 9000-9100',
  ],
  [
    "a backoff that shrinks",
    endpoint({ platform: "{ kind: process, restartBackoff: { initial: 2m } }" }),
    "t.yaml:7:30 spec.platform.restartBackoff.max: is shorter than restartBackoff.initial; raise it",
  ],
  [
    "a URL of another kind",
    endpoint({ platform: "{ kind: static, urls: [ftp://h] }" }),
    't.yaml:7:36 spec.platform.urls[0]: is not an http(s) URL (value "ftp://h"); write for example http://127.0.0.1:8000',
  ],
  [
    "a URL twice",
    endpoint({ platform: "{ kind: static, urls: [http://h, http://h/] }" }),
    't.yaml:7:46 spec.platform.urls[1]: stands twice (value "http://h/"); remove one',
  ],
  [
    "staleness below the interval",
    endpoint({ signals: "{ scrapeInterval: 1m }" }),
    "t.yaml:10:3 spec.signals.staleAfter: is shorter than signals.scrapeInterval, so that every reading would be stale; raise it to some intervals, such as six",
  ],
  // Signals and policies
  [
    "a metric mapped to an unknown signal",
    endpoint({ metrics: "{ m: gpu_utilisation }" }),
    't.yaml:10:17 spec.metrics.m: is not a known signal (value "gpu_utilisation"); did you mean "gpu_utilization"?',
  ],
  [
    "a histogram for a signal",
    endpoint({ metrics: "{ m: ttft }" }),
    't.yaml:10:17 spec.metrics.m: is a histogram, which has no single value (value "ttft"); use ttft_p50, ttft_p95 or ttft_p99',
  ],
  [
    "a counter for a signal",
    endpoint({ metrics: "{ m: gen_tokens }" }),
    't.yaml:10:17 spec.metrics.m: is a counter, which has no single value (value "gen_tokens"); use a signal that is a gauge, such as output_tokens_per_second',
  ],
  [
    "a static count out of bounds",
    endpoint({ policy: "{ kind: static, replicas: 5 }" }),
    "t.yaml:9:37 spec.policy.replicas: is above max (4) (value 5); change one of the two",
  ],
  [
    "a static count of an unknown pool",
    endpoint({ policy: "{ kind: static, replicas: { default: 1, p: 1 } }" }),
    "t.yaml:9:51 spec.policy.replicas.p: is not a pool of this endpoint; its pools: default",
  ],
  [
    "a rule without anything to do",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: held }] }" }),
    "t.yaml:9:36 spec.policy.rules[0]: says nothing to do; write one rule for each: { signal, target }, { signal, ceiling } or { saturation }",
  ],
  [
    "a rule with two things to do",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: held, target: 1, ceiling: 1 }] }" }),
    "t.yaml:9:36 spec.policy.rules[0]: says target and ceiling at once; write one rule for each: { signal, target }, { signal, ceiling } or { saturation }",
  ],
  [
    "a target without a signal",
    endpoint({ policy: "{ kind: signals, rules: [{ target: 1 }] }" }),
    "t.yaml:9:36 spec.policy.rules[0].signal: is missing; name the signal that target speaks of",
  ],
  [
    "a rule about an unknown signal",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: heldd, target: 1 }] }" }),
    't.yaml:9:46 spec.policy.rules[0].signal: is not a known signal (value "heldd"); did you mean "held"?',
  ],
  [
    "a bare number for a time",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: ttft_p95, ceiling: 2 }] }" }),
    "t.yaml:9:65 spec.policy.rules[0].ceiling: needs a unit, since ttft_p95 is a time (value 2); write 2s if that is what you mean",
  ],
  [
    "a duration for a number",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: held, target: 2s }] }" }),
    't.yaml:9:60 spec.policy.rules[0].target: is not a number, which held (requests) needs (value "2s"); write a bare number such as 75',
  ],
  [
    "a percentage for a ratio",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: kv_used, target: 80 }] }" }),
    't.yaml:9:63 spec.policy.rules[0].target: is above 1, but kv_used runs from 0 to 1 (value 80); write 0.8 or "80%"',
  ],
  [
    "a step on a target",
    endpoint({ policy: "{ kind: signals, rules: [{ signal: held, target: 1, maxStep: 1 }] }" }),
    "t.yaml:9:72 spec.policy.rules[0].maxStep: belongs to a ceiling, not to target (value 1); remove it",
  ],
  // Secrets and Prometheus
  [
    "a secret's variable that is not set",
    endpoint({ platform: "{ kind: process, env: { T: { env: TOKEN } } }" }),
    "t.yaml:7:47 spec.platform.env.T.env: names the environment variable TOKEN, which is not set; set TOKEN before starting, or use { file: PATH }",
  ],
  [
    "a secret's file without files",
    endpoint({ platform: "{ kind: process, env: { T: { file: /x } } }" }),
    "t.yaml:7:48 spec.platform.env.T.file: names the secret file /x, which cannot be used: no files can be read here; create it readable for this user, or use { env: NAME }",
  ],
  [
    "a number in env",
    endpoint({ platform: "{ kind: process, env: { T: 1 } }" }),
    "t.yaml:7:40 spec.platform.env.T: must be text, { env: NAME } or { file: PATH } (value 1); put numbers and booleans in quotes",
  ],
  [
    "a secret written out, without repeating it",
    endpoint({ prometheus: "{ url: http://p, queries: [], auth: { bearerToken: hunter2 } }" }),
    "t.yaml:10:66 spec.prometheus.auth.bearerToken: is not where a secret comes from; write { env: NAME } or { file: PATH }",
  ],
  [
    "a password in a URL, without repeating it",
    endpoint({ prometheus: "{ url: http://u:hunter2@p, queries: [] }" }),
    "t.yaml:10:22 spec.prometheus.url: has a user name or password in the URL; use prometheus.auth with a password from { env: NAME }",
  ],
  [
    "half an account",
    endpoint({ prometheus: "{ url: http://p, queries: [], auth: { username: u } }" }),
    "t.yaml:10:51 spec.prometheus.auth: has a username without password; give bearerToken, or username with password",
  ],
  [
    "half a certificate",
    endpoint({ prometheus: "{ url: http://p, queries: [], tls: { certFile: c } }" }),
    "t.yaml:10:50 spec.prometheus.tls: has certFile without keyFile; give both or none",
  ],
  [
    "a signal queried twice",
    endpoint({ prometheus: "{ url: http://p, queries: [{ signal: s, query: a }, { signal: s, query: b }] }" }),
    't.yaml:10:77 spec.prometheus.queries[1].signal: is queried twice (value "s"); remove one of the queries',
  ],
  // Binding
  [
    "no policy and no target",
    endpoint({ policy: undefined }),
    "t.yaml:4:1 spec.policy: is missing, and without platform.target no HorizontalPodAutoscaler or ScaledObject can stand in for it; add policy: { kind: slo }, or a target and its manifest",
  ],
  [
    "no manifest for the target",
    endpoint({ policy: undefined, replicas: undefined, platform: bindable }),
    "t.yaml:4:1 spec.policy: is missing, and no manifest in namespace default names apps/v1 Deployment d; add policy: { kind: slo }, or give the manifest's file too",
  ],
  [
    "a manifest in another namespace",
    `${endpoint({ policy: undefined, platform: bindable })}---\n${hpa({ namespace: "n" })}`,
    "t.yaml:4:1 document 1 spec.policy: is missing, and no manifest in namespace default names apps/v1 Deployment d; h (t.yaml:10:1) does, in namespace n; make the namespaces equal, or add policy: { kind: slo }",
  ],
  [
    "two manifests for one target",
    `${endpoint({ policy: undefined, platform: bindable })}---\n${hpa()}---\n${hpa({ name: "i" })}`,
    "t.yaml:7:38 document 1 spec.platform.target: is named by 2 manifests: HorizontalPodAutoscaler h (t.yaml:10:1), HorizontalPodAutoscaler i (t.yaml:19:1); keep one of them, or state a policy",
  ],
  [
    "bounds that do not meet",
    `${endpoint({ policy: undefined, platform: bindable, replicas: "{ max: 1 }" })}---\n${hpa()}`,
    "t.yaml:8:20 document 1 spec.replicas.max: is below the least count (2) of HorizontalPodAutoscaler h (t.yaml:10:1) (value 1); change one of the two so that the ranges meet",
  ],
  [
    "several pools under one manifest",
    `${endpoint({ policy: undefined, replicas: undefined, platform: bindable, pools: "[{ name: p }, { name: q }]" })}---\n${hpa()}`,
    "t.yaml:8:10 document 1 spec.pools: are 2, but HorizontalPodAutoscaler h (t.yaml:10:1) counts one; keep one pool, or state a policy: { kind: slo }",
  ],
  [
    "two endpoints of one name",
    `${endpoint()}---\n${endpoint({ model: "b" })}`,
    't.yaml:13:19 document 2 metadata.name: is taken by another Endpoint (t.yaml:3:19) (value "a"); rename one of the two',
  ],
  [
    "two endpoints of one model",
    `${endpoint()}---\n${endpoint({}, "b")}`,
    't.yaml:15:10 document 2 spec.model: is taken by another Endpoint (t.yaml:5:10) (value "a"); give each its own model name, or make them pools of one Endpoint',
  ],
])("names %s", (_, text, issue) => expect(check(text).issues).toEqual([issue]));

it("tells of every problem at once, in order, in one error", () => {
  const text = endpoint({ engine: "{ kind: vlm }", replicas: "{ max: 0 }", dryRun: "1" });
  const error = (() => {
    try {
      parseConfig(text, { file: "t.yaml", env: {} });
    } catch (thrown) {
      return thrown as TidegateError;
    }
    return undefined;
  })();
  expect(error).toBeInstanceOf(TidegateError);
  expect(error?.code).toBe("config/invalid");
  expect(error?.message.split("\n").map((line) => line.split(" ")[0])).toEqual(["t.yaml:6:19", "t.yaml:8:20", "t.yaml:10:11"]);
});

it("refuses aliases that multiply", () => {
  const rows = Array.from({ length: 8 }, (_, at) => `a${at + 1}: &a${at + 1} [${Array(9).fill(`*a${at}`).join(", ")}]`);
  const { issues } = check(`a0: &a0 [x, x]\n${rows.join("\n")}\n`);
  expect(issues).toEqual(["t.yaml:1:1 aliases (*name) multiply too far; write the repeated parts out, or use fewer than 100 aliases"]);
});

it("points through an alias at what it stands for", () => {
  const text = endpoint({ replicas: undefined, pools: "[&p { name: p, max: 1 }, *p]" });
  expect(check(text).issues).toEqual(['t.yaml:9:22 spec.pools[1].name: is the name of two pools (value "p"); rename one']);
});

it("reads secrets from the environment and from files, without the file's last line break", () => {
  const text = endpoint({
    platform: "{ kind: process, env: { A: { env: TOKEN }, B: { file: /run/b } } }",
    prometheus: "{ url: http://p/, queries: [], auth: { username: u, password: { file: /run/p } } }",
  });
  const { endpoints, issues } = check(text, { env: { TOKEN: "t" }, readSecret: (path) => `${path}!\n` });
  expect(issues).toEqual([]);
  expect(endpoints[0]?.platform).toMatchObject({ env: { A: "t", B: "/run/b!" } });
  expect(endpoints[0]?.prometheus).toMatchObject({ url: "http://p", basic: { username: "u", password: "/run/p!" }, bearerToken: null });
});

it("says why a secret's file could not be read", () => {
  const text = endpoint({ platform: "{ kind: process, env: { B: { file: /run/b } } }" });
  const readSecret = () => {
    throw new Error("EACCES");
  };
  expect(check(text, { readSecret }).issues[0]).toContain("names the secret file /run/b, which cannot be used: EACCES; create it");
});

it("gives an endpoint without a policy the manifest that names its target, over several files", () => {
  const files = [
    { file: "h.yaml", text: hpa() },
    { file: "e.yaml", text: endpoint({ policy: undefined, replicas: undefined, platform: bindable }) },
  ];
  const { endpoints, warnings } = parseConfigFiles(files, { env: {} });
  expect(warnings).toEqual([]);
  expect(endpoints[0]?.pools[0]).toMatchObject({ min: 2, max: 10 });
  expect(endpoints[0]?.policy).toMatchObject({ kind: "hpa", manifest: { name: "h", spec: { minReplicas: 2, maxReplicas: 10 } } });
});

it("takes a manifest that stands in the policy itself, and its bounds", () => {
  const document = JSON.stringify(parse(hpa()));
  const { endpoints, warnings, issues } = check(endpoint({ replicas: undefined, policy: `{ kind: hpa, manifest: ${document} }` }));
  expect([...issues, ...warnings]).toEqual([]);
  expect(endpoints[0]).toMatchObject({ pools: [{ min: 2, max: 10 }], policy: { kind: "hpa", manifest: { name: "h" } } });
});

it("points into a manifest that stands in the policy", () => {
  const document = JSON.stringify(parse(hpa({ max: 1 })));
  const { issues } = check(endpoint({ replicas: undefined, policy: `{ kind: hpa, manifest: ${document} }` }));
  expect(issues).toHaveLength(1);
  expect(issues[0]).toMatch(/^t\.yaml:\d+:\d+ spec\.policy\.manifest\.spec\.maxReplicas: /);
});

it("lets the narrower of two bounds hold, and says so", () => {
  const text = `${endpoint({ policy: undefined, platform: bindable, replicas: "{ min: 1, max: 6 }" })}---\n${hpa()}`;
  const { endpoints, warnings } = check(text);
  expect(endpoints[0]?.pools[0]).toMatchObject({ min: 2, max: 6 });
  expect(endpoints[0]?.policy).toMatchObject({ manifest: { spec: { minReplicas: 2, maxReplicas: 6 } } });
  expect(warnings).toEqual([
    "t.yaml:8:20 document 1 spec.replicas.min: differs from the least count (2) of HorizontalPodAutoscaler h (t.yaml:10:1) (value 1); the narrower holds: min 2",
    "t.yaml:8:28 document 1 spec.replicas.max: differs from the greatest count (10) of HorizontalPodAutoscaler h (t.yaml:10:1) (value 6); the narrower holds: max 6",
  ]);
});

it.each([
  [
    "binds to no endpoint",
    `${endpoint()}---\n${hpa()}`,
    "t.yaml:15:19 document 2 spec.scaleTargetRef: names apps/v1 Deployment d in namespace default, which is no Endpoint's platform.target; give an Endpoint in that namespace this target, or leave the document out",
  ],
  [
    "binds to one with a policy of its own",
    `${endpoint({ platform: bindable })}---\n${hpa()}`,
    't.yaml:13:19 document 2 metadata.name: is not used: Endpoint a states a policy of its own (value "h"); remove spec.policy there to use it',
  ],
])("warns of a manifest that %s", (_, text, warning) => expect(check(text).warnings).toEqual([warning]));

it("warns of a manifest's metric that is no signal of ours until it is mapped or queried", () => {
  const bound = { policy: undefined, replicas: undefined, platform: bindable };
  const warnings = (changed: Record<string, string>) => check(`${endpoint({ ...bound, ...changed })}---\n${hpa({ metric: "m" })}`).warnings;
  expect(warnings({})).toEqual([
    "t.yaml:4:1 document 1 spec.metrics: says nothing of m, a metric of HorizontalPodAutoscaler h (t.yaml:9:1) that is no signal of ours; add the signal that it is, such as m: gpu_utilization, or a prometheus query of that name",
  ]);
  expect(warnings({ metrics: "{ m: held }" })).toEqual([]);
  expect(warnings({ prometheus: "{ url: http://p, queries: [{ signal: m, query: q }] }" })).toEqual([]);
});

it.each([
  [
    "an unknown field",
    hpa().replace("maxReplicas", "maxReplica"),
    /^t\.yaml:17:15 document 2 spec\.maxReplica: is not a field of this API version/,
  ],
  ["an unknown version", hpa().replace("autoscaling/v2", "autoscaling/v9"), /^t\.yaml:11:13 document 2 apiVersion: /],
])("passes on what a manifest's own room says of %s, with its place", (_, manifest, line) => {
  expect(check(`${endpoint()}---\n${manifest}`).issues[0]).toMatch(line);
});

it("refuses one manifest for two endpoints", () => {
  const bound = { policy: undefined, replicas: undefined, platform: bindable };
  const { issues } = check(`${endpoint(bound)}---\n${endpoint({ ...bound, model: "b" }, "b")}---\n${hpa()}`);
  expect(issues).toEqual([
    "t.yaml:15:38 document 2 spec.platform.target: is the target of Endpoint a too, and h (t.yaml:17:1) can scale only one; give each its own target and manifest, or a policy",
  ]);
});

it("warns of fewer ports than replicas", () => {
  const { warnings } = check(endpoint({ platform: "{ kind: process, ports: 9000-9001 }" }));
  expect(warnings).toEqual(['t.yaml:7:37 spec.platform.ports: has 2 ports for up to 4 replicas (value "9000-9001"); widen the range']);
});

it("reads levels in the unit of their signal, and lets queries name signals of one's own", () => {
  const rules = [
    "{ signal: gpu_utilization, target: 75% }",
    "{ signal: kv_used, target: 80% }",
    "{ signal: ttft_p95, ceiling: 2500ms, maxStep: 25% }",
    "{ signal: my_queue, target: 3 }",
    "{ saturation: {} }",
  ];
  const { endpoints, issues } = check(
    endpoint({
      policy: `{ kind: signals, rules: [${rules.join(", ")}], behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } }`,
      prometheus: "{ url: http://p, queries: [{ signal: my_queue, query: sum(q) }] }",
    }),
  );
  expect(issues).toEqual([]);
  expect(endpoints[0]?.policy).toEqual({
    kind: "signals",
    spec: {
      rules: [
        { kind: "target", signal: "gpu_utilization", value: 75 },
        { kind: "target", signal: "kv_used", value: 0.8 },
        { kind: "ceiling", signal: "ttft_p95", value: 2.5, maxStep: 0.25 },
        { kind: "target", signal: "my_queue", value: 3 },
        { kind: "saturation", throughput: "output_tokens_per_second", below: 0.9, waiting: 1, step: 0.25 },
      ],
      tolerance: 0.1,
      intervalMs: 15_000,
      scaleUp: {
        stabilizationWindowMs: 0,
        selectPolicy: "Max",
        policies: [
          { type: "Percent", value: 100, periodMs: 15_000 },
          { type: "Pods", value: 4, periodMs: 15_000 },
        ],
      },
      scaleDown: { stabilizationWindowMs: 60_000, selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodMs: 15_000 }] },
      zeroAfterMs: null,
    },
  });
});

it("takes documents that are data already, and then names the document", () => {
  const document = {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: { name: "a" },
    spec: { model: "a", engine: { kind: "emulated" }, platform: { kind: "process" }, replicas: { max: 4 }, policy: { kind: "slo" } },
  };
  expect(parseConfigDocuments([document], { env: {} }).endpoints[0]?.name).toBe("a");
  expect(() => parseConfigDocuments([document, { kind: "Flotilla" }], { env: {}, name: "given" })).toThrow(
    'given document 2 kind: is not a kind that Tidegate knows (value "Flotilla"); use one of: Endpoint, Fleet, HorizontalPodAutoscaler',
  );
});

const fleet = (spec: string, name = "lab") =>
  `apiVersion: tidegate.dev/v1alpha1\nkind: Fleet\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
const pooled = endpoint({ replicas: undefined, pools: "[{ name: p, gpu: h100, max: 4 }]" });

it("takes one Fleet beside its endpoints", () => {
  const text = `${pooled}---\n${fleet("{ gpus: { h100: 8 }, priorities: { a: 10 } }")}`;
  expect(parseConfig(text, { file: "t.yaml", env: {} }).fleet).toEqual({ name: "lab", gpus: { h100: 8 }, priorities: { a: 10 } });
  expect(parseConfig(pooled, { file: "t.yaml", env: {} }).fleet).toBeNull();
});

it.each([
  [
    "a priority of nobody",
    "{ gpus: 8, priorities: { nobody: 1 } }",
    "t.yaml:14:32 document 2 spec.priorities.nobody: is no Endpoint of this config; there is: a",
  ],
  ["a type that no pool has", "{ gpus: { l4: 8 } }", "t.yaml:14:17 document 2 spec.gpus.l4: is no GPU type of any pool; there is: h100"],
  ["no GPUs at all", "{ gpus: 0 }", "t.yaml:14:15 document 2 spec.gpus: is below 1 (value 0); use 1 or more"],
])("refuses a Fleet with %s", (_, spec, issue) => expect(check(`${pooled}---\n${fleet(spec)}`).issues).toEqual([issue]));

it("refuses a second Fleet", () => {
  const { issues } = check(`${pooled}---\n${fleet("{ gpus: 8 }")}---\n${fleet("{ gpus: 4 }", "other")}`);
  expect(issues).toEqual([
    't.yaml:18:19 document 3 metadata.name: is a second Fleet beside lab (value "other"); keep one: a process has one budget',
  ]);
});

it("binds a PodAutoscaler of AIBrix to the Endpoint of its role", () => {
  const storm = "apiVersion: orchestration.aibrix.ai/v1alpha1, kind: StormService, name: pd";
  const of = (role: string) => `{ kind: kubernetes, target: { ${storm}, part: ${role} } }`;
  const autoscaler = (role: string) => `apiVersion: autoscaling.aibrix.ai/v1alpha1
kind: PodAutoscaler
metadata: { name: ${role}, namespace: default }
spec:
  scaleTargetRef: { ${storm} }
  subTargetSelector: { roleName: ${role} }
  scalingStrategy: APA
  minReplicas: 1
  maxReplicas: 3
  metricsSources: [{ metricSourceType: pod, protocolType: http, port: "8000", path: metrics, targetMetric: kv_used, targetValue: "0.5" }]
`;
  const roles = ["prefill", "decode"];
  const endpoints = roles.map((role) => endpoint({ model: role, policy: undefined, replicas: undefined, platform: of(role) }, role));
  const { issues, endpoints: bound } = check([...endpoints, ...roles.map(autoscaler)].join("---\n"));
  expect(issues).toEqual([]);
  expect(bound.map(({ name, policy }) => [name, "manifest" in policy && policy.manifest.name])).toEqual([
    ["prefill", "prefill"],
    ["decode", "decode"],
  ]);
});

it("reads an Endpoint as a cluster prints it", () => {
  const printed = {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: {
      name: "chat",
      namespace: "llm",
      uid: "1",
      resourceVersion: "2",
      generation: 3,
      creationTimestamp: "2026-01-01T00:00:00Z",
      managedFields: [],
    },
    spec: {
      ...{ model: "chat", engine: { kind: "vllm" }, replicas: { max: 2 }, policy: { kind: "slo" } },
      platform: { kind: "static", urls: ["http://127.0.0.1:1"] },
    },
    status: { desired: 1 },
  };
  expect(parseConfigDocuments([printed], { env: {} }).endpoints).toMatchObject([{ name: "chat", namespace: "llm" }]);
  const misspelt = { ...printed, metadata: { ...printed.metadata, lables: {} } };
  expect(() => parseConfigDocuments([misspelt], { env: {} })).toThrow('metadata.lables: is not a known key; did you mean "labels"?');
});

it.each([
  ["neither cron nor at", "{ for: 1h, replicas: 2 }", "schedule[0]: needs exactly one of cron and at; say when it begins"],
  ["no measure", '{ at: "2026-12-01T09:00", for: 1h }', "schedule[0]: needs exactly one of replicas and times"],
  ["a bad cron", "{ cron: 0 25 * * *, for: 1h, times: 2 }", 'schedule[0].cron: has "25" for the hour; it runs from 0 to 23'],
  [
    "a bad zone",
    "{ cron: 0 9 * * *, timezone: Berlin, for: 1h, times: 2 }",
    "schedule[0].timezone: is not a time zone of the IANA database",
  ],
  ["a bad time", "{ at: tomorrow, for: 1h, times: 2 }", "schedule[0].at: is not a date and time"],
  [
    "one name twice",
    "{ at: 2026-12-01, for: 1h, times: 2 }, { at: 2026-12-01, for: 2h, times: 3 }",
    "is the second event called 2026-12-01",
  ],
])("refuses an announced event with %s", (_, events, issue) => {
  expect(check(endpoint({ policy: `{ kind: slo, schedule: [${events}] }` })).issues.join("\n")).toContain(issue);
});

it("reads announced events in their own time zone", () => {
  const text = endpoint({
    policy: "{ kind: slo, schedule: [{ name: launch, at: 2026-12-01T09:00, timezone: Europe/Berlin, for: 2h, times: 3 }] }",
  });
  expect(parseConfig(text, { file: "t.yaml", env: {} }).endpoints[0]?.policy).toMatchObject({
    spec: {
      schedule: [{ name: "launch", cron: null, atMs: Date.parse("2026-12-01T08:00:00Z"), forMs: 7_200_000, replicas: null, times: 3 }],
    },
  });
});
