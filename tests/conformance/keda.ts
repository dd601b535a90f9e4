import type { Runner } from "./expect.ts";

export const KEDA_RUNNERS: Readonly<Record<string, Runner>> = {};
