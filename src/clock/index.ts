/** Time in the world: the wall clock (or a faster one), and one for tests. */
export { epochOf, realClock, shiftBetween } from "./clock.ts";
export { type FakeClock, fakeClock } from "./fake-clock.ts";
