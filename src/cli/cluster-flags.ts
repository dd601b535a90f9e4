import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Command } from "commander";
import { TidegateError } from "../model/index.ts";
import type { KubernetesApi } from "../platforms/index.ts";

const collect = (value: string, all: readonly string[]) => [...all, value];

export interface ClusterFlags {
  readonly fromCluster?: boolean;
  readonly namespace: readonly string[];
  readonly allNamespaces?: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
}

export interface LeaseFlags {
  readonly lease?: string;
  readonly identity?: string;
  readonly advertise?: string;
}

/** Options of every verb that takes Endpoint objects from a cluster. */
export function clusterOptions(command: Command): Command {
  return command
    .option("--from-cluster", "take Endpoint and Fleet objects from the cluster, by watch (`tidegate crd` prints their definitions)")
    .option(
      "--namespace <name>",
      "of the objects; repeat it for several. Without it the pod's own, or the kubeconfig context's",
      collect,
      [],
    )
    .option("--all-namespaces", "objects of every namespace")
    .option("--kubeconfig <file>", "of the cluster; without it KUBECONFIG, ~/.kube/config, or the pod's service account")
    .option("--context <name>", "of the kubeconfig");
}

export function leaseOptions(command: Command): Command {
  return command
    .option("--lease <name>", "[NAMESPACE/]NAME of a Lease: of several controllers with the same one, one acts and the others wait")
    .option("--identity <name>", "in the lease; without it POD_NAME or the host name, with a random part")
    .option("--advertise <url>", "where the other controllers reach this one's admin API; without it by POD_IP, or as it listens");
}

/** What the flags come to. */
export interface ClusterChoice {
  readonly api: KubernetesApi;
  /** null: all. */
  readonly namespaces: readonly string[] | null;
  readonly ownNamespace: string;
}

/** null where no flag asks for a cluster. @throws TidegateError `usage`, or as `connectKubernetes` */
export async function clusterOf(flags: ClusterFlags & LeaseFlags, userAgent: string): Promise<ClusterChoice | null> {
  const usage = (message: string) => new TidegateError("usage", message);
  if (flags.fromCluster !== true) {
    if (flags.namespace.length > 0 || flags.allNamespaces)
      throw usage("--namespace and --all-namespaces say which objects to take; give --from-cluster too");
    if (flags.lease === undefined) {
      if (flags.kubeconfig !== undefined || flags.context !== undefined)
        throw usage("--kubeconfig and --context go with --from-cluster or --lease; an endpoint in a file names its own in platform");
      return null;
    }
  }
  if (flags.namespace.length > 0 && flags.allNamespaces) throw usage("--namespace and --all-namespaces exclude each other; keep one");
  const { connectKubernetes } = await import("../platforms/index.ts");
  const api = await connectKubernetes({ kubeconfig: flags.kubeconfig ?? null, context: flags.context ?? null, userAgent });
  const ownNamespace = process.env["POD_NAMESPACE"] || api.namespace || "default";
  const namespaces = flags.allNamespaces ? null : flags.namespace.length > 0 ? [...new Set(flags.namespace)] : [ownNamespace];
  return { api, namespaces, ownNamespace };
}

export interface LeaseChoice {
  readonly namespace: string;
  readonly name: string;
}

/** @throws TidegateError `usage` */
export function leaseOf(text: string, ownNamespace: string): LeaseChoice {
  const parts = text.split("/");
  const [namespace, name] = parts.length === 1 ? [ownNamespace, text] : (parts as [string, string]);
  const isName = (word: string | undefined) => word !== undefined && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(word);
  if (parts.length <= 2 && isName(namespace) && isName(name)) return { namespace, name };
  throw new TidegateError("usage", `--lease is ${JSON.stringify(text)}; give NAME or NAMESPACE/NAME, such as tidegate/controller`);
}

/** No two processes share one: a container that restarts in its pod is another one too. */
export const identityOf = (given: string | undefined): string =>
  given ?? `${process.env["POD_NAME"] || hostname()}_${randomBytes(4).toString("hex")}`;

/** @throws TidegateError `usage` */
export function advertisedUrl(given: string | undefined, adminUrl: string): string {
  if (given !== undefined) {
    if (URL.canParse(given) && /^https?:$/.test(new URL(given).protocol)) return given;
    throw new TidegateError("usage", `--advertise is ${JSON.stringify(given)}; give an address such as http://10.0.0.5:9090`);
  }
  const address = process.env["POD_IP"];
  if (address === undefined || address === "") return adminUrl;
  return `http://${address.includes(":") ? `[${address}]` : address}:${new URL(adminUrl).port}`;
}
