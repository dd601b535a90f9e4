import fc from "fast-check";
import { expect, it } from "vitest";
import { Digest } from "./digest.ts";
import { Prompts } from "./prompts.ts";
import { StreamScanner } from "./sse.ts";

const stream = [
  ": comment\n\n",
  'data: {"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}\n\n',
  'data: {"choices":[{"delta":{"content":"é"}}],"usage":null}\n\n',
  'data:{"choices":[{"delta":{"content":"\\"usage\\":{"}}]}\r\n\r\n',
  'event: x\ndata: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\n',
  'data: {"choices":[],"usage": {"prompt_tokens":7,"completion_tokens":3}}\n\n',
  "data: [DONE]\n\n",
].join("");

it("counts a stream the same however it is cut", () => {
  const bytes = Buffer.from(stream);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
      const scanner = new StreamScanner();
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      let text = 0;
      for (const [index, end] of at.slice(1).entries()) text += scanner.push(bytes.subarray(at[index], end));
      expect(scanner).toMatchObject({ events: 5, textEvents: 3, done: true, completionTokens: 3, promptTokens: 7, error: null });
      expect(text).toBe(3);
    }),
  );
});

it("knows an unfinished stream and an error in it", () => {
  const cut = new StreamScanner();
  cut.push(Buffer.from(stream.slice(0, -16)));
  expect(cut.done).toBe(false);
  const failed = new StreamScanner();
  failed.push(Buffer.from('data: {"error":{"message":"engine died","code":500}}\n\ndata: [DONE]\n\n'));
  expect(failed).toMatchObject({ error: "engine died", done: true, textEvents: 0 });
});

it("writes prompts of four bytes a token that share what the trace says", () => {
  const prompts = new Prompts(1);
  const plain = prompts.text({ arrivalMs: 0, promptTokens: 500, outputTokens: 1 });
  const other = prompts.text({ arrivalMs: 0, promptTokens: 500, outputTokens: 1 });
  expect(plain).toHaveLength(2000);
  expect(plain).toMatch(/^[a-z ]+$/);
  expect(other.slice(0, 64)).not.toBe(plain.slice(0, 64));
  expect(new Prompts(1).text({ arrivalMs: 0, promptTokens: 500, outputTokens: 1 })).toBe(plain);
  const first = prompts.text({ arrivalMs: 0, promptTokens: 1000, outputTokens: 1, sessionId: "a", prefixHitTokens: 512 });
  const second = prompts.text({ arrivalMs: 1, promptTokens: 2000, outputTokens: 1, sessionId: "a", prefixHitTokens: 1000 });
  const third = prompts.text({ arrivalMs: 2, promptTokens: 3000, outputTokens: 1, sessionId: "a", prefixHitTokens: 1536 });
  const stranger = prompts.text({ arrivalMs: 3, promptTokens: 700, outputTokens: 1, sessionId: "b", prefixHitTokens: 512 });
  expect(second).toHaveLength(8000);
  expect(second.startsWith(first)).toBe(true);
  expect(third.slice(0, 1536 * 4)).toBe(second.slice(0, 1536 * 4));
  expect(third.slice(1536 * 4, 1600 * 4)).not.toBe(second.slice(1536 * 4, 1600 * 4));
  expect(stranger.slice(0, 512 * 4)).toBe(first.slice(0, 512 * 4));
  expect(prompts.text({ arrivalMs: 4, promptTokens: 600_000, outputTokens: 1 })).toHaveLength(2_400_000);
});

it("keeps percentiles within half a percent", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.02, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 }), (values) => {
      const digest = new Digest();
      for (const value of values) digest.add(value);
      const sorted = values.toSorted((a, b) => a - b);
      for (const q of [0.5, 0.95, 0.99]) {
        const true_ = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1]!;
        expect(Math.abs(digest.quantile(q)! / true_ - 1)).toBeLessThan(0.0051);
      }
      expect(digest.percentiles()).toMatchObject({ count: values.length, min: sorted[0], max: sorted.at(-1) });
    }),
  );
  expect(new Digest().percentiles()).toEqual({ count: 0, mean: null, min: null, p50: null, p90: null, p95: null, p99: null, max: null });
});
