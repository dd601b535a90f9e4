/** What Python's json module says of a text that is no JSON, and where, in characters from the start. */
export interface JsonError {
  readonly at: number;
  readonly message: string;
}

class Invalid extends Error {
  readonly index: number;
  constructor(index: number, message: string) {
    super(message);
    this.index = index;
  }
}

const space = /[ \t\n\r]*/y;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const literal = /null|true|false|NaN|-?Infinity/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they may not stand in a string
const plain = /[^"\\\u0000-\u001f]*/y;
const hex = /[0-9a-fA-F]{4}/y;

/** Reads a text that `JSON.parse` refused the way CPython (3.12) does, up to the first thing that it refuses. */
export function jsonError(text: string): JsonError {
  try {
    const end = skip(space, text, value(text, skip(space, text, 0)));
    throw new Invalid(end, end === text.length ? "Expecting value" : "Extra data");
  } catch (error) {
    // A nesting too deep for the stack is refused as well; Python says so in other words.
    const { index, message } = error instanceof Invalid ? error : new Invalid(0, "Expecting value");
    return { at: [...text.slice(0, index)].length, message };
  }
}

/** @returns the index behind what the pattern takes at `from`; `from` where it takes nothing */
function skip(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}

/** @returns the index behind the value that begins at `at` */
function value(text: string, at: number): number {
  if (text[at] === '"') return string(text, at);
  if (text[at] === "{") return object(text, at);
  if (text[at] === "[") return array(text, at);
  const end = Math.max(skip(literal, text, at), skip(number, text, at));
  if (end === at) throw new Invalid(at, "Expecting value");
  return end;
}

function string(text: string, begin: number): number {
  for (let at = begin + 1; ; ) {
    at = skip(plain, text, at);
    if (text[at] === '"') return at + 1;
    if (at >= text.length) throw new Invalid(begin, "Unterminated string starting at");
    if (text[at] !== "\\") throw new Invalid(at, "Invalid control character at");
    const escaped = text[at + 1];
    if (escaped === undefined) throw new Invalid(begin, "Unterminated string starting at");
    if (escaped === "u") {
      if (skip(hex, text, at + 2) === at + 2) throw new Invalid(at + 1, "Invalid \\uXXXX escape");
      at += 6;
    } else if ('"\\/bfnrt'.includes(escaped)) at += 2;
    else throw new Invalid(at, "Invalid \\escape");
  }
}

function object(text: string, begin: number): number {
  let at = skip(space, text, begin + 1);
  if (text[at] === "}") return at + 1;
  for (;;) {
    if (text[at] !== '"') throw new Invalid(at, "Expecting property name enclosed in double quotes");
    at = skip(space, text, string(text, at));
    if (text[at] !== ":") throw new Invalid(at, "Expecting ':' delimiter");
    at = skip(space, text, value(text, skip(space, text, at + 1)));
    if (text[at] === "}") return at + 1;
    if (text[at] !== ",") throw new Invalid(at, "Expecting ',' delimiter");
    at = skip(space, text, at + 1);
  }
}

function array(text: string, begin: number): number {
  let at = skip(space, text, begin + 1);
  if (text[at] === "]") return at + 1;
  for (;;) {
    at = skip(space, text, value(text, at));
    if (text[at] === "]") return at + 1;
    if (text[at] !== ",") throw new Invalid(at, "Expecting ',' delimiter");
    at = skip(space, text, at + 1);
  }
}
