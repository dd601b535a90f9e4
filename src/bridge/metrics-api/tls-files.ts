import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Clock, type Log, type Ms, messageOf, TidegateError } from "../../model/index.ts";

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}
interface Pair {
  readonly cert: string;
  readonly key: string;
}

const everyMs: Ms = 30_000;

/**
 * A certificate whose files are looked at again, as issuers renew it. A pair that does not fit, as half-way through a renewal, is
 * left for the next look.
 * @throws TidegateError `config/unreadable` where there is none to begin with
 */
export function watchCertificate(
  { certFile, keyFile }: CertificateFiles,
  { clock, log, onChange }: { readonly clock: Clock; readonly log: Log; readonly onChange: () => void },
): { current(): Pair; close(): void } {
  const read = (): Pair => {
    const pair = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
    createSecureContext(pair);
    return pair;
  };
  let current: Pair;
  try {
    current = read();
  } catch (error) {
    throw new TidegateError("config/unreadable", `the certificate ${certFile} with key ${keyFile} cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
  let trouble = "";
  let cancel = clock.after(everyMs, look);
  function look(): void {
    try {
      const fresh = read();
      trouble = "";
      if (fresh.cert !== current.cert || fresh.key !== current.key) {
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
