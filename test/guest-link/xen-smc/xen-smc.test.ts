// The link to a Xen domain, over a stand-in for Xen's libraries: real calls, a real ring, guests in threads of their own.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FrameHandler } from '../../../src/guest-link/guest-link.ts'
import { XenSmcLink, type XenSmcOptions } from '../../../src/guest-link/xen-smc/xen-smc.ts'
import { Xen } from '../../../src/native/libxen.ts'
import { Reactor } from '../../../src/native/reactor.ts'
import { blob } from '../../dt/build.ts'
import { hasCompiler, sharedPage, smcId, treeAddress, XenStandin } from '../../xen-standin/xen-standin.ts'
import { EchoHandler, KeepingHandler } from '../handlers.ts'

/** PSCI_VERSION, of base: header 0x4000, and what the echo answers: SUCCESS and the payload. */
const frame = [0x00004000, 0x11223344]
const guestTree = blob({
  compatible: 'xen,xenvm',
  psci: { compatible: ['arm,psci-1.0', 'arm,psci-0.2', 'arm,psci'], method: 'hvc', cpu_off: 1, cpu_on: 2 },
  firmware: { optee: { compatible: 'linaro,optee-tz', method: 'hvc' } },
})

describe.skipIf(!hasCompiler)('a domain whose SMCs are monitored', () => {
  const standin = hasCompiler ? XenStandin.build() : (undefined as never)
  const journal = mkdtempSync(join(tmpdir(), 'xen-smc-'))
  let xen: Xen
  let reactor: Reactor
  let links: XenSmcLink[]
  let log: string[]
  let faults: unknown[]

  afterAll(() => rmSync(journal, { recursive: true }))
  beforeEach(() => {
    xen = Xen.open(standin.libraries)
    links = []
    log = []
    faults = []
    reactor = new Reactor((_source, error) => faults.push(error))
  })
  afterEach(() => {
    for (const link of links) link.close()
    for (let domid = 1; domid < 20; domid++) standin.destroy(domid)
    standin.strike(-1)
    const { mappings } = standin.look()
    expect({ mappings, sources: reactor.sourceCount, faults }).toEqual({
      mappings: 0,
      sources: 1,
      faults: [],
    })
    xen.close()
    expect(standin.look().handles).toBe(0)
    expect(openFifos(standin.path)).toBe(0)
    reactor.close()
  })

  function serve(domid: number, handler: FrameHandler, options: Partial<XenSmcOptions> = {}): XenSmcLink {
    const link = new XenSmcLink(
      {
        xen,
        domid,
        smcId,
        shmem: { start: sharedPage, size: 4096 },
        conduit: 'off',
        journal,
        callsPerSecond: 1e6,
        guest: 0,
        ...options,
      },
      { reactor, handler, log: (level, text) => log.push(`${level} ${text}`) },
    )
    links.push(link)
    return link
  }
  /** Runs the reactor until the guests' promises are settled. */
  async function during<T>(work: Promise<T>): Promise<T> {
    let open = true
    const settled = work.finally(() => {
      open = false
    })
    settled.catch(() => {})
    while (open) {
      reactor.step(1)
      await turn()
    }
    return settled
  }

  test('has each message answered in its page, and the call returned', async () => {
    standin.create(1)
    const handler = new EchoHandler()
    const link = serve(1, handler)
    expect(standin.look(1)).toMatchObject({ enabled: true, monitored: true, pauses: 1 })
    expect(standin.words(1)[1]).toBe(1)
    standin.unpause(1)
    expect(await during(standin.program(1, 0, frame))).toBe(0)
    expect([...standin.words(1).subarray(5, 9)]).toEqual([12, 0x4000, 0, 0x11223344])
    expect(handler.restarts).toBe(1)
    expect(link.counters).toMatchObject({ commands: 1, responses: 1 })
    expect(readdirSync(journal)).toEqual(['1.json'])
  })

  test('serves 2,000 calls of each of two vCPUs without an error', async () => {
    standin.create(1, { vcpus: 2 })
    const link = serve(1, new EchoHandler(), { callsAtOnce: 1e6 })
    standin.setUp(1, 1)
    standin.unpause(1)
    const wrong = await during(
      Promise.all([0, 1].map(vcpu => standin.program(1, vcpu, frame, { count: 2000 }))),
    )
    expect(wrong).toEqual([0, 0])
    expect(link.counters).toMatchObject({ commands: 4000, responses: 4000, unknownCalls: 0 })
    expect(standin.vcpu(1, 0).traps + standin.vcpu(1, 1).traps).toBe(4000)
  })
})

/** FIFOs of event channels that are left behind. */
const openFifos = (path: string): number =>
  readdirSync(join(path, '..')).filter(name => name.includes('.events.')).length
