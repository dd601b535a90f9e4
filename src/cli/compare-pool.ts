import type { CellResult, ReferenceCell } from "../simulator/index.ts";
import type { CellAnswer, CellTask } from "./compare-worker.ts";
import { threadPool } from "./thread-pool.ts";

export interface PoolProgress {
  readonly done: number;
  readonly of: number;
  /** null: nothing has ended yet to judge by. */
  readonly leftMs: number | null;
}

/**
 * Runs every task on `threads` worker threads. Results come in the order of tasks, whatever ends first, and a task that fails ends all.
 * Time left is judged by how far each task is since it began, else by how long tasks of the same scenario and kind took, else by the mean of all.
 */
export async function runCells(
  tasks: readonly Omit<CellTask, "progress" | "at">[],
  threads: number,
  onProgress: ((progress: PoolProgress) => void) | null,
  onResult: (at: number, result: CellResult | ReferenceCell) => void = () => {},
): Promise<readonly (CellResult | ReferenceCell)[]> {
  if (tasks.length === 0) return [];
  const progress = new Float64Array(new SharedArrayBuffer(16 * tasks.length));
  const workers = Math.max(1, Math.min(threads, tasks.length));
  const pool = await threadPool<CellTask, CellAnswer>("compare-worker", workers);
  const spent = new Map<string, { ms: number; count: number }>();
  let done = 0;
  const tell = () =>
    onProgress?.({ done, of: tasks.length, leftMs: leftMs(tasks, progress, spent, workers, performance.timeOrigin + performance.now()) });
  const timer = onProgress === null ? null : setInterval(tell, 500);
  try {
    return await Promise.all(
      tasks.map(async (task, at) => {
        const { result, tookMs } = await pool.run({ ...task, progress, at });
        progress[2 * at] = 1;
        done++;
        onResult(at, result);
        const known = spent.get(kindOf(task)) ?? { ms: 0, count: 0 };
        spent.set(kindOf(task), { ms: known.ms + tookMs, count: known.count + 1 });
        return result;
      }),
    );
  } finally {
    // Ends what is still running where one has failed.
    if (timer !== null) clearInterval(timer);
    await pool.end();
  }
}

/** A task that is not this far yet says nothing of how long it will take. */
const TELLING_SHARE = 0.02;

function leftMs(
  tasks: readonly Pick<CellTask, "scenario" | "policy">[],
  progress: Float64Array,
  spent: ReadonlyMap<string, { readonly ms: number; readonly count: number }>,
  workers: number,
  nowMs: number,
): number | null {
  const known = new Map<string, { ms: number; count: number }>([...spent].map(([kind, { ms, count }]) => [kind, { ms, count }]));
  const running = tasks.map((task, at) => {
    const [share, beganMs] = [progress[2 * at] as number, progress[2 * at + 1] as number];
    if (beganMs === 0 || share < TELLING_SHARE || share >= 1) return null;
    const ms = (nowMs - beganMs) / share;
    const before = known.get(kindOf(task)) ?? { ms: 0, count: 0 };
    known.set(kindOf(task), { ms: before.ms + ms, count: before.count + 1 });
    return ms;
  });
  const all = [...known.values()].reduce((sum, { ms, count }) => ({ ms: sum.ms + ms, count: sum.count + count }), { ms: 0, count: 0 });
  if (all.count === 0) return null;
  const left = tasks.reduce((sum, task, at) => {
    const { ms, count } = known.get(kindOf(task)) ?? all;
    return sum + (1 - (progress[2 * at] as number)) * (running[at] ?? ms / count);
  }, 0);
  return left / workers;
}

const kindOf = ({ scenario, policy }: Pick<CellTask, "scenario" | "policy">) =>
  `${scenario.name} ${policy === null ? "references" : "policy"}`;
