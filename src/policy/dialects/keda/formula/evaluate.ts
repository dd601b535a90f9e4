import { KedaError } from "../words.ts";
import type { Node } from "./parser.ts";

/** `null` is expr's nil. */
export type Value = number | string | boolean | null | readonly Value[];

interface Scope {
  readonly names: ReadonlyMap<string, Value>;
  /** What `#` stands for; `undefined`: no predicate is being asked. */
  readonly element: Value | undefined;
}

const MAX_LIST = 1_000_000;
const shown = (value: Value): string => (value === null ? "nil" : JSON.stringify(value));

function numberOf(value: Value, what: string): number {
  if (typeof value === "number") return value;
  throw new KedaError(`${what} needs a number, not ${shown(value)}`);
}
function boolOf(value: Value, what: string): boolean {
  if (typeof value === "boolean") return value;
  throw new KedaError(`${what} needs true or false, not ${shown(value)}`);
}
function listOf(value: Value | undefined, what: string): readonly Value[] {
  if (Array.isArray(value)) return value;
  throw new KedaError(`${what} needs a list, not ${shown(value ?? null)}`);
}
const numbersOf = (values: readonly Value[], what: string): readonly number[] =>
  values.flatMap((value) => (Array.isArray(value) ? numbersOf(value, what) : [numberOf(value as Value, what)]));

function equal(left: Value, right: Value): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, at) => equal(item, right[at] as Value));
  }
  return left === right;
}

/** @throws KedaError where expr would fail: a name that is not there, nil in arithmetic, a list where a number belongs */
export function evaluate(node: Node, names: ReadonlyMap<string, Value>): Value {
  return valueIn(node, { names, element: undefined });
}

function valueIn(node: Node, scope: Scope): Value {
  switch (node.kind) {
    case "literal":
      return node.value;
    case "name": {
      const value = scope.names.get(node.name);
      if (value === undefined) throw unknownName(node.name, scope);
      return value;
    }
    case "element":
      if (scope.element === undefined) throw new KedaError("# stands for an element only inside a predicate");
      return scope.element;
    case "list":
      return node.items.map((item) => valueIn(item, scope));
    case "unary": {
      const operand = valueIn(node.operand, scope);
      if (node.operator === "not") return !boolOf(operand, "not");
      const number = numberOf(operand, `unary ${node.operator}`);
      return node.operator === "-" ? -number : number;
    }
    case "binary":
      return binary(node, scope);
    case "conditional":
      return valueIn(boolOf(valueIn(node.test, scope), "a condition") ? node.yes : node.no, scope);
    case "index":
      return indexed(node, scope);
    case "call":
      return call(node, scope);
    case "let": {
      const value = valueIn(node.value, scope);
      return valueIn(node.body, { ...scope, names: new Map(scope.names).set(node.name, value) });
    }
  }
}

function unknownName(name: string, { names }: Scope): KedaError {
  const known = [...names.keys()];
  return new KedaError(`unknown name ${name}; ${known.length === 0 ? "no trigger has a name" : `the names here are ${known.join(", ")}`}`);
}

/** `list[i]`, from the end for a negative i; `$env["trigger-name"]` for names that are no identifiers. */
function indexed({ of, index }: Extract<Node, { kind: "index" }>, scope: Scope): Value {
  const at = valueIn(index, scope);
  if (of.kind === "name" && of.name === "$env") {
    const value = typeof at === "string" ? scope.names.get(at) : undefined;
    if (value === undefined) throw unknownName(typeof at === "string" ? at : shown(at), scope);
    return value;
  }
  const list = listOf(valueIn(of, scope), "an index");
  const position = numberOf(at, "an index");
  const value = list.at(position);
  if (value === undefined) throw new KedaError(`index ${position} is outside of a list of ${list.length}`);
  return value;
}

function binary({ operator, left: leftNode, right: rightNode }: Extract<Node, { kind: "binary" }>, scope: Scope): Value {
  const left = valueIn(leftNode, scope);
  switch (operator) {
    case "??":
      return left ?? valueIn(rightNode, scope);
    case "or":
    case "||":
      return boolOf(left, operator) || boolOf(valueIn(rightNode, scope), operator);
    case "and":
    case "&&":
      return boolOf(left, operator) && boolOf(valueIn(rightNode, scope), operator);
  }
  const right = valueIn(rightNode, scope);
  switch (operator) {
    case "==":
      return equal(left, right);
    case "!=":
      return !equal(left, right);
    case "in":
      return listOf(right, "in").some((item) => equal(item, left));
    case "..":
      return range(numberOf(left, ".."), numberOf(right, ".."));
  }
  if (operator === "+" && typeof left === "string" && typeof right === "string") return left + right;
  if (typeof left === "string" && typeof right === "string" && operator in COMPARE) return COMPARE[operator]?.(left, right) ?? false;
  const [a, b] = [numberOf(left, operator), numberOf(right, operator)];
  const compare = COMPARE[operator];
  if (compare !== undefined) return compare(a, b);
  const compute = ARITHMETIC[operator];
  if (compute === undefined) throw new KedaError(`unknown operator ${operator}`);
  return compute(a, b);
}

const COMPARE: Readonly<Record<string, (left: number | string, right: number | string) => boolean>> = {
  "<": (left, right) => left < right,
  ">": (left, right) => left > right,
  "<=": (left, right) => left <= right,
  ">=": (left, right) => left >= right,
};
const ARITHMETIC: Readonly<Record<string, (left: number, right: number) => number>> = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "%": (left, right) => {
    if (!Number.isInteger(left) || !Number.isInteger(right) || right === 0) throw new KedaError("% needs whole numbers, the second not 0");
    return left % right;
  },
  "**": (left, right) => left ** right,
  "^": (left, right) => left ** right,
};

function range(from: number, to: number): readonly number[] {
  if (to - from >= MAX_LIST) throw new KedaError(`${from}..${to} is longer than ${MAX_LIST}`);
  return to < from ? [] : Array.from({ length: Math.floor(to - from) + 1 }, (_, at) => from + at);
}

function call({ name, args }: Extract<Node, { kind: "call" }>, scope: Scope): Value {
  const predicate = PREDICATES[name];
  if (predicate !== undefined && (args.length === 2 || !(name in FUNCTIONS))) {
    const [source, test] = args;
    if (source === undefined || test === undefined) throw new KedaError(`${name} needs a list and a predicate`);
    const list = listOf(valueIn(source, scope), name);
    return predicate(list, (element) => valueIn(test, { ...scope, element }));
  }
  const apply = FUNCTIONS[name];
  if (apply === undefined) throw new KedaError(`unknown function ${name}; the functions here are ${KNOWN_FUNCTIONS}`);
  return apply(args.map((arg) => valueIn(arg, scope)));
}

type Test = (element: Value) => Value;
const holds = (test: Test, name: string) => (element: Value) => boolOf(test(element), `the predicate of ${name}`);

const PREDICATES: Readonly<Record<string, (list: readonly Value[], test: Test) => Value>> = {
  all: (list, test) => list.every(holds(test, "all")),
  any: (list, test) => list.some(holds(test, "any")),
  none: (list, test) => !list.some(holds(test, "none")),
  one: (list, test) => list.filter(holds(test, "one")).length === 1,
  filter: (list, test) => list.filter(holds(test, "filter")),
  map: (list, test) => list.map(test),
  count: (list, test) => list.filter(holds(test, "count")).length,
  find: (list, test) => list.find(holds(test, "find")) ?? null,
  findLast: (list, test) => list.findLast(holds(test, "findLast")) ?? null,
  sum: (list, test) => total(list.map((element) => numberOf(test(element), "sum"))),
};

const total = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);
const some = (numbers: readonly number[], name: string): readonly number[] => {
  if (numbers.length === 0) throw new KedaError(`${name} needs at least one number`);
  return numbers;
};
const mean = (values: readonly Value[]): number => {
  const numbers = numbersOf(values, "mean");
  return numbers.length === 0 ? 0 : total(numbers) / numbers.length;
};
const one = (values: readonly Value[], name: string): Value => {
  if (values.length !== 1) throw new KedaError(`${name} takes one argument, not ${values.length}`);
  return values[0] as Value;
};
const rounding = (name: string, round: (value: number) => number) => (values: readonly Value[]) => round(numberOf(one(values, name), name));

const FUNCTIONS: Readonly<Record<string, (values: readonly Value[]) => Value>> = {
  max: (values) => Math.max(...some(numbersOf(values, "max"), "max")),
  min: (values) => Math.min(...some(numbersOf(values, "min"), "min")),
  sum: (values) => total(numbersOf(listOf(one(values, "sum"), "sum"), "sum")),
  mean,
  avg: mean,
  median: (values) => {
    const sorted = numbersOf(values, "median").toSorted((a, b) => a - b);
    const middle = sorted.length / 2;
    if (sorted.length === 0) return 0;
    return Number.isInteger(middle)
      ? ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
      : (sorted[Math.floor(middle)] as number);
  },
  abs: rounding("abs", Math.abs),
  ceil: rounding("ceil", Math.ceil),
  floor: rounding("floor", Math.floor),
  // Halves away from zero, as Go rounds.
  round: rounding("round", (value) => Math.sign(value) * Math.round(Math.abs(value))),
  int: (values) => Math.trunc(toNumber(one(values, "int"), "int")),
  float: (values) => toNumber(one(values, "float"), "float"),
  len: (values) => {
    const value = one(values, "len");
    return typeof value === "string" ? [...value].length : listOf(value, "len").length;
  },
  count: (values) => listOf(one(values, "count"), "count").filter((value) => boolOf(value, "count")).length,
  first: (values) => listOf(one(values, "first"), "first")[0] ?? null,
  last: (values) => listOf(one(values, "last"), "last").at(-1) ?? null,
  reverse: (values) => listOf(one(values, "reverse"), "reverse").toReversed(),
  sort: (values) => numbersOf(listOf(one(values, "sort"), "sort"), "sort").toSorted((a, b) => a - b),
  concat: (values) => values.flatMap((value) => listOf(value, "concat")),
};
const KNOWN_FUNCTIONS = [...new Set([...Object.keys(FUNCTIONS), ...Object.keys(PREDICATES)])].sort().join(", ");

/** `float` and `int` also read text. */
export function toNumber(value: Value, name: string): number {
  if (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value))) return Number(value);
  return numberOf(value, name);
}
