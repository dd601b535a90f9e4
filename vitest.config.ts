import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "tests/**/*.test.ts"],
    exclude: ["tests/integration/**", "node_modules/**"],
    pool: "threads",
    maxWorkers: 2,
    testTimeout: 30_000,
    reporters: process.env["TIDEGATE_REPORTER"] === "plain" ? ["./scripts/reporter.ts"] : ["default"],
  },
});
