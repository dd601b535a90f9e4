import type { Runner } from "./expect.ts";
import { HPA_RUNNERS } from "./hpa.ts";
import { KEDA_RUNNERS } from "./keda.ts";
import { KPA_RUNNERS } from "./kpa.ts";
import { RAY_SERVE_RUNNERS } from "./ray-serve.ts";

/** Every kind of case that we run; another dialect is one line here. */
const all = [HPA_RUNNERS, KEDA_RUNNERS, KPA_RUNNERS, RAY_SERVE_RUNNERS].flatMap(Object.entries<Runner>);

export const RUNNERS: ReadonlyMap<string, Runner> = new Map(all);
if (RUNNERS.size !== all.length) throw new Error("two dialects claim one kind of case");
