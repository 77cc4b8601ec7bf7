// The xenstore client against real daemons of two kinds and two releases, with domains that come and go: watches, storms of
// transactions, a restart in the middle, quotas, a directory of ten thousand nodes. Xen itself is not needed.
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { XenstoreClient } from '../../../src/xenstore/client.ts'
import { isQuota } from '../../../src/xenstore/error.ts'
import type { Steps, SystemTest } from '../lib/report.ts'
import { benchFor } from './bench.ts'
import { type DaemonKind, daemonKinds, StoreDaemon } from './daemon.ts'
import { deviceFor } from './device.ts'
import { FakeDomains } from './domains.ts'
import { followed } from './followed.ts'

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const nodesOfTheLargeDirectory = 10_000

/** What each part of the test works with. */
export interface Stage {
  readonly kind: DaemonKind
  readonly daemon: StoreDaemon
  readonly domains: FakeDomains
  readonly store: XenstoreClient
  /** Another client of the same daemon. */
  readonly other: XenstoreClient
  readonly steps: Steps
}

/** Resolves when `holds` gives true; throws after ten seconds, saying what did not come. */
async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 10_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`within ten seconds there was no ${what}`)
    await sleep(10)
  }
}

async function nodes({ store, kind, steps }: Stage): Promise<void> {
  await steps.check(`${kind.name}: nodes, values and permissions`, async () => {
    await store.nodes.write('/t/bytes', new Uint8Array([0, 1, 255]))
    deepEqual([...(await store.nodes.read('/t/bytes'))], [0, 1, 255])
    await store.nodes.write('/t/empty', '')
    equal(await store.nodes.readText('/t/empty'), '')
    await store.nodes.mkdir('/t/dir')
    await store.nodes.mkdir('/t/bytes')
    equal((await store.nodes.read('/t/bytes')).length, 3)
    deepEqual((await store.nodes.directory('/t')).toSorted(), ['bytes', 'dir', 'empty'])
    equal(await store.nodes.directoryIfThere('/absent'), undefined)
    await store.nodes.setPermissions('/t/dir', [
      { domid: 0, access: 'none' },
      { domid: 0, access: 'read' },
    ])
    equal((await store.nodes.getPermissions('/t/dir'))[0]?.access, 'none')
    await store.nodes.remove('/t')
    equal(await store.nodes.readTextIfThere('/t/bytes'), undefined)
    await rejects(store.nodes.setPermissions('/absent', [{ domid: 0, access: 'none' }]), { errno: 'ENOENT' })
    await rejects(store.nodes.remove('/'), { code: 'XENSTORE_REFUSED' })
    equal((await store.nodes.directory('/')).includes('tool'), true)
  })
  await steps.check(`${kind.name}: five hundred requests at once find their answers`, async () => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => store.nodes.write(`/p/${i}`, `value ${i}`)))
    const read = await Promise.all(Array.from({ length: 500 }, (_, i) => store.nodes.readText(`/p/${i}`)))
    deepEqual(
      read,
      Array.from({ length: 500 }, (_, i) => `value ${i}`),
    )
    await store.nodes.remove('/p')
  })
  await steps.check(
    `${kind.name}: a directory of ${nodesOfTheLargeDirectory} nodes, listed whole`,
    async () => {
      const names = Array.from({ length: nodesOfTheLargeDirectory }, (_, i) => `node-${i}`)
      for (let i = 0; i < names.length; i += 500)
        await Promise.all(names.slice(i, i + 500).map(name => store.nodes.mkdir(`/large/${name}`)))
      deepEqual((await store.nodes.directory('/large')).toSorted(), names.toSorted())
      await store.nodes.remove('/large')
    },
  )
}

async function transactions({ store, other, kind, steps }: Stage): Promise<void> {
  await steps.check(`${kind.name}: two clients count together in a storm of transactions`, async () => {
    await store.nodes.write('/count', '0')
    let attempts = 0
    const countUp = (client: XenstoreClient): Promise<void> =>
      client.transaction(async inside => {
        attempts++
        const before = Number(await inside.readText('/count'))
        await inside.write('/count', String(before + 1))
      })
    const climb = async (client: XenstoreClient): Promise<void> => {
      for (let i = 0; i < 50; i++) await countUp(client)
    }
    await Promise.all([climb(store), climb(other), climb(store), climb(other)])
    equal(await store.nodes.readText('/count'), '200')
    ok(attempts > 200, `all ${attempts} attempts went through: that was no storm`)
  })
  await steps.check(
    `${kind.name}: a transaction that is never left alone gives up, and changes nothing`,
    async () => {
      await store.nodes.write('/storm/key', '0')
      let runs = 0
      const work = store.transaction(
        async inside => {
          await inside.readText('/storm/key')
          await inside.write('/storm/mine', String(++runs))
          await other.nodes.write('/storm/key', String(runs))
          await inside.write('/storm/key', 'mine')
        },
        { attempts: 5 },
      )
      await rejects(work, { errno: 'EAGAIN' })
      equal(runs, 5)
      equal(await store.nodes.readTextIfThere('/storm/mine'), undefined)
      equal(await store.nodes.readText('/storm/key'), '5')
    },
  )
  await steps.check(`${kind.name}: what fails inside a transaction undoes it`, async () => {
    const work = store.transaction(async inside => {
      await inside.write('/storm/mine', 'x')
      throw new Error('changed my mind')
    })
    await rejects(work, /changed my mind/)
    equal(await store.nodes.readTextIfThere('/storm/mine'), undefined)
  })
}

async function watches({ store, other, kind, steps, daemon }: Stage): Promise<void> {
  await steps.check(
    `${kind.name}: watches tell of others, of oneself, of what is removed above`,
    async () => {
      const heard: string[] = []
      const watch = await store.watch('/w/a', path => heard.push(path))
      await eventually('first event', () => heard.join() === '/w/a')
      await other.nodes.write('/w/a/deep/er', 'x')
      await eventually('event of another', () => heard.includes('/w/a/deep/er'))
      await store.nodes.write('/w/a/own', 'x')
      await eventually('event of its own', () => heard.includes('/w/a/own'))
      heard.length = 0
      await other.nodes.remove('/w')
      await eventually('event of the removal', () => heard.includes('/w/a'))
      await watch.close()
      heard.length = 0
      await other.nodes.write('/w/a', 'again')
      await store.nodes.readText('/w/a')
      deepEqual(heard, [])
    },
  )
  await steps.check(
    `${kind.name}: a daemon killed in the middle: refused, connected again, watched again, told`,
    async () => {
      const lived: string[] = []
      store.onLost = () => lived.push('lost')
      store.onRescan = () => lived.push('rescan')
      const heard: string[] = []
      const watch = await store.watch('/again', path => heard.push(path))
      await eventually('first event', () => heard.length === 1)
      const busy = Promise.allSettled(
        Array.from({ length: 200 }, (_, i) => store.nodes.write(`/again/${i}`, '')),
      )
      await daemon.stop('SIGKILL')
      for (const each of await busy)
        if (each.status === 'rejected') equal(each.reason.code, 'XENSTORE_UNREACHABLE')
      await eventually('loss', () => lived.join() === 'lost')
      await rejects(store.nodes.read('/again'), { code: 'XENSTORE_UNREACHABLE' })
      await daemon.start()
      await eventually('rescan', () => lived.join() === 'lost,rescan')
      heard.length = 0
      await eventually('other client', () => other.isConnected)
      await other.nodes.write('/again/here', 'x')
      await eventually('event', () => heard.includes('/again/here'))
      await watch.close()
    },
  )
}

async function domains({ store, domains: world, kind, steps }: Stage): Promise<void> {
  const seen: string[] = []
  const watchers = [
    await store.watch('@introduceDomain', path => seen.push(path)),
    await store.watch('@releaseDomain', path => seen.push(path)),
  ]
  const released = (): number => seen.filter(path => path === '@releaseDomain').length
  const home = '/local/domain/7'

  await steps.check(`${kind.name}: a domain is introduced, and reads what it is let`, async () => {
    await eventually('first events', () => seen.length === 2)
    world.create(7)
    await world.introduce(store, 7, 'guest', uuid(7))
    await eventually('introduction', () => seen.slice(2).join() === '@introduceDomain')
    equal(await store.domains.isIntroduced(7), true)
    equal(await store.domains.domainPath(7), home)
    await store.nodes.write(`${home}/scmi/state`, 'ready')
    await store.nodes.setPermissions(`${home}/scmi/state`, [
      { domid: 0, access: 'none' },
      { domid: 7, access: 'read' },
    ])
    const guest = world.guest(7)
    equal(await guest.ask('READ', ['name']), 'guest')
    equal(await guest.ask('READ', ['scmi/state']), 'ready')
    equal(await guest.ask('WRITE', ['scmi/state'], 'mine'), 'EACCES')
    equal(await guest.ask('RM', ['scmi']), 'EACCES')
    equal(await guest.ask('WRITE', ['data/x'], 'y'), 'OK')
    equal(await store.nodes.readText(`${home}/data/x`), 'y')
    guest.close()
  })
  await steps.check(`${kind.name}: a guest meets its quota, told by the daemon's own word`, async () => {
    const guest = world.guest(7)
    let word = 'OK'
    let written = 0
    while (word === 'OK' && written < 5000) word = await guest.ask('WRITE', [`data/q${written++}`], 'x')
    ok(['ENOSPC', 'EQUOTA', 'E2BIG'].includes(word), `after ${written} nodes: ${word}`)
    guest.close()
  })
  await steps.check(
    `${kind.name}: a value that does not fit is refused, and known as a matter of quota`,
    async () => {
      const most = await store.nodes.write('/big', new Uint8Array(4091)).catch((error: unknown) => error)
      // C xenstored takes what a payload holds; oxenstored's configuration caps a value.
      if (most !== undefined) ok(isQuota(most), String(most))
      equal(kind.program === 'oxenstored', most !== undefined)
    },
  )
  await steps.check(
    `${kind.name}: shut down, then destroyed: told each time, and the id is free`,
    async () => {
      const before = released()
      world.shutDown(7)
      await eventually('word of the shutdown', () => released() > before)
      equal(await store.nodes.readText(`${home}/name`), 'guest')
      const again = released()
      await world.destroy(7, store)
      await eventually('word of the end', () => released() > again)
      await eventually('release', async () => !(await store.domains.isIntroduced(7)))
    },
  )
  await steps.check(
    `${kind.name}: the same id for another domain: what the first was let is not the second's`,
    async () => {
      await store.nodes.write('/private/x', 'secret')
      await store.nodes.setPermissions('/private/x', [{ domid: 0, access: 'none' }])
      world.create(7)
      await world.introduce(store, 7, 'second', uuid(8))
      await store.nodes.setPermissions('/private/x', [
        { domid: 0, access: 'none' },
        { domid: 7, access: 'read' },
      ])
      const second = world.guest(7)
      equal(await second.ask('READ', ['/private/x']), 'secret')
      second.close()
      await world.destroy(7, store)
      await eventually('release', async () => !(await store.domains.isIntroduced(7)))
      world.create(7)
      await world.introduce(store, 7, 'third', uuid(9))
      const third = world.guest(7)
      equal(await third.ask('READ', ['/private/x']), 'EACCES')
      equal(await third.ask('READ', ['name']), 'third')
      third.close()
      await world.destroy(7, store)
    },
  )
  for (const watch of watchers) await watch.close()
}

async function throughDevice(stage: Stage): Promise<void> {
  const { kind, steps, daemon } = stage
  await steps.check(
    `${kind.name}: all the same through a character device, as /dev/xen/xenbus is one`,
    async () => {
      const device = await deviceFor(daemon.socket)
      const client = new XenstoreClient({ path: device.path })
      try {
        await client.start()
        const heard: string[] = []
        await client.watch('/device', path => heard.push(path))
        await Promise.all(
          Array.from({ length: 100 }, (_, i) => client.nodes.write(`/device/${i}`, 'x'.repeat(1000))),
        )
        equal((await client.nodes.directory('/device')).length, 100)
        await eventually('event of each', () => new Set(heard).size === 101)
        await client.transaction(inside => inside.remove('/device'))
        equal(await client.nodes.readTextIfThere('/device/1'), undefined)
      } finally {
        await client.stop()
        await device.close()
      }
    },
  )
}

async function against(kind: DaemonKind, steps: Steps): Promise<void> {
  const bench = await steps.phase(`${kind.name}: packages of ${kind.release} and the shim`, () =>
    benchFor(kind),
  )
  const directory = mkdtempSync(join(tmpdir(), 'xenstore-'))
  const daemon = new StoreDaemon(kind, bench, directory)
  const options = { path: daemon.socket, firstPauseMs: 20, longestPauseMs: 200, timeoutMs: 30_000 }
  const store = new XenstoreClient(options)
  const other = new XenstoreClient(options)
  try {
    await daemon.prepare()
    await daemon.start()
    await store.start()
    await other.start()
    const world = new FakeDomains(directory)
    const stage = { kind, daemon, domains: world, store, other, steps }
    for (const part of [nodes, transactions, domains, throughDevice, watches, followed]) await part(stage)
    world.close()
  } finally {
    await store.stop()
    await other.stop()
    await daemon.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

export const test: SystemTest = {
  name: 'xenstore',
  async run(steps) {
    for (const kind of daemonKinds) await against(kind, steps)
  },
}
