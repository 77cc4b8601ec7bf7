// Counts the garbage collections of a piece of work. A helper of the tests of hot paths.
import { PerformanceObserver } from 'node:perf_hooks'

const settle = () => new Promise(resolve => setTimeout(resolve, 50))

/** Collections that begin while `work` runs: those that V8 does in its idle time are not the work's. */
export async function collectionsWithin(work: () => void): Promise<number> {
  const began: number[] = []
  const observer = new PerformanceObserver(list => {
    for (const { startTime } of list.getEntries()) began.push(startTime)
  })
  await settle()
  observer.observe({ entryTypes: ['gc'] })
  const start = performance.now()
  work()
  const end = performance.now()
  await settle()
  observer.disconnect()
  return began.filter(at => at >= start && at <= end).length
}

/**
 * Collections while `work(times)` runs, after a warm-up of a tenth of that. One that was due before, or that compiling
 * brings, does not come again: the least of up to three runs counts. Work that makes garbage does so every time.
 */
export async function collectionsOf(work: (times: number) => void, times: number): Promise<number> {
  work(Math.ceil(times / 10))
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < 3 && least > 0; run++)
    least = Math.min(least, await collectionsWithin(() => work(times)))
  return least
}
