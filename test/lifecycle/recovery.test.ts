// src/lifecycle/lifecycle.ts and journal.ts: what an earlier run left, whole, spoiled by hand, or out of date.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { emptyJournal, Journal } from '../../src/lifecycle/journal.ts'
import { temporaryFolder } from '../audit/temporary.ts'
import { blob } from '../dt/build.ts'
import { now, SET_DEVICE, Site } from './site.ts'

/** A site that ran, and what its journal says, to be changed by hand. */
async function ran(): Promise<{ site: Site; path: string; state: ReturnType<typeof JSON.parse> }> {
  const site = await Site.recovered()
  await site.add('guest-a', { domid: 4 })
  await site.add('guest-b')
  await site.lifecycle.detachDevice('guest-a', '2', now)
  await site.lifecycle.attachDevice('guest-b', '4', now)
  const path = join(site.directory, 'domains.json')
  return { site, path, state: JSON.parse(readFileSync(path, 'utf8')) }
}

const names = (site: Site): string[] => site.views.domains().map(({ name }) => name)

test('domains come back as they were', async () => {
  const { site } = await ran()
  const before = site.views.domains().map(({ connected: _, counters: __, ...rest }) => rest)
  const next = await site.next()
  await next.lifecycle.recover()
  expect(next.views.domains().map(({ connected: _, counters: __, ...rest }) => rest)).toEqual(before)
  expect(next.faults()).toEqual([])
  expect(next.guest('guest-a').status(0x1407, 0, 1, 0)).toBe(0)
  expect(next.guest('guest-a').status(0x1407, 3, 1, 0)).toBe(-3)
})

test('on a platform that has forgotten everything they are granted anew; nothing more is', async () => {
  const { site } = await ran()
  const next = await site.next({ platform: undefined as never })
  await next.lifecycle.recover()
  expect(next.faults()).toEqual([])
  expect(next.commands().filter(text => text.startsWith('+'))).toEqual([
    '+2/0',
    '+2/5',
    '+3/1',
    '+3/3',
    '+3/7',
    '+3/4',
  ])
})

test('what the firmware still allows, and nobody has, is denied', async () => {
  const { site, path, state } = await ran()
  // As a crash between saving and telling the firmware leaves it.
  state.domains[1].attached = []
  writeFileSync(path, JSON.stringify(state))
  const next = await site.next()
  expect(next.allowed(3)).toContain(4)
  await next.lifecycle.recover()
  expect(next.allowed(3)).toEqual([1, 3, 7])
  expect(next.faults()).toEqual([])
  // A guest that runs on keeps what its devices run on: its agent is not reset.
  expect(next.commands().filter(text => text.startsWith('reset'))).toEqual([])
})

describe('a domain that cannot come back', () => {
  type Spoil = (state: ReturnType<typeof JSON.parse>) => void
  test.each<[string, Spoil, string]>([
    ['its tree is refused now', s => (s.domains[0].dtb = Buffer.from(blob({})).toString('base64')), ''],
    ['its tree is damaged', s => (s.domains[0].dtb = 'AAAA'), 'guest-a'],
    ['its name is none', s => (s.domains[0].name = '../x'), 'expected a name'],
    ['a device that was attached is gone', s => (s.domains[0].attached = ['/soc/nowhere']), '/soc/nowhere'],
    [
      'its device is another’s now',
      s => s.domains.reverse() && s.domains[0].attached.push('/soc/gpu@fd000000'),
      'guest-b',
    ],
  ])(
    '%s: told, without rights, its agent kept from others; the rest is served',
    async (_why, spoil, text) => {
      const { site, path, state } = await ran()
      spoil(state)
      writeFileSync(path, JSON.stringify(state))
      const next = await site.next()
      await next.lifecycle.recover()
      expect(next.faults()).toEqual([])
      expect(names(next)).toContain('guest-b')
      if (text === '') return // a tree without devices is no fault: the domain is there, and has nothing
      const { problems } = next.views.status()
      expect(problems[0]).toContain('was not recovered')
      expect(problems[0]).toContain(text)
      expect(next.roster.entry(2)).toMatchObject({ state: 'quarantined' })
      expect(next.allowed(2)).toEqual([])
      expect(next.commands().filter(each => each === 'reset 2')).toEqual([])
      // The file still has it: the next start tries again.
      expect(JSON.parse(next.journalText() ?? '').domains).toHaveLength(2)
      const [lost] = state.domains.filter((each: { agentId: number }) => each.agentId === 2)
      await expect(next.add(lost.name, { dtb: next.spec('guest-a').dtb })).rejects.toMatchObject({
        code: lost.name === '../x' ? 'CONFIG_INVALID' : 'DOMAIN_EXISTS',
      })
      // Removed, its agent is swept and free.
      expect(await next.lifecycle.removeDomain(lost.name, { dryRun: true })).toMatchObject({ agentId: 2 })
      expect(next.roster.entry(2).state).toBe('quarantined')
      await next.lifecycle.removeDomain(lost.name, now)
      expect(next.roster.entry(2).state).toBe('free')
      expect(next.commands()).toContain('reset 2')
      expect(next.views.status()).toEqual({ state: 'ok', problems: [] })
      expect(JSON.parse(next.journalText() ?? '').domains).toHaveLength(1)
      expect(next.faults()).toEqual([])
    },
  )

  test('mended, it is back at the start after', async () => {
    const { site } = await ran()
    const second = await site.next()
    second.broken.open = true
    await second.lifecycle.recover()
    expect(names(second)).toEqual([])
    expect(second.views.status().state).toBe('degraded')
    expect(second.allowed(2)).toEqual([])
    const third = await site.next()
    await third.lifecycle.recover()
    expect(names(third)).toEqual(['guest-a', 'guest-b'])
    expect(third.views.status()).toEqual({ state: 'ok', problems: [] })
    expect(third.faults()).toEqual([])
  })

  test('its agent cannot be swept: it stays in quarantine when the domain is removed', async () => {
    const { site } = await ran()
    const next = await site.next()
    next.broken.open = true
    await next.lifecycle.recover()
    next.link.fault = ({ message }) => (message === SET_DEVICE ? -8 : undefined)
    await next.lifecycle.removeDomain('guest-a', now)
    expect(next.roster.entry(2).state).toBe('quarantined')
    expect(JSON.parse(next.journalText() ?? '').quarantined).toMatchObject([{ agentId: 2 }])
  })

  test('its agent does not exist any more', async () => {
    const { site, path, state } = await ran()
    state.domains[0].agentId = 99
    writeFileSync(path, JSON.stringify(state))
    const next = await site.next()
    await next.lifecycle.recover()
    expect(names(next)).toEqual(['guest-b'])
    expect(next.views.status().problems).toEqual([
      'domain guest-a was not recovered: there is no agent 99; there are 1, 2, 3, 4, 5',
    ])
    await next.lifecycle.removeDomain('guest-a', now)
    expect(next.views.status().problems).toEqual([])
    expect((await next.add('guest-a')).agentId).toBe(2)
    expect(next.faults()).toEqual([])
  })

  test('two domains of one agent: the first has it, the second takes nothing from it', async () => {
    const { site, path, state } = await ran()
    state.domains[1].agentId = 2
    writeFileSync(path, JSON.stringify(state))
    const next = await site.next()
    await next.lifecycle.recover()
    expect(names(next)).toEqual(['guest-a'])
    expect(next.roster.entry(2)).toMatchObject({ state: 'assigned', domain: 'guest-a' })
    expect(next.allowed(2)).toEqual([0, 5])
    await next.lifecycle.removeDomain('guest-b', now)
    expect(next.allowed(2)).toEqual([0, 5])
    expect(next.roster.entry(2)).toMatchObject({ state: 'assigned', domain: 'guest-a' })
  })

  test('the management agent is nobody’s', async () => {
    const { site, path, state } = await ran()
    state.domains[0].agentId = 1
    state.quarantined.push({ agentId: 1, reason: 'by hand' })
    writeFileSync(path, JSON.stringify(state))
    const next = await site.next()
    await next.lifecycle.recover()
    expect(names(next)).toEqual(['guest-b'])
    expect(next.roster.entry(1).state).toBe('management')
  })
})

test('firmware that does not answer for a moment: the domain is lost to this run, not for good', async () => {
  const { site } = await ran()
  const next = await site.next()
  next.link.fault = ({ message }) => (message === SET_DEVICE ? 'lost' : undefined)
  await next.lifecycle.recover()
  expect(names(next)).toEqual([])
  const third = await site.next()
  await third.lifecycle.recover()
  expect(names(third)).toEqual(['guest-a', 'guest-b'])
  expect(third.faults()).toEqual([])
})

test('quarantine outlives the daemon, also while the platform does not list the agent', async () => {
  const { site } = await ran()
  site.link.fault = ({ message }) => (message === SET_DEVICE ? -8 : undefined)
  await site.lifecycle.removeDomain('guest-a', now)
  const second = await site.next()
  await second.lifecycle.recover()
  expect(second.roster.entry(2)).toMatchObject({
    state: 'quarantined',
    reason: expect.stringContaining('GENERIC'),
  })
  const path = join(site.directory, 'domains.json')
  const state = JSON.parse(readFileSync(path, 'utf8'))
  state.quarantined.push({ agentId: 77, reason: 'of a larger platform' })
  writeFileSync(path, JSON.stringify(state))
  const third = await site.next()
  await third.lifecycle.recover()
  expect(JSON.parse(third.journalText() ?? '').quarantined).toEqual([
    { agentId: 2, reason: expect.stringContaining('GENERIC') },
    { agentId: 77, reason: 'of a larger platform' },
  ])
})

describe('the file', () => {
  test.each<[string, string]>([
    ['cut off', '{"version": 1, "domains": [{"na'],
    ['empty', ''],
    ['of another kind', '[]'],
    ['of a later version', '{"version": 2, "domains": [], "quarantined": []}'],
    ['without a name', '{"version": 1, "domains": [{"agentId": 2}], "quarantined": []}'],
    ['NUL bytes, as a power failure leaves them', '\0\0\0\0'],
  ])('%s: nothing starts, and it is never written over', async (_what, text) => {
    const site = await Site.start()
    const path = join(site.directory, 'domains.json')
    writeFileSync(path, text)
    await expect(site.lifecycle.recover()).rejects.toMatchObject({ code: 'STATE_CORRUPT', path })
    await expect(site.add('guest-a')).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
    await site.lifecycle.settle()
    expect(readFileSync(path, 'utf8')).toBe(text)
    expect(site.allowed(2)).toEqual([])
    site.destroy()
  })

  test('a directory in its place is no journal', async () => {
    const folder = temporaryFolder()
    expect(() => new Journal(folder).load()).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
  })

  test('is whole or as before, private, and leaves nothing beside it', async () => {
    const { site, path } = await ran()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const before = readFileSync(path, 'utf8')
    site.breakJournal(true)
    await expect(site.lifecycle.removeDomain('guest-a', now)).rejects.toMatchObject({ code: 'SYSTEM' })
    expect(readFileSync(path, 'utf8')).toBe(before)
    site.breakJournal(false)
    await site.lifecycle.settle()
    expect(JSON.parse(readFileSync(path, 'utf8')).domains).toHaveLength(1)
    expect(readdirSync(site.directory).sort()).toEqual(['audit.jsonl', 'domains.json', 'votes'])
  })

  test('nothing there is nothing saved', () => {
    expect(new Journal(join(temporaryFolder(), 'none')).load()).toEqual(emptyJournal)
  })
})
