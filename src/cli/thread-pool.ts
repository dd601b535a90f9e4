import { availableParallelism } from "node:os";
import type { Piscina } from "piscina";
import { type ErrorCode, TidegateError } from "../model/index.ts";

/** An error of ours loses its class on the way between threads, so that it is told as data. */
export interface Trouble {
  readonly trouble: { readonly code: ErrorCode; readonly message: string };
}

export interface ThreadPool<Task, Answer> {
  readonly threads: number;
  /** Rejects with our own error where the thread told of trouble. */
  run(task: Task): Promise<Answer>;
  /** Ends the threads, whatever they are at. */
  end(): Promise<void>;
}

/** Sources as they are, or what was built of them. */
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

/** Threads that run the default export of the module `worker` of this folder, one task each at a time. `threads`: null for as many as the machine has cores. */
export async function threadPool<Task, Answer>(worker: string, threads: number | null): Promise<ThreadPool<Task, Answer>> {
  const { Piscina } = await import("piscina");
  const count = Math.max(1, threads ?? availableParallelism());
  const pool: Piscina<Task, Answer | Trouble> = new Piscina({
    filename: new URL(`./${worker}.${extension}`, import.meta.url).href,
    minThreads: count,
    maxThreads: count,
    concurrentTasksPerWorker: 1,
    maxQueue: Number.POSITIVE_INFINITY,
  });
  let ending = false;
  // A thread that answers while it is being ended is an error to Piscina, and no news to anybody else.
  pool.on("error", (error) => {
    if (!ending) throw error;
  });
  return {
    threads: count,
    async run(task) {
      const answer = await pool.run(task);
      if (isTrouble(answer)) throw new TidegateError(answer.trouble.code, answer.trouble.message);
      return answer;
    },
    async end() {
      ending = true;
      await pool.destroy();
    },
  };
}

const isTrouble = (answer: unknown): answer is Trouble => answer instanceof Object && "trouble" in answer;
