/** What `tidegate compare` runs where no file of scenarios is named: small, and made by the generator alone. */
export const BUILTIN_SCENARIOS = `
defaults: { profile: 8B, ttft: 2s, tpot: 100ms, attainment: 0.99, interval: 15s, replicas: { min: 1, max: 16 }, coldStart: { median: 90s, sigma: 0.25 }, seeds: 3 }
scenarios:
  step:   { shape: step, from: 6/s, to: 24/s, lead: 10m, hold: 12m, tail: 10m }
  ramp:   { shape: ramp, from: 5/s, to: 25/s, over: 10m, lead: 10m, hold: 15m, coldStart: { median: 240s, sigma: 0.25 } }
  bursts: { shape: on-off, base: 4/s, burst: 20/s, every: 30m, for: 6m, jitter: 3m, hours: 2 }
`;
