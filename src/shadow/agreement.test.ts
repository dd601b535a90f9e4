import { expect, it } from "vitest";
import { agreementOf } from "./agreement.ts";

const said = [
  { atMs: 0, replicas: 1 },
  { atMs: 10_000, replicas: 3 },
  { atMs: 60_000, replicas: 2 },
];

it.each([
  { rule: "the same at that moment", recomputed: [{ atMs: 5_000, replicas: 1 }], expected: [1, 1, 1] },
  { rule: "stated a little later", recomputed: [{ atMs: 5_000, replicas: 3 }], expected: [1, 0, 1] },
  { rule: "stated a little earlier", recomputed: [{ atMs: 12_000, replicas: 1 }], expected: [1, 0, 1] },
  { rule: "stated too late", recomputed: [{ atMs: 30_000, replicas: 2 }], expected: [1, 0, 0] },
  { rule: "never stated", recomputed: [{ atMs: 61_000, replicas: 7 }], expected: [1, 0, 0] },
  { rule: "nothing to compare where the rules hold", recomputed: [{ atMs: 5_000, replicas: null }], expected: [0, 0, 0] },
  { rule: "nothing to compare before the first word", recomputed: [{ atMs: -5_000, replicas: 1 }], expected: [0, 0, 0] },
])("$rule", ({ recomputed, expected }) => {
  const { compared, same, near } = agreementOf(recomputed, said, 15_000);
  expect([compared, same, near]).toEqual(expected);
});
