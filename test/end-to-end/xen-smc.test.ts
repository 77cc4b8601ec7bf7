// scmid serving Xen domains, as a process over a stand-in for Xen's libraries: guests in threads of this one.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Xen } from '../../src/native/libxen.ts'
import { XenDomains } from '../../src/native/xen-domains.ts'
import { blob } from '../dt/build.ts'
import { hasCompiler, XenStandin } from '../xen-standin/xen-standin.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'

const now = { dryRun: false }
const patience = 90_000
/** CLOCK_ATTRIBUTES of a clock of guest-a's (0, avb) and of one that is not (1, usb0): CLOCK_CONFIG_SET on. */
const attributes = [(0x14 << 10) | 3, 0]
const enable = (clock: number): number[] => [(0x14 << 10) | 7, clock, 1, 0]
const DENIED = -3 >>> 0
const tree = blob({ psci: { compatible: 'arm,psci-1.0', method: 'hvc' } })

describe.skipIf(!hasCompiler)('scmid and Xen domains', () => {
  let standin: XenStandin
  let daemon: DaemonProcess
  let directory: string

  beforeAll(ensureBuilt, 120_000)
  beforeEach(async () => {
    standin = XenStandin.build()
    directory = mkdtempSync(join(tmpdir(), 'scmid-xen-'))
    daemon = await start()
  }, patience)
  afterEach(async () => {
    await daemon.end('SIGKILL')
    rmSync(directory, { recursive: true })
  }, patience)

  const start = (): Promise<DaemonProcess> =>
    DaemonProcess.start({ directory, config: { 'xen.libraries': standin.libraries } })
  const add = (name: string, domid: number, conduit: 'smc' | 'psci' | 'off' = 'smc') =>
    daemon.client.addDomain(
      { name, domid, dtb: readFileSync(example(`${name}.dtb`)), link: { kind: 'xen-smc', conduit } },
      now,
    )

  test(
    'serves two guests, each its own devices, and frees what one leaves',
    async () => {
      standin.create(1, { vcpus: 2, tree })
      standin.create(2, { tree })
      await add('guest-a', 1)
      await add('guest-b', 2)
      for (const domid of [1, 2]) standin.unpause(domid)
      standin.setUp(1, 1)
      const results = await Promise.all([
        standin.program(1, 0, attributes, { count: 300 }),
        standin.program(1, 1, enable(0), { count: 300 }),
        standin.program(2, 0, enable(1), { count: 300 }),
      ])
      expect(results).toEqual([0, 0, 0])
      expect(await standin.program(1, 0, enable(1), { status: DENIED })).toBe(0)
      expect(await standin.program(2, 0, enable(0), { status: DENIED })).toBe(0)
      expect((await standin.smc(1, 0, 0x84000000))?.[0]).toBe(0x10001n)
      const [a, b] = await daemon.client.domains()
      expect([a?.counters.messages, b?.counters.messages]).toEqual([601, 301])
      expect(a).toMatchObject({ connected: true, link: { kind: 'xen-smc' } })

      await daemon.client.removeDomain('guest-a', now)
      expect(standin.look(1)).toMatchObject({ there: true, enabled: false, monitored: false, pauses: 0 })
      expect((await standin.smc(1, 0, 0x82000002))?.[0]).toBe(0xffffffffffffffffn)
      standin.destroy(2)
      await daemon.client.removeDomain('guest-b', now)
      standin.create(2, { tree })
      await add('guest-b', 2)
      standin.unpause(2)
      expect(await standin.program(2, 0, enable(1))).toBe(0)
      expect(await daemon.end()).toBe(0)
      expect(standin.look(2)).toMatchObject({ enabled: false, mappings: 0, handles: 0 })
    },
    patience,
  )

  test(
    'is killed under load, twice, and its guest sees slow calls and no error',
    async () => {
      standin.create(1, { vcpus: 2, tree })
      await add('guest-a', 1)
      standin.setUp(1, 1)
      standin.unpause(1)
      let stop = false
      const calling = async (vcpu: number, frame: readonly number[]): Promise<number> => {
        let wrong = 0
        while (!stop) wrong += await standin.program(1, vcpu, frame, { count: 200 })
        return wrong
      }
      const calls = Promise.all([calling(0, attributes), calling(1, enable(0))])
      const messages = async () => (await daemon.client.domains())[0]?.counters.messages ?? 0
      for (let kills = 0; kills < 2; kills++) {
        const before = await messages()
        while ((await messages()) < before + 200) await new Promise(done => setTimeout(done, 5))
        await daemon.end('SIGKILL')
        expect(standin.look(1)).toMatchObject({ enabled: true, monitored: true })
        const grants = JSON.stringify((await stateOf(directory)).domains)
        daemon = await start()
        expect(JSON.stringify((await stateOf(directory)).domains)).toBe(grants)
      }
      stop = true
      expect(await calls).toEqual([0, 0])
      expect(await standin.program(1, 0, enable(1), { status: DENIED })).toBe(0)
      expect(daemon.log).toMatch(/taken over from a former run/)
    },
    patience,
  )

  test(
    'is killed, and stopped, and its guest has the version that it negotiated',
    async () => {
      standin.create(1, { tree })
      await add('guest-a', 1)
      standin.unpause(1)
      /** Bytes of the answer to BASE_DISCOVER_AGENT, header and all: 24 in Base 1.0, which gives the name only. */
      const agentBytes = async (): Promise<number | undefined> => {
        expect(await standin.program(1, 0, [(0x10 << 10) | 7, 1])).toBe(0)
        return standin.words(1)[5]
      }
      expect(await agentBytes()).toBe(28)
      expect(await standin.program(1, 0, [(0x10 << 10) | 0x10, 0x1_0000])).toBe(0)
      for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
        await daemon.end(signal)
        daemon = await start()
        expect(await agentBytes()).toBe(24)
      }
      // Another domain of that name begins anew.
      await daemon.client.removeDomain('guest-a', now)
      standin.destroy(1)
      standin.create(1, { tree })
      await add('guest-a', 1)
      standin.unpause(1)
      expect(await agentBytes()).toBe(28)
    },
    patience,
  )

  test(
    'does not give the grants of a domain to another one that has its id now',
    async () => {
      standin.create(1, { tree })
      await add('guest-a', 1)
      await daemon.end('SIGKILL')
      standin.destroy(1)
      standin.create(1, { tree })
      daemon = await start()
      expect((await daemon.client.status()).problems.join()).toMatch(
        /guest-a was not recovered: domain 1 of now is another one than was to be served/,
      )
      expect(standin.look(1)).toMatchObject({ enabled: false, pauses: 1 })
    },
    patience,
  )

  test(
    'refuses in one line what cannot be, and leaves nothing behind',
    async () => {
      standin.create(1, { vcpus: 9, tree })
      await expect(add('guest-a', 1)).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
      await expect(add('guest-a', 7)).rejects.toMatchObject({ code: 'DOMAIN_UNKNOWN' })
      standin.create(2)
      await expect(add('guest-a', 2)).rejects.toMatchObject({ code: 'DTB_REFUSED' })
      standin.withoutVmEvent(true)
      await expect(add('guest-a', 2, 'off')).rejects.toMatchObject({ code: 'XEN_REFUSED' })
      expect(await daemon.client.domains()).toEqual([])
      expect((await daemon.client.agents()).filter(({ state }) => state === 'assigned')).toEqual([])
      expect(standin.look(2)).toMatchObject({ pauses: 1, mappings: 0 })
    },
    patience,
  )
})

test.skipIf(!hasCompiler)('lists domains, and finds, pauses, shuts down and destroys one', () => {
  const standin = XenStandin.build()
  const domains = new XenDomains(Xen.open(standin.libraries))
  standin.create(0, { vcpus: 2, uuid: 0 })
  standin.create(5, { vcpus: 3, uuid: 0x01020304 })
  standin.create(3)
  expect(domains.list().map(({ domid }) => domid)).toEqual([0, 3, 5])
  expect(domains.get(4)).toBeUndefined()
  expect(domains.get(5)).toEqual({
    domid: 5,
    uuid: '04040404-0808-0808-0c0c-0c0c10101010',
    paused: true,
    dying: false,
    shutdown: undefined,
    vcpus: 3,
    onlineVcpus: 1,
    cpuTimeNs: 0,
  })
  domains.pause(5)
  domains.unpause(5)
  expect(domains.get(5)?.paused).toBe(true)
  domains.unpause(5)
  expect(domains.get(5)?.paused).toBe(false)
  domains.shutdown(5, 'crash')
  expect(domains.get(5)?.shutdown).toBe('crash')
  domains.destroy(5)
  expect(() => domains.pause(5)).toThrow(expect.objectContaining({ code: 'DOMAIN_UNKNOWN' }))
  domains.close()
})

async function stateOf(directory: string): Promise<{ domains: unknown[] }> {
  return JSON.parse(readFileSync(join(directory, 'state/domains.json'), 'utf8'))
}
