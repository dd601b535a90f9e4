import fc from "fast-check";
import { expect, it } from "vitest";
import type { Fleet } from "../model/index.ts";
import { type Claim, shareQuota } from "./index.ts";

const fleet = (gpus: Fleet["gpus"], priorities: Fleet["priorities"] = {}): Fleet => ({ name: "lab", gpus, priorities });
const claim = (endpoint: string, asked: number, more: Partial<Claim> = {}): Claim => ({
  endpoint,
  pool: "default",
  gpu: "",
  gpusPerReplica: 1,
  min: 0,
  asked,
  ...more,
});
const shares = (of: Fleet, claims: readonly Claim[]) => [...shareQuota(of, claims).values()];

it.each([
  ["grants all where it fits", fleet(8), [claim("a", 3), claim("b", 4)], [3, 4]],
  ["shares evenly by what was asked for", fleet(6), [claim("a", 8), claim("b", 4)], [4, 2]],
  ["serves the higher priority first", fleet(6, { b: 1 }), [claim("a", 8), claim("b", 4)], [2, 4]],
  ["keeps every minimum before anybody's wish", fleet(6, { b: 1 }), [claim("a", 8, { min: 3 }), claim("b", 6)], [3, 3]],
  ["counts whole replicas of several GPUs", fleet(7, { a: 1 }), [claim("a", 3, { gpusPerReplica: 4 }), claim("b", 9)], [1, 3]],
  ["has a budget for each type of GPU", fleet({ h100: 2, l4: 4 }), [claim("a", 5, { gpu: "h100" }), claim("b", 5, { gpu: "l4" })], [2, 4]],
  ["leaves a type without a budget alone", fleet({ h100: 2 }), [claim("a", 5, { gpu: "l4" })], [5]],
  ["leaves pools without GPUs alone", fleet(1), [claim("a", 5, { gpusPerReplica: 0 })], [5]],
  ["cuts minima that do not fit by priority", fleet(3, { b: 1 }), [claim("a", 2, { min: 2 }), claim("b", 2, { min: 2 })], [1, 2]],
])("%s", (_, of, claims, expected) => expect(shares(of, claims)).toEqual(expected));

it("never goes over the budget, never beyond what is asked or the minimum, and never wastes what somebody asked for", () => {
  const claims = fc.uniqueArray(
    fc.record({
      endpoint: fc.constantFrom("a", "b", "c", "d", "e"),
      asked: fc.nat(9),
      min: fc.nat(2),
      gpusPerReplica: fc.integer({ min: 1, max: 4 }),
    }),
    { selector: ({ endpoint }) => endpoint, maxLength: 5 },
  );
  fc.assert(
    fc.property(
      claims,
      fc.nat(24),
      fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: -2, max: 2 })),
      (drawn, gpus, priorities) => {
        const all = drawn.map(({ endpoint, asked, ...more }) => claim(endpoint, asked, more));
        const granted = shares(fleet(gpus, priorities), all);
        const used = all.reduce((sum, { gpusPerReplica }, at) => sum + gpusPerReplica * (granted[at] as number), 0);
        expect(used).toBeLessThanOrEqual(gpus);
        all.forEach(({ asked, min, gpusPerReplica }, at) => {
          expect(granted[at]).toBeLessThanOrEqual(Math.max(asked, min));
          if ((granted[at] as number) < asked) expect(gpus - used).toBeLessThan(gpusPerReplica);
        });
        // The order of the claims changes nothing.
        const turned = shareQuota(fleet(gpus, priorities), all.toReversed());
        expect(all.map(({ endpoint }) => turned.get(`${endpoint}/default`))).toEqual(granted);
      },
    ),
  );
});
