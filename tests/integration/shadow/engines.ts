import { realClock } from "../../../src/clock/index.ts";
import type { Emulator } from "../../../src/emulator/index.ts";
import { startEmulator } from "../../../src/emulator/index.ts";
import { findProfile } from "../../../src/engine/index.ts";
import type { Pod } from "../../../src/platforms/index.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";

/** Pods get addresses of the loopback network by kwok's `--cidr`, each its own, so that an engine of ours can answer there. */
export const LOOPBACK_PODS = ["--cidr=127.20.0.1/16"];

export interface Engines {
  /** By pod name. */
  running(): ReadonlyMap<string, Emulator>;
  close(): Promise<void>;
}

/** An emulated engine at the address of every running pod of these apps, for as long as it runs. */
export async function enginesOf(plane: Plane, namespace: string, apps: readonly string[]): Promise<Engines> {
  const ending = new AbortController();
  const emulators = new Map<string, Emulator>();
  const starting = new Set<string>();
  const profile = findProfile("Llama-3.1-8B", "a100-80g");
  const path = `/api/v1/namespaces/${namespace}/pods`;

  async function look(): Promise<void> {
    const { items } = await plane.admin.ask<{ items: readonly Pod[] }>({ path, query: { labelSelector: `app in (${apps.join(",")})` } });
    const wanted = new Map(
      items.filter(({ status }) => status?.phase === "Running").map((pod) => [pod.metadata.name, pod.status?.podIP as string]),
    );
    for (const [name, emulator] of emulators) {
      if (wanted.has(name)) continue;
      emulators.delete(name);
      await emulator.close();
    }
    for (const [name, host] of wanted) {
      if (emulators.has(name) || starting.has(name)) continue;
      starting.add(name);
      const emulator = await startEmulator({
        ...{ port: 8000, host, model: "meta-llama/Llama-3.1-8B-Instruct", profile, maxModelLen: 32_768, prefixCaching: false },
        engine: {
          maxNumSeqs: 256,
          maxNumBatchedTokens: 2048,
          kvCapacityTokens: profile.kvCapacityTokens,
          watermark: 0.01,
          overheadMs: 1.5,
        },
        ...{ coldStartMs: 0, coldStartSigma: 0, seed: 1, clock: realClock(), podName: name },
      });
      starting.delete(name);
      emulators.set(name, emulator);
    }
  }

  const following = (async () => {
    while (!ending.signal.aborted) {
      await look().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  })();
  return {
    running: () => emulators,
    async close() {
      ending.abort();
      await following;
      await Promise.all([...emulators.values()].map((emulator) => emulator.close()));
    },
  };
}

/** Keeps so many requests in flight, spread over the engines that there are. */
export function load(engines: Engines): { concurrency: number; sent: number; answered: number; close(): Promise<void> } {
  const state = { concurrency: 0, sent: 0, answered: 0, open: 0, over: false };
  const pump = async () => {
    const urls = [...engines.running().values()].map(({ url }) => url);
    const url = urls[state.sent % Math.max(1, urls.length)];
    if (url === undefined) return;
    state.open++;
    state.sent++;
    try {
      const body = JSON.stringify({
        model: "meta-llama/Llama-3.1-8B-Instruct",
        prompt: "word ".repeat(200),
        max_tokens: 100,
        min_tokens: 100,
        ignore_eos: true,
      });
      const response = await fetch(`${url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body });
      await response.text();
      if (response.ok) state.answered++;
    } catch {
      // its pod went
    } finally {
      state.open--;
    }
  };
  const timer = setInterval(() => {
    for (let more = state.concurrency - state.open; more > 0; more--) void pump();
  }, 50);
  return Object.assign(state, {
    async close() {
      clearInterval(timer);
      state.concurrency = 0;
      while (state.open > 0) await new Promise((resolve) => setTimeout(resolve, 50));
    },
  });
}
