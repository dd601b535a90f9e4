import { token, words } from "./model.ts";
import { modelName } from "./servers.ts";

export interface Exchange {
  readonly rule: string;
  readonly path: string;
  /** Sent as it is where it is text. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a client can tell two servers apart by. */
export interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  readonly allow: string | null;
  readonly body: string;
}

/** Only our words are said, so that texts are as long on both sides; the emulator lets it pass. */
const speak = { allowed_token_ids: words.map((_, at) => token.firstWord + at) };

const say = { model: modelName, ignore_eos: true, ...speak };
const hello = " lor ips";
const messages = [{ role: "user", content: hello }];
const usage = { stream: true, stream_options: { include_usage: true } };
const chatPath = "/v1/chat/completions";
const textPath = "/v1/completions";
const chat = (rule: string, body: object, headers?: Exchange["headers"]): Exchange => ({
  rule: `chat: ${rule}`,
  path: chatPath,
  body: { messages, ...body },
  ...(headers === undefined ? {} : { headers }),
});
const text = (rule: string, body: object, headers?: Exchange["headers"]): Exchange => ({
  rule: `completions: ${rule}`,
  path: textPath,
  body: { prompt: hello, ...body },
  ...(headers === undefined ? {} : { headers }),
});
const raw = (body: string): Exchange => ({ rule: `the body ${JSON.stringify(body)}`, path: textPath, body });

/** Requests that are answered, none of them with a prompt that fills a block or is seen in two sizes. */
export const answered: readonly Exchange[] = [
  chat("whole", { ...say, max_tokens: 3 }),
  chat("streamed", { ...say, max_tokens: 3, stream: true }),
  chat("streamed, one token", { ...say, max_tokens: 1, stream: true }),
  chat("streamed with usage", { ...say, max_tokens: 3, ...usage }),
  chat("streamed with usage on each", {
    ...say,
    max_tokens: 2,
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
  }),
  chat("max_completion_tokens before max_tokens", { ...say, max_tokens: 3, max_completion_tokens: 2 }),
  chat("two answers", { ...say, max_tokens: 2, n: 2 }),
  chat("two answers streamed", { ...say, max_tokens: 2, n: 2, stream: true }),
  chat("two answers streamed with usage", { ...say, max_tokens: 2, n: 2, ...usage }),
  chat("parts and several messages", {
    ...say,
    max_tokens: 1,
    messages: [
      { role: "system", content: " dol" },
      { role: "user", content: [" lor", " ips"].map((part) => ({ type: "text", text: part })) },
      { role: "assistant", content: null },
    ].slice(0, 2),
  }),
  chat("a role of one's own", { ...say, max_tokens: 1, messages: [{ role: "wizard", content: hello }] }),
  chat("no model", { ...speak, ignore_eos: true, max_tokens: 1 }),
  chat("an id from outside", { ...say, max_tokens: 1 }, { "x-request-id": "mine" }),
  text("whole", { ...say, max_tokens: 3 }),
  text("streamed", { ...say, max_tokens: 3, stream: true }),
  text("streamed with usage", { ...say, max_tokens: 3, ...usage }),
  text("streamed with usage on each", {
    ...say,
    max_tokens: 2,
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
  }),
  text("16 tokens unless told", { ...say }),
  text("16 tokens for null", { ...say, max_tokens: null }),
  text("token ids", { ...say, prompt: [1, 2, 3], max_tokens: 2 }),
  text("several prompts", { ...say, prompt: [" lor", " ips dol"], max_tokens: 2 }),
  text("several prompts of ids, streamed with usage", {
    ...say,
    prompt: [
      [1, 2],
      [3, 4, 5],
    ],
    max_tokens: 2,
    ...usage,
  }),
  text("two answers to each of two prompts", { ...say, prompt: [" lor", " ips dol"], max_tokens: 1, n: 2 }, { "x-request-id": "mine" }),
  text("two answers streamed", { ...say, max_tokens: 2, n: 2, stream: true }),
  text("a number as text", { ...say, max_tokens: "3" }),
  text("a limit of true", { ...say, max_tokens: true }),
  text("a field that nobody knows", { ...say, max_tokens: 1, unheard: 5 }),
  text("an empty model", { ...say, model: "", max_tokens: 1 }),
  text("stream options without a word", { ...say, max_tokens: 1, stream_options: {} }),
];

const many = (count: number) => words[0]?.repeat(count) ?? "";

/** Requests that are refused, every byte of it the same. */
export const refused: readonly Exchange[] = [
  chat("another model", { model: "other", max_tokens: 3 }),
  text("another model", { model: "other" }),
  text("another model before a bad limit", { model: "other", max_tokens: 0 }),
  text("another model after a missing prompt", { model: "other", prompt: null }),
  chat("max_tokens 0", { max_tokens: 0 }),
  chat("max_tokens -1", { max_tokens: -1 }),
  text("max_tokens -5", { max_tokens: -5 }),
  text("max_tokens of letters", { max_tokens: "many" }),
  chat("max_tokens of letters", { max_tokens: "many" }),
  text("max_tokens with a fraction", { max_tokens: 1.5 }),
  text("max_tokens as a list, n of letters", { max_tokens: [1], n: "z" }),
  text("max_tokens above the context", { max_tokens: 600 }),
  chat("max_completion_tokens above the context", { max_completion_tokens: 600 }),
  chat("max_completion_tokens 0", { max_completion_tokens: 0 }),
  text("more letters than can fit", { prompt: many(513), max_tokens: 5 }),
  chat("more letters than can fit", { messages: [{ role: "user", content: many(513) }] }),
  chat("more letters than can fit, streamed", { messages: [{ role: "user", content: many(513) }], stream: true }),
  text("one id more than can fit", { prompt: Array(513).fill(1), max_tokens: 1 }),
  text("many ids more than can fit", { prompt: Array(600).fill(1) }),
  text("a prompt that leaves no room", { prompt: many(512), max_tokens: 1 }),
  chat("a prompt that leaves no room", { messages: [{ role: "user", content: many(512) }] }),
  text("no prompt", { prompt: undefined }),
  text("an empty prompt", { prompt: "" }),
  text("an empty prompt in a list", { prompt: [""] }),
  text("an empty list", { prompt: [] }),
  text("a number for a prompt", { prompt: 5 }),
  text("an object for a prompt", { prompt: {} }),
  text("letters and ids mixed", { prompt: ["a", 1] }),
  text("an id below 0", { prompt: [-1] }),
  text("an id with a fraction", { prompt: [1.5] }),
  chat("no messages", { messages: undefined }),
  chat("null for messages", { messages: null }),
  chat("an empty conversation", { messages: [] }),
  chat("an empty conversation with another model", { model: "other", messages: [] }),
  chat("letters for messages", { messages: "hi" }),
  chat("a number for a message", { messages: [5] }),
  chat("a message without a role", { messages: [{ content: "x" }] }),
  chat("a number for the model", { model: 5 }),
  text("n 0", { n: 0 }),
  text("n -1", { n: -1 }),
  text("n null", { n: null }),
  text("more answers than allowed", { n: 16_385 }),
  text("more prompts than allowed", { prompt: Array(1025).fill("x") }),
  chat("n 0 before max_tokens 0", { n: 0, max_tokens: 0 }),
  text("two answers with nothing left to chance", { n: 2, temperature: 0 }),
  text("a temperature below 0", { temperature: -1 }),
  text("a temperature above 2", { temperature: 3 }),
  text("a temperature of letters", { temperature: "it's hot" }),
  text("top_p above 1", { top_p: 2 }),
  text("stream of letters", { stream: "perhaps" }),
  text("stream as a list", { stream: [] }),
  text("ignore_eos as a number", { ignore_eos: 3 }),
  text("ignore_eos null", { ignore_eos: null }),
  text("stream options of another shape", { stream: true, stream_options: 5 }),
  text("usage of letters", { stream: true, stream_options: { include_usage: "x" } }),
  text("stream options without a stream", { stream_options: { include_usage: true } }),
  chat("stream options without a stream", { stream_options: { include_usage: true } }),
  text("min_tokens above max_tokens", { max_tokens: 1, min_tokens: 5 }),
  text("min_tokens below 0", { min_tokens: -1 }),
  ...["{", '{"model":', "hello", "[1]", '""', "", '{"a" 1}', '{"a":1 "b":2}', "[1,2", '"abc', '{"a":"\\x"}', '{"a":1} x'].map(raw),
  ...['{"a":tru}', '{"a":1,', '{"a":"b', "[1,]", '{"a":"\\u12"}', '{"a":"x\ty"}', '{"é":}', "{a:1}", "nul", "-", "01", "   "].map(raw),
  { ...text("another media type", { ...say, max_tokens: 1 }), headers: { "content-type": "text/plain" } },
];

/** Refused by both with the same kind of error, in other words: what is wrong with a message is told for each of nine kinds of message. */
export const refusedInOtherWords: readonly Exchange[] = [
  chat("a number for a message's content", { messages: [{ role: "user", content: 5 }] }),
  chat("null for a user's content", { messages: [{ role: "user", content: null }] }),
];

/** Answers that end by themselves, of any length above one token. */
export const stopping: readonly Exchange[] = [
  { stream: false, ends: "whole" },
  { stream: true, ends: "streamed" },
].flatMap(({ stream, ends }) => {
  const body = { model: modelName, allowed_token_ids: [token.firstWord, token.end], min_tokens: 2, max_tokens: 500, stream };
  return [chat(`ends by itself, ${ends}`, body), text(`ends by itself, ${ends}`, body)];
});

export async function exchange(url: string, { path, body, headers }: Exchange): Promise<Answer> {
  return request(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

export async function request(url: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await fetch(url, init);
  return {
    status: answer.status,
    contentType: answer.headers.get("content-type"),
    allow: answer.headers.get("allow"),
    body: await answer.text(),
  };
}

/** The same answer without what differs from one to the next: ids, times, the fingerprint and the words that were said. */
export function alike(answer: Answer): Answer {
  const body = answer.body
    .replaceAll(/"id":"(chatcmpl|cmpl|modelperm)-[0-9a-f]{16}"/g, '"id":"$1-…"')
    .replaceAll(/"created":\d+/g, '"created":0')
    .replaceAll(/"system_fingerprint":"vllm-0\.32\.0-[0-9a-f]{8}"/g, '"system_fingerprint":"…"')
    .replaceAll(/"root":"[^"]*"/g, '"root":"…"')
    .replaceAll(/"(content|text)":"([^"]*)"/g, (_, name, said: string) => `"${name}":"${said === "" ? "" : "…"}"`);
  return { ...answer, body: answer.contentType?.startsWith("text/event-stream") === true ? inOrder(body) : body };
}

/** Events by the answer that they belong to, for several come in any order; equal ones once, for two tokens may come in one. */
function inOrder(stream: string): string {
  const events = stream.split("\n\n");
  const owner = (event: string) => Number(/"choices":\[\{"index":(\d+)/.exec(event)?.[1] ?? Number.POSITIVE_INFINITY);
  const sorted = events.toSorted((a, b) => (owner(a) === owner(b) ? 0 : owner(a) - owner(b)));
  return sorted.filter((event, at) => event !== sorted[at - 1]).join("\n\n");
}
