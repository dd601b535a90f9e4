import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Clock, type Log, type Ms, messageOf, TidegateError } from "../model/index.ts";

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Of the authority that clients' certificates must be by; null: clients need none. */
  readonly clientCaFile: string | null;
}
export interface Certificates {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | null;
}

export interface WatchedCertificates {
  current(): Certificates;
  close(): void;
}

const everyMs: Ms = 30_000;

/**
 * Certificates whose files are looked at again, as issuers renew them. A pair that does not fit, as half-way through a renewal, is
 * left for the next look.
 * @throws TidegateError `config/unreadable` where there is none to begin with
 */
export function watchCertificates(
  { certFile, keyFile, clientCaFile }: CertificateFiles,
  { clock, log, onChange }: { readonly clock: Clock; readonly log: Log; readonly onChange: () => void },
): WatchedCertificates {
  const read = (): Certificates => {
    const [cert, key] = [readFileSync(certFile, "utf8"), readFileSync(keyFile, "utf8")];
    const clientCa = clientCaFile === null ? null : readFileSync(clientCaFile, "utf8");
    createSecureContext({ cert, key, ...(clientCa === null ? {} : { ca: clientCa }) });
    return { cert, key, clientCa };
  };
  let current: Certificates;
  try {
    current = read();
  } catch (error) {
    const authority = clientCaFile === null ? "" : `, or the authority ${clientCaFile},`;
    throw new TidegateError(
      "config/unreadable",
      `the certificate ${certFile} with key ${keyFile}${authority} cannot be used: ${messageOf(error)}`,
      { cause: error },
    );
  }
  let trouble = "";
  let cancel = clock.after(everyMs, look);
  function look(): void {
    try {
      const fresh = read();
      trouble = "";
      if (fresh.cert !== current.cert || fresh.key !== current.key || fresh.clientCa !== current.clientCa) {
        current = fresh;
        onChange();
        log("info", `certificate ${certFile} is renewed`);
      }
    } catch (error) {
      if (messageOf(error) !== trouble) log("warn", `the certificate ${certFile} cannot be renewed: ${messageOf(error)}`);
      trouble = messageOf(error);
    }
    cancel = clock.after(everyMs, look);
  }
  return { current: () => current, close: () => cancel() };
}
