import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freePorts, type Running, start } from "../../e2e/tidegate.ts";
import { isAvailable } from "../bridge/following.ts";
import { base64Of } from "../kubernetes/plane/certificates.ts";
import { type Plane, startPlane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";
import { chart, helmOk, type Manifest, makeNamespace, NAMESPACE, one, RELEASE, type Rule, set, template } from "./helm.ts";

/**
 * The programs run on loopback with the arguments that the chart gives them and tokens of the service accounts that it makes. The API
 * server's audit log says what they asked: nothing was refused, and nothing is granted that was not used.
 */
const values = { "bridge.enabled": true, "bridge.tls.extraNames": [`loopback.${NAMESPACE}.svc`], "adminApi.auth": false };
const manifests = template(...set(values));
const parts = ["controller", "gateway", "bridge"] as const;
type Part = (typeof parts)[number];

const folder = mkdtempSync(join(tmpdir(), "tidegate-rights-"));
const auditLog = join(folder, "audit.log");
const running: Running[] = [];
let plane: Plane;

beforeAll(async () => {
  const policy = join(folder, "policy.yaml");
  const rules = [{ level: "Metadata", userGroups: [`system:serviceaccounts:${NAMESPACE}`] }, { level: "None" }];
  writeFileSync(policy, JSON.stringify({ apiVersion: "audit.k8s.io/v1", kind: "Policy", rules, omitStages: ["RequestReceived"] }));
  plane = await startPlane({
    programs: process.env["TIDEGATE_PLANE"] as string,
    flags: { "kube-apiserver": [`--audit-policy-file=${policy}`, `--audit-log-path=${auditLog}`] },
  });
  await makeNamespace(plane, NAMESPACE);
  helmOk(
    ["install", RELEASE, chart, "--namespace", NAMESPACE, ...set({ ...values, "controller.replicas": 1, "gateway.replicas": 0 })],
    plane,
  );
}, 120_000);
afterAll(async () => {
  for (const { process: child } of running) if (child.exitCode === null) child.kill("SIGKILL");
  await Promise.all(running.map(({ ended }) => ended));
  await plane?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const inNamespace = (group: string, rest: string) => `/${group}/namespaces/${NAMESPACE}/${rest}`;

async function tokenOf(part: Part): Promise<string> {
  const answer = await plane.admin.ask<{ status: { token: string } }>({
    method: "POST",
    path: inNamespace("api/v1", `serviceaccounts/${RELEASE}-${part}/token`),
    body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } },
  });
  return answer.status.token;
}

/** As the pod's own service account would be used; rights are the token's alone. */
async function kubeconfigOf(part: Part): Promise<string> {
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "plane", cluster: { server: plane.server, "certificate-authority-data": base64Of(plane.authority.certificateFile) } },
    ],
    users: [{ name: part, user: { token: await tokenOf(part) } }],
    contexts: [{ name: "plane", context: { cluster: "plane", user: part } }],
    "current-context": "plane",
  };
  const file = join(folder, `${part}.kubeconfig`);
  writeFileSync(file, JSON.stringify(config));
  return file;
}

/** Starts what the chart starts, with ports, folders and neighbours on this machine. */
async function launch(part: Part, changed: Readonly<Record<string, string>>, podName: string, from = manifests): Promise<Running> {
  const [container] = one(from, "Deployment", `${RELEASE}-${part}`).spec.template.spec.containers;
  const left = { ...changed };
  const args = (container.args as readonly string[]).map((arg) => {
    const [flag = ""] = arg.split("=");
    const value = left[flag];
    delete left[flag];
    return value === undefined ? arg : `${flag}=${value}`;
  });
  if (Object.keys(left).length > 0)
    throw new Error(`the chart does not give ${Object.keys(left).join(", ")} to ${part}: ${args.join(" ")}`);
  const env = { KUBECONFIG: await kubeconfigOf(part), POD_NAMESPACE: NAMESPACE, POD_NAME: podName };
  const child = start(args, env, folder);
  running.push(child);
  return child;
}

async function endpoint(name: string, spec: object, namespace = NAMESPACE): Promise<void> {
  const object = { apiVersion: "tidegate.dev/v1alpha1", kind: "Endpoint", metadata: { name }, spec };
  await plane.apply(`/apis/tidegate.dev/v1alpha1/namespaces/${namespace}/endpoints/${name}`, object);
}
const specOf = (kind: string, name: string, more: object) => ({
  model: name,
  engine: { kind: "other" },
  platform: { kind: "kubernetes", target: { apiVersion: "apps/v1", kind, name } },
  replicas: { min: 0, max: 6 },
  ...more,
});
const fixed = (replicas: number) => ({ policy: { kind: "static", replicas } });

/** Pods that a restricted namespace admits. */
async function workload(kind: "Deployment" | "StatefulSet", name: string, pod: object = {}, namespace = NAMESPACE): Promise<void> {
  const securityContext = { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } };
  const container = {
    ...{ name: "engine", image: "engine:1", ports: [{ name: "http", containerPort: 8000 }] },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
  };
  const labels = { app: name };
  await plane.apply(`/apis/apps/v1/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`, {
    apiVersion: "apps/v1",
    kind,
    metadata: { name },
    spec: {
      selector: { matchLabels: labels },
      ...(kind === "StatefulSet" ? { serviceName: name, podManagementPolicy: "Parallel" } : {}),
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, securityContext, containers: [container], ...pod } },
    },
  });
}
const scalePath = (kind: string, name: string, namespace = NAMESPACE) =>
  `/apis/apps/v1/namespaces/${namespace}/${kind.toLowerCase()}s/${name}/scale`;
const countOf = async (kind: string, name: string, namespace: string) =>
  (await plane.admin.ask<{ spec: { replicas?: number } }>({ path: scalePath(kind, name, namespace) })).spec.replicas ?? 0;
const reaches = (kind: string, name: string, wanted: number, namespace = NAMESPACE) =>
  waitFor(
    `${wanted} of ${kind} ${name}`,
    () => countOf(kind, name, namespace),
    (count) => count === wanted,
    60_000,
  );

interface AuditEvent {
  readonly stage: string;
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly requestURI: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly annotations?: Readonly<Record<string, string>>;
}
const audited = (): readonly AuditEvent[] =>
  readFileSync(auditLog, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as AuditEvent);
const userOf = (part: Part) => `system:serviceaccount:${NAMESPACE}:${RELEASE}-${part}`;

/** `verb group/resource[/subresource]`, in the namespace that the role is in. */
const granted = (rules: readonly Rule[]) =>
  rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`))),
  );
const usedBy = (part: Part) =>
  new Set(
    audited().flatMap(({ user, verb, objectRef, annotations, responseStatus }) => {
      if (user.username !== userOf(part) || objectRef?.resource === undefined) return [];
      // What every authenticated user may is none of the chart's.
      if (/"system:(basic-user|discovery|public-info-viewer)"/.test(annotations?.["authorization.k8s.io/reason"] ?? "")) return [];
      const { apiGroup = "", resource, subresource } = objectRef;
      const what = `${apiGroup}/${resource}${subresource === undefined ? "" : `/${subresource}`}`;
      // An apply that made the object needed the right to create it as well.
      return verb === "patch" && responseStatus?.code === 201 ? [`patch ${what}`, `create ${what}`] : [`${verb} ${what}`];
    }),
  );
const refused = () =>
  audited()
    .filter(
      ({ responseStatus, annotations }) => responseStatus?.code === 403 || annotations?.["authorization.k8s.io/decision"] === "forbid",
    )
    .map(({ user, verb, requestURI }) => `${user.username} ${verb} ${requestURI}`);
const rolesOf = (part: Part): readonly Manifest[] =>
  manifests.filter(
    ({ kind, metadata }) => (kind === "Role" || kind === "ClusterRole") && metadata.labels?.["app.kubernetes.io/component"] === part,
  );

/** Until the program has used that right. */
const asked = (part: Part, right: string) =>
  waitFor(
    `${part}: ${right}`,
    () => [...usedBy(part)],
    (all) => all.includes(right),
    60_000,
  );

interface Pods {
  readonly items: readonly { readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } }[];
}
const readyPods = async (app: string): Promise<number> => {
  const { items } = await plane.admin.ask<Pods>({ path: inNamespace("api/v1", "pods"), query: { labelSelector: `app=${app}` } });
  return items.filter(({ status }) => status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True")).length;
};

/** The certificate that the chart made. */
async function certificate(): Promise<{ readonly "--tls-cert": string; readonly "--tls-key": string }> {
  const path = inNamespace("api/v1", `secrets/${RELEASE}-bridge-tls`);
  const { data } = await plane.admin.ask<{ data: Readonly<Record<string, string>> }>({ path });
  const files = { "--tls-cert": join(folder, "tls.crt"), "--tls-key": join(folder, "tls.key") };
  writeFileSync(files["--tls-cert"], Buffer.from(data["tls.crt"] ?? "", "base64"));
  writeFileSync(files["--tls-key"], Buffer.from(data["tls.key"] ?? "", "base64"));
  return files;
}

const apiService = "v1beta2.custom.metrics.k8s.io";
/** The chart's own registration, but for the address: nothing routes to pods here. */
async function register(port: number): Promise<void> {
  await plane.apply(inNamespace("api/v1", "services/loopback"), {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "loopback" },
    spec: { type: "ExternalName", externalName: "localhost", ports: [{ port }] },
  });
  const body = { spec: { service: { name: "loopback", namespace: NAMESPACE, port } } };
  await plane.admin.ask({ method: "PATCH", path: `/apis/apiregistration.k8s.io/v1/apiservices/${apiService}`, body });
  await waitFor(
    "the aggregated API",
    () => isAvailable(plane, apiService),
    (is) => is === true,
    60_000,
  );
}

/** The status with which the bridge itself answers somebody's token. */
const direct = (port: number, path: string, token: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, headers: { authorization: `Bearer ${token}` }, rejectUnauthorized: false };
    request(options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });

/** Enough of KEDA for its objects to be found. */
const scaledObjects = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "scaledobjects.keda.sh" },
  spec: {
    group: "keda.sh",
    names: { kind: "ScaledObject", listKind: "ScaledObjectList", plural: "scaledobjects", singular: "scaledobject" },
    scope: "Namespaced",
    versions: [
      {
        ...{ name: "v1alpha1", served: true, storage: true },
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};

it("scales, drains, yields, hands over and serves with the chart's rights, and is refused nothing", async () => {
  const ports = (await freePorts(6)) as readonly number[];
  const [gateway = 0, gatewayAdmin = 0, first = 0, second = 0, bridgeAdminPort = 0, metrics = 0] = ports;
  const local = { "--host": "127.0.0.1" };

  await plane.apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh", scaledObjects);
  await workload("Deployment", "llm", { readinessGates: [{ conditionType: "tidegate.dev/serving" }] });
  await workload("StatefulSet", "code");
  await endpoint("llm", specOf("Deployment", "llm", fixed(2)));
  await endpoint("code", specOf("StatefulSet", "code", fixed(2)));
  const fleet = { apiVersion: "tidegate.dev/v1alpha1", kind: "Fleet", metadata: { name: "lab" }, spec: { gpus: 32, priorities: {} } };
  await plane.apply(inNamespace("apis/tidegate.dev/v1alpha1", "fleets/lab"), fleet);

  await launch("gateway", { ...local, "--port": String(gateway), "--admin-port": String(gatewayAdmin) }, "gateway-a");
  const lead = (name: string, port: number) =>
    launch(
      "controller",
      { ...local, "--admin-port": String(port), "--state": join(folder, name), "--gateway": `http://127.0.0.1:${gatewayAdmin}` },
      name,
    );
  const leader = await lead("controller-a", first);
  await reaches("Deployment", "llm", 2);
  await reaches("StatefulSet", "code", 2);
  await lead("controller-b", second);

  // Up and down, by what stands in the cluster.
  await endpoint("llm", specOf("Deployment", "llm", fixed(3)));
  await reaches("Deployment", "llm", 3);
  await waitFor(
    "the pods to be ready by their gate",
    () => readyPods("llm"),
    (count) => count === 3,
    60_000,
  );
  await endpoint("llm", specOf("Deployment", "llm", fixed(1)));
  await reaches("Deployment", "llm", 1);

  // Somebody else sets the count: it is seen who, and left alone.
  const body = { spec: { replicas: 4 } };
  await plane.admin.ask({ method: "PATCH", path: scalePath("StatefulSet", "code"), query: { fieldManager: "somebody" }, body });
  await plane.admin.ask({ method: "PATCH", path: scalePath("Deployment", "llm"), query: { fieldManager: "somebody" }, body });
  await asked("controller", "get apps/statefulsets");
  await asked("controller", "get apps/deployments");

  // A pod that fits on no node, and an Endpoint by an HPA's rules.
  await workload("Deployment", "huge", { nodeSelector: { gpu: "none" } });
  await endpoint("huge", specOf("Deployment", "huge", fixed(1)));
  await asked("controller", "list /events");
  await workload("Deployment", "ruled");
  await plane.apply(inNamespace("apis/autoscaling/v2", "horizontalpodautoscalers/ruled"), {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "ruled" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "ruled" },
      ...{ minReplicas: 1, maxReplicas: 2 },
      metrics: [{ type: "Pods", pods: { metric: { name: "running" }, target: { type: "AverageValue", averageValue: "5" } } }],
    },
  });
  const { replicas: _bounds, ...ruled } = specOf("Deployment", "ruled", {});
  await endpoint("ruled", ruled);
  await asked("controller", "watch autoscaling/horizontalpodautoscalers");
  await asked("controller", "watch keda.sh/scaledobjects");

  // The next leader goes on.
  leader.process.kill("SIGTERM");
  await leader.ended;
  await endpoint("llm", specOf("Deployment", "llm", fixed(5)));
  await endpoint("next", specOf("Deployment", "llm2", fixed(2)));
  await workload("Deployment", "llm2");
  await reaches("Deployment", "llm2", 2);

  // The bridge, by the aggregator and by a token of one's own.
  const neighbours = { "--controller": `http://127.0.0.1:${second}`, "--admin-port": String(bridgeAdminPort) };
  await launch("bridge", { ...local, ...neighbours, "--metrics-port": String(metrics), ...(await certificate()) }, "bridge-a");
  await register(metrics);
  const path = `/apis/custom.metrics.k8s.io/v1beta2/namespaces/${NAMESPACE}/pods/*/running`;
  await plane.admin.ask({ path, query: { labelSelector: "app=llm" } }).catch((error: Error) => expect(error.message).not.toContain("403"));
  expect(await direct(metrics, path, await tokenOf("gateway"))).toBe(403);
  expect(await direct(metrics, path, "nobody")).toBe(401);
  await asked("bridge", "list /pods");

  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(refused()).toEqual([]);
}, 400_000);

it.each(["controller", "gateway", "bridge"] as const)("%s is granted nothing that it does not use", (part) => {
  const used = usedBy(part);
  const all = rolesOf(part).flatMap(({ rules = [] }) => granted(rules));
  expect(all.filter((right) => !used.has(right))).toEqual([]);
  expect(all.length).toBeGreaterThan(0);
});

it("the bridge uses what it takes of the cluster's own roles", () => {
  const used = usedBy("bridge");
  for (const right of ["get /configmaps", "create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/subjectaccessreviews"])
    expect(used).toContain(right);
});

it("follows the Endpoints of all namespaces by ClusterRoles, and is refused nothing", async () => {
  for (const { process: child } of running) child.kill("SIGKILL");
  await Promise.all(running.map(({ ended }) => ended));
  const wide = { ...values, "watch.allNamespaces": true };
  // The registration's address was changed above.
  helmOk(
    [
      "upgrade",
      RELEASE,
      chart,
      "--namespace",
      NAMESPACE,
      "--force-conflicts",
      ...set({ ...wide, "controller.replicas": 1, "gateway.replicas": 0 }),
    ],
    plane,
  );
  await makeNamespace(plane, "team-b");
  await workload("Deployment", "far", {}, "team-b");
  await endpoint("far", specOf("Deployment", "far", fixed(2)), "team-b");
  const [port = 0, gatewayAdmin = 0, admin = 0] = (await freePorts(3)) as readonly number[];
  const from = template(...set(wide));
  const local = { "--host": "127.0.0.1" };
  const gateway = await launch("gateway", { ...local, "--port": String(port), "--admin-port": String(gatewayAdmin) }, "gateway-wide", from);
  const neighbour = { "--admin-port": String(admin), "--state": join(folder, "wide"), "--gateway": `http://127.0.0.1:${gatewayAdmin}` };
  const controller = await launch("controller", { ...local, ...neighbour }, "controller-wide", from);
  await reaches("Deployment", "far", 2, "team-b").catch((error: Error) => {
    throw new Error(`${error.message}\n${controller.stderr()}\n${gateway.stderr()}`);
  });
  expect(refused()).toEqual([]);
}, 200_000);
