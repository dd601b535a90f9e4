import { expect, it } from "vitest";
import { TidegateError } from "../model/index.ts";
import { type KubernetesApi, KubernetesError } from "../platforms/index.ts";
import { probe } from "./probe.ts";
import type { Autoscaler, Via } from "./words.ts";

const autoscaler: Autoscaler = {
  ...{
    title: "HorizontalPodAutoscaler chat",
    kind: "HorizontalPodAutoscaler",
    namespace: "llm",
    name: "chat",
    min: 1,
    max: 4,
    document: {},
    version: "",
  },
  target: { apiVersion: "apps/v1", kind: "Deployment", name: "vllm" },
  status: { by: "", current: null, desired: null, scaledAtMs: null, conditions: [], metrics: null },
};
const pod = (ready: boolean) => ({
  metadata: { name: "pod-1" },
  spec: { containers: [{ name: "main", ports: [{ containerPort: 8000 }], resources: { requests: { "nvidia.com/gpu": "2", cpu: "8" } } }] },
  status: { podIP: "10.1.2.3", conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
});
const vllm = 'vllm:num_requests_running{model_name="meta-llama/Llama-3.1-8B-Instruct"} 0\n';

interface World {
  readonly ready?: boolean;
  /** What the pod's address answers; an error: it does not. */
  readonly direct?: string | Error;
  readonly proxy?: string | Error;
  readonly denied?: string;
  readonly via?: Via;
}
function ask({
  ready = true,
  direct = new TidegateError("signal/unreachable", "no route", { retryable: true }),
  proxy = "",
  denied,
  via,
}: World) {
  const given = (value: string | Error) => (value instanceof Error ? Promise.reject(value) : Promise.resolve(value));
  const api = {
    ask: async ({ path }: { path: string }) => {
      if (denied !== undefined && path.endsWith(denied))
        throw new KubernetesError("platform/refused", `GET ${path} answered 403: cannot get`, { status: 403 });
      if (path === "/apis/apps/v1")
        return {
          resources: [
            { name: "deployments", kind: "Deployment", namespaced: true },
            { name: "deployments/scale", kind: "Scale", namespaced: true },
          ],
        };
      if (path.endsWith("/scale")) return { spec: { replicas: 1 }, status: { selector: "app=vllm" } };
      if (path.endsWith("/pods")) return { items: [pod(ready)] };
      expect(path).toMatch(/^\/api\/v1\/namespaces\/llm\/pods\/pod-1:8000\/proxy\//);
      return given(proxy);
    },
  } as unknown as KubernetesApi;
  return probe(autoscaler, { api, via: via ?? null, port: undefined, log: () => {}, readDirectly: () => given(direct) });
}

const refused = new TidegateError("signal/unreachable", "answered 404");

it.each<{ rule: string; world: World; expected: object }>([
  {
    rule: "an engine at its own address, with its model and GPUs",
    world: { direct: vllm },
    expected: {
      kind: "engine",
      engine: { kind: "vllm", model: "meta-llama/Llama-3.1-8B-Instruct", gpusPerReplica: 2, via: "direct", metricsPath: "/metrics" },
    },
  },
  {
    rule: "an engine through the API server where its address is not reached",
    world: { proxy: vllm },
    expected: { kind: "engine", engine: { via: "api-server" } },
  },
  {
    rule: "who names a way gets no other",
    world: { proxy: vllm, via: "direct" },
    expected: { kind: "later", reason: expect.stringContaining("no route") },
  },
  {
    rule: "a page of something else is no engine's",
    world: { direct: "go_goroutines 7\n" },
    expected: { kind: "never", reason: expect.stringContaining("pod-1 has no page") },
  },
  { rule: "no page at all is no engine's", world: { direct: refused }, expected: { kind: "never" } },
  {
    rule: "no ready pod may become one",
    world: { ready: false, direct: vllm },
    expected: { kind: "later", reason: expect.stringContaining("no pod is ready") },
  },
  {
    rule: "a missing right is named",
    world: { denied: "/scale" },
    expected: { kind: "later", reason: expect.stringMatching(/deployments\/vllm\/scale answered 403/) },
  },
  {
    rule: "a missing right to the proxy is named",
    world: { proxy: new KubernetesError("platform/refused", 'cannot get resource "pods/proxy"', { status: 403 }) },
    expected: { kind: "later", reason: expect.stringContaining("pods/proxy") },
  },
])("$rule", async ({ world, expected }) => expect(await ask(world)).toMatchObject(expected));
