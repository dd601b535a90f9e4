import type { TraceRequest } from "./trace.ts";

/** Which optional columns a written trace has. */
export type OptionalColumn = "client" | "session_id" | "prefix_hit_tokens" | "class";
export const OPTIONAL_COLUMNS: readonly OptionalColumn[] = ["client", "session_id", "prefix_hit_tokens", "class"];

const optional: Readonly<Record<OptionalColumn, (row: TraceRequest) => string | number | undefined>> = {
  client: (row) => row.client,
  session_id: (row) => row.sessionId,
  prefix_hit_tokens: (row) => row.prefixHitTokens,
  class: (row) => row.class,
};

/** The optional columns that `row` fills. A trace fills the same ones throughout, so its first row tells. */
export function optionalColumns(row: TraceRequest): readonly OptionalColumn[] {
  return OPTIONAL_COLUMNS.filter((column) => optional[column](row) !== undefined);
}

const quoted = (value: string | number | undefined) => {
  const text = value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const secondsText = (ms: number) => (ms / 1000).toFixed(3);

/** Header line with its line end. */
export function csvHeader(columns: readonly OptionalColumn[]): string {
  return `${["arrival_s", "prompt_tokens", "output_tokens", ...columns].join(",")}\n`;
}

/** One CSV line with its line end; arrivals to the millisecond. */
export function csvLine(row: TraceRequest, columns: readonly OptionalColumn[]): string {
  const more = columns.map((column) => `,${quoted(optional[column](row))}`).join("");
  return `${secondsText(row.arrivalMs)},${row.promptTokens},${row.outputTokens}${more}\n`;
}

/** One JSON line with its line end, in the same column names as our CSV. */
export function jsonLine(row: TraceRequest): string {
  const more = Object.fromEntries(optionalColumns(row).map((column) => [column, optional[column](row)]));
  return `${JSON.stringify({ arrival_s: Number(secondsText(row.arrivalMs)), prompt_tokens: row.promptTokens, output_tokens: row.outputTokens, ...more })}\n`;
}

/** A whole trace as CSV. */
export function formatCsvTrace(rows: readonly TraceRequest[]): string {
  const columns = OPTIONAL_COLUMNS.filter((column) => rows.some((row) => optional[column](row) !== undefined));
  return csvHeader(columns) + rows.map((row) => csvLine(row, columns)).join("");
}
