import type { Objective } from "../../model/index.ts";
import type { Coefficients, Share } from "./capacity.ts";
import { workOf } from "./capacity.ts";

/** Work per second that one replica does when it is never idle: the rest goes to scheduling and the unevenness of batches. */
export const FULL = 0.96;

/**
 * Share of requests that miss the objective when `replicas` carry work at utilization `use` (of `FULL`) for some time. Waits are those of a
 * queue with several servers (M/G/n: Sakasegawa's exponent on the chance to wait, an exponential tail), because the gateway sends each
 * request where the least work is; prefill gets what decoding leaves. Near the utilization at which an iteration takes as long as the
 * bound on time per output token, the share goes from none to all within some per cent, since a request's mean evens out.
 */
export type Lateness = (use: number, replicas: number) => number;

/**
 * Where the gateway lets late requests wait behind those that can still be on time: the part of what a full fleet carries that is on time. One
 * in ten to go is the oldest, and smaller batches do some per cent less.
 */
export const ON_TIME = 0.85;

/** How far below the bound's utilization the first requests miss it. */
const TOKEN_SPREAD = 0.06;

export function latenessOf(
  c: Coefficients,
  mix: { readonly prefill: number; readonly output: number; readonly prefill2: number },
  objective: Objective,
  share: Share = "both",
  lateLast = false,
): Lateness {
  const [firstSeconds, tokenSeconds] = [objective.timeToFirstTokenMs / 1000, objective.timePerOutputTokenMs / 1000];
  const prefillWork = workOf(c, mix, "prefill");
  const prefillShare = share === "decode" ? 0 : share === "prefill" ? 1 : prefillWork / Math.max(1e-12, workOf(c, mix));
  const residual = mix.prefill > 0 ? (c.perPrefill * Math.max(mix.prefill2, mix.prefill ** 2)) / (2 * mix.prefill) : 0;
  const tokenLimit = share === "prefill" ? Number.POSITIVE_INFINITY : 1 - c.base / tokenSeconds;
  const inOrder: Lateness = (use, replicas) => {
    if (use >= 1) return 1;
    const tokens = Math.min(1, Math.max(0, (use - tokenLimit + TOKEN_SPREAD) / (2 * TOKEN_SPREAD)));
    if (prefillShare === 0 || residual === 0) return tokens;
    const left = 1 - (1 - prefillShare) * use;
    const busy = (prefillShare * use) / left;
    const step = c.base / (1 - use);
    const spareSeconds = firstSeconds - prefillWork / left - 2 * step;
    if (spareSeconds <= 0) return 1;
    const waits = busy ** (Math.sqrt(2 * (replicas + 1)) - 1);
    const first = waits * Math.exp((-replicas * (1 - busy) * spareSeconds * left) / residual);
    return Math.min(1, first + tokens);
  };
  return lateLast ? (use, replicas) => Math.min(inOrder(use, replicas), Math.max(1 - ON_TIME, 1 - ON_TIME / use)) : inOrder;
}
