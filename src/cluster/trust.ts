import { resolve } from "node:path";
import type { OwnObject } from "./objects.ts";

/** Secrets that objects of the cluster may name: files in this folder, and variables that begin so. */
export const SECRET_FOLDER = "/etc/tidegate/secrets/";
export const SECRET_PREFIX = "TIDEGATE_SECRET_";

const isSecretFile = (path: string) => resolve(path).startsWith(SECRET_FOLDER);

/**
 * Who may write an Endpoint must not thereby get what only Tidegate's own process has: its commands, its credentials for other
 * clusters and namespaces, its files. What a file on the controller's machine may say and an object may not is said here.
 * @returns sentences in the words of the config's own errors
 */
export function refusedInCluster({ metadata, spec }: OwnObject): readonly string[] {
  const refused: string[] = [];
  const platform = mapping(spec?.["platform"]);
  if (platform["kind"] === "process")
    refused.push(
      'spec.platform.kind: process starts commands on the controller\'s machine, which no object of a cluster may (value "process"); ' +
        "use kubernetes or static, or give this Endpoint in a file",
    );
  for (const key of ["kubeconfig", "context"])
    if (platform[key] !== undefined && platform["kind"] === "kubernetes")
      refused.push(`spec.platform.${key}: may not be stated by an object of a cluster; remove it: this cluster is meant`);
  const { namespace } = platform;
  if (platform["kind"] === "kubernetes" && namespace !== undefined && namespace !== metadata.namespace)
    refused.push(
      `spec.platform.namespace: is not the object's own namespace (value ${JSON.stringify(namespace)}); ` +
        `put the Endpoint into that namespace, or write ${metadata.namespace}`,
    );
  const prometheus = mapping(spec?.["prometheus"]);
  const tls = mapping(prometheus["tls"]);
  for (const key of ["caFile", "certFile", "keyFile"]) {
    const file = tls[key];
    if (typeof file === "string" && !isSecretFile(file))
      refused.push(`spec.prometheus.tls.${key}: is not in ${SECRET_FOLDER} (value ${JSON.stringify(file)}); mount it there`);
  }
  for (const key of ["bearerToken", "password"]) {
    const { env, file } = mapping(mapping(prometheus["auth"])[key]);
    if (typeof env === "string" && !env.startsWith(SECRET_PREFIX))
      refused.push(`spec.prometheus.auth.${key}.env: does not begin with ${SECRET_PREFIX} (value ${JSON.stringify(env)}); name it so`);
    if (typeof file === "string" && !isSecretFile(file))
      refused.push(`spec.prometheus.auth.${key}.file: is not in ${SECRET_FOLDER} (value ${JSON.stringify(file)}); mount it there`);
  }
  return refused;
}

const mapping = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
