import { KedaError } from "../words.ts";
import { type Token, tokens } from "./lexer.ts";

export type Node =
  | { readonly kind: "literal"; readonly value: number | string | boolean | null }
  | { readonly kind: "name"; readonly name: string }
  /** `#`, the element that a predicate is asked about. */
  | { readonly kind: "element" }
  | { readonly kind: "list"; readonly items: readonly Node[] }
  | { readonly kind: "unary"; readonly operator: string; readonly operand: Node }
  | { readonly kind: "binary"; readonly operator: string; readonly left: Node; readonly right: Node }
  | { readonly kind: "conditional"; readonly test: Node; readonly yes: Node; readonly no: Node }
  | { readonly kind: "index"; readonly of: Node; readonly index: Node }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Node[] }
  | { readonly kind: "let"; readonly name: string; readonly value: Node; readonly body: Node };

/** How tightly each binary operator binds. Source: expr-lang, parser/operator. */
const BINARY: ReadonlyMap<string, number> = new Map([
  ["|", 0],
  ["or", 10],
  ["||", 10],
  ["and", 15],
  ["&&", 15],
  ["==", 20],
  ["!=", 20],
  ["<", 20],
  [">", 20],
  ["<=", 20],
  [">=", 20],
  ["in", 20],
  ["not", 20],
  ["..", 25],
  ["+", 30],
  ["-", 30],
  ["*", 60],
  ["/", 60],
  ["%", 60],
  ["**", 100],
  ["^", 100],
  ["??", 500],
]);
const RIGHT_ASSOCIATIVE = new Set(["**", "^"]);
const UNARY: ReadonlyMap<string, number> = new Map([
  ["not", 50],
  ["!", 50],
  ["-", 90],
  ["+", 90],
]);
const WORDS = new Set(["and", "or", "not", "in", "let", "if", "else", "true", "false", "nil"]);
const MAX_DEPTH = 200;

/** An expression of expr-lang, as far as numbers, comparisons, lists and predicates go. @throws KedaError */
export function parseExpression(source: string): Node {
  const list = tokens(source);
  let position = 0;
  let depth = 0;

  const peek = (): Token => list[position] as Token;
  const isNext = (text: string) => (peek().kind === "operator" || peek().kind === "name") && peek().text === text;
  const take = (): Token => list[position++] as Token;
  const takeIf = (text: string): boolean => {
    if (!isNext(text)) return false;
    position++;
    return true;
  };
  const fail = (what: string): KedaError => new KedaError(`the formula has ${peek().text} at ${peek().at}, where ${what} is expected`);
  const expect = (text: string) => {
    if (!takeIf(text)) throw fail(JSON.stringify(text));
  };
  const deeper = <T>(parse: () => T): T => {
    if (++depth > MAX_DEPTH) throw new KedaError(`the formula nests deeper than ${MAX_DEPTH} levels`);
    const parsed = parse();
    depth--;
    return parsed;
  };

  const parsed = sequence();
  if (peek().kind !== "end") throw fail("the end");
  return parsed;

  /** `let` names come first, each followed by the rest. */
  function sequence(): Node {
    if (!takeIf("let")) return conditional();
    const name = take();
    if (name.kind !== "name" || WORDS.has(name.text)) throw new KedaError(`let needs a name, not ${name.text}`);
    expect("=");
    const value = conditional();
    expect(";");
    return { kind: "let", name: name.text, value, body: deeper(sequence) };
  }

  function conditional(): Node {
    return deeper(() => {
      if (takeIf("if")) {
        const test = conditional();
        expect("{");
        const yes = sequence();
        expect("}");
        expect("else");
        if (isNext("if")) return { kind: "conditional", test, yes, no: conditional() };
        expect("{");
        const no = sequence();
        expect("}");
        return { kind: "conditional", test, yes, no };
      }
      let node = binary(0);
      while (takeIf("?")) {
        if (takeIf(":")) {
          node = { kind: "conditional", test: node, yes: node, no: conditional() };
          continue;
        }
        const yes = conditional();
        expect(":");
        node = { kind: "conditional", test: node, yes, no: conditional() };
      }
      return node;
    });
  }

  function binary(lowest: number): Node {
    let left = unary();
    let before = "";
    for (;;) {
      const token = peek();
      const isOperator = token.kind === "operator" || (token.kind === "name" && WORDS.has(token.text));
      const strength = isOperator ? BINARY.get(token.text) : undefined;
      if (strength === undefined || strength < lowest) return left;
      if (before === "??" && token.text !== "??") {
        throw new KedaError(`the formula mixes ?? with ${token.text} at ${token.at}; wrap either in parentheses`);
      }
      take();
      before = token.text;
      if (token.text === "|") {
        left = pipe(left);
        continue;
      }
      const negated = token.text === "not";
      if (negated) expect("in");
      const operator = negated ? "in" : token.text;
      const right = deeper(() => binary(RIGHT_ASSOCIATIVE.has(operator) ? strength : strength + 1));
      const node: Node = { kind: "binary", operator, left, right };
      left = negated ? { kind: "unary", operator: "not", operand: node } : node;
    }
  }

  /** `list | max()` is `max(list)`. */
  function pipe(first: Node): Node {
    const name = take();
    if (name.kind !== "name") throw new KedaError(`| needs a function behind it, not ${name.text}`);
    expect("(");
    return postfix({ kind: "call", name: name.text, args: [first, ...args()] });
  }

  function unary(): Node {
    const token = peek();
    const strength = token.kind === "operator" || token.kind === "name" ? UNARY.get(token.text) : undefined;
    if (strength === undefined) return postfix(primary());
    take();
    return deeper(() => ({ kind: "unary", operator: token.text === "!" ? "not" : token.text, operand: binary(strength) }));
  }

  function primary(): Node {
    const token = peek();
    if (token.kind === "end") throw fail("a value");
    take();
    if (token.kind === "number") return { kind: "literal", value: Number(token.text) };
    if (token.kind === "string") return { kind: "literal", value: token.text };
    if (token.kind === "name") {
      if (token.text === "true" || token.text === "false") return { kind: "literal", value: token.text === "true" };
      if (token.text === "nil") return { kind: "literal", value: null };
      if (takeIf("(")) return { kind: "call", name: token.text, args: args() };
      if (!WORDS.has(token.text)) return { kind: "name", name: token.text };
    }
    if (token.kind === "operator") {
      if (token.text === "(") {
        const inner = sequence();
        expect(")");
        return inner;
      }
      if (token.text === "[") return { kind: "list", items: items("]") };
      if (token.text === "#") return { kind: "element" };
    }
    position--;
    throw fail("a value");
  }

  /** Up to the closing parenthesis; a predicate may stand in braces. */
  function args(): readonly Node[] {
    return items(")", () => {
      if (!takeIf("{")) return conditional();
      const predicate = sequence();
      expect("}");
      return predicate;
    });
  }

  function items(close: string, item: () => Node = conditional): readonly Node[] {
    const found: Node[] = [];
    while (!takeIf(close)) {
      if (found.length > 0) {
        expect(",");
        if (takeIf(close)) break;
      }
      found.push(item());
    }
    return found;
  }

  function postfix(start: Node): Node {
    let node = start;
    while (takeIf("[")) {
      const index = conditional();
      expect("]");
      node = { kind: "index", of: node, index };
    }
    return node;
  }
}
