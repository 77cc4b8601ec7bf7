// The vitest reporter whose last line says what came of the run: `N passed, N failed`, and how many were skipped.
import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node'

/**
 * Beside tests, these count as failed: a file that cannot be imported, a hook that throws, an unhandled error, a run that
 * vitest itself calls failed or that was interrupted, and a run of no tests at all.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly unknown[],
    reason: TestRunEndReason,
  ): void {
    let passed = 0
    let skipped = 0
    let failed = unhandledErrors.length
    for (const module of modules) {
      failed += module.errors().length
      for (const suite of module.children.allSuites()) failed += suite.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed' || state === 'pending') failed++
        else skipped++
      }
    }
    if (failed === 0 && (reason !== 'passed' || passed === 0)) failed = 1
    if (failed > 0) process.exitCode = 1
    process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`)
  }
}
