// The small parts of the link to a Xen domain: where its page may lie, how fast it may call, what outlives the daemon.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { defaultShmemAddress } from '../../../src/dt/scmi-fragment.ts'
import { Bucket } from '../../../src/guest-link/xen-smc/bucket.ts'
import { MonitorJournal } from '../../../src/guest-link/xen-smc/journal.ts'
import { placeOf } from '../../../src/guest-link/xen-smc/page-place.ts'
import { untoldVulnerabilities } from '../../../src/guest-link/xen-smc/vulnerabilities.ts'
import { WaitingVcpus } from '../../../src/guest-link/xen-smc/waiting-vcpus.ts'

describe('where a shared page may lie', () => {
  const at = (start: number, size = 4096, devices: { start: number; size: number }[] = []) =>
    placeOf({ start, size }, devices)
  const usualPageAddress = Number(defaultShmemAddress)

  test('in a hole of the memory map, or in RAM', () => {
    expect(at(usualPageAddress)).toBe('hole')
    expect(at(0x34000000)).toBe('hole')
    expect(at(usualPageAddress + 128, 128)).toBe('hole')
    expect(at(0x40000000)).toBe('ram')
    expect(at(0xfffff000)).toBe('ram')
    expect(at(0x200000000)).toBe('ram')
  })

  test.each([
    [0x02000000, /virtio over MMIO/],
    [0x03001000, /interrupt controller/],
    [0x04000000, /interrupt controller/],
    [0x10000000, /configuration space/],
    [0x20000000, /ACPI/],
    [0x22000000, /virtual UART; 0x22001000 is free/],
    [0x23000000, /virtual PCI's memory/],
    [0x38000000, /grant table/],
    [0x39001000, /Xen's own pages/],
    [0x100000000, /prefetchable/],
  ])("not on what is Xen's: 0x%s", (start, text) => {
    expect(() => at(start)).toThrow(text)
  })

  test('not on registers of a device, nor across pages, nor nowhere', () => {
    expect(() => at(0x34000800, 128, [{ start: 0x34000000, size: 0x100 }])).toThrow(
      /registers passed through at 0x34000000/,
    )
    expect(() => at(0x34000ff0, 32)).toThrow(/one page/)
    expect(() => at(0x34000000, 8192)).toThrow(/one page/)
    expect(() => at(0x34000002, 32)).toThrow(/multiple of 4/)
    expect(() => at(0x34000000, 16)).toThrow(/below 32/)
    expect(() => at(2 ** 41)).toThrow(/beyond any guest memory/)
  })
})

describe('how fast a guest may call', () => {
  test('a burst at once, then one an interval, and a burst again after a rest', () => {
    const clock = new Float64Array([0, 1e9])
    const bucket = new Bucket(100, 3)
    const waits = (count: number) => Array.from({ length: count }, () => bucket.take(clock))
    expect(waits(5)).toEqual([0, 0, 0, 10, 20])
    clock[1] = 1e9 + 20_000
    expect(waits(1)).toEqual([10])
    clock[1] = 1e9 + 10e6
    expect(waits(4)).toEqual([0, 0, 0, 10])
  })
})

test('vCPUs wait in their order', () => {
  const waiting = new WaitingVcpus()
  expect([waiting.empty, waiting.first, waiting.take()]).toEqual([true, -1, -1])
  for (let round = 0; round < 3; round++) {
    for (const vcpu of [3, 1, 7, 0, 2]) waiting.add(vcpu)
    expect([waiting.first, waiting.empty]).toEqual([3, false])
    expect(Array.from({ length: 6 }, () => waiting.take())).toEqual([3, 1, 7, 0, 2, -1])
  }
  waiting.add(4)
  waiting.clear()
  expect(waiting.take()).toBe(-1)
})

test('vulnerabilities that a guest is not told of are those that the machine has', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vulnerabilities-'))
  const say = (name: string, text: string) => writeFileSync(join(directory, name), `${text}\n`)
  say('meltdown', 'Vulnerable')
  say('spectre_v2', 'Mitigation: CSV2, BHB')
  say('spec_store_bypass', 'Not affected')
  expect(untoldVulnerabilities(directory)).toEqual(['spectre_v2'])
  say('spec_store_bypass', 'Vulnerable')
  expect(untoldVulnerabilities(directory)).toEqual(['spectre_v2', 'spec_store_bypass'])
  rmSync(directory, { recursive: true })
  expect(untoldVulnerabilities(directory)).toEqual([])
})

describe('the journal of a monitor', () => {
  const directory = mkdtempSync(join(tmpdir(), 'monitor-journal-'))
  afterAll(() => rmSync(directory, { recursive: true }))
  const entry = { nonce: 'aa', stage: 'armed', port: 7, page: 0x22001, conduitSet: true } as const
  const journal = (domid: number, uuid: string, boot?: string) =>
    new MonitorJournal(join(directory, 'sub'), domid, uuid, boot)

  test('is known again by the same domain of the same boot alone', () => {
    journal(5, 'u1').save(entry)
    expect(journal(5, 'u1').load()).toMatchObject({ ...entry, domid: 5, uuid: 'u1' })
    expect(journal(6, 'u1').load()).toBeUndefined()
    expect(journal(5, 'u2').load()).toBeUndefined()
    expect(journal(5, 'u1').load()).toBeUndefined() // and what was of a former domain is gone
    journal(5, 'u1').save(entry)
    expect(journal(5, 'u1', 'another boot').load()).toBeUndefined()
  })

  test('keeps what is known when a page is planned', () => {
    const mine = journal(8, 'u')
    mine.plan(9)
    expect(mine.load()).toMatchObject({ stage: 'disarmed', page: 9, port: -1, conduitSet: false })
    mine.save(entry)
    mine.plan(10)
    expect(mine.load()).toMatchObject({ ...entry, page: 10 })
  })

  test.each(['', '{', '{"version":1}', '{"version":2,"domid":7}'])(
    'is refused where it is damaged: %s',
    text => {
      const mine = journal(7, 'u')
      mine.save(entry)
      writeFileSync(mine.path, text)
      expect(() => mine.load()).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT', path: mine.path }))
      expect(readFileSync(mine.path, 'utf8')).toBe(text)
    },
  )
})
