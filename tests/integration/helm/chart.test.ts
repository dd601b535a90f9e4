import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { chart, helm, type Manifest, one, set, template, valuesSets } from "./helm.ts";
import { mayConnect, type Side } from "./network.ts";

const named = (files: readonly string[]) => files.map((file) => [basename(file), file] as const);

it.each(named(valuesSets))("lints with %s", (_name, file) => {
  const { status, stdout, stderr } = helm(["lint", chart, "--strict", "--values", file]);
  expect(`${stdout}${stderr}`).toContain("0 chart(s) failed");
  expect(status).toBe(0);
});

it.each([
  ["an unknown key", { "gateway.replcas": 3 }, "replcas"],
  ["an unknown part", { gatway: {} }, "gatway"],
  ["a wrong type", { "gateway.replicas": "3" }, "/gateway/replicas"],
  ["a word that is none of the choice", { "gateway.routing": "random" }, "/gateway/routing"],
  ["a digest that is none", { "image.digest": "sha256:abc" }, "/image/digest"],
  ["no controller to lead", { "controller.replicas": 0 }, "/controller/replicas"],
  ["an authority that is no certificate", { "bridge.tls.caBundle": "LS0t" }, "caBundle"],
  ["an endpoint without a spec", { endpoints: [{ name: "a" }] }, "spec"],
  ["namespaces and all of them", { "watch.allNamespaces": true, "watch.namespaces": ["a"] }, "leave one out"],
  ["an endpoint that nobody would follow", { endpoints: [{ name: "a", namespace: "b", spec: {} }] }, "not watched (tidegate)"],
  ["nothing at all", { "controller.enabled": false, "gateway.enabled": false }, "nothing is enabled"],
  ["a bridge without a controller", { "bridge.enabled": true, "controller.enabled": false }, "bridge.controllerUrl"],
  ["a bridge that serves nothing", { "bridge.enabled": true, "bridge.customMetrics": false }, "nothing to serve"],
  ["mTLS without TLS", { "bridge.keda": { enabled: true, insecure: true, mtls: { enabled: true } } }, "needs TLS"],
  [
    "mTLS with an authority that nobody makes",
    {
      "bridge.enabled": true,
      "bridge.keda": { enabled: true, mtls: { enabled: true } },
      "bridge.tls": { mode: "secret", secretName: "a" },
    },
    "clientCaSecret",
  ],
  ["a certificate that is not named", { "bridge.enabled": true, "bridge.tls.mode": "secret" }, "bridge.tls.secretName"],
  ["one history for two controllers", { "controller.state.existingClaim": "history" }, "controller.replicas is 2"],
  ["no time to drain", { "gateway.terminationGracePeriodSeconds": 8 }, "raise it"],
  ["an autoscaler's most below its fewest", { "gateway.autoscaling": { enabled: true, minReplicas: 5, maxReplicas: 2 } }, "is below"],
  ["an ingress without a host", { "gateway.ingress.enabled": true }, "at least one host"],
])("refuses %s", (_what, values, saying) => {
  const { status, stderr } = helm(["template", "tidegate", chart, "--namespace", "tidegate", ...set(values)]);
  expect(stderr).toContain(saying);
  expect(status).not.toBe(0);
});

const clusterWide = ["ClusterRole", "ClusterRoleBinding", "APIService"];
const kinds = (manifests: readonly Manifest[]) => new Set(manifests.map(({ kind }) => kind));

it("installs for one namespace without anything cluster-wide", () => {
  const manifests = template();
  expect([...kinds(manifests)].filter((kind) => clusterWide.includes(kind))).toEqual([]);
  expect(new Set(manifests.map(({ metadata }) => metadata.namespace))).toEqual(new Set(["tidegate"]));
});

it("keeps to Roles in the namespaces that are watched", () => {
  const manifests = template(...set({ "watch.namespaces": ["team-a", "team-b"] }));
  expect([...kinds(manifests)].filter((kind) => clusterWide.includes(kind))).toEqual([]);
  const roles = manifests.filter(({ kind, metadata }) => kind === "Role" && metadata.name.startsWith("tidegate-controller"));
  expect(roles.map(({ metadata }) => metadata.namespace)).toEqual(["team-a", "team-b"]);
  expect(one(manifests, "Deployment", "tidegate-controller").spec.template.spec.containers[0].args).toEqual(
    expect.arrayContaining(["--namespace=team-a", "--namespace=team-b"]),
  );
});

it("asks for cluster-wide rights only for the bridge's delegation, or where all namespaces are watched", () => {
  const wide = (...args: readonly string[]) =>
    template(...args)
      .filter(({ kind }) => kind === "ClusterRole" || kind === "ClusterRoleBinding")
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  expect(wide(...set({ "bridge.enabled": true }))).toEqual(["ClusterRoleBinding tidegate-bridge-tidegate-auth-delegator"]);
  expect(wide(...set({ "watch.allNamespaces": true })).toSorted()).toEqual(
    ["controller", "gateway"]
      .flatMap((part) => [`ClusterRole tidegate-${part}-tidegate`, `ClusterRoleBinding tidegate-${part}-tidegate`])
      .toSorted(),
  );
});

it.each(["controller", "gateway", "bridge"])("makes nothing of %s where it is switched off", (part) => {
  const on = { "bridge.enabled": true, "bridge.controllerUrl": "http://elsewhere:9090", "monitoring.dashboard.enabled": true };
  const without = template(...set({ ...on, [`${part}.enabled`]: false }));
  const left = without.filter(({ metadata }) => metadata.labels?.["app.kubernetes.io/component"] === part);
  expect(left).toEqual([]);
  expect(template(...set(on)).some(({ metadata }) => metadata.labels?.["app.kubernetes.io/component"] === part)).toBe(true);
});

it("pins by digest, and says the version otherwise", () => {
  const image = (...args: readonly string[]) =>
    one(template(...args), "Deployment", "tidegate-gateway").spec.template.spec.containers[0].image;
  const digest = `sha256:${"ab".repeat(32)}`;
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string };
  expect(image()).toBe(`ghcr.io/tidegate/tidegate:${version}`);
  expect(image(...set({ "image.digest": digest }))).toBe(`ghcr.io/tidegate/tidegate@${digest}`);
});

it("leaves the count of an autoscaled gateway to its autoscaler, and evicts at most one at a time", () => {
  const manifests = template(...set({ "gateway.autoscaling.enabled": true }));
  expect(one(manifests, "Deployment", "tidegate-gateway").spec).not.toHaveProperty("replicas");
  expect(one(manifests, "HorizontalPodAutoscaler", "tidegate-gateway").spec).toMatchObject({ minReplicas: 2, maxReplicas: 10 });
  expect(one(manifests, "PodDisruptionBudget", "tidegate-gateway").spec.maxUnavailable).toBe(1);
  // A budget for one pod alone would only hinder node drains.
  expect(template(...set({ "controller.replicas": 1 })).filter(({ kind }) => kind === "PodDisruptionBudget")).toHaveLength(1);
});

it("gives streams the time to end that the pod is given", () => {
  const { spec } = one(template(...set({ "gateway.terminationGracePeriodSeconds": 100 })), "Deployment", "tidegate-gateway").spec.template;
  expect(spec.containers[0].args).toContain("--grace=90");
  expect(spec.containers[0].lifecycle.preStop.sleep.seconds).toBe(5);
});

it("carries the dashboard and the alerts as they are", () => {
  const manifests = template("--values", join(chart, "ci", "operators-values.yaml"), ...set({ "monitoring.dashboard.enabled": true }));
  const board = one(manifests, "ConfigMap", "tidegate-dashboard").data?.["tidegate.json"] ?? "";
  expect(JSON.parse(board)).toEqual(JSON.parse(readFileSync(join(chart, "files", "grafana-dashboard.json"), "utf8")));
  const text = JSON.stringify(one(manifests, "PrometheusRule", "tidegate").spec);
  expect(text).toContain("{{ $labels.endpoint }}: signals are older than a minute");
});

it("opens what the parts need between them, and nothing else", () => {
  const manifests = template(...set({ "bridge.enabled": true, "bridge.keda.enabled": true, "watch.namespaces": ["team-a"] }));
  const policies = manifests.filter(({ kind }) => kind === "NetworkPolicy");
  const part = (name: string): Side => ({
    namespace: "tidegate",
    labels: one(manifests, "Deployment", `tidegate-${name}`).spec.template.metadata.labels,
  });
  const pod = (namespace: string): Side => ({ namespace, labels: { app: "any" } });
  const [controller, gateway, bridge] = [part("controller"), part("gateway"), part("bridge")];
  const api: Side = { address: "172.20.0.1" };
  const open = (from: Side, to: Side, port: number | string) => mayConnect(policies, from, to, port);
  const [engine, stranger, dns] = [pod("team-a"), pod("team-b"), pod("kube-system")];
  const yes: readonly (readonly [string, Side, Side, number | string])[] = [
    ["a client's request", stranger, gateway, "http"],
    ["a request from a load balancer", { address: "203.0.113.7" }, gateway, "http"],
    ["the controller's routes", controller, gateway, "admin"],
    ["the bridge's question", bridge, controller, "admin"],
    ["a question handed on to the leader", controller, controller, "admin"],
    ["the API server's question", api, bridge, "https"],
    ["KEDA's question", pod("keda"), bridge, "grpc"],
    ["a request to a replica", gateway, engine, 8000],
    ["a replica's page", controller, engine, 8000],
    ...[controller, gateway, bridge].flatMap((from): [string, Side, Side, number | string][] => [
      ["a name", from, dns, 53],
      ["the API server", from, api, 443],
      ["a scrape", pod("monitoring"), from, "admin"],
    ]),
  ];
  const no: typeof yes = [
    ["a stranger at a gateway's admin port", stranger, gateway, "admin"],
    ["a stranger at the controller", stranger, controller, "admin"],
    ["a gateway at the controller", gateway, controller, "admin"],
    ["a stranger at the external scaler", stranger, bridge, "grpc"],
    ["a scrape of requests' port of the controller", pod("monitoring"), controller, "http"],
    ["a gateway in another team's namespace", gateway, stranger, 8000],
    ["the controller in another team's namespace", controller, stranger, 8000],
    ["the bridge at a replica", bridge, engine, 8000],
    ["a gateway anywhere in the world", gateway, { address: "203.0.113.7" }, 8080],
  ];
  expect(yes.filter(([, from, to, port]) => !open(from, to, port)).map(([what]) => what)).toEqual([]);
  expect(no.filter(([, from, to, port]) => open(from, to, port)).map(([what]) => what)).toEqual([]);
});

it.each([
  ["cert-manager's own issuer", {}],
  ["an issuer of yours", { "bridge.tls.certManager.issuerRef": { name: "company", kind: "ClusterIssuer", group: "cert-manager.io" } }],
])("makes objects for Prometheus Operator and cert-manager as their definitions have them: %s", (_what, values) => {
  const folder = process.env["TIDEGATE_MODELS"] as string;
  const all = { "monitoring.prometheusRule.extraGroups": [{ name: "mine", rules: [{ alert: "A", expr: "up == 0", for: "1m" }] }] };
  const relabel = { "monitoring.serviceMonitor.relabelings": [{ targetLabel: "cluster", replacement: "a" }] };
  const manifests = template("--values", join(chart, "ci", "operators-values.yaml"), ...set({ ...all, ...relabel, ...values }));
  const modules: Readonly<Record<string, string>> = {
    ServiceMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
    PrometheusRule: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
    Certificate: "@kubernetes-models/cert-manager/cert-manager.io/v1/Certificate",
    Issuer: "@kubernetes-models/cert-manager/cert-manager.io/v1/Issuer",
  };
  const theirs = manifests.filter(({ kind }) => kind in modules);
  expect(theirs.length).toBe("bridge.tls.certManager.issuerRef" in values ? 3 : 4);
  // The compiler refuses unknown keys in a literal; the models' own check refuses values.
  const imports = Object.entries(modules).map(([kind, from]) => `import { ${kind} } from "${from}";`);
  const checks = theirs.map(({ apiVersion: _version, kind, ...rest }) => `new ${kind}(${JSON.stringify(rest)}).validate();`);
  writeFileSync(join(folder, "check.ts"), [...imports, ...checks, ""].join("\n"));
  const tsc = fileURLToPath(new URL("../../../node_modules/.bin/tsc", import.meta.url));
  const flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2024", "--module", "preserve", "--types", "", "check.ts"];
  expect(spawnSync(tsc, flags, { cwd: folder, encoding: "utf8" }).stdout).toBe("");
  const run = spawnSync(process.execPath, ["check.ts"], { cwd: folder, encoding: "utf8" });
  expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
});
