// scmid as a process that follows Xen: domains as xl makes them, guests that execute SMC, the daemon killed under them, and
// scmictl's create, hold and release. Xen's libraries are the stand-in, which test and daemon share.
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { GatedDomainView } from '../../src/lifecycle/views.ts'
import { scmictl } from '../cli/harness.ts'
import { XenHost } from '../xen-standin/xen-host.ts'
import { hasCompiler } from '../xen-standin/xen-standin.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'

const a = { name: 'guest-a', tree: 'guest-a.dtb' }
const b = { name: 'guest-b', tree: 'guest-b.dtb' }
/** Base PROTOCOL_VERSION, and CLOCK_ATTRIBUTES of clocks 0 (guest-a's) and 1 (guest-b's). */
const version = [0x4000]

describe.skipIf(!hasCompiler)('scmid on Xen', () => {
  let host: XenHost
  let daemon: DaemonProcess

  const start = (directory?: string): Promise<DaemonProcess> =>
    DaemonProcess.start({
      config: {
        'xen.libraries': host.standin.libraries,
        'xen.callsAtOnce': 100_000,
        'xen.callsPerSecond': 100_000,
        toolstack: {
          kind: 'xen',
          xenstore: host.store.path,
          userdata: host.userdata,
          conduit: 'psci',
          domains: [{ name: 'guest-b', agentId: 5 }],
        },
      },
      ...(directory === undefined ? {} : { directory }),
    })
  const view = async (domid: number): Promise<GatedDomainView | undefined> =>
    (await daemon.client.gatedDomains()).find(each => each.domid === domid)
  const reaches = (domid: number, state: string, held = false): Promise<void> =>
    vi.waitFor(
      async () => {
        const found = await view(domid)
        if (found?.state !== state || found.held !== held)
          throw new Error(`${JSON.stringify(found)}\n${daemon.log}`)
      },
      { timeout: 20_000, interval: 20 },
    )

  /** A host and a daemon that follows it, for as long as `finished` lets them. */
  async function begin(finished: (end: () => Promise<void>) => void): Promise<void> {
    host = await XenHost.make()
    daemon = await start()
    finished(async () => {
      await daemon.destroy()
      await host.close()
    })
  }

  beforeAll(ensureBuilt, 120_000)

  test('serves domains as plain xl creates them, each its own, through kill and restart', {
    timeout: 120_000,
  }, async () => {
    await begin(onTestFinished)
    host.create(7, a)
    host.create(8, b)
    await reaches(7, 'served')
    await reaches(8, 'served')
    expect((await daemon.client.domain('guest-b')).agentId).toBe(5)
    host.letRun(7)
    host.letRun(8)
    const both = await Promise.all(
      [7, 8].map(domid => host.standin.program(domid, 0, version, { count: 200 })),
    )
    expect(both).toEqual([0, 0])

    const before = (await daemon.client.domains()).map(({ name, agentId, devices }) => ({
      name,
      agentId,
      devices,
    }))
    const under = host.standin.program(7, 0, version, { count: 400 })
    await daemon.end('SIGKILL')
    daemon = await start(daemon.directory)
    expect(await under).toBe(0)
    await reaches(7, 'served')
    expect(
      (await daemon.client.domains()).map(({ name, agentId, devices }) => ({ name, agentId, devices })),
    ).toEqual(before)
    expect(host.pauses(7)).toBe(0)

    host.shutDown(7, 'reboot')
    host.destroy(7)
    host.create(9, a)
    await reaches(9, 'served')
    host.letRun(9)
    expect(await host.standin.program(9, 0, version, { count: 50 })).toBe(0)
    host.destroy(8)
    await vi.waitFor(async () =>
      expect((await daemon.client.domains()).map(({ name }) => name)).toEqual(['guest-a']),
    )
  })

  test('a domain that went, and one that took its number, while nobody served', {
    timeout: 120_000,
  }, async () => {
    await begin(onTestFinished)
    host.create(7, a)
    await reaches(7, 'served')
    await daemon.end('SIGKILL')
    host.destroy(7)
    host.create(7, b)
    daemon = await start(daemon.directory)
    await reaches(7, 'served')
    expect((await daemon.client.domains()).map(({ name }) => name)).toEqual(['guest-b'])
    expect((await daemon.client.status()).problems).toEqual([])
  })

  describe('scmictl', { timeout: 120_000 }, () => {
    let end: () => Promise<void> = async () => {}
    beforeAll(
      () =>
        begin(ends => {
          end = ends
        }),
      120_000,
    )
    afterAll(() => end(), 60_000)
    /** No domain is left to the next test. */
    const cleared = async (): Promise<void> => {
      for (const { domid } of host.domains.list()) if (domid !== 0) host.destroy(domid)
      await vi.waitFor(async () => expect(await daemon.client.domains()).toEqual([]), { timeout: 20_000 })
    }

    /** An xl that has its orders carried out by this test. */
    function xl(answer: (words: string[]) => { out?: string; err?: string; code?: number }): {
      path: string
      said: string[][]
      stop(): void
    } {
      const path = join(host.directory, 'xl')
      const at = (name: string): string => join(host.directory, name)
      writeFileSync(
        path,
        `#!/bin/sh
d=${host.directory}; i=$$
echo "$*" > $d/ask.$i.part; mv $d/ask.$i.part $d/ask.$i
while [ ! -e $d/code.$i ]; do sleep 0.02; done
cat $d/out.$i; cat $d/err.$i >&2; exit $(cat $d/code.$i)
`,
      )
      chmodSync(path, 0o755)
      const said: string[][] = []
      const timer = setInterval(() => {
        for (const name of readdirSync(host.directory)) {
          const id = /^ask\.(\d+)$/.exec(name)?.[1]
          if (id === undefined || existsSync(at(`code.${id}`))) continue
          const words = readFileSync(at(name), 'utf8').trim().split(' ')
          said.push(words)
          rmSync(at(name))
          const { out = '', err = '', code = 0 } = answer(words)
          writeFileSync(at(`out.${id}`), out)
          writeFileSync(at(`err.${id}`), err)
          writeFileSync(at(`code.${id}.part`), String(code))
          writeFileSync(at(`code.${id}`), String(code))
        }
      }, 10)
      return { path, said, stop: () => clearInterval(timer) }
    }

    const printed = (tree: string): string =>
      `Parsing config\n${JSON.stringify({ c_info: { name: 'guest-a' }, b_info: { device_tree: tree } })}\n`

    test('create: paused, granted, let run', async () => {
      onTestFinished(cleared)
      const fake = xl(([command, ...words]) => {
        if (command === '-N') return { out: printed(example('guest-a.dtb')) }
        if (command === 'create') host.create(7, a)
        if (command === 'domid') return { out: '7\n' }
        if (command === 'unpause') host.letRun(Number(words[0]))
        return {}
      })
      const { code, stdout, stderr } = await scmictl(
        ['-v', 'create', '--xl', fake.path, 'guest-a.cfg'],
        daemon,
      )
      fake.stop()
      expect(stderr).toBe('')
      expect([code, stdout]).toEqual([0, 'domain 7 (guest-a): served, agent 2\n'])
      expect(fake.said.map(words => words.join(' '))).toEqual([
        '-N create guest-a.cfg',
        'create -p guest-a.cfg',
        'domid guest-a',
        'unpause 7',
      ])
      await reaches(7, 'served')
      expect(host.pauses(7)).toBe(0)
    })

    test.each([
      ['what cannot be granted is not created', 'refused'],
      ['a domain that is denied is destroyed', 'denied'],
      ['one that xl does not unpause is destroyed', 'stuck'],
    ])('create: %s', async (_, how) => {
      onTestFinished(cleared)
      if (how === 'refused') {
        host.create(6, { name: 'other', tree: 'guest-a.dtb' })
        await reaches(6, 'served')
      }
      const fake = xl(([command]) => {
        if (command === '-N') return { out: printed(example('guest-a.dtb')) }
        if (command === 'create') host.create(7, how === 'denied' ? { ...a, armSci: 'scmi_smc' } : a)
        if (command === 'domid') return { out: '7\n' }
        if (command === 'unpause') return { err: 'libxl: error: unpause failed\n' }
        if (command === 'destroy') host.destroy(7)
        return {}
      })
      const { code, stderr } = await scmictl(['create', '--xl', fake.path, 'guest-a.cfg'], daemon)
      fake.stop()
      expect(code).toBe(1)
      const commands = fake.said.map(([command]) => command)
      if (how === 'refused') expect([commands, stderr]).toEqual([['-N'], expect.stringContaining('other')])
      else {
        expect(commands.at(-1)).toBe('destroy')
        expect(stderr).toContain(how === 'denied' ? 'arm_sci' : 'unpause failed')
        expect(host.domains.get(7)).toBeUndefined()
      }
    })

    test('hold, release, gate-list', async () => {
      onTestFinished(cleared)
      host.create(7, a)
      await reaches(7, 'served')
      host.letRun(7)
      expect(await scmictl(['-v', 'hold', 'guest-a'], daemon)).toMatchObject({
        code: 0,
        stdout: 'domain 7 (guest-a): served, agent 2, held\n',
      })
      expect(host.pauses(7)).toBe(1)
      const { stdout } = await scmictl(['gate-list'], daemon)
      expect(stdout).toMatch(/^Name +ID State +Agent Held\nguest-a +7 served +2 yes\n$/)
      expect((await scmictl(['-N', 'release', '7'], daemon)).stdout).toContain('held')
      expect(host.pauses(7)).toBe(1)
      expect((await scmictl(['release', '7'], daemon)).code).toBe(0)
      expect(host.pauses(7)).toBe(0)
      expect(await scmictl(['hold', '99'], daemon)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('99'),
      })
    })
  })
})
