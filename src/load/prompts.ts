import { randomStreams, type TraceRequest, type Uniform } from "../traces/index.ts";

/** What an engine without a tokenizer takes for one token of prompt. */
const bytesPerToken = 4;
const corpusBytes = 1 << 20;
/** Sessions whose text is remembered; the one that was silent longest is forgotten first. */
const mostSessions = 100_000;

/** So many tokens of one stream of text. */
interface Piece {
  readonly stream: number;
  readonly fromToken: number;
  readonly tokens: number;
}

/**
 * Prompts of pseudo-words, exactly four bytes a token. Requests without prefix hits share nothing but chance; one with them begins
 * with as much of its session's last prompt as the trace says was a hit (a session's first request: of a text all share).
 */
export class Prompts {
  readonly #corpus: string;
  readonly #random: Uniform;
  readonly #sessions = new Map<string, readonly Piece[]>();
  readonly #common: number;

  constructor(seed: number) {
    const [letters, random] = randomStreams(seed, 2) as [Uniform, Uniform];
    this.#corpus = pseudoWords(letters, corpusBytes);
    this.#random = random;
    this.#common = this.#newStream();
  }

  text(request: TraceRequest): string {
    const { promptTokens, sessionId } = request;
    const hit = Math.min(promptTokens, request.prefixHitTokens ?? 0);
    if (hit === 0 && sessionId === undefined) return this.#words({ stream: this.#newStream(), fromToken: 0, tokens: promptTokens });
    const before = (sessionId === undefined ? undefined : this.#sessions.get(sessionId)) ?? [
      { stream: this.#common, fromToken: 0, tokens: hit },
    ];
    const pieces: Piece[] = [];
    let left = hit;
    for (const piece of before) {
      if (left === 0) break;
      const tokens = Math.min(left, piece.tokens);
      pieces.push({ ...piece, tokens });
      left -= tokens;
    }
    const shared = hit - left;
    if (promptTokens > shared) pieces.push({ stream: this.#newStream(), fromToken: 0, tokens: promptTokens - shared });
    if (sessionId !== undefined) {
      this.#sessions.delete(sessionId);
      this.#sessions.set(sessionId, pieces);
      if (this.#sessions.size > mostSessions) this.#sessions.delete(this.#sessions.keys().next().value!);
    }
    return pieces.map((piece) => this.#words(piece)).join("");
  }

  #newStream(): number {
    return Math.floor(this.#random() * corpusBytes);
  }

  #words({ stream, fromToken, tokens }: Piece): string {
    let left = tokens * bytesPerToken;
    let at = (stream + fromToken * bytesPerToken) % corpusBytes;
    let text = "";
    while (left > 0) {
      const part = this.#corpus.slice(at, at + left);
      text += part;
      left -= part.length;
      at = 0;
    }
    return text;
  }
}

const consonants = "bcdfghklmnprstvz";
const vowels = "aeiou";
/** Lower-case syllables and spaces: plain ASCII that JSON needs not escape. */
function pseudoWords(random: Uniform, bytes: number): string {
  const parts: string[] = [];
  let length = 0;
  while (length < bytes) {
    const draw = Math.floor(random() * 2 ** 20);
    const syllable = consonants[draw & 15]! + vowels[(draw >> 4) % 5]! + ((draw >> 10) % 5 < 2 ? " " : "");
    parts.push(syllable);
    length += syllable.length;
  }
  return parts.join("").slice(0, bytes);
}
