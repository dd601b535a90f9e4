import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { fakeClock } from "../../clock/index.ts";
import { testAuthority } from "../authority.fixture.ts";
import { fakeCluster } from "./cluster.fixture.ts";
import { parseDelegation, readDelegation } from "./delegation.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-delegation-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("is read again until it is there, then when authorities change; the last good one stays", async () => {
  const [before, after] = [testAuthority(folder, "before"), testAuthority(folder, "after")];
  const { cluster, state } = fakeCluster({ "client-ca-file": before.ca });
  const clock = fakeClock();
  const lines: string[] = [];
  const changes: number[] = [];
  state.down = true;
  const log = (level: string, message: string) => lines.push(`${level} ${message}`);
  const onChange = ({ clientAuthorities }: { readonly clientAuthorities: readonly unknown[] }) => changes.push(clientAuthorities.length);
  const reader = readDelegation({ cluster, clock, log, onChange });
  await clock.advance(5000);
  expect(reader.current()).toBeNull();
  expect(lines).toHaveLength(1); // said once, not at each try
  state.down = false;
  await clock.advance(2000);
  expect(changes).toEqual([1]);
  state.delegation = { "client-ca-file": `${before.ca}\n${after.ca}` };
  await clock.advance(30_000);
  await clock.advance(30_000);
  expect(changes).toEqual([1, 2]);
  state.delegation = { "client-ca-file": after.ca, "requestheader-allowed-names": "front-proxy-client" };
  await clock.advance(30_000);
  expect(reader.current()?.clientAuthorities).toHaveLength(2);
  expect(lines.at(-1)).toContain("warn");
  reader.close();
  const asked = state.asked.length;
  await clock.advance(90_000);
  expect(state.asked).toHaveLength(asked);
});

it("a cluster without an aggregation layer has no front proxy", () => {
  expect(parseDelegation({})).toEqual({
    ...{ proxyAuthorities: [], proxyNames: [], userHeaders: [], groupHeaders: [], uidHeaders: [], extraPrefixes: [] },
    clientAuthorities: [],
  });
});
