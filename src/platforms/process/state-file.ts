import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ms, messageOf, type ReplicaState, type Stage, TidegateError } from "../../model/index.ts";

/** A replica with a process, or with one that was about to be started (`pid` null). */
export interface SavedReplica {
  readonly id: string;
  readonly nonce: string;
  readonly pool: string;
  readonly index: number;
  readonly seq: number;
  readonly pid: number | null;
  readonly start: string | null;
  readonly port: number;
  readonly url: string;
  readonly state: ReplicaState;
  readonly stage: Stage | null;
  readonly entered: Readonly<Partial<Record<ReplicaState | Stage, Ms>>>;
  readonly failures: number;
}

/** `atMs` and `wallMs` are the same moment on the clock and on the wall: a scaled clock begins anew with each process. */
export interface SavedState {
  readonly version: 1;
  readonly endpoint: string;
  readonly next: number;
  readonly atMs: Ms;
  readonly wallMs: Ms;
  /** Real time from SIGTERM to SIGKILL. */
  readonly graceMs: Ms;
  readonly replicas: readonly SavedReplica[];
}

const nameOf = (endpoint: string) => `process-${encodeURIComponent(endpoint)}`;
export const statePath = (folder: string, endpoint: string) => join(folder, `${nameOf(endpoint)}.json`);
export const logFolder = (folder: string, endpoint: string) => join(folder, "logs", encodeURIComponent(endpoint));
export const lockPath = (statePathname: string) => statePathname.replace(/\.json$/, ".lock");

/** Every state file in the folder. */
export function statePaths(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => /^process-.*\.json$/.test(name))
    .map((name) => join(folder, name));
}

/** @throws TidegateError `platform/refused` naming the folder when it cannot be made or written */
export function openFolder<T>(folder: string, use: () => T): T {
  try {
    mkdirSync(folder, { recursive: true });
    return use();
  } catch (error) {
    if (error instanceof TidegateError) throw error;
    throw new TidegateError(
      "platform/refused",
      `state folder ${folder} cannot be written: ${messageOf(error)}; make it writable, free space, or give another folder`,
      { cause: error },
    );
  }
}

/** Atomic: a reader, and the next start after a crash, sees the old state or the new one. */
export function writeState(path: string, state: SavedState): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, `${JSON.stringify(state, null, 1)}\n`);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** null: there is none. A file that is not ours to read is set aside as `.broken`, never overwritten. */
export function readState(path: string): { readonly state: SavedState | null; readonly broken: string | null } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { state: null, broken: null };
    throw error;
  }
  try {
    const state = JSON.parse(text) as SavedState;
    if (state.version === 1 && Array.isArray(state.replicas)) return { state, broken: null };
  } catch {}
  const broken = `${path}.broken`;
  renameSync(path, broken);
  return { state: null, broken };
}
