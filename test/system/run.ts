// npm run test:system -- NAME …: tests with real kernels and a real machine emulator, the named ones or all. Each fetches
// what it needs into a cache outside the repository; what cannot run here is skipped, counted, and told why.
import { Report, type SystemTest } from './lib/report.ts'

/** Every system test by name. The longer ones are run only when they are named. */
const tests: Readonly<Record<string, { load(): Promise<SystemTest>; byName?: true }>> = {
  xenstore: { load: async () => (await import('./xenstore/test.ts')).test },
  xen: { load: async () => (await import('./xen/xen.ts')).xenTest },
  'qemu-raw': { load: async () => (await import('./qemu-raw/qemu-raw.ts')).qemuRaw, byName: true },
  qemu: { load: async () => (await import('./qemu/qemu.ts')).qemu },
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter(name => tests[name] === undefined)
  if (unknown.length > 0) {
    console.error(`no system test ${unknown.join(', ')}; there are: ${Object.keys(tests).join(', ')}`)
    return 1
  }
  const report = new Report()
  for (const [name, { load, byName }] of Object.entries(tests))
    if (names.includes(name) || (names.length === 0 && byName === undefined)) await report.test(await load())
  console.log(`\n${report.summary}`)
  return report.failed > 0 || report.passed + report.skipped === 0 ? 1 : 0
}

process.exit(await main(process.argv.slice(2)))
