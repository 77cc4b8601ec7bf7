// src/lifecycle/lifecycle.ts: whatever fails on the way, everything is as before, or somebody is told.
import { describe, expect, test } from 'vitest'
import { verifyAudit } from '../../src/audit/verify.ts'
import type { Fault } from './faulty-link.ts'
import { now, SET_DEVICE, Site } from './site.ts'

/** What an observer sees of a site. */
const seen = (site: Site) => ({
  domains: site.views.domains().map(({ counters: _, ...rest }) => rest),
  agents: site.views.agents(),
  status: site.views.status(),
  allowed: [2, 3, 4, 5].map(agent => site.allowed(agent)),
  journal: domainsIn(site.journalText()),
})

const domainsIn = (text: string | undefined) => (text === undefined ? [] : JSON.parse(text).domains)

/** The operation under test, on a site that has guest-b already. */
const operations = {
  add: (site: Site) => site.add('guest-a'),
  attach: (site: Site) => site.lifecycle.attachDevice('guest-b', '4', now),
  'attach again': (site: Site) => site.lifecycle.attachDevice('guest-b', '7', now),
  detach: (site: Site) => site.lifecycle.detachDevice('guest-b', '3', now),
  remove: (site: Site) => site.lifecycle.removeDomain('guest-b', now),
} as const
type Operation = keyof typeof operations

async function prepared(): Promise<Site> {
  const site = await Site.recovered()
  await site.add('guest-b', { agentId: 3 })
  await site.lifecycle.detachDevice('guest-b', '7', now)
  expect(site.faults()).toEqual([])
  return site
}

const failed = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    error => error,
  )

describe('giving fails: all is as before', () => {
  const giving: Operation[] = ['add', 'attach', 'attach again']
  /** A fault of exactly one permission command that allows. */
  const answers: [string, Fault][] = [
    ['NOT_SUPPORTED', -1],
    ['INVALID_PARAMETERS', -2],
    ['DENIED', -3],
    ['NOT_FOUND', -4],
    ['GENERIC_ERROR', -8],
    ['a command that is lost', 'lost'],
    ['silence after the effect', 'unanswered'],
    ['an answer that is too long', 'long'],
  ]
  test.each(giving.flatMap(operation => answers.map(([why, fault]) => [operation, why, fault] as const)))(
    '%s: the firmware answers %s, to each command in turn',
    async (operation, _why, fault) => {
      for (let k = 0; ; k++) {
        const site = await prepared()
        const before = seen(site)
        let at = 0
        site.link.fault = ({ message, words }) =>
          message === SET_DEVICE && words[2] === 1 && at++ === k ? fault : undefined
        const error = await failed(operations[operation](site))
        if (error === undefined) {
          expect(at).toBe(k) // every command has had its turn
          expect(k).toBe(operation === 'add' ? 3 : 1)
          break
        }
        expect(error).toMatchObject({ code: expect.stringMatching(/^FIRMWARE_/) })
        expect(seen(site)).toEqual(before)
        expect(site.faults()).toEqual([])
      }
    },
  )

  test.each(giving)('%s: busy firmware is asked again', async operation => {
    const site = await prepared()
    let busy = 2
    site.link.fault = ({ message }) => (message === SET_DEVICE && busy-- > 0 ? -6 : undefined)
    await operations[operation](site)
    expect(site.faults()).toEqual([])
    expect(site.records().filter(({ statusName }) => statusName === 'BUSY')).toHaveLength(2)
  })

  test.each(giving)('%s: firmware that stays busy is refused by', async operation => {
    const site = await prepared()
    const before = seen(site)
    site.link.fault = ({ message, words }) => (message === SET_DEVICE && words[2] === 1 ? -6 : undefined)
    expect(await failed(operations[operation](site))).toMatchObject({ code: 'FIRMWARE_REFUSED' })
    expect(seen(site)).toEqual(before)
  })

  test.each(giving)('%s: the journal cannot be written', async operation => {
    const site = await prepared()
    const before = seen(site)
    site.breakJournal(true)
    expect(await failed(operations[operation](site))).toMatchObject({
      code: 'SYSTEM',
      path: expect.stringContaining('domains.json'),
    })
    expect(site.views.status().problems).toEqual([expect.stringContaining('a restart would bring back')])
    site.breakJournal(false)
    expect(site.faults()).toEqual([])
    await site.lifecycle.removeDomain('guest-b', now)
    await site.add('guest-b', { agentId: 3 })
    await site.lifecycle.detachDevice('guest-b', '7', now)
    const { domains, ...rest } = seen(site)
    expect(rest).toMatchObject({ agents: before.agents, status: { state: 'ok' }, allowed: before.allowed })
    expect(domains.map(({ addedAt: _, ...domain }) => domain)).toEqual(
      before.domains.map(({ addedAt: _, ...domain }) => domain),
    )
  })

  test.each(giving)('%s: the audit log cannot be written, from the k-th record on', async operation => {
    for (let k = 0; ; k++) {
      const site = await prepared()
      const before = seen(site)
      let written = 0
      const start = site.audit.records
      // The disk is full from here until the operation has failed.
      const timer = () => site.audit.records - start >= k
      site.onAudit = () => {
        if (timer()) site.broken.audit = true
        written++
      }
      const error = await failed(operations[operation](site))
      site.onAudit = () => {}
      site.broken.audit = false
      if (error === undefined) {
        expect(written).toBeGreaterThan(3)
        break
      }
      expect(error).toMatchObject({ code: 'SYSTEM', message: expect.stringContaining('ENOSPC') })
      site.audit.drain() // what was owed is written now
      expect(seen(site)).toEqual(before)
      expect(site.faults()).toEqual([])
      expect(site.records().map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: site.audit.records }, (_, i) => i + 1),
      )
      expect(await verifyAudit(site.audit.path)).toMatchObject({ chain: 'ok' })
    }
  })

  test('add: the link cannot be opened', async () => {
    const site = await prepared()
    const before = seen(site)
    site.broken.open = true
    await expect(site.add('guest-a')).rejects.toMatchObject({ code: 'SOCKET_PATH' })
    expect(seen(site)).toEqual(before)
    expect(site.faults()).toEqual([])
    // The agent was touched: it is swept before anybody else gets it.
    expect(site.commands().filter(text => text.startsWith('reset'))).toEqual(['reset 2'])
  })

  test.each<[string, Fault]>([
    ['GENERIC_ERROR', -8],
    ['silence', 'lost'],
  ])('add: what cannot be rolled back, for %s, quarantines the agent', async (_why, fault) => {
    const site = await prepared()
    site.broken.open = true
    site.link.fault = ({ message, words }) =>
      message === SET_DEVICE && words[2] === 0 && words[1] === 2 ? fault : undefined
    await expect(site.add('guest-a')).rejects.toMatchObject({ code: 'SOCKET_PATH' })
    expect(site.roster.entry(2)).toMatchObject({
      state: 'quarantined',
      reason: expect.stringContaining('device 2'),
    })
    expect(site.faults()).toEqual([])
    expect(JSON.parse(site.journalText() ?? '').quarantined).toMatchObject([{ agentId: 2 }])
    expect(site.records().filter(({ kind }) => kind === 'quarantine')).toMatchObject([{ agentId: 2 }])
    site.broken.open = false
    expect((await site.add('guest-a')).agentId).toBe(4)
  })

  test('attach: what cannot be rolled back is told, and forgotten when it is denied after all', async () => {
    const site = await prepared()
    site.breakJournal(true)
    let deny = true
    site.link.fault = ({ message, words }) =>
      deny && message === SET_DEVICE && words[2] === 0 ? -8 : undefined
    await expect(site.lifecycle.attachDevice('guest-b', '4', now)).rejects.toMatchObject({ code: 'SYSTEM' })
    site.breakJournal(false)
    expect(site.views.status().problems).toContainEqual(
      expect.stringContaining('agent 3 may still be allowed device 4'),
    )
    expect(site.faults()).toEqual([])
    expect(site.guest('guest-b').status(0x1407, 7, 1, 0)).toBe(-3) // here it is refused all the same
    deny = false
    await site.lifecycle.removeDomain('guest-b', now)
    expect(site.views.status()).toEqual({ state: 'ok', problems: [] })
    expect(site.allowed(3)).toEqual([])
  })

  test('an id that the firmware does not know costs no agent', async () => {
    const site = await prepared()
    site.link.fault = ({ message, words }) => (message === SET_DEVICE && words[1] === 5 ? -2 : undefined)
    await expect(site.add('guest-a')).rejects.toMatchObject({ code: 'FIRMWARE_REFUSED' })
    expect(site.roster.entry(2).state).toBe('free')
    expect(site.faults()).toEqual([])
  })
})

describe('taking away goes on, whatever fails', () => {
  const gone = (site: Site): void => {
    const has = site.views.domains().some(({ name }) => name === 'guest-b')
    if (has) expect(site.guest('guest-b').status(0x1407, 5, 1, 0)).toBe(-3)
  }

  test.each(['detach', 'remove'] as const)('%s: the journal cannot be written', async operation => {
    const site = await prepared()
    site.breakJournal(true)
    expect(await failed(operations[operation](site))).toMatchObject({ code: 'SYSTEM' })
    expect(site.allowed(3)).toEqual(operation === 'detach' ? [1] : [])
    expect(site.views.status().problems).toEqual([expect.stringContaining('a restart would bring back')])
    site.breakJournal(false)
    expect(site.faults()).toEqual([])
    gone(site)
  })

  test.each(['detach', 'remove'] as const)('%s: the audit log cannot be written', async operation => {
    const site = await prepared()
    const before = site.audit.records
    site.broken.audit = true
    await operations[operation](site)
    expect(site.audit.records).toBe(before)
    expect(site.views.status().problems).toEqual([expect.stringContaining('the audit log cannot be written')])
    expect(site.allowed(3)).toEqual(operation === 'detach' ? [1] : [])
    gone(site)
    site.broken.audit = false
    site.audit.drain()
    expect(site.views.status().state).toBe('ok')
    expect(site.faults()).toEqual([])
    const kinds = site
      .records()
      .slice(before)
      .map(({ kind, text }) => `${kind}${text === undefined ? '' : ` ${text}`}`)
    expect(kinds).toContain('revoke')
    expect(kinds).toContain('permission sent')
    expect(kinds.includes('release')).toBe(operation === 'remove')
    expect(await verifyAudit(site.audit.path)).toMatchObject({ chain: 'ok' })
  })

  test.each<[string, Fault]>([
    ['GENERIC_ERROR', -8],
    ['DENIED', -3],
    ['BUSY for ever', -6],
    ['silence', 'lost'],
    ['an answer that is too long, after no effect', 'long'],
  ])('detach: the firmware answers %s: refused here, and told', async (_why, fault) => {
    const site = await prepared()
    site.link.fault = ({ message }) => (message === SET_DEVICE ? fault : undefined)
    await expect(site.lifecycle.detachDevice('guest-b', '3', now)).rejects.toMatchObject({
      code: expect.stringMatching(/^FIRMWARE_/),
    })
    expect(site.faults()).toEqual([])
    expect(site.guest('guest-b').status(0x1407, 5, 1, 0)).toBe(-3)
    expect(site.views.status().problems).toEqual([
      expect.stringContaining('agent 3 may still be allowed device 3'),
    ])
    expect(JSON.parse(site.journalText() ?? '').domains[0].detached).toHaveLength(2)
    site.link.fault = () => undefined
    await site.lifecycle.attachDevice('guest-b', '3', now) // allowed, and rightly so
    expect(site.views.status().problems).toEqual([])
  })

  test.each<[string, Fault]>([
    ['NOT_FOUND', -4],
    ['INVALID_PARAMETERS', -2],
  ])('detach: %s means that there is no such device to allow', async (_why, fault) => {
    const site = await prepared()
    site.link.fault = ({ message }) => (message === SET_DEVICE ? fault : undefined)
    await site.lifecycle.detachDevice('guest-b', '3', now)
    expect(site.views.status().problems).toEqual([])
  })

  test.each<[string, number, Fault]>([
    ['a deny is refused', SET_DEVICE, -8],
    ['a deny is lost', SET_DEVICE, 'lost'],
    ['the reset is refused', 0x100b, -8],
    ['the reset is lost', 0x100b, 'lost'],
    ['the reset finds no such agent (SCP-firmware, for the last)', 0x100b, -4],
  ])('remove: %s: the agent is quarantined, the rest is denied', async (_why, which, fault) => {
    const site = await prepared()
    let left = 1
    site.link.fault = ({ message }) => (message === which && left-- > 0 ? fault : undefined)
    await site.lifecycle.removeDomain('guest-b', now)
    expect(site.views.domains()).toEqual([])
    expect(site.roster.entry(3).state).toBe('quarantined')
    expect(site.views.status().problems[0]).toContain('agent 3')
    expect(site.faults()).toEqual([])
    if (which !== SET_DEVICE) expect(site.allowed(3)).toEqual([])
    expect((await site.add('guest-b')).agentId).toBe(2)
    await expect(site.add('guest-a', { agentId: 3 })).rejects.toMatchObject({ code: 'AGENT_BUSY' })
  })

  test('remove: NOT_SUPPORTED for the reset is no fault: the sweep does without', async () => {
    const site = await prepared()
    site.link.fault = ({ message }) => (message === 0x100b ? -1 : undefined)
    await site.lifecycle.removeDomain('guest-b', now)
    expect(site.roster.entry(3).state).toBe('free')
    expect(site.faults()).toEqual([])
  })

  test('remove: a deny that had no effect is found out by the probe', async () => {
    const site = await prepared()
    site.link.fault = ({ message, words }) =>
      message === 0x100b || (message === SET_DEVICE && words[1] === 3) ? 'ignored' : undefined
    await site.lifecycle.removeDomain('guest-b', now)
    expect(site.allowed(3)).toEqual([3])
    expect(site.roster.entry(3)).toMatchObject({
      state: 'quarantined',
      reason: expect.stringContaining('no longer refuses'),
    })
  })

  test('remove, twice', async () => {
    const site = await prepared()
    await site.lifecycle.removeDomain('guest-b', now)
    await expect(site.lifecycle.removeDomain('guest-b', now)).rejects.toMatchObject({
      code: 'DOMAIN_UNKNOWN',
    })
    expect(site.faults()).toEqual([])
  })
})

test('no right without a record before it, no firmware grant without both', async () => {
  const site = await Site.recovered()
  let allowed = 0
  site.onPermission = (agentId, deviceId, allow) => {
    if (!allow) return
    allowed++
    const records = site.records()
    expect(records.some(({ kind, device }) => kind === 'grant' && device === deviceId)).toBe(true)
    expect(records.at(-1)).toMatchObject({
      kind: 'permission',
      agentId,
      device: deviceId,
      allow: true,
      text: 'sent',
    })
    expect(records.some(({ kind, agentId: to }) => kind === 'assign' && to === agentId)).toBe(true)
  }
  await site.add('guest-a')
  await site.lifecycle.attachDevice('guest-a', '4', now)
  expect(allowed).toBe(4)
  // Nor at the relay: grants are the last to take effect, and the first to go.
  const order = site.trace.map(each => each.split(' ').slice(0, 2).join(' '))
  expect(order.indexOf('relay open')).toBeGreaterThan(
    order.lastIndexOf('audit grant', order.indexOf('relay open')),
  )
  await site.lifecycle.detachDevice('guest-a', '4', now)
  const last = site.trace.slice(order.length).map(each => each.split(' ').slice(0, 2).join(' '))
  expect(last.indexOf('relay grants')).toBeLessThan(last.indexOf('firmware deny'))
  expect(last.indexOf('relay grants')).toBeGreaterThan(-1)
})
