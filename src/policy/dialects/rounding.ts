/** Rounding of results of double arithmetic: what is a hair off a whole number is that number, so 3 × 0.7 / 0.3 rounds up to 7. */

const SLACK = 1e-9;
const slackOf = (x: number) => SLACK * Math.max(1, Math.abs(x));

export const ceilOf = (x: number) => Math.ceil(x - slackOf(x)) + 0;
export const floorOf = (x: number) => Math.floor(x + slackOf(x)) + 0;
