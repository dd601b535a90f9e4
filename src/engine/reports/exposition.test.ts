import fc from "fast-check";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { expect, it } from "vitest";
import { type PageSample, parseExposition } from "./index.ts";

const flat = (text: string): PageSample[] => [...parseExposition(text).values()].flat();
const one = (text: string) => flat(text)[0];

it.each([
  { rule: "a bare sample", text: "up 1\n", sample: { name: "up", labels: {}, value: 1, atMs: null } },
  { rule: "colons in names", text: "a:b:c 2", sample: { name: "a:b:c", value: 2 } },
  { rule: "labels with commas, braces and hashes", text: 'x{a="1,2",b="}{ # "} 3', sample: { labels: { a: "1,2", b: "}{ # " }, value: 3 } },
  { rule: "escapes", text: String.raw`x{a="q\"b\\n\n."} 1`, sample: { labels: { a: 'q"b\\n\n.' } } },
  { rule: "an unknown escape as it stands", text: String.raw`x{a="\d"} 1`, sample: { labels: { a: String.raw`\d` } } },
  { rule: "spaces, tabs and a comma at the end", text: '  x\t{ a = "1" , } \t 4 \r\n', sample: { labels: { a: "1" }, value: 4 } },
  { rule: "timestamps in milliseconds", text: "x 1 1700000000123", sample: { atMs: 1_700_000_000_123 } },
  { rule: "OpenMetrics timestamps in seconds", text: "x 1 1700000000.5\n# EOF\n", sample: { atMs: 1_700_000_000_500 } },
  { rule: "exemplars", text: 'x_bucket{le="1"} 5 # {trace="a # b"} 0.5 1.7e9\n# EOF', sample: { value: 5, atMs: null } },
  { rule: "quoted names", text: '{"a.b c",d="e"} 7', sample: { name: "a.b c", labels: { d: "e" }, value: 7 } },
  { rule: "infinity", text: "x -Inf", sample: { value: Number.NEGATIVE_INFINITY } },
  { rule: "NaN", text: "x NaN", sample: { value: Number.NaN } },
  { rule: "exponents", text: "x 1.5e+09", sample: { value: 1.5e9 } },
])("reads $rule", ({ text, sample }) => {
  expect(one(text)).toMatchObject(sample);
});

it.each([
  ["HTML", "<!doctype html><html></html>"],
  ["JSON", '[{"iter":1}]'],
  ["prose", "service unavailable"],
  ["an unclosed quote", 'x{a="1} 2'],
  ["unclosed labels", 'x{a="1"'],
  ["a value that is no number", "x one"],
  ["a label without quotes", "x{a=1} 2"],
  ["a timestamp that is none", "x 1 noon"],
  ["text behind the timestamp", "x 1 2 3"],
])("refuses %s, naming the line", (_, text) => {
  expect(() => parseExposition(`# a comment\nup 1\n${text}\n`)).toThrow(/line 3/);
});

it("refuses garbage even where nothing is to be kept, and skips what is not wanted", () => {
  expect(() => parseExposition("service unavailable", () => false)).toThrow("line 1");
  expect([...parseExposition('a 1\nb{x="y"} 2\nc 3 4\n', (name) => name === "b").keys()]).toEqual(["b"]);
});

it("says nothing of an empty page", () => {
  expect(parseExposition("").size).toBe(0);
});

const value = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN));
const labelValues = fc.array(fc.tuple(fc.string({ unit: "binary" }), value), { minLength: 1, maxLength: 6 });

it("reads what prom-client writes, in both formats", async () => {
  await fc.assert(
    fc.asyncProperty(
      labelValues,
      fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { maxLength: 8 }),
      fc.boolean(),
      async (rows, seen, open) => {
        const registry = new Registry();
        if (open) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
        const registers = [registry];
        const gauge = new Gauge({ name: "g", help: 'h\n"quoted" \\ help', labelNames: ["l", "m"], registers });
        const counter = new Counter({ name: open ? "c" : "c_total", help: "h", registers });
        const histogram = new Histogram({ name: "h", help: "h", labelNames: ["l"], buckets: [1, 10], registers });
        const expected = new Map<string, number>();
        for (const [label, number] of rows) {
          gauge.set({ l: label, m: "x" }, number);
          expected.set(label, number);
        }
        counter.inc(3);
        for (const observation of seen) histogram.observe({ l: rows[0]?.[0] as string }, observation);
        const page = parseExposition(await registry.metrics());
        const got = new Map(page.get("g")?.map((sample) => [sample.labels["l"], sample.value]));
        expect(got.size).toBe(expected.size);
        for (const [label, number] of expected) expect(got.get(label)).toEqual(Object.is(number, -0) ? 0 : number);
        expect(page.get("c_total")?.[0]?.value).toBe(3);
        if (seen.length > 0) {
          const bucket = page.get("h_bucket")?.find((sample) => sample.labels["le"] === "10");
          expect(bucket?.value).toBe(seen.filter((observation) => observation <= 10).length);
          expect(bucket?.labels["l"]).toBe(rows[0]?.[0]);
          expect(page.get("h_count")?.[0]?.value).toBe(seen.length);
        }
      },
    ),
    { numRuns: 60 },
  );
});

it("never throws anything but a malformed page, whatever the text", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ maxLength: 80 }), fc.string({ unit: fc.constantFrom(...'ab{}=",\\ 1.#\n\t+-N'), maxLength: 60 })),
      (text) => {
        try {
          parseExposition(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "signal/malformed" });
        }
      },
    ),
    { numRuns: 500 },
  );
});
