/**
 * CloudWatch metric math on the one datapoint of a period: arithmetic, comparisons (1 or 0), `AND` and `OR`, and the functions below.
 * Functions that need more than one datapoint or a search are not here, and their expressions are refused when they are read.
 */
export type Expression = (numberOf: (id: string) => number | null) => Value;
/** A number; several (of an array or of METRICS()); `null`: no datapoint. */
type Value = number | null | readonly (number | null)[];

const scalar = (value: Value): number | null => {
  if (typeof value === "number" || value === null) return value;
  return value.length === 1 ? (value[0] as number | null) : null;
};
const numbers = (values: readonly Value[]): readonly number[] =>
  values.flatMap((value) => (typeof value === "number" || value === null ? [value] : value)).filter((value) => value !== null);
/** Over those metrics of a list that have a datapoint; without any there is none. */
const over = (fold: (values: readonly number[]) => number) => (values: readonly Value[]) => {
  const present = numbers(values);
  return present.length === 0 ? null : fold(present);
};
const each = (change: (value: number) => number) => (values: readonly Value[]) => {
  const value = scalar(values[0] as Value);
  return value === null ? null : change(value);
};
const sum = (values: readonly number[]) => values.toSorted((a, b) => a - b).reduce((total, value) => total + value, 0);

const FUNCTIONS: Readonly<Record<string, { readonly arguments: number; readonly of: (values: readonly Value[]) => Value }>> = {
  ABS: { arguments: 1, of: each(Math.abs) },
  CEIL: { arguments: 1, of: each(Math.ceil) },
  FLOOR: { arguments: 1, of: each(Math.floor) },
  LOG: { arguments: 1, of: each(Math.log) },
  LOG10: { arguments: 1, of: each(Math.log10) },
  SUM: { arguments: 1, of: over(sum) },
  AVG: { arguments: 1, of: over((values) => sum(values) / values.length) },
  MIN: { arguments: 1, of: over((values) => Math.min(...values)) },
  MAX: { arguments: 1, of: over((values) => Math.max(...values)) },
  METRIC_COUNT: { arguments: 1, of: over((values) => values.length) },
  FILL: { arguments: 2, of: ([value, filler]) => scalar(value as Value) ?? scalar(filler as Value) },
  IF: {
    arguments: 3,
    of: ([condition, then, otherwise]) => {
      const truth = scalar(condition as Value);
      return truth === null ? null : scalar((truth !== 0 ? then : otherwise) as Value);
    },
  },
};
const METRIC_FUNCTIONS = [...Object.keys(FUNCTIONS), "METRICS"];

type Binary = { readonly binds: number; readonly of: (a: number, b: number) => number; readonly fromRight?: boolean };
const truth = (is: boolean) => (is ? 1 : 0);
const OPERATORS: Readonly<Record<string, Binary>> = {
  OR: { binds: 1, of: (a, b) => truth(a !== 0 || b !== 0) },
  "||": { binds: 1, of: (a, b) => truth(a !== 0 || b !== 0) },
  AND: { binds: 2, of: (a, b) => truth(a !== 0 && b !== 0) },
  "&&": { binds: 2, of: (a, b) => truth(a !== 0 && b !== 0) },
  "==": { binds: 3, of: (a, b) => truth(a === b) },
  "!=": { binds: 3, of: (a, b) => truth(a !== b) },
  "<": { binds: 4, of: (a, b) => truth(a < b) },
  "<=": { binds: 4, of: (a, b) => truth(a <= b) },
  ">": { binds: 4, of: (a, b) => truth(a > b) },
  ">=": { binds: 4, of: (a, b) => truth(a >= b) },
  "+": { binds: 5, of: (a, b) => a + b },
  "-": { binds: 5, of: (a, b) => a - b },
  "*": { binds: 6, of: (a, b) => a * b },
  "/": { binds: 6, of: (a, b) => a / b },
  "^": { binds: 8, of: (a, b) => a ** b, fromRight: true },
};
const NEGATION_BINDS = 7;

const TOKEN = /\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(<=|>=|==|!=|&&|\|\||[-+*/^<>(),[\]]))/y;

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new Error(`has ${JSON.stringify(text.slice(at).trim())}, which is no part of a metric expression known here`);
    tokens.push((match[1] ?? match[2] ?? match[3]) as string);
  }
  return tokens;
}

/**
 * `ids`: the Ids that the expression may name; `metrics`: those of them that `METRICS()` stands for.
 * @throws Error that says what of it is not understood
 */
export function parseExpression(text: string, ids: readonly string[], metrics: readonly string[]): Expression {
  const tokens = tokensOf(text);
  let at = 0;
  const take = (expected: string) => {
    if (tokens[at] !== expected) throw new Error(`has ${tokens[at] === undefined ? "its end" : tokens[at]} where ${expected} belongs`);
    at++;
  };

  const list = (end: string): readonly Expression[] => {
    const items: Expression[] = [];
    while (tokens[at] !== end) {
      if (items.length > 0) take(",");
      items.push(expression(0));
    }
    take(end);
    return items;
  };

  const operand = (): Expression => {
    const token = tokens[at++];
    if (token === undefined) throw new Error("ends in the middle");
    if (/^[\d.]/.test(token)) return () => Number(token);
    if (token === "-") {
      const inner = expression(NEGATION_BINDS);
      return (numberOf) => {
        const value = scalar(inner(numberOf));
        return value === null ? null : -value;
      };
    }
    if (token === "(") {
      const inner = expression(0);
      take(")");
      return inner;
    }
    if (token === "[") {
      const items = list("]");
      return (numberOf) => items.map((item) => scalar(item(numberOf)));
    }
    if (tokens[at] === "(") {
      at++;
      const given = list(")");
      if (token === "METRICS" && given.length === 0) return (numberOf) => metrics.map(numberOf);
      const known = Object.hasOwn(FUNCTIONS, token) ? FUNCTIONS[token] : undefined;
      if (known === undefined) throw new Error(`calls ${token}; known here are ${METRIC_FUNCTIONS.join(", ")}`);
      if (given.length !== known.arguments) throw new Error(`gives ${token} ${given.length} arguments instead of ${known.arguments}`);
      return (numberOf) => known.of(given.map((item) => item(numberOf)));
    }
    if (!ids.includes(token)) throw new Error(`names ${token}, which is no Id of this list`);
    return (numberOf) => numberOf(token);
  };

  const expression = (binds: number): Expression => {
    let left = operand();
    for (;;) {
      const operator = Object.hasOwn(OPERATORS, tokens[at] ?? "") ? (OPERATORS[tokens[at] as string] as Binary) : undefined;
      if (operator === undefined || operator.binds <= binds) return left;
      at++;
      const [first, second] = [left, expression(operator.fromRight === true ? operator.binds - 1 : operator.binds)];
      left = (numberOf) => {
        const [a, b] = [scalar(first(numberOf)), scalar(second(numberOf))];
        return a === null || b === null ? null : operator.of(a, b);
      };
    }
  };

  const whole = expression(0);
  if (at < tokens.length) throw new Error(`goes on after its end: ${tokens.slice(at).join(" ")}`);
  return whole;
}

/** An expression's value; `null` where a datapoint is missing or the result is no finite number. */
export function evaluateExpression(expression: Expression, numberOf: (id: string) => number | null): number | null {
  const value = scalar(expression(numberOf));
  return value !== null && Number.isFinite(value) ? value : null;
}
