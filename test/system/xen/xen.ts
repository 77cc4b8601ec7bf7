// Xen for real: Debian's hypervisor and Dom0 on an emulated arm64 machine, the package installed there, and guests that
// xl creates.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { works } from '../lib/process.ts'
import { Skip, type Steps, type SystemTest } from '../lib/report.ts'
import { qemuTree } from '../lib/trees.ts'
import { Dom0 } from './dom0.ts'
import { dom0Image } from './dom0-image.ts'
import { productDisk } from './product.ts'

export const xenTest: SystemTest = { name: 'xen', run }

async function run(steps: Steps): Promise<void> {
  for (const [command, from] of [
    ['mke2fs', 'e2fsprogs'],
    ['xz', 'xz-utils'],
  ] as const)
    if (!(await works(command, ['--help'])) && !(await works(command, ['-V'])))
      throw new Skip(`${command} is not installed (Debian: ${from})`)
  const directory = mkdtempSync(join(tmpdir(), 'scmi-mediator-xen-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))

  const qemu = await steps.phase("QEMU from Debian's packages", qemuTree)
  const image = await steps.phase("Xen and Dom0 from Debian's packages", dom0Image)
  const product = await steps.phase('pack scmi-mediator and install it on a disk', () =>
    productDisk(directory),
  )
  const dom0 = await steps.phase('boot Xen and Dom0', () => Dom0.boot(qemu, image, product, directory))
  try {
    await steps.check('the package starts in Dom0', async () => {
      await dom0.ask('node /opt/scmi-mediator/dist/main.js --version', 300_000)
    })
  } finally {
    await dom0.end()
  }
}
