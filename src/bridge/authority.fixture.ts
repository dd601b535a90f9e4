import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority for tests, by openssl. `issue`: a subject such as `/O=group/CN=name`, for servers or for clients. */
export function testAuthority(folder: string, name: string) {
  const file = (what: string) => join(folder, `${name}-${what}`);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const [caFile, caKey] = [file("ca.pem"), file("ca.key")];
  openssl("req", "-x509", ...curve, "-keyout", caKey, "-out", caFile, "-days", "2", "-subj", `/CN=${name} test authority`);
  let count = 0;
  const issue = (subject: string, use: "server" | "client" | "authority", by = { certFile: caFile, keyFile: caKey }): Issued => {
    const stem = file(`${++count}`);
    const [certFile, keyFile, request, wishes] = [`${stem}.pem`, `${stem}.key`, `${stem}.csr`, `${stem}.ext`];
    const extensions = {
      server: "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n",
      client: "extendedKeyUsage=clientAuth\n",
      authority: "basicConstraints=critical,CA:TRUE\n",
    };
    writeFileSync(wishes, extensions[use]);
    openssl("req", "-new", ...curve, "-keyout", keyFile, "-out", request, "-subj", subject);
    const signer = ["-CA", by.certFile, "-CAkey", by.keyFile, "-CAcreateserial"];
    openssl("x509", "-req", "-in", request, ...signer, "-out", certFile, "-days", "2", "-extfile", wishes);
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  };
  return { caFile, ca: readFileSync(caFile, "utf8"), issue };
}
