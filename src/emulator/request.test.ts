import { expect, it } from "vitest";
import { Refusal } from "./refusal.ts";
import { type Kind, readRequest } from "./request.ts";

const served = { model: "m", maxModelLen: 512 };
const read = (kind: Kind, body: object) => readRequest(kind, "application/json; charset=utf-8", JSON.stringify(body), served);
const messages = [{ role: "user", content: "12345678" }];

function refusal(kind: Kind, body: unknown, contentType = "application/json"): Refusal {
  try {
    readRequest(kind, contentType, typeof body === "string" ? body : JSON.stringify(body), served);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error("it was let through");
}

it.each([
  { rule: "all that fits behind a chat's prompt", kind: "chat" as const, body: { messages }, limit: 510 },
  { rule: "16 tokens behind a completion's", kind: "completions" as const, body: { prompt: "12345678" }, limit: 16 },
  { rule: "16 for null", kind: "completions" as const, body: { prompt: "12345678", max_tokens: null }, limit: 16 },
  { rule: "what the client says", kind: "chat" as const, body: { messages, max_tokens: 7 }, limit: 7 },
  { rule: "its newer word first", kind: "chat" as const, body: { messages, max_tokens: 7, max_completion_tokens: 5 }, limit: 5 },
  { rule: "a number in text", kind: "chat" as const, body: { messages, max_tokens: " 7.0 " }, limit: 7 },
  { rule: "what fits of it", kind: "completions" as const, body: { prompt: "x".repeat(2000), max_tokens: 100 }, limit: 12 },
])("an answer's limit: $rule", ({ kind, body, limit }) => {
  expect(read(kind, body).prompts.map((prompt) => prompt.limit)).toEqual([limit]);
});

it.each([
  { prompt: "12345", tokens: [2] },
  { prompt: "é", tokens: [1] },
  { prompt: [1, 2, 3], tokens: [3] },
  { prompt: ["1234", "12345678"], tokens: [1, 2] },
  { prompt: [[1], [1, 2]], tokens: [1, 2] },
])("counts $prompt as $tokens tokens, a token 4 bytes", ({ prompt, tokens }) => {
  expect(read("completions", { prompt }).prompts.map((one) => one.tokens)).toEqual(tokens);
});

it("joins a chat's messages as they are and the parts of one by a new line, and never has less than a token", () => {
  const parts = [{ type: "text", text: "1234" }, { type: "image_url" }, { type: "text", text: "123" }];
  expect(
    read("chat", { messages: [...messages, { role: "assistant", content: null }, { role: "user", content: parts }] }).prompts[0]?.tokens,
  ).toBe(4);
  expect(read("chat", { messages: [{ role: "user" }] }).prompts[0]?.tokens).toBe(1);
});

it("takes words for truths as the other server does", () => {
  const asked = read("chat", {
    messages,
    stream: "yes",
    stream_options: { include_usage: 1, continuous_usage_stats: "on" },
    ignore_eos: "off",
  });
  expect(asked).toMatchObject({ stream: true, includeUsage: true, continuousUsage: true, ignoreEos: false });
  const alone = read("chat", { messages, stream: true, stream_options: { continuous_usage_stats: true } });
  expect(alone).toMatchObject({ includeUsage: false, continuousUsage: false });
});

it.each([
  { body: "{", param: "body.1", message: /'type': 'json_invalid', 'loc': 'body.1'.*'Expecting property name/ },
  { body: "", param: "body", message: /'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'/ },
  { body: "[1]", param: "body", message: /model_attributes_type.*'<list of 1 items>'/ },
  { body: { prompt: "x", max_tokens: "many" }, param: "body.max_tokens", message: /^1 validation error:\n {2}\{'type': 'int_parsing'/ },
  { body: { prompt: "x", temperature: "it's" }, param: "body.temperature", message: /'input': "it's"\}/ },
  { body: { prompt: "x", temperature: 'it\'s "hot"\n' }, param: "body.temperature", message: /'input': 'it\\'s "hot"\\n'\}/ },
  { body: { prompt: "x", n: "z".repeat(300) }, param: "body.n", message: /z{200}\.\.\.\[truncated\]'\}$/ },
  { body: { prompt: Array(12).fill(-1) }, param: "body.prompt.0", message: /^37 validation errors:\n[\s\S]* {2}\.\.\.and 27 more errors$/ },
  { body: { prompt: "x", top_p: 0 }, param: "top_p", message: /^top_p must be in \(0, 1\], got 0\.0\. \(parameter=top_p, value=0\.0\)$/ },
  { body: { prompt: "x", n: 1e9 }, param: null, message: /n must be at most 16384, got 1000000000\./ },
  { body: { prompt: "x", n: 2, temperature: 0 }, param: null, message: /greedy/ },
  { body: { prompt: "x".repeat(2049) }, param: "input_text", message: /2049 characters \(more than 2048/ },
  { body: { prompt: "é".repeat(1500) }, param: "input_tokens", message: /at least 513 input tokens/ },
  { body: { prompt: Array(600).fill(1) }, param: "input_tokens", message: /contains 600 input tokens/ },
])("refuses $body: $message", ({ body, param, message }) => {
  const refused = refusal("completions", body);
  expect(refused).toMatchObject({ status: 400, param });
  expect(refused.message).toMatch(message);
});

it("refuses another model with 404, and what is no JSON by its media type", () => {
  expect(refusal("chat", { model: "other", messages }).body).toEqual({
    error: { message: "The model `other` does not exist. Valid aliases: m.", type: "NotFoundError", param: "model", code: 404 },
  });
  expect(refusal("chat", { messages }, "text/plain").message).toContain("Unsupported Media Type");
});
