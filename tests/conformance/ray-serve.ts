import type { Runner } from "./expect.ts";

export const RAY_SERVE_RUNNERS: Readonly<Record<string, Runner>> = {};
