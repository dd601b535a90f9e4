import type { PoolProgress } from "./compare-pool.ts";

export interface ProgressLine {
  readonly show: ((progress: PoolProgress) => void) | null;
  end(): void;
}

/** Between two lines where nobody looks at a terminal. */
const QUIET_MS = 10_000;

/** How far many runs are, on standard error: one line that is written over on a terminal, now and then a line elsewhere. */
export function progressLine(): ProgressLine {
  const { stderr } = process;
  const beganMs = performance.now();
  let saidMs = beganMs;
  const text = ({ done, of, leftMs }: PoolProgress) =>
    `${done} of ${of} runs${leftMs === null || done === of ? "" : `, about ${shortTime(leftMs)} left`}`;
  if (!stderr.isTTY || process.env["CI"] !== undefined)
    return {
      show: (progress) => {
        if (performance.now() - saidMs < QUIET_MS) return;
        saidMs = performance.now();
        stderr.write(`${text(progress)}\n`);
      },
      end: () => {},
    };
  return {
    show: (progress) => void stderr.write(`\r${text(progress)}\u001b[K`),
    end: () => void stderr.write("\r\u001b[K"),
  };
}

const shortTime = (ms: number) => {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};
