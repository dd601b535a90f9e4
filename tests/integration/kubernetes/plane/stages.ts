/**
 * The life that kwok gives to nodes and pods, as its Stage objects. A pod starts its containers and becomes ready after the given
 * times, or after those in its annotations `test/running-after` and `test/ready-after` (such as `3s`); it ends `test/ending-takes`
 * after it was deleted. With readiness gates it is ready once its containers and all gates are, as a kubelet would say. A pod
 * annotated `test/kubelet` gets an address and runs; that it is ready, and that it has ended, somebody else says.
 */
export function podStages(start: { readonly running: number; readonly ready: number }): string {
  return [nodeReady, running(start.running), containersReady(start.ready), gateOpens, gateCloses, ends]
    .map((stage) => JSON.stringify(stage))
    .join("\n---\n");
}

type Expression = { key: string; operator: "Exists" | "DoesNotExist" | "In" | "NotIn"; values?: string[] };
const condition = (type: string) => `.status.conditions.[] | select( .type == "${type}" ) | .status`;
const living: Expression = { key: ".metadata.deletionTimestamp", operator: "DoesNotExist" };
const unmanaged: Expression = { key: `.metadata.annotations["test/kubelet"]`, operator: "DoesNotExist" };
const is = (key: string, ...values: string[]): Expression => ({ key, operator: "In", values });
const isNot = (key: string, ...values: string[]): Expression => ({ key, operator: "NotIn", values });

const stage = (kind: "Pod" | "Node", name: string, matchExpressions: Expression[], next: object, delay?: object) => ({
  apiVersion: "kwok.x-k8s.io/v1alpha1",
  kind: "Stage",
  metadata: { name },
  spec: { resourceRef: { apiGroup: "v1", kind }, selector: { matchExpressions }, ...(delay === undefined ? {} : { delay }), next },
});
const after = (durationMilliseconds: number, annotation: string) => ({
  durationMilliseconds,
  durationFrom: { expressionFrom: `.metadata.annotations["test/${annotation}"]` },
});
const state = (type: string, status: string) => `- { type: ${type}, status: "${status}", lastTransitionTime: {{ Now | Quote }} }`;

const nodeReady = stage("Node", "node-ready", [isNot(condition("Ready"), "True")], {
  statusTemplate: `conditions:\n- { type: Ready, status: "True", reason: KubeletReady, message: "", lastTransitionTime: {{ Now | Quote }}, lastHeartbeatTime: {{ Now | Quote }} }\naddresses:\n- { type: InternalIP, address: {{ NodeIP | Quote }} }\n`,
});

const containers = (ready: boolean) => `containerStatuses:
{{ $startedAt := Now }}
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: ${ready}
  started: true
  restartCount: 0
  state: { running: { startedAt: {{ $startedAt | Quote }} } }
{{ end }}
`;
const address = `hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
`;

const running = (delayMs: number) =>
  stage(
    "Pod",
    "pod-running",
    [living, is(".status.phase", "Pending"), { key: ".spec.nodeName", operator: "Exists" }],
    {
      statusTemplate: `conditions:\n${state("Initialized", "True")}\n${state("ContainersReady", "False")}\n${state("Ready", "False")}\n${containers(false)}${address}phase: Running\nstartTime: {{ Now | Quote }}\n`,
    },
    after(delayMs, "running-after"),
  );

const containersReady = (delayMs: number) =>
  stage(
    "Pod",
    "pod-containers-ready",
    [living, unmanaged, is(".status.phase", "Running"), isNot(condition("ContainersReady"), "True")],
    {
      statusTemplate: `conditions:\n${state("ContainersReady", "True")}\n{{ if not .spec.readinessGates }}\n${state("Ready", "True")}\n{{ end }}\ncontainerStatuses:\n{{ range .status.containerStatuses }}\n- { name: {{ .name | Quote }}, ready: true }\n{{ end }}\n`,
    },
    after(delayMs, "ready-after"),
  );

const gated: Expression = { key: ".spec.readinessGates", operator: "Exists" };
const gateOpens = stage(
  "Pod",
  "pod-gate-opens",
  [
    living,
    gated,
    is(condition("ContainersReady"), "True"),
    is(condition("tidegate.dev/serving"), "True"),
    isNot(condition("Ready"), "True"),
  ],
  { statusTemplate: `conditions:\n${state("Ready", "True")}\n` },
);
const gateCloses = stage(
  "Pod",
  "pod-gate-closes",
  [living, gated, is(condition("tidegate.dev/serving"), "False"), is(condition("Ready"), "True")],
  {
    statusTemplate: `conditions:\n${state("Ready", "False")}\n`,
  },
);

const ends = stage(
  "Pod",
  "pod-ends",
  [{ key: ".metadata.deletionTimestamp", operator: "Exists" }, unmanaged],
  { finalizers: { empty: true }, delete: true },
  after(0, "ending-takes"),
);
