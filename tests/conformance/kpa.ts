import type { Runner } from "./expect.ts";

export const KPA_RUNNERS: Readonly<Record<string, Runner>> = {};
