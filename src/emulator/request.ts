import {
  anyOf,
  atLeast,
  bool,
  type Check,
  dict,
  float,
  int,
  isObject,
  iterable,
  list,
  missing,
  object,
  orNull,
  string,
  toBoolean,
  toNumber,
} from "./fields.ts";
import { jsonError } from "./json-error.ts";
import { BlockKeys, tokenBytes } from "./prefix-cache.ts";
import { badArgument, invalid, Refusal, unsupportedMediaType } from "./refusal.ts";

export type Kind = "chat" | "completions";

export interface Prompt {
  readonly tokens: number;
  readonly blocks: BlockKeys;
  /** Text, to which an answer's text can be added; not token ids. */
  readonly isText: boolean;
  /** Most tokens of an answer. */
  readonly limit: number;
}

/** What a client asked for, once nothing is wrong with it. */
export interface Asked {
  readonly kind: Kind;
  readonly prompts: readonly Prompt[];
  /** Answers to each prompt. */
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  readonly ignoreEos: boolean;
  readonly minTokens: number;
}

export interface Served {
  readonly model: string;
  readonly maxModelLen: number;
}

type Body = Readonly<Record<string, unknown>>;

/** vLLM's own limits where its environment sets no others. */
const mostAnswers = 16_384;
const mostPrompts = 1024;
const raise = (variable: string) => `To increase this limit, set the ${variable} environment variable.`;

/**
 * Reads a request as vLLM 0.32 does, check by check in its order, and with its words where something is wrong. An answer that does
 * not fit behind its prompt is cut to what does. What has no counterpart here (sampling, tools, logprobs, stop texts) is let through.
 * @throws Refusal
 */
export function readRequest(kind: Kind, contentType: string | undefined, text: string, served: Served): Asked {
  if (contentType?.split(";")[0]?.trim().toLowerCase() !== "application/json") throw unsupportedMediaType();
  const body = parse(text);
  checkBefore(kind, body);
  const problems = bodies[kind](body, "body");
  if (problems.length > 0) throw invalid(problems);
  const checked = body as Body;
  checkModel(checked["model"], served);
  const given = answerTokens(kind, checked);
  if (given !== null && given.value > served.maxModelLen) {
    throw badArgument(
      `${given.name}=${given.value} cannot be greater than max_model_len=${served.maxModelLen}. Please request fewer output tokens.`,
      given.name,
      given.value,
    );
  }
  const texts = promptsOf(kind, checked);
  const prompts = texts.map((prompt): Prompt => {
    const tokens = countTokens(prompt, served.maxModelLen);
    const most = served.maxModelLen - tokens;
    const blocks = new BlockKeys();
    if (typeof prompt === "string") blocks.addText(prompt);
    else blocks.addTokens(prompt);
    return { tokens, blocks, isText: typeof prompt === "string", limit: given === null ? most : Math.min(given.value, most) };
  });
  for (const { limit } of prompts) checkSampling(checked, limit);
  // A chat's template makes tokens of its own, and a completion has nothing else.
  if (kind === "completions" && prompts.some(({ tokens }) => tokens === 0)) throw new Refusal("The decoder prompt cannot be empty");
  const options = (checked["stream_options"] ?? {}) as Body;
  const includeUsage = toBoolean(options["include_usage"] ?? false);
  return {
    kind,
    prompts: kind === "chat" ? prompts.map((prompt) => ({ ...prompt, tokens: Math.max(1, prompt.tokens) })) : prompts,
    n: numberOf(checked, "n", 1),
    stream: toBoolean(checked["stream"] ?? false),
    includeUsage,
    continuousUsage: includeUsage && toBoolean(options["continuous_usage_stats"] ?? false),
    ignoreEos: toBoolean(checked["ignore_eos"] ?? false),
    minTokens: numberOf(checked, "min_tokens", 0),
  };
}

const numberOf = (body: Body, name: string, otherwise: number) => toNumber(body[name] ?? otherwise);

function parse(text: string): unknown {
  if (text === "") throw invalid(missing(null, "body"));
  try {
    return JSON.parse(text);
  } catch {
    const { at, message } = jsonError(text);
    throw invalid([{ type: "json_invalid", loc: `body.${at}`, msg: "JSON decode error", input: {}, ctx: { error: message } }]);
  }
}

/** What vLLM looks at before the fields themselves. */
function checkBefore(kind: Kind, body: unknown): void {
  if (!isObject(body)) return;
  const { prompt, messages } = body;
  if (kind === "completions") {
    if (Array.isArray(prompt) && prompt.length === 0) throw new Refusal("You must pass at least one prompt");
    if (Array.isArray(prompt) && prompt.length > mostPrompts && !prompt.every((id) => Number.isInteger(id))) {
      const told = `prompt list length ${prompt.length} exceeds the maximum allowed count of ${mostPrompts}.`;
      throw badArgument(`${told} ${raise("VLLM_MAX_COMPLETION_PROMPTS")}`, "prompt");
    }
    if (prompt === undefined || prompt === null || prompt === "")
      throw badArgument("Either prompt or prompt_embeds must be provided and non-empty.", "prompt");
  }
  const options = body["stream_options"];
  const defined = isObject(options) ? Object.keys(options).length > 0 : Boolean(options);
  if (defined && !body["stream"]) throw badArgument("Stream options can only be defined when `stream=True`.", "stream_options");
  if (kind === "chat" && messages === null) throw new Refusal("'NoneType' object is not iterable");
}

/** The kinds of message by what they must have; the last two take any role. */
const messageKinds: readonly (readonly [string, readonly string[]])[] = [
  ["ChatCompletionDeveloperMessageParam", ["content", "role"]],
  ["ChatCompletionSystemMessageParam", ["content", "role"]],
  ["ChatCompletionUserMessageParam", ["content", "role"]],
  ["ChatCompletionAssistantMessageParam", ["role"]],
  ["ChatCompletionToolMessageParam", ["content", "role", "tool_call_id"]],
  ["ChatCompletionFunctionMessageParam", ["content", "name", "role"]],
  ["CustomChatCompletionMessageParam", ["role"]],
];
const content = anyOf(string, iterable);

const message: Check = (value, loc) => {
  if (!isObject(value)) return [...messageKinds.flatMap(([name]) => dict(value, `${loc}.${name}`)), ...object({})(value, `${loc}.Message`)];
  if (value["role"] === undefined) {
    const absent = messageKinds.flatMap(([name, keys]) =>
      keys.filter((key) => value[key] === undefined).flatMap((key) => missing(value, `${loc}.${name}.${key}`)),
    );
    return [...absent, ...missing(value, `${loc}.Message.author`), ...missing(value, `${loc}.Message.content`)];
  }
  if (value["content"] === undefined || (value["content"] === null && value["role"] === "assistant")) return [];
  return messageKinds.slice(0, 3).flatMap(([name]) => content(value["content"], `${loc}.${name}.content`));
};

const ids = list(atLeast(0));
const streamOptions = orNull(object({ include_usage: orNull(bool), continuous_usage_stats: orNull(bool) }));
const sampling = { temperature: orNull(float), top_p: orNull(float), ignore_eos: bool, min_tokens: int };

const bodies: Readonly<Record<Kind, Check>> = {
  chat: object(
    {
      messages: list(message),
      model: orNull(string),
      max_tokens: orNull(int),
      max_completion_tokens: orNull(int),
      n: orNull(int),
      stream: orNull(bool),
      stream_options: streamOptions,
      ...sampling,
    },
    ["messages"],
  ),
  completions: object({
    model: orNull(string),
    prompt: anyOf(ids, list(ids), string, list(string)),
    max_tokens: orNull(int),
    n: int,
    stream: orNull(bool),
    stream_options: streamOptions,
    ...sampling,
  }),
};

function checkModel(asked: unknown, { model }: Served): void {
  if (typeof asked !== "string" || asked === "" || asked === model) return;
  throw new Refusal(`The model \`${asked}\` does not exist. Valid aliases: ${model}.`, "model", 404, "NotFoundError");
}

/** The client's own limit and where it stands; a completion's is 16 where it sets none. */
function answerTokens(kind: Kind, body: Body): { readonly name: string; readonly value: number } | null {
  for (const name of kind === "chat" ? ["max_completion_tokens", "max_tokens"] : ["max_tokens"]) {
    const value = body[name] ?? null;
    if (value !== null) return { name, value: toNumber(value) };
  }
  return kind === "completions" ? { name: "max_tokens", value: 16 } : null;
}

/** In the order of vLLM's own checks. */
function checkSampling(body: Body, limit: number): void {
  const n = numberOf(body, "n", 1);
  const temperature = numberOf(body, "temperature", 1);
  const topP = numberOf(body, "top_p", 1);
  const minTokens = numberOf(body, "min_tokens", 0);
  if (n < 1) throw new Refusal(`n must be at least 1, got ${n}.`);
  if (n > mostAnswers) throw new Refusal(`n must be at most ${mostAnswers}, got ${n}. ${raise("VLLM_MAX_N_SEQUENCES")}`);
  if (temperature < 0) throw badArgument(`temperature must be non-negative, got ${real(temperature)}.`, "temperature", real(temperature));
  if (temperature > 2) throw badArgument(`temperature must be in [0, 2], got ${real(temperature)}.`, "temperature", real(temperature));
  if (!(topP > 0 && topP <= 1)) throw badArgument(`top_p must be in (0, 1], got ${real(topP)}.`, "top_p", real(topP));
  if (limit < 1) throw badArgument(`max_tokens must be at least 1, got ${limit}.`, "max_tokens", limit);
  if (minTokens < 0) throw new Refusal(`min_tokens must be greater than or equal to 0, got ${minTokens}.`);
  if (minTokens > limit) throw new Refusal(`min_tokens must be less than or equal to max_tokens=${limit}, got ${minTokens}.`);
  if (n > 1 && temperature < 1e-5) throw new Refusal(`n must be 1 when using greedy sampling, got ${n}.`);
}

/** A float as Python writes it. */
const real = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : String(value));

function promptsOf(kind: Kind, body: Body): readonly (string | readonly number[])[] {
  if (kind === "completions") {
    const prompt = body["prompt"] as string | readonly (string | number | readonly number[])[];
    if (typeof prompt === "string") return [prompt];
    return typeof prompt[0] === "number" ? [prompt as readonly number[]] : (prompt as readonly (string | readonly number[])[]);
  }
  const messages = body["messages"] as readonly Body[];
  if (messages.length === 0) throw new Refusal("Cannot apply chat template to an empty conversation. Provide at least one message.");
  let text = "";
  for (const { content: said } of messages) {
    if (typeof said === "string") text += said;
    else if (Array.isArray(said)) text += said.flatMap((part) => (typeof part?.text === "string" ? [part.text] : [])).join("\n");
  }
  return [text];
}

/** @throws Refusal where the prompt is longer than the context */
function countTokens(prompt: string | readonly number[], maxModelLen: number): number {
  const limit = `This model's maximum context length is ${maxModelLen} tokens. However, your prompt contains`;
  const shorter = "Please reduce the length of the input prompt.";
  const most = maxModelLen * tokenBytes;
  if (typeof prompt === "string" && prompt.length > most) {
    const letters = [...prompt].length;
    if (letters > most) {
      throw badArgument(
        `${limit} ${letters} characters (more than ${most} characters, which is the upper bound for ${maxModelLen} input tokens). ${shorter}`,
        "input_text",
        letters,
      );
    }
  }
  const tokens = typeof prompt === "string" ? Math.ceil(Buffer.byteLength(prompt) / tokenBytes) : prompt.length;
  if (tokens <= maxModelLen) return tokens;
  // The tokenizer stops one past the limit, so of a text no more is known.
  const known = typeof prompt === "string" ? maxModelLen + 1 : tokens;
  throw badArgument(
    `${limit} ${known === maxModelLen + 1 ? "at least " : ""}${known} input tokens, which exceeds this limit even without any output tokens. ${shorter}`,
    "input_tokens",
    known,
  );
}
