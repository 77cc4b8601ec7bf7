import type { Reporter, TestModule } from 'vitest/node'

/**
 * Vitest reporter that ends the run with `N passed, N failed`. A test file that cannot be imported and an
 * unhandled error count as failed; a run of no tests at all fails.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0
    let skipped = 0
    let failed = unhandledErrors.length
    for (const module of modules) {
      failed += module.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
        else skipped++
      }
    }
    if (passed + failed === 0) {
      process.exitCode = 1
      failed = 1
    }
    process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`)
  }
}
