import { blockTokens } from "../engine/index.ts";

/** Bytes of text that make a token. */
export const tokenBytes = 4;

/**
 * Keys of the whole KV blocks of a text or a list of token ids. Each covers everything from the first token on, so equal keys mean
 * equal beginnings; they are 53 bits of two multiplicative hashes, so they are not equal by chance. Text may be added later.
 */
export class BlockKeys {
  readonly keys: number[] = [];
  #high = 0x811c9dc5;
  #low = 0x9e3779b1;
  #units = 0;

  addText(text: string): this {
    return this.#add(Buffer.from(text, "utf8"), blockTokens * tokenBytes);
  }

  addTokens(ids: readonly number[]): this {
    return this.#add(ids, blockTokens);
  }

  #add(units: ArrayLike<number>, unitsOfBlock: number): this {
    let high = this.#high;
    let low = this.#low;
    let untilKey = unitsOfBlock - (this.#units % unitsOfBlock);
    for (let at = 0; at < units.length; at++) {
      high = Math.imul(high ^ (units[at] as number), 0x01000193);
      low = Math.imul(low ^ (units[at] as number) ^ (high >>> 15), 0x85ebca6b);
      if (--untilKey > 0) continue;
      this.keys.push((high >>> 0) * 2 ** 21 + (low >>> 11));
      untilKey = unitsOfBlock;
    }
    this.#high = high;
    this.#low = low;
    this.#units += units.length;
    return this;
  }
}

/** Which blocks a replica's KV cache still knows; the least recently used go first, the end of a prefix before its beginning. */
export class PrefixCache {
  /** In order of use, the latest last. */
  readonly #blocks = new Set<number>();

  /** @returns leading tokens whose blocks are known */
  hitTokens(keys: readonly number[]): number {
    let blocks = 0;
    while (blocks < keys.length && this.#blocks.has(keys[blocks] as number)) blocks++;
    return blocks * blockTokens;
  }

  /** Notes that the blocks are in use, and forgets the oldest beyond `most` blocks. */
  use(keys: readonly number[], most: number): void {
    for (let at = keys.length - 1; at >= 0; at--) {
      const key = keys[at] as number;
      this.#blocks.delete(key);
      this.#blocks.add(key);
    }
    for (const key of this.#blocks) {
      if (this.#blocks.size <= most) break;
      this.#blocks.delete(key);
    }
  }
}
