import { parseConfigDocuments } from "../config/index.ts";
import type { Endpoint } from "../model/index.ts";
import type { PolicyDocument } from "./knob.ts";

/** The same endpoint under another policy; bounds, price and objective stay. @throws TidegateError `config/invalid` of a bad document */
export function endpointUnder(endpoint: Endpoint, policy: PolicyDocument, metrics: Readonly<Record<string, string>>): Endpoint {
  const { name, namespace, model, objective, pools } = endpoint;
  const { endpoints } = parseConfigDocuments(
    [
      {
        apiVersion: "tidegate.dev/v1alpha1",
        kind: "Endpoint",
        metadata: { name, namespace },
        spec: {
          model,
          engine: { kind: "emulated" },
          platform: { kind: "process" },
          objective: {
            attainment: objective.attainment,
            timeToFirstToken: `${objective.timeToFirstTokenMs}ms`,
            timePerOutputToken: `${objective.timePerOutputTokenMs}ms`,
          },
          pools: pools.map(({ name, role, gpu, gpusPerReplica, min, max }) => ({ name, role, gpu, gpusPerReplica, min, max })),
          metrics: { ...endpoint.metrics, ...metrics },
          policy,
        },
      },
    ],
    { env: {}, name: `policy ${String(policy["kind"])}` },
  );
  const other = endpoints[0] as Endpoint;
  return { ...endpoint, policy: other.policy, metrics: other.metrics };
}
