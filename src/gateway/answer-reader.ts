/**
 * Reads an answer in passing: when its first token came and how many there were. Nothing is parsed: in JSON a quote inside a
 * text is escaped, so that `"content":"` is never part of what a model said.
 */
export interface AnswerReader {
  /** @returns whether this chunk holds a token */
  read(chunk: Buffer): boolean;
  /** After the last chunk. */
  counts(): AnswerCounts;
}

/** Null: the answer did not say. */
export interface AnswerCounts {
  readonly outputTokens: number;
  readonly promptTokens: number | null;
}

/** A non-empty piece of text in the stream of chat completions, completions, responses or messages. */
const content = /"(?:content|reasoning_content|reasoning|text|arguments|delta|partial_json|thinking)"\s*:\s*"(?!")/;
const lastNumber = (pattern: RegExp, text: string): number | null => {
  let found: number | null = null;
  for (const match of text.matchAll(pattern)) found = Number(match[1]);
  return found;
};
const completionTokens = /"(?:completion_tokens|output_tokens)"\s*:\s*(\d+)/g;
const promptTokens = /"(?:prompt_tokens|input_tokens)"\s*:\s*(\d+)/g;

/** A line longer than this is passed on but not read. */
const longestLine = 1024 * 1024;

/** Server-sent events (WHATWG HTML, 9.2.6). A data event with text counts as one token unless `usage` tells the number. */
export function eventReader(): AnswerReader {
  let rest = "";
  let skipping = false;
  let events = 0;
  let output: number | null = null;
  let prompt: number | null = null;

  function line(text: string): boolean {
    if (!text.startsWith("data:")) return false;
    if (text.includes('_tokens"')) {
      output = lastNumber(completionTokens, text) ?? output;
      prompt = lastNumber(promptTokens, text) ?? prompt;
    }
    if (!content.test(text)) return false;
    events++;
    return true;
  }

  return {
    read(chunk) {
      const text = rest + chunk.toString("latin1");
      let start = 0;
      let found = false;
      for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
        if (skipping) skipping = false;
        else if (line(text.slice(start, end))) found = true;
        start = end + 1;
      }
      rest = start === 0 ? text : text.slice(start);
      if (rest.length > longestLine) {
        rest = "";
        skipping = true;
      }
      return found;
    },
    counts: () => ({ outputTokens: Math.max(output ?? 0, output === null ? events : 0), promptTokens: prompt }),
  };
}

/** The end of a JSON answer, which is where every known engine puts `usage`. */
const tailBytes = 8192;
/** Bytes of English per token: what is assumed where an answer does not tell. */
export const bytesPerToken = 4;

/** One JSON object. Where it does not tell, its tokens are its bytes over four. */
export function documentReader(generates: boolean): AnswerReader {
  let tail: Buffer[] = [];
  let tailLength = 0;
  let bytes = 0;
  return {
    read(chunk) {
      bytes += chunk.length;
      tail.push(chunk);
      tailLength += chunk.length;
      while (tail.length > 1 && tailLength - (tail[0] as Buffer).length >= tailBytes) tailLength -= (tail.shift() as Buffer).length;
      return false;
    },
    counts() {
      const text = Buffer.concat(tail).toString("latin1");
      tail = [];
      const output = lastNumber(completionTokens, text);
      return {
        outputTokens: output ?? (generates ? Math.round(bytes / bytesPerToken) : 0),
        promptTokens: lastNumber(promptTokens, text),
      };
    },
  };
}

/** An answer that cannot be read, such as sound or a compressed one. */
export const noReader: AnswerReader = { read: () => false, counts: () => ({ outputTokens: 0, promptTokens: null }) };
