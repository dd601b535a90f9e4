import type { Runner } from "./expect.ts";
import { HPA_RUNNERS } from "./hpa.ts";

/** Every kind of case that we run; another dialect is one line here. */
export const RUNNERS: ReadonlyMap<string, Runner> = new Map(Object.entries({ ...HPA_RUNNERS }));
