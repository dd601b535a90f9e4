import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Authority {
  readonly certificateFile: string;
  readonly keyFile: string;
}

function openssl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr.trim()}`);
}

export function makeKey(keyFile: string): void {
  openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", keyFile);
}

export function makeAuthority(folder: string, name: string): Authority {
  const authority = { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  makeKey(authority.keyFile);
  const subject = ["-subj", `/CN=tidegate-test-${name}`];
  openssl("req", "-x509", "-new", "-key", authority.keyFile, "-out", authority.certificateFile, "-days", "30", ...subject);
  return authority;
}

/** `groups` become the subject's O, which the API server takes for the user's groups. `names`: of a server, as in `DNS:localhost`. */
export function makeCertificate(
  folder: string,
  name: string,
  authority: Authority,
  subject: { readonly user: string; readonly groups?: readonly string[]; readonly names?: readonly string[] },
): Authority {
  const own = { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  const request = join(folder, `${name}.csr`);
  const extensions = join(folder, `${name}.ext`);
  makeKey(own.keyFile);
  const organisations = (subject.groups ?? []).map((group) => `/O=${group}`).join("");
  openssl("req", "-new", "-key", own.keyFile, "-out", request, "-subj", `${organisations}/CN=${subject.user}`);
  const alternative = subject.names === undefined ? "" : `subjectAltName=${subject.names.join(",")}\n`;
  writeFileSync(extensions, `keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n${alternative}`);
  const signer = ["-CA", authority.certificateFile, "-CAkey", authority.keyFile, "-CAcreateserial"];
  openssl("x509", "-req", "-in", request, "-out", own.certificateFile, "-days", "30", "-extfile", extensions, ...signer);
  return own;
}

export const base64Of = (file: string): string => readFileSync(file).toString("base64");
