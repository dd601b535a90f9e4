import type { Ms } from "../../../model/index.ts";

const PATTERN = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;
const UNITS_MS = [7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000] as const;
/** How .NET writes a time span, which older settings have: `00:05:00`, `1.00:00:00`. */
const TIME_SPAN = /^(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})$/;

/** An ISO 8601 duration without years and months; `undefined`: it is none. */
export function parseIsoDuration(text: string): Ms | undefined {
  const span = TIME_SPAN.exec(text);
  const match = span === null ? PATTERN.exec(text) : null;
  const amounts = span === null ? match?.slice(1) : [undefined, ...span.slice(1)];
  if (amounts === undefined || amounts.every((amount) => amount === undefined)) return undefined;
  return amounts.reduce((sum, amount, at) => sum + Number(amount ?? 0) * (UNITS_MS[at] as number), 0);
}

/** The shortest ISO 8601 duration of whole seconds. */
export function formatIsoDuration(ms: Ms): string {
  const seconds = Math.round(ms / 1000);
  const [days, hours, minutes, rest] = [
    Math.floor(seconds / 86_400),
    Math.floor((seconds % 86_400) / 3_600),
    Math.floor((seconds % 3_600) / 60),
    seconds % 60,
  ];
  const time = `${hours > 0 ? `${hours}H` : ""}${minutes > 0 ? `${minutes}M` : ""}${rest > 0 ? `${rest}S` : ""}`;
  const text = `P${days > 0 ? `${days}D` : ""}${time === "" ? "" : `T${time}`}`;
  return text === "P" ? "PT0S" : text;
}
