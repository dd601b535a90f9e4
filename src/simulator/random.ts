import { randomStreams, type Uniform } from "../traces/index.ts";

/** One stream a concern: more draws of one kind leave the luck of the others as it was. */
export interface Luck {
  /** How long replicas take to start, and how fast they are. */
  readonly life: Uniform;
  /** When replicas crash by themselves. */
  readonly crashes: Uniform;
  /** Whom a fault hits. */
  readonly victims: Uniform;
  /** Which readings fail, and when pages are first read. */
  readonly readings: Uniform;
}

/** The first numbers of a generator with a small seed are near 0. */
const skipped = 64;

export function luckOf(seed: number): Luck {
  const [life, crashes, victims, readings] = randomStreams(seed, 4) as [Uniform, Uniform, Uniform, Uniform];
  for (const stream of [life, crashes, victims, readings]) for (let at = 0; at < skipped; at++) stream();
  return { life, crashes, victims, readings };
}
