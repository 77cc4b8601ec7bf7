import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**'],
    pool: 'forks', // a worker blocked in epoll_wait hangs the threads pool
    maxWorkers: '100%', // vitest would leave one CPU to itself
    reporters: ['default', './test/closing-line.ts'],
    testTimeout: 30_000,
    retry: process.env['CI'] === undefined ? 0 : 1, // a shared machine may hold a process up; what is wrong stays wrong
    coverage: { provider: 'v8', include: ['src/**'] },
  },
})
