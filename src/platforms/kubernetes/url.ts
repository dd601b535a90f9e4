import type { Pod } from "./objects.ts";

/** Where an engine listens when nothing tells: vLLM's own default. */
const lastResort = 8000;

/**
 * `http://POD-IP:PORT`; null until the pod has an address. `port`: a number, or the name of a container's port; null: the port named
 * `http`, else the first one that any container states, else 8000.
 */
export function urlOf(pod: Pod, port: number | string | null): string | null {
  const address = pod.status?.podIP;
  const number = typeof port === "number" ? port : portOf(pod, port);
  if (address === undefined || address === "" || number === null) return null;
  return `http://${address.includes(":") ? `[${address}]` : address}:${number}`;
}

function portOf(pod: Pod, name: string | null): number | null {
  const ports = pod.spec.containers.flatMap((container) => (container.ports ?? []).filter(({ protocol }) => (protocol ?? "TCP") === "TCP"));
  const named = ports.find((one) => one.name === (name ?? "http"))?.containerPort;
  if (name !== null) return named ?? null;
  return named ?? ports[0]?.containerPort ?? lastResort;
}
