import { existsSync } from "node:fs";
import type { Clock, Ms } from "../../model/index.ts";
import { findByNonce, groupAlive, isOurs, killRemains, look, type Mark, signalGroup } from "./identity.ts";
import { takeLock } from "./lock.ts";
import { lockPath, openFolder, readState, type SavedReplica, statePaths, writeState } from "./state-file.ts";

/**
 * Ends the replicas that an earlier run left in this state folder, instead of adopting them: SIGTERM, the grace that run was
 * configured with, SIGKILL. Processes that are not surely ours are left alone. @returns the ids of those ended
 * @throws TidegateError `platform/refused` while another controller runs them, or when the folder cannot be written
 */
export async function endLeftovers(stateFolder: string, clock: Clock): Promise<readonly string[]> {
  if (!existsSync(stateFolder)) return [];
  const ended: string[] = [];
  for (const path of openFolder(stateFolder, () => statePaths(stateFolder))) {
    const unlock = openFolder(stateFolder, () => takeLock(lockPath(path)));
    try {
      const { state } = openFolder(stateFolder, () => readState(path));
      if (state === null) continue;
      const marks = state.replicas.flatMap((replica) => markOf(replica) ?? []);
      await Promise.all(marks.map((mark) => endOne(mark, state.graceMs, clock)));
      for (const { id, nonce } of state.replicas) killRemains(id, nonce);
      ended.push(...marks.map(({ id }) => id));
      openFolder(stateFolder, () => writeState(path, { ...state, replicas: [] }));
    } finally {
      unlock();
    }
  }
  return ended;
}

function markOf({ id, nonce, pid: knownPid, start: knownStart }: SavedReplica): Mark | null {
  const pid = knownPid ?? findByNonce(id, nonce);
  if (pid === null) return null;
  const mark = { id, nonce, pid, start: knownPid === null ? (look(pid)?.start ?? null) : knownStart };
  return isOurs(mark) ? mark : null;
}

/** `graceMs` is real time. */
async function endOne(mark: Mark, graceMs: Ms, clock: Clock): Promise<void> {
  const over = () => !isOurs(mark) && !groupAlive(mark.pid);
  const wait = async (limitMs: Ms) => {
    const endMs = clock.now() + limitMs * clock.speed;
    while (!over() && clock.now() < endMs) await clock.sleep(20 * clock.speed);
  };
  signalGroup(mark, "SIGTERM");
  await wait(graceMs);
  if (over()) return;
  signalGroup(mark, "SIGKILL");
  await wait(10_000);
}
