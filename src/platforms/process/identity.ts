import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** What the system says about a process. `start` never repeats for one pid within a boot, so it tells a pid's users apart. */
export interface Seen {
  readonly start: string;
  /** False for a zombie: it has ended and only waits for its parent. */
  readonly alive: boolean;
  readonly group: number;
}

/** How we recognise a process of ours after the controller that started it has died. */
export interface Mark {
  readonly id: string;
  readonly nonce: string;
  readonly pid: number;
  readonly start: string | null;
}

/** The variable that every replica process carries, as `<id>:<nonce>`. */
export const REPLICA_VARIABLE = "TIDEGATE_REPLICA";

const linux = process.platform === "linux";
let bootId: string | undefined;

/** null: there is no such process. Linux: proc_pid_stat(5) fields 3, 5 and 22, and the boot's id; elsewhere `ps`, to the second. */
export function look(pid: number): Seen | null {
  if (linux) {
    const stat = readOrNull(`/proc/${pid}/stat`);
    if (stat === null) return null;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    bootId ??= readOrNull("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
    return { start: `${bootId}:${fields[19]}`, alive: !"ZX".includes(fields[0] ?? "X"), group: Number(fields[2]) };
  }
  const line = ps(["-o", "lstart=,stat=,pgid=", "-p", String(pid)]);
  const fields = line === null ? [] : line.trim().split(/\s+/);
  if (fields.length < 7) return null;
  return { start: fields.slice(0, 5).join(" "), alive: !fields[5]!.startsWith("Z"), group: Number(fields[6]) };
}

/**
 * Whether the process at this pid is alive and surely the one we started: same start, leader of its own group as we made it, and
 * our nonce in its environment. The environment alone may be gone (setproctitle writes over it): then start and group decide.
 */
export function isOurs(mark: Mark): boolean {
  const seen = look(mark.pid);
  if (seen === null || !seen.alive || seen.start !== mark.start || seen.group !== mark.pid) return false;
  const found = replicaOf(mark.pid);
  return found === null || found === `${mark.id}:${mark.nonce}`;
}

/** The leader of the group that a controller started and had no time to write down; Linux only, else null. */
export function findByNonce(id: string, nonce: string): number | null {
  if (!linux) return null;
  for (const pid of pids()) {
    if (replicaOf(pid) !== `${id}:${nonce}`) continue;
    const seen = look(pid);
    if (seen?.alive && seen.group === pid) return pid;
  }
  return null;
}

/** Ends at once what a dead replica has left behind: processes that carry its nonce. Linux only, elsewhere nothing. */
export function killRemains(id: string, nonce: string): void {
  if (!linux) return;
  for (const pid of pids()) {
    if (replicaOf(pid) !== `${id}:${nonce}`) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {} // it was quicker
  }
}

/** Whether anything but zombies is left in the group of this leader. */
export function groupAlive(leader: number): boolean {
  try {
    process.kill(-leader, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  if (!linux) return true;
  return pids().some((pid) => {
    const seen = look(pid);
    return seen?.alive === true && seen.group === leader;
  });
}

/**
 * Signals the group of a process of ours. Where the pid belongs to somebody else by now, nothing is sent: a group outlives its
 * leader, but no system gives a pid away again while a group still bears its number.
 */
export function signalGroup(mark: { readonly pid: number; readonly start: string | null }, signal: NodeJS.Signals): boolean {
  const seen = look(mark.pid);
  if (seen !== null && (seen.start !== mark.start || seen.group !== mark.pid)) return false;
  try {
    process.kill(-mark.pid, signal);
    return true;
  } catch {
    return false;
  }
}

function replicaOf(pid: number): string | null {
  if (linux) {
    const prefix = `${REPLICA_VARIABLE}=`;
    const entry = readOrNull(`/proc/${pid}/environ`)
      ?.split("\0")
      .find((text) => text.startsWith(prefix));
    return entry?.slice(prefix.length) ?? null;
  }
  return ps(["eww", "-o", "command=", "-p", String(pid)])?.match(new RegExp(`${REPLICA_VARIABLE}=(\\S+)`))?.[1] ?? null;
}

function pids(): readonly number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid));
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function ps(args: readonly string[]): string | null {
  try {
    return execFileSync("ps", args, { encoding: "utf8", env: { ...process.env, LC_ALL: "C" }, stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return null;
  }
}
