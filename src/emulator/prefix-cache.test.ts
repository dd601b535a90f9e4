import fc from "fast-check";
import { expect, it } from "vitest";
import { BlockKeys, PrefixCache } from "./prefix-cache.ts";

const keysOf = (text: string) => new BlockKeys().addText(text).keys;
const block = "x".repeat(64);

it("has a key for each whole block of 64 bytes or 16 ids, and none for the rest", () => {
  expect(keysOf("x".repeat(63))).toHaveLength(0);
  expect(keysOf("é".repeat(32))).toHaveLength(1);
  expect(keysOf("x".repeat(200))).toHaveLength(3);
  expect(new BlockKeys().addTokens(Array.from({ length: 33 }, (_, id) => id)).keys).toHaveLength(2);
});

it("texts that begin alike have equal keys as far as whole blocks are alike, and no further", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 }), (shared, one, other) => {
      const a = Buffer.from(shared + one);
      const b = Buffer.from(shared + other);
      const [keysA, keysB] = [keysOf(shared + one), keysOf(shared + other)];
      for (let at = 0; at < Math.min(keysA.length, keysB.length); at++) {
        const alike = a.subarray(0, (at + 1) * 64).equals(b.subarray(0, (at + 1) * 64));
        expect(keysA[at] === keysB[at]).toBe(alike);
      }
    }),
  );
});

it("text added in pieces has the keys of the whole", () => {
  expect(new BlockKeys().addText("x".repeat(70)).addText("x".repeat(130)).keys).toEqual(keysOf("x".repeat(200)));
});

it("hits as many leading blocks as it knows", () => {
  const cache = new PrefixCache();
  cache.use(keysOf(block.repeat(3)), 100);
  expect(cache.hitTokens(keysOf(block.repeat(5)))).toBe(48);
  expect(cache.hitTokens(keysOf(`y${block.repeat(5)}`))).toBe(0);
});

it("forgets the least recently used first, and the end of a prefix before its beginning", () => {
  const cache = new PrefixCache();
  const old = keysOf("a".repeat(192));
  const kept = keysOf("b".repeat(128));
  cache.use(old, 100);
  cache.use(kept, 100);
  cache.use(old.slice(0, 1), 4);
  expect(cache.hitTokens(old)).toBe(32);
  cache.use([], 3);
  expect(cache.hitTokens(old)).toBe(16);
  expect(cache.hitTokens(kept)).toBe(32);
  cache.use([], 0);
  expect(cache.hitTokens(old)).toBe(0);
});
