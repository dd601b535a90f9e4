/**
 * Fields that speak of one connection only (RFC 9110, 7.6.1), and those that Node and the transport set themselves. What
 * `Connection` names is dropped too.
 */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** `accept-encoding` goes, as a proxy may, so that the answer can be read for tokens. `expect` has been answered by then. */
const ofRequests = new Set(["host", "content-length", "expect", "accept-encoding"]);
const via = "1.1 tidegate";

/** @returns name, value, … of a client's request as a replica gets it; order and case are kept (RFC 9110, 7.6.3: Via) */
export function requestHeaders(raw: readonly string[]): string[] {
  const headers = keep(raw, (name) => ofRequests.has(name));
  headers.push("via", via);
  return headers;
}

/** @returns name, value, … of a replica's answer as the client gets it */
export const responseHeaders = (raw: readonly string[]): string[] => keep(raw, () => false);

function keep(raw: readonly string[], drops: (name: string) => boolean): string[] {
  let named: Set<string> | null = null;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if ((raw[at] as string).toLowerCase() !== "connection") continue;
    named ??= new Set();
    for (const name of (raw[at + 1] as string).split(",")) named.add(name.trim().toLowerCase());
  }
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (hopByHop.has(name) || drops(name) || named?.has(name)) continue;
    kept.push(raw[at] as string, raw[at + 1] as string);
  }
  return kept;
}

/** The value of a field in name, value, …; null: absent. */
export function headerOf(raw: readonly string[], wanted: string): string | null {
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if ((raw[at] as string).toLowerCase() === wanted) return raw[at + 1] as string;
  }
  return null;
}
