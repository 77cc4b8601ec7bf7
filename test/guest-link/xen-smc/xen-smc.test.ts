// The link to a Xen domain, over a stand-in for Xen's libraries: real calls, a real ring, guests in threads of their own.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FrameHandler } from '../../../src/guest-link/guest-link.ts'
import type { XenSmcOptions } from '../../../src/guest-link/xen-smc/options.ts'
import { XenSmcLink } from '../../../src/guest-link/xen-smc/xen-smc.ts'
import { EventChannel } from '../../../src/native/event-channel.ts'
import { Xen } from '../../../src/native/libxen.ts'
import { Reactor } from '../../../src/native/reactor.ts'
import { blob } from '../../dt/build.ts'
import { collectionsOf } from '../../native/no-garbage.ts'
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
  /** What the reactor itself watches. */
  let ownSources: number
  let log: string[]
  let faults: unknown[]

  afterAll(() => rmSync(journal, { recursive: true }))
  beforeEach(() => {
    xen = Xen.open(standin.libraries)
    links = []
    log = []
    faults = []
    reactor = new Reactor((_source, error) => faults.push(error))
    ownSources = reactor.sourceCount
  })
  afterEach(() => {
    for (const link of links) link.close()
    for (let domid = 1; domid < 20; domid++) standin.destroy(domid)
    standin.strike(-1)
    const { mappings } = standin.look()
    expect({ mappings, sources: reactor.sourceCount, faults }).toEqual({
      mappings: 0,
      sources: ownSources,
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

  /** Domain 1, whose two vCPUs have called: the handler keeps the message of one, and the other's is queued. */
  async function twoCallsWaiting() {
    standin.create(1, { vcpus: 2 })
    const handler = new KeepingHandler()
    const link = serve(1, handler)
    standin.setUp(1, 1)
    standin.unpause(1)
    standin.writeWords(1, [0, 0, 0, 0, 0, 8, ...frame])
    const calls = [standin.smc(1, 0, smcId), standin.smc(1, 1, smcId)]
    while (standin.vcpu(1, 0).traps + standin.vcpu(1, 1).traps < 2) await turn()
    reactor.step(10)
    reactor.step(10)
    expect(handler.kept.length).toBe(1)
    return { handler, link, calls }
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

  test('answers a call that is not its own -1, and knows both forms of its own', async () => {
    standin.create(1)
    const link = serve(1, new EchoHandler())
    standin.unpause(1)
    for (const id of [0x82000003, 0x84000000, 0, 0xffffffff, 0x80000000, 0x02000002])
      expect((await during(standin.smc(1, 0, id, 7)))?.slice(0, 2)).toEqual([-1n & 0xffffffffffffffffn, 7n])
    expect(link.counters).toMatchObject({ commands: 0, unknownCalls: 6 })
    expect(await during(standin.program(1, 0, frame, { id: smcId + 0x40000000 }))).toBe(0)
  })

  test('may want the call to name its page and offset', async () => {
    standin.create(1)
    const area = { start: sharedPage + 256, size: 128 }
    const link = serve(1, new EchoHandler(), { takesParameters: true, shmem: area })
    standin.unpause(1)
    const all = 0xffffffffffffffffn
    standin.writeWords(1, [0, 0, 0, 0, 0, 8, ...frame], area.start)
    expect((await during(standin.smc(1, 0, smcId, 0x22001, 0)))?.[0]).toBe(all)
    expect((await during(standin.smc(1, 0, smcId, 0x22002, 256)))?.[0]).toBe(all)
    expect((await during(standin.smc(1, 0, smcId, 0x22001n | (1n << 32n), 256)))?.[0]).toBe(all)
    expect((await during(standin.smc(1, 0, smcId, 0x22001, 256)))?.[0]).toBe(0n)
    expect([...standin.words(1, 9, area.start)].slice(5)).toEqual([12, 0x4000, 0, 0x11223344])
    expect(link.counters).toMatchObject({ commands: 1, unknownCalls: 3 })
    expect(link.maxMessageBytes).toBe(104)
  })

  test('refuses doorbells without a message, and messages of no length', async () => {
    standin.create(1)
    const link = serve(1, new EchoHandler())
    standin.unpause(1)
    expect((await during(standin.smc(1, 0, smcId)))?.[0]).toBe(0n)
    expect(standin.words(1)[1]).toBe(3)
    for (const length of [0, 3, 129, 0xffffffff]) {
      standin.writeWords(1, [0, 0, 0, 0, 0, length, 0x4000])
      expect((await during(standin.smc(1, 0, smcId)))?.[0]).toBe(0n)
      expect([...standin.words(1, 8)].slice(1)).toEqual([3, 0, 0, 0, 8, 0x4000, -10 >>> 0])
    }
    expect(link.counters).toMatchObject({ commands: 0, spuriousDoorbells: 1, badLengths: 4 })
  })

  test('answers GENERIC_ERROR when the handler breaks, and goes on', async () => {
    standin.create(1)
    let broken = true
    const echo = new EchoHandler()
    serve(1, {
      handle(transfer, link) {
        if (broken) throw new Error('broken')
        echo.handle(transfer, link)
      },
    })
    standin.unpause(1)
    expect(await during(standin.program(1, 0, frame, { status: -8 >>> 0 }))).toBe(0)
    expect(faults.splice(0)).toEqual([new Error('broken')])
    broken = false
    expect(await during(standin.program(1, 0, frame))).toBe(0)
  })

  test('queues the message of a second vCPU, and a domain that dies takes its answers with it', async () => {
    const { handler, link, calls } = await twoCallsWaiting()
    standin.destroy(1)
    expect(await during(Promise.all(calls))).toEqual([undefined, undefined])
    handler.answer()
    expect(link.occupied).toBe(false)
    expect(log.at(-1)).toMatch(/^info domain 1: gone: /)
    expect(readdirSync(journal)).toEqual([])
  })

  test.each([
    ['is dead', () => standin.destroy(1)],
    ['cannot take its registers', () => standin.strike(2, 0, 12, true)], // ENOMEM, from the first setcontext on
  ])('is closed at once while calls of a domain wait that %s', async (_what, spoil) => {
    const { handler, link, calls } = await twoCallsWaiting()
    spoil()
    link.close()
    expect(link.occupied).toBe(false)
    handler.answer()
    expect(link.counters.late).toBe(1)
    standin.strike(-1)
    standin.destroy(1)
    expect(await during(Promise.all(calls))).toEqual([undefined, undefined])
  })

  test('notices a domain that dies in silence, and forgets it', async () => {
    standin.create(1)
    const link = serve(1, new EchoHandler())
    standin.destroy(1)
    const start = Date.now()
    while (link.occupied && Date.now() - start < 10_000) reactor.step(100)
    expect(link.occupied).toBe(false)
    expect(readdirSync(journal)).toEqual([])
    standin.create(1)
    const other = serve(1, new EchoHandler())
    standin.destroy(1)
    other.close()
    expect(readdirSync(journal)).toEqual([])
  })

  test('serves several domains at once', async () => {
    const domids = [1, 2, 3]
    for (const domid of domids) standin.create(domid)
    const served = domids.map(domid => serve(domid, new EchoHandler(), { callsAtOnce: 1e6 }))
    for (const domid of domids) standin.unpause(domid)
    const wrong = domids.map(domid => standin.program(domid, 0, [0x4000, domid], { count: 300 }))
    expect(await during(Promise.all(wrong))).toEqual([0, 0, 0])
    expect(served.map(({ counters }) => counters.commands)).toEqual([300, 300, 300])
    for (const domid of domids) expect(standin.words(domid, 9)[8]).toBe(domid)
  })

  test('lets Xen answer once it is closed, and answers what still waits', async () => {
    standin.create(1)
    const handler = new KeepingHandler()
    const link = serve(1, handler)
    standin.unpause(1)
    const call = standin.program(1, 0, frame, { status: -7 >>> 0 })
    while (handler.kept.length === 0) {
      reactor.step(1)
      await turn()
    }
    link.close()
    expect(await during(call)).toBe(0)
    handler.answer()
    expect(link.counters.late).toBe(1)
    expect(standin.look(1)).toMatchObject({ enabled: false, monitored: false, pauses: 0, mappings: 0 })
    expect((await during(standin.smc(1, 0, 0x84000000)))?.[0]).toBe(0x10001n)
    expect((await during(standin.smc(1, 0, smcId)))?.[0]).toBe(0xffffffffffffffffn)
    const again = serve(1, new EchoHandler())
    expect(await during(standin.program(1, 0, frame))).toBe(0)
    expect(again.counters.commands).toBe(1)
  })

  describe('the conduit of a stock guest', () => {
    test('is the one property changed, and its PSCI is served here', async () => {
      standin.create(1, { vcpus: 4, tree: guestTree })
      const link = serve(1, new EchoHandler(), { conduit: 'smc' })
      const changed = Buffer.from(standin.read(1, treeAddress, guestTree.length))
      const differing = [...guestTree].flatMap((byte, i) => (byte === changed[i] ? [] : [i]))
      expect(differing.length).toBe(2) // hvc, smc: the c stays
      expect(changed.indexOf('smc\0')).toBe(differing[0])
      expect(changed.lastIndexOf('hvc\0')).toBeGreaterThan(changed.indexOf('smc\0')) // optee's stands
      standin.unpause(1)
      const psci = async (...x: number[]) =>
        BigInt.asIntN(64, (await during(standin.smc(1, 0, ...x)))?.[0] ?? 99n)
      expect(await psci(0x84000000)).toBe(0x10001n)
      expect(await psci(0xc4000004, 1, 0)).toBe(1n)
      expect(await psci(0xc4000003, 1, 0x40080000, 0x1234)).toBe(0n)
      expect(standin.vcpu(1, 1)).toMatchObject({
        down: false,
        starts: 1,
        pc: 0x40080000,
        x0: 0x1234,
        sctlr: 0x00c50078,
        cpsr: 0x3c5,
      })
      expect(await psci(0xc4000004, 1, 0)).toBe(0n)
      expect(await psci(0xc4000004, 0, 1)).toBe(0n)
      expect(await psci(0xc4000004, 0x100, 1)).toBe(1n)
      expect(await psci(0xc4000003, 1, 0x40080000, 0)).toBe(-4n)
      expect(await psci(0xc4000003, 4, 0x40080000, 0)).toBe(-2n)
      expect(await psci(0xc4000003, 2, 0x40080001, 0)).toBe(-9n)
      expect(await during(standin.smc(1, 1, 0x84000002))).toBeUndefined()
      expect(standin.vcpu(1, 1)).toMatchObject({ down: true, waits: false })
      expect(await psci(0xc4000003, 1, 0x40090000, 5)).toBe(0n)
      expect(standin.vcpu(1, 1)).toMatchObject({ down: false, starts: 2, pc: 0x40090000, x0: 5 })
      expect(await psci(0x80008000, 5)).toBe(0x80008000n)
      expect(await psci(0x82000009)).toBe(-1n)
      expect(await during(standin.program(1, 0, frame))).toBe(0)
      expect(link.counters).toMatchObject({ commands: 1, unknownCalls: 1 })
      expect(await during(standin.smc(1, 0, 0x84000009))).toBeUndefined()
      expect(standin.look(1).shutdown).toBe(1)
    })

    test('is warned of where the CPUs have vulnerabilities that the guest is not told of', () => {
      standin.create(1, { tree: guestTree })
      const vulnerabilities = mkdtempSync(join(tmpdir(), 'vulnerabilities-'))
      writeFileSync(join(vulnerabilities, 'spectre_v2'), 'Mitigation: CSV2, BHB\n')
      serve(1, new EchoHandler(), { conduit: 'smc', vulnerabilities })
      expect(log[0]).toMatch(/^warn domain 1: is not told of Xen's workarounds, and the CPUs have spectre_v2/)
    })

    test('serves PSCI while the firmware is slow', async () => {
      standin.create(1, { vcpus: 2, tree: guestTree })
      const handler = new KeepingHandler()
      serve(1, handler, { conduit: 'smc' })
      standin.setUp(1, 1)
      standin.unpause(1)
      const slow = standin.program(1, 0, frame)
      while (handler.kept.length === 0) {
        reactor.step(1)
        await turn()
      }
      for (let i = 0; i < 20; i++) expect((await during(standin.smc(1, 1, 0x84000000)))?.[0]).toBe(0x10001n)
      expect(standin.vcpu(1, 0).waits).toBe(true)
      handler.answer()
      expect(await during(slow)).toBe(0)
    })

    test('is known after the link was closed and opened again', async () => {
      standin.create(1, { tree: guestTree })
      serve(1, new EchoHandler(), { conduit: 'smc' }).close()
      standin.setX0(1, 0)
      serve(1, new EchoHandler(), { conduit: 'smc' })
      standin.unpause(1)
      expect((await during(standin.smc(1, 0, 0x84000000)))?.[0]).toBe(0x10001n)
    })

    const acpi = { chosen: { 'module@20000000': { compatible: ['xen,guest-acpi', 'multiboot,module'] } } }
    test.each([
      ['no tree', undefined, /has no device tree at 0x0/],
      ['a tree without PSCI', blob({ compatible: 'x' }), /has no node \/psci/],
      ['PSCI without a method', blob({ psci: { compatible: 'arm,psci' } }), /\/psci has no property method/],
      ['a method that nobody knows', blob({ psci: { method: 'svc' } }), /"svc\\u0000", not "hvc"/],
      ['ACPI', blob({ ...acpi, psci: { method: 'hvc' } }), /module@20000000: the guest is given ACPI tables/],
    ])('refuses %s', (_name, tree, text) => {
      standin.create(1, tree === undefined ? {} : { tree })
      expect(() => serve(1, new EchoHandler(), { conduit: 'smc' })).toThrow(text)
      expect(standin.look(1)).toMatchObject({ enabled: false, monitored: false, pauses: 1 })
    })

    test('refuses a 32-bit guest', () => {
      standin.create(1, { tree: guestTree })
      standin.setX0(1, treeAddress, 0x1d3)
      expect(() => serve(1, new EchoHandler(), { conduit: 'smc' })).toThrow(/32-bit guest/)
      expect(() => serve(1, new EchoHandler(), { conduit: 'psci' })).toThrow(/32-bit guest/)
    })
  })

  describe('refuses', () => {
    const refused = (text: RegExp, options: Partial<XenSmcOptions> = {}) => {
      expect(() => serve(1, new EchoHandler(), options)).toThrow(text)
      expect(standin.look(1)).toMatchObject({ pauses: 1, mappings: 0 })
    }
    test('a hypervisor without VM_EVENT', () => {
      standin.create(1)
      standin.withoutVmEvent(true)
      refused(/Xen 4\.21 and later want to be built with CONFIG_VM_EVENT=y/)
      standin.withoutVmEvent(false)
    })
    test('a domain that dom0less made', () => {
      standin.create(1)
      standin.withoutMonitorPage(1)
      refused(/dom0less gives none/)
    })
    test('a domain of more vCPUs than the ring has places', () => {
      standin.create(1, { vcpus: 9 })
      refused(/has 9 vCPUs; by SMC a guest of at most 8/)
    })
    test('a domain that is not there', () => {
      standin.create(2)
      expect(() => serve(1, new EchoHandler())).toThrow(/Xen has no domain 1/)
    })
    test('a page where the guest has something already, or no more memory, or no RAM', () => {
      standin.create(1)
      standin.write(1, 0x34000000, new Uint8Array(8))
      refused(/has something at 0x34000000 already/, { shmem: { start: 0x34000000, size: 4096 } })
      refused(/has no memory at 0x50000000/, { shmem: { start: 0x50000000, size: 4096 } })
      standin.strike(3, 0, 12)
      refused(/xc_domain_populate_physmap_exact of domain 1: ENOMEM/)
    })
    test("another monitor's domain, whose monitor stays", () => {
      standin.create(1)
      const stranger = xen.monitorEnable(1)
      expect(stranger).toBeGreaterThan(0)
      expect(() => serve(1, new EchoHandler())).toThrow(/another monitor is on domain 1, and nothing proves/)
      expect(standin.look(1)).toMatchObject({ enabled: true })
      xen.unmapPage(stranger)
    })
    test('a domain that another process of ours serves', () => {
      standin.create(1)
      const link = serve(1, new EchoHandler(), { leaveArmed: true })
      expect(() => serve(1, new EchoHandler())).toThrow(/somebody listens on its event channel/)
      expect(standin.look(1)).toMatchObject({ enabled: true, monitored: true })
      link.suspend()
      serve(1, new EchoHandler()) // what the refused one wrote down has not cost the other its proof
    })
    test('to speak to Xen when it may not', () => {
      standin.deny(true)
      expect(() => Xen.open(standin.libraries)).toThrow(/^xc_interface_open: EACCES: only root/)
      standin.deny(false)
    })
  })

  test('uses a page of RAM that the tree names', async () => {
    standin.create(1)
    standin.write(1, 0x43000000, new Uint8Array(4096))
    serve(1, new EchoHandler(), { shmem: { start: 0x43000000, size: 4096 } })
    standin.unpause(1)
    expect(await during(standin.program(1, 0, frame, { address: 0x43000000 }))).toBe(0)
    expect(standin.look(1).freePages).toBeGreaterThan(0)
  })

  test('survives a domain that dies at any of its calls', async () => {
    let steps = 0
    for (let died = true; died; steps++) {
      standin.create(1, { vcpus: 2, uuid: 100 + steps, tree: guestTree })
      const before = standin.look().calls
      standin.strike(steps, 1)
      let link: XenSmcLink | undefined
      try {
        link = serve(1, new EchoHandler(), { conduit: 'smc' })
        if (standin.look(1).there) standin.unpause(1)
        await during(standin.program(1, 0, frame, { count: 3 }))
        await during(standin.smc(1, 0, 0xc4000003, 1, 0x40080000, 0))
      } catch (error) {
        expect(error).toMatchObject({ name: 'MediatorError' })
      }
      link?.close()
      died = !standin.look(1).there
      standin.strike(-1)
      expect({ steps, mappings: standin.look().mappings }).toEqual({ steps, mappings: 0 })
      expect(reactor.sourceCount).toBe(ownSources)
      if (!died) expect(standin.look().calls - before).toBeLessThanOrEqual(steps + 3)
      standin.destroy(1)
    }
    expect(steps).toBeGreaterThan(40)
  })

  test('leaves a domain as it was when any call of its opening fails', () => {
    standin.create(1, { tree: guestTree })
    const before = standin.look().calls
    serve(1, new EchoHandler(), { conduit: 'smc' })
    const steps = standin.look().calls - before
    expect(steps).toBeGreaterThan(15)
    let refusals = 0
    for (let step = 0; step < steps; step++) {
      for (const link of links.splice(0)) link.close()
      standin.destroy(1)
      standin.create(1, { tree: guestTree })
      standin.strike(step, 0, 1)
      try {
        serve(1, new EchoHandler(), { conduit: 'smc' })
        expect(standin.look(1)).toMatchObject({ enabled: true, monitored: true })
      } catch (error) {
        refusals++
        expect(error).toMatchObject({
          name: 'MediatorError',
          message: expect.stringMatching(/EPERM|device tree/),
        })
        const { enabled, monitored, mappings } = standin.look(1)
        expect({ step, enabled, monitored, mappings }).toEqual({
          step,
          enabled: false,
          monitored: false,
          mappings: 0,
        })
      }
      standin.strike(-1)
    }
    expect(refusals).toBeGreaterThan(8)
  })

  test('tries a vCPU again that Xen had no memory to let go', async () => {
    standin.create(1)
    const handler = new KeepingHandler()
    serve(1, handler)
    standin.unpause(1)
    const call = standin.program(1, 0, frame)
    while (handler.kept.length === 0) {
      reactor.step(1)
      await turn()
    }
    standin.strike(1, 0, 12) // after the flush of the page
    handler.answer()
    expect(standin.vcpu(1, 0).waits).toBe(true)
    expect(await during(call)).toBe(0)
  })

  describe('a daemon that was killed', () => {
    /** As SIGKILL leaves it: descriptors and mappings gone, the monitor armed. */
    const kill = (link: XenSmcLink) => link.suspend()

    test('has its calls served by its successor, each once', async () => {
      standin.create(1, { vcpus: 2, tree: guestTree })
      const first = new KeepingHandler()
      const link = serve(1, first, { conduit: 'smc', leaveArmed: true })
      standin.setUp(1, 1)
      standin.unpause(1)
      const calls = [standin.program(1, 0, [0x4000, 1]), standin.program(1, 1, [0x4000, 2])]
      while (first.kept.length === 0) {
        reactor.step(1)
        await turn()
      }
      kill(link)
      expect(standin.look(1)).toMatchObject({ enabled: true, monitored: true, mappings: 0 })
      expect(standin.vcpu(1, 0).waits || standin.vcpu(1, 1).waits).toBe(true)
      const echo = new EchoHandler()
      const second = serve(1, echo, { conduit: 'smc', returning: true })
      expect(log.at(-1)).toMatch(/taken over from a former run/)
      expect(await during(Promise.all(calls))).toEqual([0, 0])
      expect([echo.restarts, echo.resumptions]).toEqual([0, 1])
      expect(second.run).toEqual(link.run)
      expect(second.counters).toMatchObject({ commands: 2, responses: 2, spuriousDoorbells: 0 })
    })

    test('is not asked twice when it died between its answer and letting the vCPU go', async () => {
      standin.create(1)
      const handler = new KeepingHandler()
      const link = serve(1, handler, { leaveArmed: true })
      standin.unpause(1)
      const call = standin.program(1, 0, frame)
      while (handler.kept.length === 0) {
        reactor.step(1)
        await turn()
      }
      kill(link)
      // the answer stood in the page, and no register was written
      standin.writeWords(1, [0, 1, 0, 0, 0, 8, 0x4000, 0])
      const second = serve(1, new KeepingHandler())
      expect(await during(call)).toBe(0)
      expect(second.counters).toMatchObject({ commands: 0, spuriousDoorbells: 0 })
      // later doorbells without a message are spurious again
      expect((await during(standin.smc(1, 0, smcId)))?.[0]).toBe(0n)
      expect(second.counters.spuriousDoorbells).toBe(1)
    })

    test('leaves calls that nobody had looked at', async () => {
      standin.create(1, { vcpus: 8 })
      const link = serve(1, new EchoHandler(), { leaveArmed: true })
      for (let vcpu = 1; vcpu < 8; vcpu++) standin.setUp(1, vcpu)
      standin.unpause(1)
      const calls = [0, 3, 7].map(vcpu => standin.program(1, vcpu, [0x4000, vcpu], { count: 20 }))
      for (let i = 0; i < 5; i++) reactor.step(1)
      kill(link)
      await turn()
      serve(1, new EchoHandler())
      expect(await during(Promise.all(calls))).toEqual([0, 0, 0])
    })

    test('dies again and again', async () => {
      standin.create(1, { vcpus: 2 })
      standin.setUp(1, 1)
      let link = serve(1, new EchoHandler(), { leaveArmed: true })
      standin.unpause(1)
      let open = true
      const calls = Promise.all(
        [0, 1].map(vcpu => standin.program(1, vcpu, [0x4000, vcpu], { count: 300 })),
      ).finally(() => {
        open = false
      })
      for (let i = 1; open; i++) {
        reactor.step(1)
        if (i % 7 === 0) {
          kill(link)
          link = serve(1, new EchoHandler(), { leaveArmed: true, callsAtOnce: 1e6 })
        }
        await turn()
      }
      expect(await calls).toEqual([0, 0])
    })

    test('has its calls served whichever call of its own it died at', async () => {
      for (let step = 0, died = true; died; step++) {
        standin.destroy(1)
        standin.create(1)
        const first = serve(1, new KeepingHandler(), { leaveArmed: true })
        standin.unpause(1)
        const call = standin.program(1, 0, frame)
        while (!standin.vcpu(1, 0).waits) await turn()
        kill(first)
        // The second dies while it takes over: from that call on none gets through.
        const before = standin.look().calls
        standin.strike(step, 0, 5, true)
        try {
          serve(1, new KeepingHandler(), { leaveArmed: true }).suspend()
        } catch (error) {
          expect(error).toMatchObject({ name: 'MediatorError' })
        }
        died = standin.look().calls > before + step
        standin.strike(-1)
        while (standin.look(1).pauses > 0) standin.unpause(1) // a pause of the dead is the toolstack's to undo
        let third: XenSmcLink
        try {
          third = serve(1, new EchoHandler())
        } catch (error) {
          // Died after it had enabled a monitor and before it could write that down: told, never guessed.
          expect(error).toMatchObject({ message: expect.stringMatching(/scmid that was killed meanwhile/) })
          standin.destroy(1)
          expect(await during(call)).toBe(1)
          continue
        }
        expect({ step, wrong: await during(call) }).toEqual({ step, wrong: 0 })
        third.close()
      }
    })

    test('does not pass its domain on to another one of the same id', () => {
      standin.create(1, { uuid: 1 })
      kill(serve(1, new EchoHandler(), { leaveArmed: true }))
      standin.destroy(1)
      standin.create(1, { uuid: 2 })
      const stranger = xen.monitorEnable(1)
      expect(() => serve(1, new EchoHandler())).toThrow(/nothing proves it to be of a former scmid/)
      xen.unmapPage(stranger)
    })

    test('leaves a monitor that a stranger has taken over meanwhile', () => {
      standin.create(1)
      kill(serve(1, new EchoHandler(), { leaveArmed: true }))
      xen.monitorDisable(1)
      const stranger = xen.monitorEnable(1)
      const port = xen.scratch.words[0] as number
      const channel = EventChannel.bind(xen.functions, 1, port)
      if (typeof channel === 'number') throw new Error('no channel')
      expect(() => serve(1, new EchoHandler())).toThrow(/somebody listens on its event channel/)
      channel.close()
      xen.unmapPage(stranger)
    })
  })

  test('believes nothing of a page that is rewritten under it', async () => {
    standin.create(1, { vcpus: 2 })
    const lengths = new Set<number>()
    const echo = new EchoHandler()
    const link = serve(
      1,
      {
        handle(transfer, to) {
          lengths.add(transfer.length)
          if (transfer.header !== (transfer.ints[0] as number))
            throw new Error('the frame changed under its header')
          echo.handle(transfer, to)
        },
      },
      { callsAtOnce: 1e6 },
    )
    standin.setUp(1, 1)
    standin.unpause(1)
    const rewriter = standin.rewriter(1, 300)
    const calls = [0, 1].map(vcpu => standin.program(1, vcpu, frame, { count: 100 }))
    await during(Promise.all([rewriter, ...calls]))
    expect(Math.max(...lengths)).toBeLessThanOrEqual(128)
    const { commands, responses, badLengths, spuriousDoorbells } = link.counters
    expect(commands + badLengths + spuriousDoorbells).toBe(200)
    expect(responses).toBe(commands)
    expect(await during(standin.program(1, 0, frame))).toBe(0)
  })

  test('holds back a domain that calls too often, and no other', async () => {
    standin.create(1)
    standin.create(2)
    const flooding = serve(1, new EchoHandler(), { callsAtOnce: 10, callsPerSecond: 0.001 })
    const other = serve(2, new EchoHandler())
    standin.unpause(1)
    standin.unpause(2)
    const flood = standin.program(1, 0, frame, { count: 11 })
    while (flooding.counters.responses < 11) {
      reactor.step(1)
      await turn()
    }
    expect(await during(standin.program(2, 0, frame, { count: 50 }))).toBe(0)
    expect([flooding.delayed, other.delayed]).toEqual([1, 0])
    expect(standin.vcpu(1, 0).waits).toBe(true)
    flooding.close()
    expect(await during(flood)).toBe(0)
  })

  test('lets a vCPU that was held back go when its time has come', async () => {
    standin.create(1)
    const link = serve(1, new EchoHandler(), { callsAtOnce: 1, callsPerSecond: 100 })
    standin.unpause(1)
    expect(await during(standin.program(1, 0, frame, { count: 10 }))).toBe(0)
    expect(link.counters.responses).toBe(10)
  })

  test('makes no garbage', async () => {
    standin.create(1)
    const link = serve(1, new EchoHandler(), { callsAtOnce: 1e9, callsPerSecond: 1e6 })
    standin.unpause(1)
    const times = 2000
    const calls = standin.program(1, 0, frame, { count: times * 4 + 10 })
    let target = 0
    const collections = await collectionsOf(count => {
      target += count
      while (link.counters.commands < target) reactor.step(1)
    }, times)
    expect(collections).toBe(0)
    expect(await during(calls)).toBe(0)
  })
})

/** FIFOs of event channels that are left behind. */
const openFifos = (path: string): number =>
  readdirSync(join(path, '..')).filter(name => name.includes('.events.')).length
