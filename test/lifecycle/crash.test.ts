// src/lifecycle/lifecycle.ts and journal.ts: the process is gone between any two steps, and the next one takes over.
import { expect, test } from 'vitest'
import { verifyAudit } from '../../src/audit/verify.ts'
import { Crash, now, Site } from './site.ts'

const patience = 120_000

const operations: Readonly<Record<string, (site: Site) => Promise<unknown>>> = {
  add: site => site.add('guest-a'),
  attach: site => site.lifecycle.attachDevice('guest-b', '4', now),
  detach: site => site.lifecycle.detachDevice('guest-b', '3', now),
  remove: site => site.lifecycle.removeDomain('guest-b', now),
}

const devices = (site: Site) =>
  Object.fromEntries(
    site.views
      .domains()
      .map(({ name, agentId, devices: held }) => [
        name,
        [agentId, ...held.flatMap(({ deviceIds }) => deviceIds)],
      ]),
  )

test.each(Object.keys(operations))('%s: after k steps, all or nothing of it is there', async name => {
  const operation = operations[name] as (site: Site) => Promise<unknown>
  const found = new Set<string>()
  let crashes = 0
  for (let steps = 0; ; steps++) {
    const site = await Site.recovered()
    await site.add('guest-b', { agentId: 3 })
    await site.lifecycle.detachDevice('guest-b', '7', now)
    const before = devices(site)
    site.crashAt = site.actions + steps
    await operation(site).catch(() => {})
    const survived = site.actions < site.crashAt
    const after = devices(site)
    const next = await site.next()
    await next.lifecycle.recover()
    const recovered = devices(next)
    expect(next.faults()).toEqual([])
    expect(next.views.status()).toEqual({ state: 'ok', problems: [] })
    expect(await verifyAudit(next.audit.path)).toMatchObject({ chain: 'ok' })
    if (survived) {
      expect(recovered).toEqual(after)
      break
    }
    crashes++
    const outcome = JSON.stringify(recovered)
    expect([JSON.stringify(before), JSON.stringify(devicesAfter(name, before))]).toContain(outcome)
    found.add(outcome)
  }
  expect(crashes).toBeGreaterThan(10)
  expect(found.size).toBe(2) // early crashes leave it undone, late ones done
})

/** What the operation is meant to come to. */
function devicesAfter(name: string, before: Record<string, number[]>): Record<string, number[]> {
  switch (name) {
    case 'add':
      return { ...before, 'guest-a': [2, 0, 2, 5] }
    case 'attach':
      return { ...before, 'guest-b': [3, 1, 3, 4] }
    case 'detach':
      return { ...before, 'guest-b': [3, 1] }
    default:
      return {}
  }
}

test(
  'a crash while taking domains up again loses none of them',
  async () => {
    for (let steps = 0; ; steps += 5) {
      // every fifth step: each costs three starts
      const site = await Site.recovered()
      await site.add('guest-a')
      await site.add('guest-b')
      await site.add('guest-c')
      await site.lifecycle.attachDevice('guest-c', '4', now)
      const before = devices(site)
      const second = await site.next()
      second.crashAt = second.actions + steps
      const crashed = await second.lifecycle.recover().then(
        () => false,
        error => error instanceof Crash,
      )
      if (!crashed && second.actions < second.crashAt) break
      const third = await site.next()
      await third.lifecycle.recover()
      expect(devices(third)).toEqual(before)
      expect(third.faults()).toEqual([])
    }
  },
  patience,
)

test('what was allowed just before the crash is denied by the next start, before anybody gets the agent', async () => {
  const site = await Site.recovered()
  site.onPermission = (_agent, _device, allow) => {
    if (allow) site.crashAt = site.actions
  }
  await site.add('guest-a').catch(() => {})
  expect(site.allowed(2)).toEqual([0])
  const next = await site.next()
  await next.lifecycle.recover()
  expect(next.allowed(2)).toEqual([])
  expect(next.records().at(-1)).toMatchObject({ kind: 'release', agentId: 2 })
  expect(next.roster.entry(2).state).toBe('free')
})
