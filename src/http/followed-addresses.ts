import { lookup } from "node:dns/promises";
import { type Clock, type Log, type Ms, messageOf, TidegateError } from "../model/index.ts";

export interface FollowAddressesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Real milliseconds between two look-ups; 5000 unless told. */
  readonly everyMs?: Ms;
  /** The addresses of a name; the system's own resolver unless told. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

const prefix = "dns+";
const system = async (name: string) => (await lookup(name, { all: true })).map(({ address }) => address);

/** Whether `url` is `dns+http://NAME:PORT`: everybody behind a name, such as each pod behind a headless Service. */
export const isFollowed = (url: string): boolean => url.startsWith(prefix);

/**
 * The URLs of all addresses behind the name in `dns+http://NAME:PORT/PATH`, sorted, each time they have changed. While the name cannot be
 * resolved, those that were known last go on: whoever is gone does not answer anyhow.
 * @returns a function that ends it
 * @throws TidegateError `usage` where `url` is none
 */
export function followAddresses(url: string, options: FollowAddressesOptions, onChange: (urls: readonly string[]) => void): () => void {
  const { clock, log, everyMs = 5_000, resolve = system } = options;
  const address = url.slice(prefix.length);
  if (!URL.canParse(address)) throw new TidegateError("usage", `${JSON.stringify(url)} names nobody; write dns+http://NAME:PORT`);
  const base = new URL(address);
  const name = base.hostname.replace(/^\[|\]$/g, "");
  let said = "";
  let trouble = "";
  let closed = false;
  let cancel = () => {};

  async function look(): Promise<void> {
    try {
      const urls = [...new Set(await resolve(name))].toSorted().map((found) => {
        const one = new URL(base);
        one.hostname = found.includes(":") ? `[${found}]` : found;
        return one.href.replace(/\/+$/, "");
      });
      if (closed) return;
      if (trouble !== "") log("info", `${name} resolves again`);
      trouble = "";
      if (urls.join() !== said) {
        said = urls.join();
        onChange(urls);
      }
    } catch (error) {
      const message = messageOf(error);
      if (message !== trouble && !closed) log("warn", `${name} cannot be resolved: ${message}`);
      trouble = message;
    }
    if (!closed) cancel = clock.after(everyMs * clock.speed, () => void look());
  }
  void look();
  return () => {
    closed = true;
    cancel();
  };
}
