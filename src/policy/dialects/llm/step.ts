import type { Step } from "../../../model/index.ts";

/** A step of the explanation, of a pool where one is named. */
export function step(code: string, text: string, numbers: Readonly<Record<string, number>> = {}, pool?: string): Step {
  return pool === undefined ? { code, text, numbers } : { code, text, numbers, pool };
}
