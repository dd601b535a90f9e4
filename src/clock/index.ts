/** Time in the world: the wall clock (or a faster one), and one for tests. */
export { realClock } from "./clock.ts";
export { type FakeClock, fakeClock } from "./fake-clock.ts";
