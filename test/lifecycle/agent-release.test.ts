// Lifecycle.releaseAgent: a quarantined agent is free again, proven clean or on the operator's word, and the log says so.
import { expect, test } from 'vitest'
import { dry, fixture, now, RESET_AGENT, Site } from './site.ts'

const proven = { dryRun: false, unproven: false }
const onWord = { dryRun: false, unproven: true }

/** Agent 2 in quarantine: its reset failed when guest-a left. */
async function quarantined(): Promise<Site> {
  const site = await Site.recovered()
  site.link.fault = ({ message }) => (message === RESET_AGENT ? -9 : undefined)
  await site.add('guest-a')
  await site.lifecycle.removeDomain('guest-a', now)
  expect(site.roster.entry(2).state).toBe('quarantined')
  return site
}

test('a dry run tells why it is quarantined, and does nothing', async () => {
  const site = await quarantined()
  const { length } = site.link.sent
  expect(await site.lifecycle.releaseAgent(2, { ...dry, unproven: false })).toEqual({
    dryRun: true,
    agentId: 2,
    reason: 'BASE_RESET_AGENT_CONFIGURATION: HARDWARE_ERROR',
  })
  expect([site.link.sent.length, site.roster.entry(2).state]).toEqual([length, 'quarantined'])
})

test('mended firmware: swept, proven clean, free, written down, and given out again', async () => {
  const site = await quarantined()
  site.link.fault = () => undefined
  expect(await site.lifecycle.releaseAgent(2, proven)).not.toHaveProperty('unproven')
  expect(site.roster.entry(2)).toMatchObject({ state: 'free' })
  expect(site.records().at(-1)).toMatchObject({
    kind: 'release',
    agentId: 2,
    text: 'released by the operator: swept; was quarantined: BASE_RESET_AGENT_CONFIGURATION: HARDWARE_ERROR',
  })
  expect((await site.add('guest-c')).agentId).toBe(2)
  expect([site.faults(), site.views.status().problems]).toEqual([[], []])
})

test('what is not proven clean stays in quarantine, also over a restart, until the operator vouches for it', async () => {
  const site = await quarantined()
  await expect(site.lifecycle.releaseAgent(2, proven)).rejects.toMatchObject({
    code: 'FIRMWARE_REFUSED',
    message: expect.stringMatching(/^agent 2 is not proven clean: BASE_RESET_AGENT_CONFIGURATION/),
  })
  expect(site.roster.entry(2).state).toBe('quarantined')
  expect(JSON.parse(site.journalText() ?? '').quarantined).toMatchObject([{ agentId: 2 }])

  expect(await site.lifecycle.releaseAgent(2, onWord)).toMatchObject({
    unproven: expect.stringMatching(/^BASE_RESET/),
  })
  expect(site.records().at(-1)?.text).toMatch(/not proven clean .* on the operator's word/)
  expect((await site.add('guest-c')).agentId).toBe(2) // not looked at again
  expect(JSON.parse(site.journalText() ?? '').quarantined).toEqual([])
  await site.lifecycle.removeDomain('guest-c', now)
  expect(site.roster.entry(2).state).toBe('quarantined') // his word was for one tenant
})

test.each([
  ['free', 3, /^agent 3 is free, not quarantined$/],
  ['management', 1, /^agent 1 is management, not quarantined$/],
  ['not there', 9, /^there is no agent 9/],
])('an agent that is %s is refused', async (_state, agentId, says) => {
  const site = await quarantined()
  await expect(site.lifecycle.releaseAgent(agentId, proven)).rejects.toThrow(says)
})

test('one that is kept for a domain that did not come back goes with that domain', async () => {
  const site = await Site.recovered()
  await site.add('guest-a')
  const next = await site.next({ host: fixture('guest-d.dtb') }) // a host tree without its devices
  await next.lifecycle.recover()
  expect(next.roster.entry(2).state).toBe('quarantined')
  await expect(next.lifecycle.releaseAgent(2, proven)).rejects.toThrow(
    /kept for guest-a, which was not recovered; remove that: scmictl domain-remove guest-a$/,
  )
})
