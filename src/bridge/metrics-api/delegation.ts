import { type Clock, type Log, type Ms, messageOf } from "../../model/index.ts";
import { certificatesOf, type Delegation } from "./authentication.ts";
import type { Cluster } from "./cluster.ts";

const PATH = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
/** It changes when authorities are rotated: rarely, and old and new overlap. One small read is sturdier than a watch. */
const everyMs: Ms = 30_000;
const untilFirstMs: Ms = 2000;

/** The data of ConfigMap extension-apiserver-authentication. @throws Error for certificates or lists that are none */
export function parseDelegation(data: Readonly<Record<string, string | undefined>>): Delegation {
  const list = (key: string): readonly string[] => {
    const value: unknown = JSON.parse(data[key] || "[]");
    if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
    throw new Error(`${key} is ${data[key]}, which is not a list of names`);
  };
  const certificates = (key: string) => certificatesOf(data[key] ?? "");
  return {
    proxyAuthorities: certificates("requestheader-client-ca-file"),
    proxyNames: list("requestheader-allowed-names"),
    userHeaders: list("requestheader-username-headers"),
    groupHeaders: list("requestheader-group-headers"),
    uidHeaders: list("requestheader-uid-headers"),
    extraPrefixes: list("requestheader-extra-headers-prefix"),
    clientAuthorities: certificates("client-ca-file"),
  };
}

/** Keeps the cluster's delegation fresh. The last good one stays while it cannot be read. */
export interface DelegationReader {
  current(): Delegation | null;
  close(): void;
}

export function readDelegation(options: {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: (delegation: Delegation) => void;
}): DelegationReader {
  const { cluster, clock, log, onChange } = options;
  let current: Delegation | null = null;
  let text = "";
  let trouble = "";
  let closed = false;
  let cancel = () => {};
  const read = async () => {
    try {
      const { data = {} } = await cluster.ask<{ readonly data?: Readonly<Record<string, string>> }>({ path: PATH });
      const fresh = JSON.stringify(data);
      if (fresh !== text) {
        current = parseDelegation(data);
        text = fresh;
        if (!closed) onChange(current);
      }
      if (trouble !== "") log("info", "the cluster's authorities are readable again");
      trouble = "";
    } catch (error) {
      const message = messageOf(error);
      if (message !== trouble)
        log(
          "warn",
          `ConfigMap kube-system/extension-apiserver-authentication cannot be read: ${message} (role extension-apiserver-authentication-reader)`,
        );
      trouble = message;
    }
    if (!closed) cancel = clock.after(current === null ? untilFirstMs : everyMs, () => void read());
  };
  void read();
  return {
    current: () => current,
    close() {
      closed = true;
      cancel();
    },
  };
}
