/** How numbers and times are written in a Step's text. */

export const num = (value: number, digits = 2) => {
  if (!Number.isFinite(value)) return value > 0 ? "infinitely many" : "nothing";
  const rounded = Number(value.toFixed(digits));
  return (rounded === 0 && value !== 0 ? Number(value.toPrecision(2)) : rounded).toString();
};

export const seconds = (ms: number) => (ms >= 600_000 ? `${num(ms / 60_000, 1)} min` : `${num(ms / 1000, 1)} s`);

export const replicas = (count: number) => `${count} ${count === 1 ? "replica" : "replicas"}`;
