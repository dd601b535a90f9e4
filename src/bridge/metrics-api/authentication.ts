import { createHash, X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Clock, Ms } from "../../model/index.ts";
import type { Cluster } from "./cluster.ts";
import { ExpiringMap } from "./expiring-map.ts";
import { ApiError } from "./status.ts";

export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Whom to believe, as the cluster says it in ConfigMap kube-system/extension-apiserver-authentication. */
export interface Delegation {
  /** Of the front proxy (the API server's aggregator), whose headers name the user. */
  readonly proxyAuthorities: readonly X509Certificate[];
  /** Common names that such a certificate may have; empty: any. */
  readonly proxyNames: readonly string[];
  readonly userHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly extraPrefixes: readonly string[];
  /** Of users with certificates of their own. */
  readonly clientAuthorities: readonly X509Certificate[];
}

/** The certificate that the other side showed and that TLS found valid; the chain as it sent it, leaf first. */
export interface Peer {
  readonly chain: readonly X509Certificate[];
}

export interface Credentials {
  readonly peer: Peer | null;
  readonly headers: NodeJS.Dict<string[]>;
  readonly authorization: IncomingHttpHeaders["authorization"];
}

const AUTHENTICATED = "system:authenticated";
const tokenTtlMs: Ms = 10_000;
const keptTokens = 4096;

export interface Authenticator {
  /** @throws ApiError `Unauthorized`, or the cluster's error when it cannot be asked about a token */
  authenticate(credentials: Credentials): Promise<User>;
}

/**
 * Delegated authentication, in this order: the front proxy's word, where its certificate proves that it is the front proxy; the
 * client's own certificate; its bearer token, by TokenReview. Without a proven front proxy its headers mean nothing.
 * Source: apiserver `pkg/server/options/authentication.go`, `pkg/authentication/request/headerrequest`.
 */
export function createAuthenticator(options: {
  readonly cluster: Cluster;
  readonly delegation: () => Delegation | null;
  readonly clock: Clock;
}): Authenticator {
  const { cluster, delegation, clock } = options;
  const tokens = new ExpiringMap<Promise<User | null>>(keptTokens, clock);

  const review = async (token: string): Promise<User | null> => {
    const { status: said } = await cluster.ask<Reviewed>({
      method: "POST",
      path: "/apis/authentication.k8s.io/v1/tokenreviews",
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } },
    });
    if (said?.authenticated !== true || said.user?.username === undefined) return null;
    const { username, uid = "", groups = [], extra = {} } = said.user;
    return { name: username, uid, groups, extra };
  };

  return {
    async authenticate({ peer, headers, authorization }) {
      const now = clock.now();
      const trusted = delegation();
      if (peer !== null && trusted !== null) {
        const [leaf] = peer.chain;
        if (leaf !== undefined && issuedBy(peer.chain, trusted.proxyAuthorities, now)) {
          const names = commonNames(leaf);
          if (trusted.proxyNames.length === 0 || names.some((name) => trusted.proxyNames.includes(name))) {
            const user = proxiedUser(headers, trusted);
            if (user !== null) return authenticated(user);
          }
        }
        if (leaf !== undefined && issuedBy(peer.chain, trusted.clientAuthorities, now)) {
          const [name] = commonNames(leaf);
          if (name !== undefined) return authenticated({ name, uid: "", groups: subjectOf(leaf, "O"), extra: {} });
        }
      }
      const token = /^bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
      if (token !== undefined) {
        // The token itself is not kept.
        const key = createHash("sha256").update(token).digest("base64");
        let asked = tokens.get(key);
        if (asked === undefined) {
          asked = review(token);
          tokens.set(key, asked, tokenTtlMs);
          asked.catch(() => tokens.delete(key));
        }
        const user = await asked;
        if (user !== null) return authenticated(user);
      }
      throw new ApiError("Unauthorized", "Unauthorized: no front proxy, client certificate or bearer token that this cluster knows");
    },
  };
}

/** What is read of a TokenReview. */
interface Reviewed {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: Partial<Omit<User, "name">> & { readonly username?: string };
  };
}

const authenticated = (user: User): User =>
  user.name === "system:anonymous" || user.groups.includes(AUTHENTICATED) ? user : { ...user, groups: [...user.groups, AUTHENTICATED] };

/** @returns null where no header names a user */
function proxiedUser(headers: NodeJS.Dict<string[]>, trusted: Delegation): User | null {
  const values = (names: readonly string[]) => names.flatMap((name) => headers[name.toLowerCase()] ?? []);
  const [name] = values(trusted.userHeaders);
  if (name === undefined || name === "") return null;
  const extra: Record<string, readonly string[]> = Object.create(null);
  for (const prefix of trusted.extraPrefixes.map((each) => each.toLowerCase())) {
    for (const [header, given] of Object.entries(headers)) {
      if (!header.startsWith(prefix) || given === undefined) continue;
      const key = unescaped(header.slice(prefix.length));
      extra[key] = [...(extra[key] ?? []), ...given];
    }
  }
  return { name, uid: values(trusted.uidHeaders)[0] ?? "", groups: values(trusted.groupHeaders), extra: { ...extra } };
}

/** Keys of extras are percent-encoded, as header names bear few characters; what is not an escape stands for itself. */
function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

const subjectOf = (certificate: X509Certificate, attribute: string): readonly string[] =>
  [(certificate.toLegacyObject().subject as unknown as Record<string, string | string[] | undefined>)[attribute] ?? []].flat();
const commonNames = (certificate: X509Certificate) => subjectOf(certificate, "CN");

const longestChain = 5;

/**
 * Whether the chain's first certificate was issued, directly or through others of the chain, by one of the authorities. TLS says
 * only that *some* trusted authority stands behind it, and there are two kinds.
 */
export function issuedBy(chain: readonly X509Certificate[], authorities: readonly X509Certificate[], nowMs: Ms): boolean {
  const isValid = (certificate: X509Certificate) => nowMs >= Date.parse(certificate.validFrom) && nowMs <= Date.parse(certificate.validTo);
  const issued = (certificate: X509Certificate, issuer: X509Certificate) =>
    issuer.ca && isValid(issuer) && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  const reaches = (certificate: X509Certificate, left: number): boolean =>
    authorities.some((authority) => issued(certificate, authority)) ||
    (left > 0 && chain.slice(1).some((issuer) => issuer !== certificate && issued(certificate, issuer) && reaches(issuer, left - 1)));
  const [leaf] = chain;
  return leaf !== undefined && isValid(leaf) && reaches(leaf, longestChain);
}

/** Every certificate of a PEM bundle. @throws Error of a block that is none */
export function certificatesOf(pem: string): readonly X509Certificate[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []).map((block) => new X509Certificate(block));
}
