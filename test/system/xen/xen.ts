// Xen for real: Debian's hypervisor and Dom0 on an emulated arm64 machine, the package installed there, and guests that
// xl creates.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { works } from '../lib/process.ts'
import { Skip, type Steps, type SystemTest } from '../lib/report.ts'
import { qemuTree } from '../lib/trees.ts'
import { foreignControls, hostileGuest, killedDaemon, manyCalls, sameId } from './bare-scenario.ts'
import { Daemon } from './daemon.ts'
import { Dom0 } from './dom0.ts'
import { dom0Image } from './dom0-image.ts'
import { linuxInitramfs } from './linux-guest.ts'
import { linuxGuests } from './linux-scenario.ts'
import { productDisk } from './product.ts'
import type { Scenario } from './scenario.ts'

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
  const product = await steps.phase("scmi-mediator's own Debian package, on a disk", productDisk)
  const dom0 = await steps.phase('boot Xen and Dom0', () => Dom0.boot(qemu, image, product, directory))
  try {
    writeFileSync(join(dom0.share, 'linux.cpio'), await linuxInitramfs(image))
    const daemon = new Daemon(dom0)
    await steps.phase('start scmid', () => daemon.start())
    const scenario: Scenario = { steps, dom0, daemon }
    for (const part of [linuxGuests, manyCalls, foreignControls, sameId, killedDaemon, hostileGuest])
      await part(scenario)
    steps.figure('resident memory of scmid at the end', `${await daemon.residentMegabytes()} MB`)
  } finally {
    await dom0.end()
  }
}
