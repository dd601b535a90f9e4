/** Text that is HTML already; everything else is escaped on its way into `html`. */
export interface Html {
  readonly html: string;
}
export type Content = Html | string | number | null | readonly Content[];

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;");

function textOf(content: Content): string {
  if (content === null) return "";
  if (typeof content === "string") return escaped(content);
  if (typeof content === "number") return String(content);
  return "html" in content ? content.html : content.map(textOf).join("");
}

/** HTML or SVG with its values escaped, in text and in quoted attributes alike. */
export const html = (parts: TemplateStringsArray, ...values: readonly Content[]): Html => ({
  html: parts.reduce((all, part, at) => all + part + (at < values.length ? textOf(values[at] as Content) : ""), ""),
});
/** For what is HTML by itself, such as a style sheet of ours. */
export const raw = (text: string): Html => ({ html: text });
/** A place in a picture, to a tenth of a pixel. */
export const px = (value: number): number => Math.round(value * 10) / 10;
/** An id made of names; the same names give the same id. */
export const idOf = (...names: readonly (string | number)[]): string =>
  names
    .join("-")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-");
