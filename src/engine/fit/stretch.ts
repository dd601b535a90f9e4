import { type Ms, TidegateError } from "../../model/index.ts";

/**
 * Iterations of one engine that followed each other without a pause, and their work in sum: one iteration as an engine logs it, a prompt in
 * its chunks as a client sees it, or a minute of counters.
 */
export interface Stretch {
  readonly durationMs: Ms;
  readonly iterations: number;
  readonly prefillTokens: number;
  /** Decoding sequences, summed over the iterations: the tokens that were decoded. */
  readonly seqs: number;
  /** Context tokens of the decoding sequences, summed over the iterations. */
  readonly ctx: number;
  /** Tokens × tokens computed before them, summed over the chunks of prompts; 0 where every prompt is one chunk. */
  readonly attentionPairs: number;
  /** Where it comes from, for reports: `8 at once, 512-token prompts`. */
  readonly from: string;
}

/** The part that decode-only and mixed iterations have in different amounts is told by this: no prefill, no mixture. */
export const isDecodeOnly = ({ prefillTokens }: Pick<Stretch, "prefillTokens">): boolean => prefillTokens === 0;

const required = ["duration_ms", "prefill_tokens", "seqs", "ctx_tokens"] as const;
const optional = ["iterations", "attention_pairs"] as const;

/**
 * Iteration times of a CSV whose header names `duration_ms`, `prefill_tokens`, `seqs` and `ctx_tokens`, in any order; `iterations` (1) and
 * `attention_pairs` (0) may be there too, and other columns are passed over. Lines that begin with # are comments.
 * @throws TidegateError `trace/invalid` naming file, line and column
 */
export function parseStretches(text: string, file: string): readonly Stretch[] {
  const lines = text.split(/\r?\n/).map((line, at) => ({ line, number: at + 1 }));
  const [header, ...rows] = lines.filter(({ line }) => line.trim() !== "" && !line.startsWith("#"));
  const refuse = (line: number, message: string): never => {
    throw new TidegateError("trace/invalid", `${file}:${line}: ${message}`);
  };
  if (header === undefined) return refuse(1, `is empty; the first line names the columns ${required.join(",")}`);
  const cells = (line: string) => line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
  const names = cells(header.line.replace(/^\uFEFF/, ""));
  const missing = required.filter((name) => !names.includes(name));
  if (missing.length > 0)
    refuse(header.number, `has no column ${missing.join(", ")}; it takes ${required.join(", ")} and may have ${optional.join(", ")}`);
  return rows.map(({ line, number }) => {
    const row = cells(line);
    const read = (name: (typeof required)[number] | (typeof optional)[number], fallback: number | null): number => {
      const at = names.indexOf(name);
      const cell = at < 0 ? "" : (row[at] ?? "");
      if (cell === "" && fallback !== null) return fallback;
      const value = Number(cell);
      if (cell === "" || !Number.isFinite(value) || value < 0)
        return refuse(number, `${name} is ${JSON.stringify(cell)}; give a number of 0 or more`);
      return value;
    };
    const stretch: Stretch = {
      durationMs: read("duration_ms", null),
      iterations: read("iterations", 1),
      prefillTokens: read("prefill_tokens", null),
      seqs: read("seqs", null),
      ctx: read("ctx_tokens", null),
      attentionPairs: read("attention_pairs", 0),
      from: `line ${number}`,
    };
    if (!(stretch.durationMs > 0)) refuse(number, "duration_ms is 0; an iteration takes time");
    if (!(stretch.iterations > 0)) refuse(number, "iterations is 0; leave out what did not happen");
    return stretch;
  });
}
