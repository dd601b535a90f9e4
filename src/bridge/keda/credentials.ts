import { experimental, ServerCredentials } from "@grpc/grpc-js";
import type { Clock, Log } from "../../model/index.ts";
import { type CertificateFiles, watchCertificates } from "../certificate-files.ts";

/**
 * Credentials of files that are renewed while we serve; with an authority of clients, theirs are asked for and must hold.
 * @throws TidegateError `config/unreadable`
 */
export function watchedCredentials(
  files: CertificateFiles | null,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): { readonly credentials: ServerCredentials; close(): void } {
  if (files === null) return { credentials: ServerCredentials.createInsecure(), close() {} };
  const identities = new Set<experimental.IdentityCertificateUpdateListener>();
  const authorities = new Set<experimental.CaCertificateUpdateListener>();
  const tellIdentity = (listener: experimental.IdentityCertificateUpdateListener) => {
    const { cert, key } = certificates.current();
    listener({ certificate: Buffer.from(cert), privateKey: Buffer.from(key) });
  };
  const tellAuthority = (listener: experimental.CaCertificateUpdateListener) => {
    const { clientCa } = certificates.current();
    listener(clientCa === null ? null : { caCertificate: Buffer.from(clientCa) });
  };
  const certificates = watchCertificates(files, {
    clock,
    log,
    onChange() {
      identities.forEach(tellIdentity);
      authorities.forEach(tellAuthority);
    },
  });
  // A listener may be told only once the server has begun to listen to it, which it does right after it was added.
  const provider: experimental.CertificateProvider = {
    addIdentityCertificateListener(listener) {
      identities.add(listener);
      queueMicrotask(() => tellIdentity(listener));
    },
    removeIdentityCertificateListener: (listener) => identities.delete(listener),
    addCaCertificateListener(listener) {
      authorities.add(listener);
      queueMicrotask(() => tellAuthority(listener));
    },
    removeCaCertificateListener: (listener) => authorities.delete(listener),
  };
  const asksClients = files.clientCaFile !== null;
  // Identity first, authority second, whatever the parameters are called in the types of 1.14.7.
  const make = experimental.createCertificateProviderServerCredentials as unknown as (
    identity: experimental.CertificateProvider,
    authority: experimental.CertificateProvider | null,
    asksClients: boolean,
  ) => ServerCredentials;
  return { credentials: make(provider, asksClients ? provider : null, asksClients), close: certificates.close };
}
