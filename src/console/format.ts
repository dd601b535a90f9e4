/** How the faces, page and terminal, write numbers. A reading that is absent is a dash, never 0. */
export function elapsed(ms: number): string {
  const all = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(all / 3600);
  return `${hours > 0 ? `${hours}:` : ""}${two(Math.floor(all / 60) % 60)}:${two(all % 60)}`;
}

export function seconds(value: number | null): string {
  if (value === null) return "–";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export const number = (value: number | null, digits = 0): string =>
  value === null ? "–" : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const percent = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(share === 1 ? 0 : 2)} %`);
