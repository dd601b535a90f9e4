import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { messageOf, TidegateError } from "../model/index.ts";
import type { DecisionRecord } from "../simulator/index.ts";

/** Writes a file that a flag names. @throws TidegateError `usage` naming both */
export function writeOut(file: string, text: string, flag: string): void {
  named(file, flag, () => writeFileSync(file, text));
}

function named<T>(file: string, flag: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new TidegateError("usage", `${flag} ${file} cannot be written: ${messageOf(error)}; give another file`, { cause: error });
  }
}

export interface DecisionFile {
  write(record: DecisionRecord): void;
  close(): void;
}

/** Every decision as a line of JSON: when, why it was asked, what it says and what was ordered. Holds no more than a block of text. */
export function decisionFile(file: string): DecisionFile {
  const descriptor = named(file, "--decisions", () => openSync(file, "w"));
  let block = "";
  const flush = () => {
    named(file, "--decisions", () => writeSync(descriptor, block));
    block = "";
  };
  return {
    write({ observation: { nowMs, cause }, decision, orders }) {
      block += `${JSON.stringify({ atMs: nowMs, cause, ...decision, orders })}\n`;
      if (block.length >= 65_536) flush();
    },
    close() {
      flush();
      closeSync(descriptor);
    },
  };
}
