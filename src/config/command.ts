import { formatDuration } from "../model/index.ts";
import { nearest } from "./suggest.ts";

export const PLACEHOLDERS = ["port", "host", "id", "index", "pool", "model", "tidegate", "speed", "epoch"] as const;

/**
 * Splits a command line as a POSIX shell would (XCU 2.2: quotes and backslash), without running one: no variables, pipes or globs.
 * @returns the words, or what stands in the way
 */
export function splitCommand(line: string): { words: string[] } | { problem: string } {
  const words: string[] = [];
  let word: string | null = null;
  let quote: "'" | '"' | null = null;
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    if (quote === "'") {
      if (char === "'") quote = null;
      else word += char;
    } else if (char === "\\") {
      const next = line[++at];
      if (next === undefined) return { problem: "ends in a backslash" };
      if (next === "\n") continue;
      word = (word ?? "") + (quote === '"' && !'"\\$`'.includes(next) ? `\\${next}` : next);
    } else if (quote === '"') {
      if (char === '"') quote = null;
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else if ("|&;<>$`".includes(char)) return { problem: `has ${char}, which only a shell understands` };
    else word = (word ?? "") + char;
  }
  if (quote !== null) return { problem: `has a ${quote} that is never closed` };
  if (word !== null) words.push(word);
  return { words };
}

/** The first `{name}` that looks like a placeholder written wrong, with what was meant; JSON in braces is left alone. */
export function misspeltPlaceholder(words: readonly string[]): { written: string; meant: string } | undefined {
  for (const word of words)
    for (const [, name] of word.matchAll(/\{(\w+)\}/g)) {
      const written = name as string;
      if ((PLACEHOLDERS as readonly string[]).includes(written)) continue;
      const meant = nearest(written, PLACEHOLDERS);
      if (meant !== undefined) return { written, meant };
    }
  return undefined;
}

export interface EmulatedEngine {
  readonly profile: string;
  readonly gpu?: string | undefined;
  readonly coldStart: number;
  readonly coldStartSigma?: number | undefined;
  readonly maxNumSeqs?: number | undefined;
  readonly maxNumBatchedTokens?: number | undefined;
  readonly kvTokens?: number | undefined;
  readonly maxModelLen?: number | undefined;
  readonly seed: number;
}

/** The command of an emulated replica: Tidegate's own `engine` verb, on the clock of the run, ending with its parent. */
export function emulatedCommand(engine: EmulatedEngine): string[] {
  const optional = (flag: string, value: string | number | undefined) => (value === undefined ? [] : [flag, String(value)]);
  return [
    ...["{tidegate}", "engine", "--port", "{port}", "--host", "{host}", "--model", "{model}"],
    ...["--profile", engine.profile],
    ...optional("--gpu", engine.gpu),
    ...optional("--max-num-seqs", engine.maxNumSeqs),
    ...optional("--max-num-batched-tokens", engine.maxNumBatchedTokens),
    ...optional("--kv-tokens", engine.kvTokens),
    ...optional("--max-model-len", engine.maxModelLen),
    ...["--cold-start", formatDuration(engine.coldStart)],
    ...optional("--cold-start-sigma", engine.coldStartSigma),
    ...["--seed", `${engine.seed}{index}`, "--speed", "{speed}", "--epoch", "{epoch}"],
  ];
}
