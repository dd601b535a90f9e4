import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];
const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stdout });

export interface TableCell {
  readonly text: string;
  readonly style?: Style;
}
export type Align = "left" | "right";

/** Columns as wide as their widest cell, two blanks apart; the heads are dimmed. */
export function table(heads: readonly (readonly [string, Align])[], rows: readonly (readonly (string | TableCell)[])[]): string {
  const cells = rows.map((row) => row.map((cell): TableCell => (typeof cell === "string" ? { text: cell } : cell)));
  const widths = heads.map(([head], at) => Math.max(head.length, ...cells.map((row) => row[at]?.text.length ?? 0)));
  const pad = (text: string, at: number) =>
    heads[at]?.[1] === "right" ? text.padStart(widths[at] as number) : text.padEnd(widths[at] as number);
  const line = (row: readonly TableCell[]) =>
    row.map(({ text, style }, at) => (style === undefined ? pad(text, at) : paint(style, pad(text, at)))).join("  ");
  return [line(heads.map(([text]) => ({ text, style: "dim" }))), ...cells.map(line)].map((one) => `${one.trimEnd()}\n`).join("");
}

/** A field as RFC 4180, 2.5 to 2.7 has it. */
const csvField = (value: string | number | boolean | null) => {
  const text = value === null ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
export const csv = (rows: readonly (readonly (string | number | boolean | null)[])[]): string =>
  rows.map((row) => `${row.map(csvField).join(",")}\n`).join("");
