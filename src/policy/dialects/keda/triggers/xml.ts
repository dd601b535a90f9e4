import { KedaError } from "../words.ts";

/** An element with children is a record, one with text alone is that text; elements of one name become a list. */
export type XmlValue = string | { readonly [name: string]: XmlValue | readonly XmlValue[] };

const PART =
  /<!\[CDATA\[([\s\S]*?)\]\]>|<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<![^>]*>|<\/\s*([^\s>]+)\s*>|<([^\s/>]+)((?:\s+[^\s=/>]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>|([^<]+)/gy;
const ATTRIBUTE = /([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

const decode = (text: string): string =>
  text.replace(/&(?:#x([0-9a-fA-F]+)|#(\d+)|(\w+));/g, (whole, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });

interface Open {
  readonly name: string;
  readonly children: Map<string, XmlValue[]>;
  text: string;
}

/** A document as data, attributes as `-name` beside the children. @throws KedaError for what is not well formed */
export function parseXml(source: string): { readonly [name: string]: XmlValue | readonly XmlValue[] } {
  const root: Open = { name: "", children: new Map(), text: "" };
  const open: Open[] = [root];
  PART.lastIndex = 0;
  while (PART.lastIndex < source.length) {
    const at = PART.lastIndex;
    const found = PART.exec(source);
    if (found === null) throw new KedaError(`the answer is not XML at ${at}`);
    const [, cdata, closed, name, attributes = "", selfClosing, text] = found;
    const parent = open.at(-1) as Open;
    if (cdata !== undefined) parent.text += cdata;
    else if (text !== undefined) parent.text += decode(text);
    else if (name !== undefined) {
      const element: Open = { name, children: new Map(), text: "" };
      for (const [, key, double, single] of attributes.matchAll(ATTRIBUTE)) add(element, `-${key}`, decode(double ?? single ?? ""));
      if (selfClosing === "/") add(parent, name, closeOf(element));
      else open.push(element);
    } else if (closed !== undefined) {
      const element = open.pop() as Open;
      if (element.name !== closed || open.length === 0) throw new KedaError(`the answer is not XML: </${closed}> closes <${element.name}>`);
      add(open.at(-1) as Open, closed, closeOf(element));
    }
  }
  if (open.length > 1) throw new KedaError(`the answer is not XML: <${open.at(-1)?.name}> is never closed`);
  const document = closeOf(root);
  return typeof document === "string" ? {} : document;
}

function add({ children }: Open, name: string, value: XmlValue): void {
  const known = children.get(name);
  if (known === undefined) children.set(name, [value]);
  else known.push(value);
}

function closeOf({ children, text }: Open): XmlValue {
  if (children.size === 0) return text.trim();
  const entries = [...children].map(([name, values]) => [name, values.length === 1 ? (values[0] as XmlValue) : values] as const);
  return { ...Object.fromEntries(entries), ...(text.trim() === "" ? {} : { "#text": text.trim() }) };
}
