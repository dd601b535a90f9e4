import fc from "fast-check";
import { expect, it } from "vitest";
import { formatCsvTrace, jsonLine, parseTrace, readTrace, TraceParser, type TraceRequest } from "./index.ts";

const message = (text: string): string => {
  try {
    parseTrace(text, "t.csv");
  } catch (error) {
    expect(error).toMatchObject({ name: "TidegateError", code: "trace/invalid" });
    return (error as Error).message;
  }
  throw new Error("it was taken");
};
const row = (arrivalMs: number, promptTokens: number, outputTokens: number, more: Partial<TraceRequest> = {}): TraceRequest => ({
  arrivalMs,
  promptTokens,
  outputTokens,
  ...more,
});

it("reads our columns in any order, with what is optional", () => {
  expect(parseTrace("arrival_s,prompt_tokens,output_tokens\r\n0.000,374,44\r\n4.315,396,109\r\n", "t")).toEqual([
    row(0, 374, 44),
    row(4315, 396, 109),
  ]);
  expect(
    parseTrace(
      'client,output_tokens,arrival_s,prompt_tokens,prefix_hit_tokens,session_id,class\n"a, ""b""",2,1.5,7,5,s1,batch\n,2,2,7,,,',
      "t",
    ),
  ).toEqual([row(1500, 7, 2, { client: 'a, "b"', prefixHitTokens: 5, sessionId: "s1", class: "batch" }), row(2000, 7, 2)]);
});

it("reads what others publish", () => {
  expect(
    parseTrace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319569,3180,8\n",
      "azure",
    ),
  ).toEqual([row(0, 4808, 10), row(51.997, 3180, 8)]);
  expect(
    parseTrace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 02:00:01+02:00,2399,6\n",
      "azure",
    ),
  ).toEqual([row(0, 2162, 5), row(990.07, 2399, 6)]);
  expect(
    parseTrace(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,100,0,100,API log\n",
      "burst",
    ),
  ).toEqual([row(5000, 472, 18, { class: "ChatGPT" }), row(45_000, 100, 1, { class: "GPT-4" })]);
  expect(
    parseTrace(
      [
        { timestamp: 0, input_length: 1300, output_length: 500, hash_ids: [1, 2, 3] },
        { timestamp: 3000, input_length: 700, output_length: 5, hash_ids: [1, 9] },
        { timestamp: 3000, input_length: 1800, output_length: 1, hash_ids: [1, 2, 3, 4] },
      ]
        .map((each) => JSON.stringify(each))
        .join("\n"),
      "mooncake.jsonl",
    ),
  ).toEqual([
    row(0, 1300, 500, { sessionId: "0", prefixHitTokens: 0 }),
    row(3000, 700, 5, { sessionId: "1", prefixHitTokens: 512 }),
    row(3000, 1800, 1, { sessionId: "0", prefixHitTokens: 1536 }),
  ]);
});

it("says where an unknown column stands, what was meant and what is known", () => {
  expect(message("arrival_s,prompt_tokns,output_tokens\n0,1,1\n")).toBe(
    't.csv:1:11: column "prompt_tokns" is not known; did you mean "prompt_tokens"? Known columns (Tidegate): arrival_s, prompt_tokens, output_tokens, client, session_id, prefix_hit_tokens, class. Rename it, or remove it from the file',
  );
  expect(message("arrival_s,prompt_tokens,output_tokens,colour\n")).toMatch(/^t\.csv:1:39: column "colour" is not known\. Known/);
  expect(message("TIMESTAMP,ContextTokens,GeneratedToken\n")).toContain('did you mean "GeneratedTokens"? Known columns (Azure): ');
  expect(message('{"timestamp":0,"input_length":1,"output_length":1}\n{"timestamp":0,"input_length":1,"output_length":1,"x":1}')).toMatch(
    /^t\.csv:2:51: column "x"/,
  );
});

it("says where a value is wrong", () => {
  const head = "arrival_s,prompt_tokens,output_tokens\n";
  expect(message(`${head}0,1,1\n1,one,1\n`)).toMatch(/^t\.csv:3:3: "prompt_tokens" \(one\) is not a whole number of tokens from 1 on/);
  expect(message(`${head}0,1,0\n`)).toMatch(/^t\.csv:2:5: "output_tokens" \(0\)/);
  expect(message(`${head}0,1.5,1\n`)).toMatch(/^t\.csv:2:3: "prompt_tokens" \(1\.5\)/);
  expect(message(`${head},1,1\n`)).toMatch(/^t\.csv:2:1: "arrival_s" \(nothing\) is not a number of seconds/);
  expect(message(`${head}2,1,1\n1,1,1\n`)).toMatch(/^t\.csv:3:1: "arrival_s" \(1\) is before the row above; sort/);
  expect(message(`${head}0,1\n`)).toMatch(/^t\.csv:2:4: the row has 2 values and the header 3 columns; "output_tokens" has no value/);
  expect(message(`${head}0,1,1,9\n`)).toMatch(/^t\.csv:2:7: the row has 4 values/);
  expect(message("arrival_s,prompt_tokens\n0,1\n")).toMatch(/^t\.csv:1:1: column "output_tokens" is missing/);
  expect(message("arrival_s,prompt_tokens,arrival_s,output_tokens\n")).toMatch(/^t\.csv:1:25: column "arrival_s" appears twice/);
  expect(message(`${head.replace("\n", ",prefix_hit_tokens\n")}0,5,1,6\n`)).toMatch(/^t\.csv:2:7: "prefix_hit_tokens" \(6\) is above/);
  expect(message('{"arrival_s":0,"prompt_tokens":1,"output_tokens":1}\nnope\n')).toMatch(/^t\.csv:2:1: not a JSON object/);
  expect(message('{"arrival_s":0,"prompt_tokens":1,"output_tokens":1}\n{"arrival_s":1,"prompt_tokens":1}\n')).toMatch(
    /^t\.csv:2: "output_tokens" \(nothing\)/,
  );
  expect(message("TIMESTAMP,ContextTokens,GeneratedTokens\nnow,1,1\n")).toMatch(/^t\.csv:2:1: "TIMESTAMP" \(now\) is not a time/);
  expect(message("")).toMatch(/^t\.csv:1: the trace is empty/);
});

it("reads the same however the pieces are cut, and back what it writes", async () => {
  const text = fc.option(
    fc.string({ minLength: 1, maxLength: 8 }).filter((each) => !/[\r\n]/.test(each)),
    { nil: undefined },
  );
  const trace = fc
    .array(
      fc.record({
        gap: fc.nat(5000),
        promptTokens: fc.integer({ min: 1, max: 9999 }),
        outputTokens: fc.integer({ min: 1, max: 999 }),
        client: text,
      }),
      { minLength: 1, maxLength: 20 },
    )
    .map((rows) => {
      let arrivalMs = 0;
      return rows.map(({ gap, client, ...sizes }) => {
        arrivalMs += gap;
        return { arrivalMs, ...sizes, ...(client === undefined ? {} : { client }) };
      });
    });
  await fc.assert(
    fc.asyncProperty(trace, fc.array(fc.nat(200), { maxLength: 6 }), async (rows, cuts) => {
      const written = formatCsvTrace(rows);
      const at = [0, ...cuts.map((cut) => Math.min(cut, written.length)).sort((a, b) => a - b), written.length];
      const pieces = at.slice(1).map((end, index) => written.slice(at[index], end));
      const read: TraceRequest[] = [];
      for await (const each of readTrace(pieces, "t")) read.push(each);
      expect(read).toEqual(rows);
      expect(parseTrace(rows.map(jsonLine).join(""), "t")).toEqual(rows);
    }),
  );
});

it("gives rows as their lines end", () => {
  const parser = new TraceParser("t");
  expect(parser.push("arrival_s,prompt_tokens,output_tokens\n0,1,")).toEqual([]);
  expect(parser.push("2\n1,3")).toEqual([row(0, 1, 2)]);
  expect(parser.push(",4")).toEqual([]);
  expect(parser.end()).toEqual([row(1000, 3, 4)]);
});
