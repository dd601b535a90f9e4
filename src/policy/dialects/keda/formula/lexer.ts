import { KedaError } from "../words.ts";

export interface Token {
  readonly kind: "number" | "string" | "name" | "operator" | "end";
  readonly text: string;
  /** Position in the formula, for messages. */
  readonly at: number;
}

const SKIPPED = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/y;
const NUMBER = /0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.(?!\.)\d[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y;
const NAME = /[A-Za-z_$][A-Za-z0-9_$]*/y;
const STRING = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/y;
const OPERATOR = /\?\?|\?\.|\*\*|\.\.|\|\||&&|==|!=|<=|>=|[-+*/%^<>!?:,;.()[\]{}|=#]/y;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

/** @throws KedaError at what is no part of an expression */
export function tokens(source: string): readonly Token[] {
  const found: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0] ?? null;
  };
  for (;;) {
    at += match(SKIPPED)?.length ?? 0;
    if (at >= source.length) return [...found, { kind: "end", text: "the end", at }];
    const token = readToken();
    if (token === null) throw new KedaError(`the formula has ${JSON.stringify(source[at])} at ${at}, which is no part of an expression`);
    found.push(token.token);
    at += token.length;
  }

  function readToken(): { readonly token: Token; readonly length: number } | null {
    const number = match(NUMBER);
    if (number !== null) return { token: { kind: "number", text: number.replaceAll("_", ""), at }, length: number.length };
    const name = match(NAME);
    if (name !== null) return { token: { kind: "name", text: name, at }, length: name.length };
    const quoted = match(STRING);
    if (quoted !== null) {
      const inner = quoted.slice(1, -1);
      const text = quoted.startsWith("`") ? inner : inner.replace(/\\(.)/gs, (_, char: string) => ESCAPES[char] ?? char);
      return { token: { kind: "string", text, at }, length: quoted.length };
    }
    const operator = match(OPERATOR);
    return operator === null ? null : { token: { kind: "operator", text: operator, at }, length: operator.length };
  }
}
