import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { fakeClock } from "../clock/index.ts";
import { testAuthority } from "./authority.fixture.ts";
import { watchCertificates } from "./certificate-files.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-certificates-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("takes a renewed pair once both files fit, and keeps the old one until then", async () => {
  const authority = testAuthority(folder, "ours");
  const [first, second] = [authority.issue("/CN=bridge", "server"), authority.issue("/CN=bridge", "server")];
  const files = { certFile: join(folder, "tls.crt"), keyFile: join(folder, "tls.key"), clientCaFile: null };
  copyFileSync(first.certFile, files.certFile);
  copyFileSync(first.keyFile, files.keyFile);
  const clock = fakeClock();
  const lines: string[] = [];
  let renewed = 0;
  const onChange = () => renewed++;
  const watched = watchCertificates(files, { clock, log: (level, message) => lines.push(`${level} ${message}`), onChange });
  await clock.advance(60_000);
  expect([renewed, lines.length]).toEqual([0, 0]);
  copyFileSync(second.certFile, files.certFile);
  await clock.advance(60_000);
  expect(watched.current().cert).toBe(first.cert);
  expect(lines.filter((line) => line.startsWith("warn"))).toHaveLength(1);
  copyFileSync(second.keyFile, files.keyFile);
  await clock.advance(30_000);
  expect(renewed).toBe(1);
  expect(watched.current()).toEqual({ cert: second.cert, key: second.key, clientCa: null });
  watched.close();
});

it("names the files where there is no usable pair to begin with", () => {
  const gone = { certFile: "gone.pem", keyFile: "gone.key", clientCaFile: "gone-ca.pem" };
  expect(() => watchCertificates(gone, { clock: fakeClock(), log: () => {}, onChange: () => {} })).toThrow(
    expect.objectContaining({ code: "config/unreadable", message: expect.stringMatching(/gone\.pem.*gone\.key.*gone-ca\.pem/) }),
  );
});
