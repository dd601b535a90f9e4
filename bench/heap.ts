/** `node --import heap.ts …`: each second a line in the file TIDEGATE_HEAP with what `process.memoryUsage` says. */
import { appendFileSync } from "node:fs";

const file = process.env["TIDEGATE_HEAP"];
if (file !== undefined && file !== "") {
  setInterval(() => {
    try {
      appendFileSync(file, `${JSON.stringify(process.memoryUsage())}\n`);
    } catch {
      // The bench is over and has taken its folder away.
    }
  }, 1_000).unref();
}
