// scmid as a process that follows Xen's domains through a real xenstored. The hypervisor's other libraries are the stand-in's.
import { deepEqual, equal } from 'node:assert/strict'
import { copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { XenDomains } from '../../../src/native/xen-domains.ts'
import { userdataPath } from '../../../src/toolstack/xen/userdata.ts'
import { DaemonProcess, example } from '../../end-to-end/daemon-process.ts'
import { hasCompiler, XenStandin } from '../../xen-standin/xen-standin.ts'
import type { Stage } from './test.ts'

/** Base PROTOCOL_VERSION. */
const version = [0x4000]

/** Domains made, served, read, rebooted and destroyed; the store lost under them. */
export async function followed({
  kind,
  daemon: xenstored,
  domains: world,
  store,
  steps,
}: Stage): Promise<void> {
  const name = `${kind.name}: scmid follows domains`
  if (!hasCompiler) return steps.skip(name, 'gcc is missing')
  const directory = join(xenstored.directory, 'scmid')
  const userdata = join(xenstored.directory, 'userdata')
  for (const each of [directory, userdata]) mkdirSync(each, { mode: 0o700 })
  const standin = XenStandin.build()
  const hypervisor = XenDomains.open(standin.libraries)
  standin.create(0)
  const scmid = await DaemonProcess.start({
    directory,
    config: {
      'xen.libraries': standin.libraries,
      toolstack: { kind: 'xen', xenstore: xenstored.socket, userdata, conduit: 'psci' },
    },
  })

  /** As libxl goes about it: the domain, its nodes, its introduction, its configuration a little later. */
  const create = async (domid: number, guest: string): Promise<void> => {
    standin.create(domid)
    world.create(domid)
    const uuid = hypervisor.get(domid)?.uuid ?? ''
    await world.introduce(store, domid, guest, uuid)
    await sleep(50)
    const tree = join(directory, `${guest}.dtb`)
    copyFileSync(example(`${guest}.dtb`), tree)
    const file = userdataPath(userdata, domid, uuid)
    writeFileSync(
      `${file}.n`,
      `${JSON.stringify({ c_info: { name: guest, uuid }, b_info: { device_tree: tree } })}\0`,
      {
        mode: 0o600,
      },
    )
    renameSync(`${file}.n`, file)
  }
  const destroy = async (domid: number): Promise<void> => {
    const uuid = hypervisor.get(domid)?.uuid ?? ''
    standin.destroy(domid)
    await world.destroy(domid, store)
    rmSync(userdataPath(userdata, domid, uuid), { force: true })
  }
  const served = async (...wanted: readonly number[]): Promise<void> => {
    const end = Date.now() + 30_000
    for (;;) {
      const found = (await scmid.client.gatedDomains()).filter(
        ({ state, held }) => state === 'served' && !held,
      )
      if (found.map(({ domid }) => domid).join() === wanted.join()) return
      if (Date.now() > end)
        throw new Error(`${JSON.stringify(await scmid.client.gatedDomains())}\n${scmid.log.slice(-3000)}`)
      await sleep(20)
    }
  }

  try {
    await steps.check(`${name}: from their introduction to their end`, async () => {
      await create(7, 'guest-a')
      await served(7)
      standin.unpause(7)
      equal(await standin.program(7, 0, version, { count: 20 }), 0)
      const guest = world.guest(7)
      equal(await guest.ask('READ', ['scmi/state']), 'ready')
      equal(await guest.ask('WRITE', ['scmi/state'], 'mine'), 'EACCES')
      equal(await guest.ask('READ', ['/libxl/7/scmi/agent-id']), 'EACCES')
      guest.close()
      equal(await store.nodes.readText('/libxl/7/scmi/agent-id'), '2')
      equal(await store.nodes.readText('/tool/scmi-mediator/state'), 'running')
      await create(8, 'guest-b')
      await served(7, 8)
      await destroy(7)
      await served(8)
      await create(7, 'guest-a')
      await served(7, 8)
      deepEqual((await scmid.client.status()).problems, [])
    })
    await steps.check(`${name}: and serves on when the store is lost and comes back empty`, async () => {
      await xenstored.stop('SIGKILL')
      standin.unpause(7)
      equal(await standin.program(7, 0, version, { count: 20 }), 0)
      await xenstored.start()
      const end = Date.now() + 30_000
      while (
        !store.isConnected ||
        (await store.nodes.readTextIfThere('/tool/scmi-mediator/state').catch(() => {})) === undefined
      ) {
        if (Date.now() > end) throw new Error(scmid.log.slice(-3000))
        await sleep(20)
      }
      await served(7, 8)
      await create(9, 'guest-c')
      await served(7, 8, 9)
    })
  } finally {
    for (const { domid } of hypervisor.list()) if (domid !== 0) standin.destroy(domid)
    await scmid.end('SIGTERM')
    hypervisor.close()
  }
}
