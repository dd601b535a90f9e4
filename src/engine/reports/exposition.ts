import { type Ms, TidegateError } from "../../model/index.ts";

/** `atMs`: the timestamp that the page itself gives, which hardly any engine does. */
export interface PageSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly atMs: Ms | null;
}

const nameHere = /[a-zA-Z_:][a-zA-Z0-9_:.]*/y;
const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const infinite = /^([+-]?)inf(?:inity)?$/i;
const looksLikeNumber = /^[0-9+\-.NnIi]/;
const blank = (char: string | undefined) => char === " " || char === "\t";

/**
 * Samples of a page in Prometheus text format 0.0.4 or OpenMetrics 1.0, by sample name (`x_bucket`, `x_total` as on the wire),
 * in one pass. Lines of names that `keep` refuses are skipped unread, so that a large page costs little. Comments, exemplars,
 * `# EOF` and the quoted names of newer exporters (`{"name", label="v"}`) are understood; a missing last line feed is forgiven.
 * Sources: Prometheus "Exposition formats"; OpenMetrics 1.0 "ABNF".
 * @throws TidegateError `signal/malformed` with the number of the line: a page that is no metrics page, such as HTML or JSON
 */
export function parseExposition(text: string, keep: (name: string) => boolean = () => true): ReadonlyMap<string, readonly PageSample[]> {
  const samples = new Map<string, PageSample[]>();
  const kept = new Map<string, boolean>();
  // OpenMetrics, which must end in this line, writes timestamps in seconds; Prometheus in milliseconds.
  const timestampMs = /# EOF\s*$/.test(text.slice(-32)) ? 1000 : 1;
  let lineNumber = 0;
  for (let start = 0; start < text.length; ) {
    const feed = text.indexOf("\n", start);
    let end = feed < 0 ? text.length : feed;
    const next = end + 1;
    lineNumber++;
    while (end > start && (blank(text[end - 1]) || text[end - 1] === "\r")) end--;
    while (start < end && blank(text[start])) start++;
    if (start < end && text[start] !== "#") readLine(start, end);
    start = next;
  }
  return samples;

  function readLine(start: number, end: number): void {
    const fail = (what: string): TidegateError => {
      const line = text.slice(start, Math.min(end, start + 80));
      return new TidegateError("signal/malformed", `line ${lineNumber} is no metric (${what}): ${JSON.stringify(line)}`);
    };
    let at = start;
    const readName = () => {
      nameHere.lastIndex = at;
      const name = nameHere.exec(text)?.[0] ?? "";
      at += name.length;
      return name;
    };
    let name = readName();
    if (name !== "") {
      if (at < end && !blank(text[at]) && text[at] !== "{") throw fail("name");
      let wanted = kept.get(name);
      if (wanted === undefined) {
        wanted = keep(name);
        kept.set(name, wanted);
      }
      if (!wanted) {
        const last = Math.max(text.lastIndexOf(" ", end - 1), text.lastIndexOf("\t", end - 1), text.lastIndexOf("}", end - 1)) + 1;
        if (last <= start || !looksLikeNumber.test(text[last] ?? "")) throw fail("value");
        return;
      }
    } else if (text[at] !== "{") throw fail("name");
    const skip = () => {
      while (at < end && blank(text[at])) at++;
    };
    skip();
    const labels: Record<string, string> = Object.create(null);
    if (text[at] === "{") {
      at++;
      for (skip(); text[at] !== "}"; skip()) {
        if (at >= end) throw fail("unclosed labels");
        let label: string;
        let quoted = false;
        if (text[at] === '"') {
          label = readQuoted();
          quoted = true;
        } else {
          label = readName();
          if (label === "") throw fail("label name");
        }
        skip();
        if (text[at] === "=") {
          at++;
          skip();
          if (text[at] !== '"') throw fail("label value without quotes");
          labels[label] = readQuoted();
        } else if (quoted && name === "") name = label;
        else throw fail("label without value");
        skip();
        if (text[at] === ",") at++;
        else if (text[at] !== "}") throw fail("labels");
      }
      at++;
    }
    if (name === "") throw fail("no name");
    const token = () => {
      skip();
      const from = at;
      while (at < end && !blank(text[at])) at++;
      return text.slice(from, at);
    };
    const value = numberOf(token());
    if (value === null) throw fail("value");
    const stamp = token();
    let atMs: Ms | null = null;
    if (stamp !== "" && !stamp.startsWith("#")) {
      if (!number.test(stamp)) throw fail("timestamp");
      atMs = Number(stamp) * timestampMs;
      const more = token();
      if (more !== "" && !more.startsWith("#")) throw fail("text behind the timestamp");
    }
    if (!keep(name)) return;
    const sample = { name, labels, value, atMs };
    const list = samples.get(name);
    if (list === undefined) samples.set(name, [sample]);
    else list.push(sample);

    function readQuoted(): string {
      let read = "";
      let from = ++at;
      for (; at < end && text[at] !== '"'; at++) {
        if (text[at] !== "\\") continue;
        const escaped = text[at + 1];
        if (escaped !== "n" && escaped !== '"' && escaped !== "\\") continue; // an unknown escape stands for itself
        read += text.slice(from, at) + (escaped === "n" ? "\n" : escaped);
        at++;
        from = at + 1;
      }
      if (at >= end) throw fail("unclosed quote");
      read += text.slice(from, at);
      at++;
      return read;
    }
  }
}

function numberOf(text: string): number | null {
  if (number.test(text)) return Number(text);
  const sign = infinite.exec(text);
  if (sign !== null) return sign[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return /^nan$/i.test(text) ? Number.NaN : null;
}
