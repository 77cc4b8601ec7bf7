// Holds over the stand-in for Xen's libraries: counted once, written down, taken over by whoever comes next.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { XenDomains } from '../../../src/native/xen-domains.ts'
import { Holds } from '../../../src/toolstack/xen/holds.ts'
import { hypervisorOf } from '../../../src/xen-toolstack.ts'
import { hasCompiler, XenStandin } from '../../xen-standin/xen-standin.ts'

function machine() {
  const directory = mkdtempSync(join(tmpdir(), 'holds-'))
  const standin = XenStandin.build()
  const domains = XenDomains.open(standin.libraries)
  onTestFinished(() => {
    domains.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const path = join(directory, 'holds.json')
  const hypervisor = hypervisorOf(domains, directory)
  const holds = (boot = 'this boot'): Holds => new Holds(path, hypervisor, boot)
  standin.create(7)
  return { standin, path, holds, uuid: domains.get(7)?.uuid ?? '', pauses: () => standin.look(7).pauses }
}

describe.skipIf(!hasCompiler)('holds', () => {
  test('one a domain, taken back once', () => {
    const { holds, uuid, pauses } = machine()
    const own = holds()
    own.take(7, uuid)
    own.take(7, uuid)
    expect(pauses()).toBe(2)
    own.release(7, uuid)
    own.release(7, uuid)
    expect(pauses()).toBe(1)
  })

  test('the next one takes it over', () => {
    const { holds, uuid, pauses } = machine()
    holds().take(7, uuid)
    const next = holds()
    expect(next.load()).toEqual([])
    next.take(7, uuid)
    expect(pauses()).toBe(2)
    next.release(7, uuid)
    expect(pauses()).toBe(1)
  })

  test.each(['pausing', 'releasing'])(
    'a daemon killed while it was %s leaves a doubt, and the domain as it is',
    stage => {
      const { holds, uuid, path, pauses } = machine()
      writeFileSync(
        path,
        JSON.stringify({ version: 1, bootId: 'this boot', held: [{ domid: 7, uuid, stage }] }),
      )
      const next = holds()
      expect(next.load()).toEqual([expect.stringContaining('xl unpause 7 lets it go')])
      expect(next.has(7, uuid)).toBe(false)
      expect(pauses()).toBe(1)
    },
  )

  test.each([
    ['another boot', 'another boot', undefined],
    ['another domain of that number', 'this boot', 'ffffffff-0000-0000-0000-000000000000'],
  ])('%s is nobody’s hold', (_, boot, other) => {
    const { holds, uuid, pauses } = machine()
    holds().take(7, uuid)
    const next = holds(boot)
    next.load()
    const asked = other ?? uuid
    expect(next.has(7, asked)).toBe(false)
    next.release(7, asked)
    expect(pauses()).toBe(2)
  })

  test('a domain that runs is not held, whatever the file says', () => {
    const { holds, uuid, standin } = machine()
    const own = holds()
    own.take(7, uuid)
    standin.unpause(7)
    standin.unpause(7)
    const next = holds()
    next.load()
    expect(next.has(7, uuid)).toBe(false)
  })

  test('a domain that is not there is not held, nor remembered', () => {
    const { holds, path } = machine()
    const own = holds()
    expect(() => own.take(9, 'u')).toThrow(/9/)
    expect(readFileSync(path, 'utf8')).toContain('"held":[]')
  })

  test('a file that is none is refused with its name', () => {
    const { holds, path } = machine()
    writeFileSync(path, 'rubbish')
    expect(() => holds().load()).toThrow(path)
  })
})
