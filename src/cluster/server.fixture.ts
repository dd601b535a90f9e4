import { type KubernetesApi, KubernetesError } from "../platforms/index.ts";
import type { ObjectReference } from "./objects.ts";

type ApiRequest = Parameters<KubernetesApi["ask"]>[0];

/** A server that takes every write and remembers it; `fails` is the status that it answers with instead. */
export function writesTo() {
  const server = { asked: [] as ApiRequest[], fails: null as number | null };
  const api: KubernetesApi = {
    server: "https://fake",
    async ask<Answer>(request: ApiRequest) {
      server.asked.push(request);
      if (server.fails !== null) throw new KubernetesError("platform/refused", `answered ${server.fails}`, { status: server.fails });
      return {} as Answer;
    },
    watch: () => Promise.reject(new Error("not used")),
    skewMs: () => 0,
    close() {},
  };
  return Object.assign(server, { api });
}

export const exampleObject = (name: string): ObjectReference => ({
  kind: "Endpoint",
  namespace: "llm",
  name,
  uid: `uid-${name}`,
  generation: 1,
});
