/** An answer that is an error, in the shape of vLLM's OpenAI server. */
export class Refusal extends Error {
  readonly status: number;
  readonly type: string;
  readonly param: string | null;

  constructor(message: string, param: string | null = null, status = 400, type = "BadRequestError") {
    super(message);
    this.status = status;
    this.type = type;
    this.param = param;
  }

  get body(): object {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.status } };
  }
}

/** As vLLM words what a single argument may not be. */
export const badArgument = (message: string, parameter: string, value?: number | string): Refusal =>
  new Refusal(`${message} (parameter=${parameter}${value === undefined ? "" : `, value=${value}`})`, parameter);

/** What is wrong at one place of a body, in the words of its validation library (pydantic). */
export interface Problem {
  readonly type: string;
  /** Dotted, from `body`. */
  readonly loc: string;
  readonly msg: string;
  readonly input: unknown;
  readonly ctx?: Readonly<Record<string, string | number>>;
}

const mostTold = 10;

/** vLLM's answer to a body of the wrong shape: it tells the first ten problems as Python writes dictionaries. */
export function invalid(problems: readonly Problem[]): Refusal {
  const lines = problems.slice(0, mostTold).map((problem) => `  ${repr(problem)}`);
  if (problems.length > mostTold) lines.push(`  ...and ${problems.length - mostTold} more errors`);
  const count = problems.length === 1 ? "1 validation error" : `${problems.length} validation errors`;
  return new Refusal(`${count}:\n${lines.join("\n")}`, problems[0]?.loc ?? null, 400, "Bad Request");
}

export const unsupportedMediaType = (): Refusal =>
  new Refusal("1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed", null, 400, "Bad Request");

function repr({ type, loc, msg, input, ctx }: Problem): string {
  const fields = [`'type': ${quoted(type)}`, `'loc': ${quoted(loc)}`, `'msg': ${quoted(msg)}`, `'input': ${quoted(summary(input))}`];
  if (ctx !== undefined) {
    const told = Object.entries(ctx).map(([key, value]) => `${quoted(key)}: ${typeof value === "string" ? quoted(value) : value}`);
    fields.push(`'ctx': {${told.join(", ")}}`);
  }
  return `{${fields.join(", ")}}`;
}

/** A value as the message shows it: containers by their size, long texts cut. */
function summary(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) return `<list of ${value.length} items>`;
  if (typeof value === "object") return `<dict of ${Object.keys(value).length} items>`;
  const text = String(value);
  return text.length > 200 ? `${text.slice(0, 200)}...[truncated]` : text;
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Python's repr of a text. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
  const inside = text.replace(/[\\\u0000-\u001f\u007f']/g, (letter) => {
    if (letter === "'") return quote === "'" ? "\\'" : letter;
    return escapes[letter] ?? `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `${quote}${inside}${quote}`;
}
