import type { TestCase, TestModule } from "vitest/node";

/** Prints failures as they come and closes with the line that scripts look for: `N passed, N failed, N skipped`. */
export default class PlainReporter {
  onTestCaseResult(test: TestCase): void {
    const result = test.result();
    if (result.state !== "failed") return;
    process.stdout.write(`FAIL ${test.module.moduleId}: ${test.fullName}\n`);
    for (const error of result.errors ?? []) process.stdout.write(`  ${(error.stack ?? error.message).split("\n").join("\n  ")}\n`);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { readonly message: string }[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const error of module.errors()) {
        process.stdout.write(`FAIL ${module.moduleId}: ${error.stack ?? error.message}\n`);
        count.failed++;
      }
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== "pending") count[state]++;
      }
    }
    for (const error of unhandled) {
      process.stdout.write(`FAIL unhandled: ${error.message}\n`);
      count.failed++;
    }
    process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
  }
}
