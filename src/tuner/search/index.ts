/** Search in the unit cube for the best of an order. Pure: seeded, and the values come from outside. */
export { type SearchOptions, search, type Tried } from "./search.ts";
export { sobol } from "./sobol.ts";
