// src/lifecycle/recovery.ts: what domains had voted for, when they come back, do not, or went meanwhile.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { now, Site, type SiteOptions } from './site.ts'

const [ON, OFF] = [0, 0x4000_0000]
/** Power domain of guest-a and guest-b; guest-a's alone. */
const [sdhi, gpu] = [2, 4]
const lastWriter = (text: string): string => text.replace('sharing: votes', 'sharing: last-writer')

const power = (site: Site, name: string, domain: number, state: number): number =>
  site.guest(name).status(0x1104, 0, domain, state)
const isOn = (site: Site, domain: number): boolean => site.platform.power.state(domain) === 1

/** Both need sdhi, guest-a the gpu too; then the daemon dies. */
async function ran(): Promise<Site> {
  const site = await Site.recovered({ edit: lastWriter })
  for (const name of ['guest-a', 'guest-b']) {
    await site.add(name)
    expect(power(site, name, sdhi, ON)).toBe(0)
  }
  expect(power(site, 'guest-a', gpu, ON)).toBe(0)
  return site
}

async function recovered(former: Site, options: SiteOptions = {}): Promise<Site> {
  const site = await former.next({ edit: lastWriter, ...options })
  await site.lifecycle.recover()
  return site
}

const state = (site: Site) => JSON.parse(readFileSync(join(site.directory, 'domains.json'), 'utf8'))
const write = (site: Site, text: unknown): void =>
  writeFileSync(join(site.directory, 'domains.json'), JSON.stringify(text))

test('both come back, in another order too: the OFF of one does not cut the other', async () => {
  const former = await ran()
  const saved = state(former)
  saved.domains.reverse()
  write(former, saved)
  const site = await recovered(former)
  expect(power(site, 'guest-b', sdhi, OFF)).toBe(0)
  expect(isOn(site, sdhi)).toBe(true)
  const third = await recovered(site)
  expect(power(third, 'guest-a', sdhi, OFF)).toBe(0)
  expect([isOn(third, sdhi), isOn(third, gpu)]).toEqual([false, true])
  expect(third.views.status().problems).toEqual([])
})

test('on a platform that has forgotten everything: granted, then switched on, and both are written down', async () => {
  const site = await recovered(await ran(), { platform: undefined as never })
  expect([isOn(site, sdhi), isOn(site, gpu)]).toEqual([true, true])
  expect(site.logged).toContain('info: guest-a: 2 switched on again, 0 off')
  expect(site.records()).toContainEqual(
    expect.objectContaining({ kind: 'restore', domain: 'guest-b', text: '1 switched on again, 0 off' }),
  )
  expect(site.faults()).toEqual([])
})

test('a renamed domain has its votes', async () => {
  const former = await ran()
  await former.lifecycle.renameDomain('guest-a', 'other')
  const site = await recovered(former)
  power(site, 'guest-b', sdhi, OFF)
  expect(isOn(site, sdhi)).toBe(true)
  power(site, 'other', sdhi, OFF)
  expect(isOn(site, sdhi)).toBe(false)
})

test('one that cannot come back: its votes stand, over the next start too, until it is removed', async () => {
  const former = await ran()
  const saved = state(former)
  const { dtb } = saved.domains[0]
  saved.domains[0].dtb = 'AAAA'
  write(former, saved)
  for (const site of [await recovered(former), await recovered(former)]) {
    expect(site.views.domains().map(({ name }) => name)).toEqual(['guest-b'])
    power(site, 'guest-b', sdhi, ON)
    power(site, 'guest-b', sdhi, OFF)
    expect([isOn(site, sdhi), isOn(site, gpu)]).toEqual([true, true])
    // Another domain does not get its place.
    await site.add('guest-c')
    expect(site.platform.power.state(sdhi)).toBe(1)
    await site.lifecycle.removeDomain('guest-c', now)
  }
  // Mended, it is as it was.
  const mended = state(former)
  for (const domain of mended.domains) if (domain.name === 'guest-a') domain.dtb = dtb
  write(former, mended)
  const site = await recovered(former)
  expect(site.guest('guest-a').words(0x1105, sdhi)[1]).toBe(ON)
  const again = state(site)
  for (const domain of again.domains) if (domain.name === 'guest-a') domain.dtb = 'AAAA'
  write(site, again)
  const last = await recovered(site)
  await last.lifecycle.removeDomain('guest-a', now)
  expect([isOn(last, sdhi), isOn(last, gpu)]).toEqual([false, false])
  expect(last.views.domains().map(({ name }) => name)).toEqual(['guest-b'])
})

test('one that went meanwhile: what nobody else needs is switched off before its agent is swept', async () => {
  const former = await ran()
  const sent: string[] = []
  former.platform.tap = (channel, words) => {
    const [word = 0, , domain, value] = words
    if (((word >>> 10) & 0xff) === 0x11 && (word & 0xff) === 4) sent.push(`${channel}: ${domain} ${value}`)
  }
  const site = await recovered(former, { isGone: ({ name }) => name === 'guest-a' })
  expect(sent[0]).toBe(`1: ${gpu} ${OFF}`)
  expect([isOn(site, sdhi), isOn(site, gpu)]).toEqual([true, false])
  expect(site.roster.entry(2).state).toBe('free')
  expect(state(site).domains.map(({ name }: { name: string }) => name)).toEqual(['guest-b'])
})

test.each<[string, (domain: Record<string, unknown>) => void]>([
  ['nothing of places', domain => delete domain['slot']],
  ['a place that there is not', domain => Object.assign(domain, { slot: 4096 })],
  ['both domains in one place', domain => Object.assign(domain, { slot: 0 })],
  ['a domain that was added at another time', domain => Object.assign(domain, { addedAt: 'then' })],
])('a journal that knows %s: domains come back, each with no other’s votes', async (_what, spoil) => {
  const former = await ran()
  const saved = state(former)
  for (const domain of saved.domains) spoil(domain)
  write(former, saved)
  const site = await recovered(former)
  expect(site.views.domains().map(({ name }) => name)).toEqual(['guest-a', 'guest-b'])
  for (const name of ['guest-a', 'guest-b']) {
    expect(power(site, name, sdhi, ON)).toBe(0)
    expect(power(site, name, sdhi, OFF)).toBe(0)
  }
  expect(isOn(site, sdhi)).toBe(false)
})

test('votes that cannot be believed: told, until the next start', async () => {
  const former = await ran()
  const path = join(former.directory, 'votes')
  const bytes = readFileSync(path)
  bytes[8] = (bytes[8] as number) ^ 1
  writeFileSync(path, bytes)
  const site = await recovered(former)
  expect(site.views.status().problems).toEqual([
    expect.stringMatching(/^what domains voted for before cannot be believed/),
  ])
  expect([isOn(site, sdhi), isOn(site, gpu)]).toEqual([true, true])
  for (const name of ['guest-a', 'guest-b']) power(site, name, sdhi, ON)
  const next = await recovered(site)
  expect(next.views.status().problems).toEqual([])
  power(next, 'guest-b', sdhi, OFF)
  expect(isOn(next, sdhi)).toBe(true)
})
