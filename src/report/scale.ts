/** From values to a stretch of a picture. */
export interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
}

/** Round steps (1, 2 or 5 times a power of ten), some five of them, from 0. */
export function linear(top: number, from: number, to: number): Scale {
  const end = top > 0 ? top : 1;
  const rough = end / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((times) => times * power >= rough) as number) * power;
  const last = Math.ceil(end / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.round(last / step) + 1 }, (_, at) => Number((at * step).toPrecision(12)));
  return Object.assign((value: number) => from + ((to - from) * value) / last, { ticks });
}

/** Powers of ten with their halves; values below `least` are drawn at it. */
export function logarithmic(least: number, most: number, from: number, to: number): Scale {
  const [low, high] = [Math.log10(least), Math.log10(Math.max(most, least * 10))];
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++)
    for (const times of [1, 3]) {
      const tick = times * 10 ** power;
      if (tick >= least * 0.999 && Math.log10(tick) <= high + 1e-9) ticks.push(tick);
    }
  return Object.assign((value: number) => from + ((to - from) * (Math.log10(Math.max(value, least)) - low)) / (high - low), { ticks });
}

/** Shares by what is missing to 1: each step on the axis is a tenth of the misses. 1 is drawn as 99.99 %. */
export function nines(worst: number, from: number, to: number): Scale {
  const at = (share: number) => -Math.log10(Math.max(1e-4, 1 - share));
  const shares = [0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1];
  const floor = shares.findLast((share) => share <= worst) ?? 0;
  const [low, high] = [at(floor), at(1)];
  return Object.assign((share: number) => from + ((to - from) * (at(Math.max(floor, share)) - low)) / (high - low), {
    ticks: shares.filter((share) => share >= floor),
  });
}
