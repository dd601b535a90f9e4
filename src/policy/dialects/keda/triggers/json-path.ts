/**
 * A path into JSON as gjson reads it: keys and indices between dots, `\` before a dot that belongs to a key, `*` and `?` as wild
 * cards, `#` for a list's length or, before more path, each of its elements, and `#(key op value)` (with `#` behind it: all) for
 * elements that compare so. @returns `undefined` where the path leads nowhere
 */
export function jsonAt(document: unknown, path: string): unknown {
  return walk(document, segments(path));
}

/** Splits at dots and pipes outside of parentheses; a backslash keeps the next character, marked for `unescape`. */
function segments(path: string): readonly string[] {
  const parts: string[] = [];
  let part = "";
  let depth = 0;
  for (let at = 0; at < path.length; at++) {
    const char = path[at] as string;
    if (char === "\\" && at + 1 < path.length) {
      part += char + path[++at];
      continue;
    }
    if (char === "(") depth++;
    if (char === ")") depth--;
    if ((char === "." || char === "|") && depth === 0) {
      parts.push(part);
      part = "";
    } else part += char;
  }
  return [...parts, part];
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function walk(value: unknown, path: readonly string[]): unknown {
  const [head, ...rest] = path;
  if (head === undefined) return value;
  if (Array.isArray(value)) return walkList(value, head, rest);
  if (!isRecord(value)) return undefined;
  const wild = /(?<!\\)[*?]/.test(head) ? pattern(head) : null;
  const key = wild === null ? head.replace(/\\(.)/g, "$1") : Object.keys(value).find((name) => wild.test(name));
  return key !== undefined && Object.hasOwn(value, key) ? walk(value[key], rest) : undefined;
}

function walkList(list: readonly unknown[], head: string, rest: readonly string[]): unknown {
  if (head === "#") {
    if (rest.length === 0) return list.length;
    return list.map((item) => walk(item, rest)).filter((item) => item !== undefined);
  }
  const query = /^#\((.*)\)(#?)$/.exec(head);
  if (query !== null) {
    const holds = queryOf(query[1] as string);
    if (query[2] === "") {
      const found = list.find(holds);
      return found === undefined ? undefined : walk(found, rest);
    }
    const all = list.filter(holds);
    return rest.length === 0 ? all : walk(all, rest[0] === "#" ? rest : ["#", ...rest]);
  }
  return /^\d+$/.test(head) ? walk(list[Number(head)], rest) : undefined;
}

function pattern(text: string): RegExp {
  const source = text.replace(/\\(.)|([*?])|([.+^${}()|[\]\\])/g, (_, escaped?: string, wild?: string, special?: string) => {
    if (wild !== undefined) return wild === "*" ? ".*" : ".";
    const char = escaped ?? special ?? "";
    return /[\w\s]/.test(char) ? char : `\\${char}`;
  });
  return new RegExp(`^${source}$`, "s");
}

function queryOf(text: string): (item: unknown) => boolean {
  const found = /^(.*?)\s*(==|!=|<=|>=|<|>|!%|%|=)\s*(.*)$/s.exec(text);
  if (found === null) return (item) => jsonAt(item, text) !== undefined;
  const [, path = "", operator, literal = ""] = found;
  const wanted = literalOf(literal.trim());
  return (item) => {
    const value = path === "" ? item : jsonAt(item, path);
    if (value === undefined) return false;
    if (operator === "%" || operator === "!%") return pattern(String(wanted)).test(String(value)) === (operator === "%");
    if (operator === "=" || operator === "==") return value === wanted;
    if (operator === "!=") return value !== wanted;
    const comparable =
      (typeof value === "number" && typeof wanted === "number") || (typeof value === "string" && typeof wanted === "string");
    if (!comparable) return false;
    const [left, right] = [value as number, wanted as number];
    if (operator === "<") return left < right;
    if (operator === ">") return left > right;
    return operator === "<=" ? left <= right : left >= right;
  };
}

function literalOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
