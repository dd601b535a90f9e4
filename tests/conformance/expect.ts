/** A case: which function, with what, giving what. Format: `vectors/README.md`. */
export interface Case {
  readonly name: string;
  readonly source: string;
  readonly kind: string;
  readonly input: Fields;
  readonly expected: Fields;
}
export type Fields = Readonly<Record<string, unknown>>;

/** @returns what the function under test gives; it may throw where the case expects an error. Takes nothing but the input. */
export type Runner = (input: Fields, expected: Fields) => Fields;

/**
 * What differs, one line each; none: passed. A field that is not expected is not checked. Where `error` is expected as text, the
 * call must throw a message that contains it ("invalid": any).
 */
export function differences({ input, expected }: Case, run: Runner): readonly string[] {
  let actual: Fields;
  try {
    actual = run(input, expected);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const wanted = expected["error"];
    if (wanted === true || wanted === "invalid") return [];
    if (typeof wanted === "string" && message.includes(wanted)) return [];
    return [wanted === undefined ? `threw "${message}"` : `error: expected ${JSON.stringify(wanted)}, got "${message}"`];
  }
  return Object.entries(expected).flatMap(([field, wanted]) => {
    const got = actual[field];
    return same(got, wanted) ? [] : [`${field}: expected ${JSON.stringify(wanted)}, got ${print(got)}`];
  });
}

const print = (value: unknown): string =>
  JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)) ?? "undefined";

/** Text of which a case names a part. */
export class Containing {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): string {
    return this.text;
  }
}

/** A number that may be off by `tolerance`, where the case's source allows it. */
export class Near {
  readonly value: number;
  readonly tolerance: number;

  constructor(value: number, tolerance: number) {
    this.value = value;
    this.tolerance = tolerance;
  }

  toJSON(): string {
    return `${this.value} ± ${this.tolerance}`;
  }
}

/** Deep and exact; integers beyond the safe ones are text in a case. */
function same(actual: unknown, expected: unknown): boolean {
  if (actual instanceof Near) return typeof expected === "number" && Math.abs(actual.value - expected) <= actual.tolerance;
  if (actual instanceof Containing) return typeof expected === "string" && actual.text.includes(expected);
  if (typeof actual === "bigint" || (typeof actual === "number" && typeof expected === "string" && /^-?\d+$/.test(expected))) {
    return String(actual) === String(expected);
  }
  if (Array.isArray(expected)) {
    return Array.isArray(actual) && actual.length === expected.length && expected.every((entry, at) => same(actual[at], entry));
  }
  if (typeof expected === "object" && expected !== null) {
    if (typeof actual !== "object" || actual === null) return false;
    const entries = Object.entries(expected);
    return (
      Object.keys(actual).length === entries.length &&
      entries.every(([key, value]) => same((actual as Record<string, unknown>)[key], value))
    );
  }
  return Object.is(actual, expected) || (actual === 0 && expected === 0);
}
