import type { Cluster } from "./cluster.ts";

interface Attributes {
  readonly user: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
  readonly resourceAttributes?: Readonly<Record<string, string>>;
  readonly nonResourceAttributes?: Readonly<Record<string, string>>;
}

/** As much of an API server as a delegating one asks: for unit tests; tests/integration/bridge has the real one. */
export function fakeCluster(delegation: Readonly<Record<string, string>>) {
  const state = {
    delegation,
    tokens: new Map([["good-token", { username: "alice", groups: ["team"] }]]),
    pods: { "app=llm": ["llm-0", "llm-1"] } as Record<string, readonly string[]>,
    allows: (_asked: Attributes): boolean => true,
    down: false,
    asked: [] as { path: string; body: unknown; query: unknown }[],
  };
  const answer = ({ path, body, query }: { path: string; body?: unknown; query?: unknown }): unknown => {
    state.asked.push({ path, body, query });
    if (state.down) throw new Error("the cluster is down");
    const { spec } = (body ?? {}) as { spec?: { token?: string } & Attributes };
    if (path.endsWith("/extension-apiserver-authentication")) return { data: state.delegation };
    if (path.endsWith("/tokenreviews")) {
      const user = state.tokens.get(spec?.token ?? "");
      return { status: user === undefined ? { authenticated: false } : { authenticated: true, user } };
    }
    if (path.endsWith("/subjectaccessreviews")) return { status: { allowed: state.allows(spec as Attributes) } };
    if (path.endsWith("/pods")) {
      const names = state.pods[(query as { labelSelector?: string }).labelSelector ?? ""] ?? [];
      return { items: names.map((name) => ({ metadata: { name } })) };
    }
    if (path === "/version") return { major: "1", minor: "34" };
    throw new Error(`the fake cluster has no ${path}`);
  };
  const cluster: Cluster = { ask: async (request) => answer(request) as never };
  return { cluster, state };
}
