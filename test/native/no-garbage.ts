// Counts the garbage collections of a piece of work. A helper of the tests of hot paths.
import { PerformanceObserver } from 'node:perf_hooks'

const settle = () => new Promise(resolve => setTimeout(resolve, 50))

/** Collections while `work(times)` runs, after a warm-up of a tenth of that. */
export async function collectionsOf(work: (times: number) => void, times: number): Promise<number> {
  let collections = 0
  const observer = new PerformanceObserver(list => {
    collections += list.getEntries().length
  })
  work(Math.ceil(times / 10))
  await settle()
  observer.observe({ entryTypes: ['gc'] })
  work(times)
  await settle()
  observer.disconnect()
  return collections
}
