import type { Action } from "../history/index.ts";
import type { Cause, Decision, Ms } from "../model/index.ts";
import type { DecisionLine } from "./view.ts";

const kept = 200;
/** Steps that say how the number was reached at the end, not why: the counts beside them say that already. */
const closingCodes: ReadonlySet<string> = new Set(["scale", "hold", "otherwise"]);

/** The decision log: newest first, unchanged ones in a row folded into the newest. */
export class DecisionLines {
  readonly lines: DecisionLine[] = [];

  /** @param from the count before */
  add(decision: Decision, cause: Cause, atMs: Ms, from: number, actions: readonly Action[]): DecisionLine {
    const asked = actions.reduce<number | null>((sum, action) => (sum ?? 0) + action.replicas, null);
    const to = asked ?? from;
    const line: DecisionLine = {
      seq: decision.seq,
      atMs,
      cause,
      from,
      to,
      changed: to !== from,
      reason: reasonOf(decision, actions),
      otherwise: decision.steps.find(({ code }) => code === "otherwise")?.text ?? null,
      steps: decision.steps.map(({ code, text }) => ({ code, text })),
      actions,
    };
    const before = this.lines[0];
    if (before !== undefined && !before.changed && !line.changed) this.lines[0] = line;
    else this.lines.unshift(line);
    if (this.lines.length > kept) this.lines.pop();
    return line;
  }
}

/** What was seen and what it took: the first step and the last one that decided; then what the fleet's quota made of it. */
function reasonOf(decision: Decision, actions: readonly Action[]): string {
  const steps = decision.steps.filter(({ code }) => !closingCodes.has(code));
  const texts = [steps[0], steps.at(-1)].flatMap((step) => step?.text ?? []);
  const own =
    texts.length > 0
      ? [...new Set(texts)].join(" ")
      : (decision.steps.at(-1)?.text ?? (Object.values(decision.wants).every(({ kind }) => kind === "hold") ? "holds" : "as asked"));
  const limited = actions.filter(({ by }) => by === "quota").map(({ pool, replicas }) => `${replicas} in ${pool}`);
  return limited.length === 0 ? own : `${own} The fleet's quota leaves ${limited.join(", ")}.`;
}
