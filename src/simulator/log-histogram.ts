/** A value read from a `LogHistogram` is off by at most this share of itself, between 1e-4 and 1e7. */
export const quantileRelativeError = 0.01;

const growth = (1 + quantileRelativeError) / (1 - quantileRelativeError);
const perFold = 1 / Math.log(growth);
const least = 1e-4;
const offset = Math.log(least) * perFold;
const bucketCount = Math.ceil(Math.log(1e11) * perFold) + 2;

/**
 * Counts of positive values in buckets that each are `growth` times as wide as the one before, so that memory does not grow with
 * what is counted. Source: Masson, Rim, Lee, "DDSketch", 2019.
 */
export class LogHistogram {
  private readonly counts = new Float64Array(bucketCount);
  count = 0;
  sum = 0;
  max = 0;

  add(value: number): void {
    const at = value <= least ? 0 : Math.min(bucketCount - 1, Math.ceil(Math.log(value) * perFold - offset));
    this.counts[at] = (this.counts[at] as number) + 1;
    this.count++;
    this.sum += value;
    if (value > this.max) this.max = value;
  }

  merge(other: LogHistogram): void {
    other.counts.forEach((count, at) => {
      this.counts[at] = (this.counts[at] as number) + count;
    });
    this.count += other.count;
    this.sum += other.sum;
    this.max = Math.max(this.max, other.max);
  }

  get mean(): number | null {
    return this.count === 0 ? null : this.sum / this.count;
  }

  /** Nearest rank; null of no value. */
  quantile(q: number): number | null {
    if (this.count === 0) return null;
    const rank = Math.max(1, Math.ceil(q * this.count));
    let below = 0;
    for (let at = 0; at < bucketCount; at++) {
      below += this.counts[at] as number;
      if (below >= rank)
        return at === 0 ? Math.min(least, this.max) : Math.min(this.max, (2 * Math.exp((at + offset) / perFold)) / (1 + growth));
    }
    return this.max;
  }
}
