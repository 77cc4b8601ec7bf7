// src/lifecycle/firmware.ts on firmware of every make: what it enforces, what is shown of that, what a freed agent keeps.
import { describe, expect, test } from 'vitest'
import { now, RESET_AGENT, SET_DEVICE, Site } from './site.ts'

const [SUCCESS, NOT_SUPPORTED, INVALID_PARAMETERS, DENIED, NOT_FOUND] = [0, -1, -2, -3, -4]
const MESSAGE_ATTRIBUTES = 0x1002

/** Controls that count votes: what probes are made of. */
const voted: ReadonlySet<number> = new Set([0x1104, 0x1407, 0x1705])
/** All bits of the words that are no resource id are set. */
const isProbe = (words: readonly number[]): boolean => words.includes(0xffff_ffff)

const allowAll = (text: string): string => text.replaceAll('permissions: deny', 'permissions: allow')

/** A site whose platform is of this make, with a guest that came and went and another that is there. */
async function lived(options: Parameters<typeof Site.recovered>[0]): Promise<Site> {
  const site = await Site.recovered(options)
  await site.add('guest-a')
  await site.add('guest-b')
  await site.lifecycle.removeDomain('guest-a', now)
  return site
}

/** Physical state, to be compared. */
const physical = ({ platform }: Site) => ({
  clocks: platform.config.clock?.clocks.map(({ id }) => [
    platform.clocks.running(id),
    platform.clocks.rate(id),
  ]),
  power: platform.config.power?.domains.map(({ id }) => platform.power.state(id)),
  voltage: platform.config.voltage?.domains.map(({ id }) => [
    platform.voltages.level(id),
    platform.voltages.votes.state(id),
  ]),
})

describe('enforcement is shown as it was seen', () => {
  test('the example’s platform enforces: seen at the start, before any agent was touched', async () => {
    const site = await Site.recovered()
    expect(site.views.info().firmware.enforcement).toBe('enforced')
    expect(site.commands()).toEqual([])
    await site.add('guest-a')
    await site.lifecycle.removeDomain('guest-a', now)
    expect(site.views.info().firmware.enforcement).toBe('enforced')
  })

  test('one that allows everything until told otherwise: swept before the first guest, unknown where it cannot be told', async () => {
    const site = await Site.recovered({ edit: allowAll })
    expect(site.views.info().firmware.enforcement).toBe('unknown')
    expect(site.commands()).toEqual([])
    await site.add('guest-a')
    expect(site.commands().slice(0, 10)).toEqual([
      'reset 2',
      ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map(() => expect.stringMatching(/^-2\//)),
    ])
    expect(site.allowed(2)).toEqual([0, 2, 5])
    expect(site.faults().filter(text => text.includes('agent 2 '))).toEqual([])
    await site.lifecycle.removeDomain('guest-a', now)
    expect(site.allowed(2)).toEqual([])
    // What is in no device stays open to it, so flags are looked at first: no proof either way.
    expect(site.views.info().firmware.enforcement).toBe('unknown')
  })

  test.each<[string, number, string]>([
    ['DENIED', DENIED, 'enforced'],
    ['INVALID_PARAMETERS, the flags first or only', INVALID_PARAMETERS, 'unknown'],
    ['NOT_SUPPORTED', NOT_SUPPORTED, 'unknown'],
    ['SUCCESS, nothing looked at', SUCCESS, 'not-enforced'],
  ])('one that answers probes with %s', async (_why, status, expected) => {
    const link = (l: Site['link']): void => {
      l.fault = ({ message, words }) => (voted.has(message) && isProbe(words) ? status : undefined)
    }
    const site = await lived({ link })
    expect(site.views.info().firmware.enforcement).toBe(expected)
    expect(site.roster.entry(2).state).toBe('free')
    expect(site.faults()).toEqual([])
  })

  test('one that answers SUCCESS to permission commands and changes nothing (SCP-firmware 2.14): local alone', async () => {
    const link = (l: Site['link']): void => {
      l.fault = ({ message }) => (message === SET_DEVICE || message === RESET_AGENT ? 'ignored' : undefined)
    }
    const site = await lived({ edit: allowAll, link })
    expect(site.views.info().firmware).toMatchObject({ permissionCommands: true, enforcement: 'unknown' })
    expect(site.roster.entry(2).state).toBe('free') // it was no better when it was given out
    expect(site.allowed(3)).toHaveLength(9)
    expect(site.guest('guest-b').status(0x1407, 0, 1, 0)).toBe(DENIED)
    expect(site.guest('guest-b').status(0x1407, 1, 1, 0)).toBe(SUCCESS)
  })

  test('one that refused, and does so no longer after the guest left: quarantine', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    site.link.fault = ({ message, words }) =>
      message === 0x1407 && words[0] === 5 && isProbe(words) ? INVALID_PARAMETERS : undefined
    await site.lifecycle.removeDomain('guest-a', now)
    expect(site.roster.entry(2)).toMatchObject({
      state: 'quarantined',
      reason: 'the firmware no longer refuses it resource 20/5',
    })
  })
})

test('probes act on nothing, whatever the agent may do', async () => {
  for (const edit of [(text: string) => text, allowAll]) {
    const site = await Site.recovered({ edit })
    const before = physical(site)
    await site.firmware.look(4, 3)
    await site.firmware.look(1, 0)
    expect(physical(site)).toEqual(before)
    expect(before.clocks?.some(([running]) => running === false)).toBe(true)
    const probes = site.link.sent.filter(({ message, channel }) => voted.has(message) && channel === 3)
    expect(new Set(probes.map(({ message }) => message))).toEqual(voted)
    expect(probes).toHaveLength(14 + 8 + 4)
    expect(probes.filter(({ words }) => !isProbe(words))).toEqual([])
  }
})

describe('firmware with less', () => {
  const without =
    (...messages: number[]) =>
    (link: Site['link']): void => {
      link.fault = ({ message, words }) =>
        message === MESSAGE_ATTRIBUTES && messages.includes(words[0] ?? 0)
          ? NOT_FOUND
          : messages.includes(message & 0xff) && message >>> 8 === 0x10
            ? NOT_SUPPORTED
            : undefined
    }

  test('no permission commands: the mediator alone enforces, and says so', async () => {
    const site = await lived({ link: without(0x9, 0xb) })
    expect(site.commands()).toEqual([])
    expect(site.views.permissionCommands()).toEqual([])
    expect(site.views.info().firmware).toMatchObject({
      permissionCommands: false,
      enforcement: 'not-enforced',
    })
    expect(site.roster.entry(2).state).toBe('free')
    expect(site.faults()).toEqual([])
    expect((await site.add('guest-a')).permissionCommands).toEqual([])
  })

  test('permissions without a reset: the sweep denies', async () => {
    const site = await lived({ link: without(0xb) })
    expect(site.commands().filter(text => text.startsWith('reset'))).toEqual([])
    expect(site.allowed(2)).toEqual([])
    expect(site.faults()).toEqual([])
  })

  test('a reset without permissions', async () => {
    const site = await lived({ link: without(0x9) })
    expect(site.commands()).toEqual(['reset 2'])
    expect(site.faults()).toEqual([])
  })

  test('Base version 1', async () => {
    const agents = [1, 2, 3, 4, 5]
    const edit = (text: string): string =>
      text.replace("release: '3.2'", "release: '3.2'\nversions: { base: 0x10000 }")
    const link = (l: Site['link']): void => {
      // Its DISCOVER_AGENT answers the name alone, so ids stand in the configuration; here it answers none at all.
      l.fault = () => undefined
    }
    const site = await Site.recovered({ edit, link, declared: agents })
    expect(site.firmware.discovery.baseVersion).toBe(0x1_0000)
    await site.add('guest-a')
    await site.lifecycle.removeDomain('guest-a', now)
    expect(site.commands()).toEqual([])
    expect(site.views.info().firmware).toMatchObject({
      permissionCommands: false,
      enforcement: 'not-enforced',
    })
    expect(site.roster.list().map(({ provenance }) => provenance)).toContain('declared')
    expect(site.faults()).toEqual([])
  })

  test('a single agent: guests have agents of the mediator’s, over its one channel', async () => {
    const edit = (text: string): string => text.replace(/^ {2}- \{ id: [2-5], name: guest.*\n/gm, '')
    const site = await Site.recovered({ edit, link: without(0x9, 0xb) })
    await site.add('guest-a')
    await site.add('guest-b')
    expect(site.roster.entry(2)).toMatchObject({ provenance: 'virtual', state: 'assigned', channel: 0 })
    expect(site.commands()).toEqual([])
    expect(site.guest('guest-a').status(0x1407, 0, 1, 0)).toBe(SUCCESS)
    expect(site.guest('guest-b').status(0x1407, 0, 1, 0)).toBe(DENIED)
    expect(site.faults()).toEqual([])
    await site.lifecycle.removeDomain('guest-a', now)
    expect(site.platform.clocks.running(0)).toBe(false)
    const next = await site.next({ link: without(0x9, 0xb) })
    await next.lifecycle.recover()
    expect(next.views.domain('guest-b').agentId).toBe(3)
    expect(next.faults()).toEqual([])
  })

  test('a single agent with permission commands: they are not used against the mediator itself', async () => {
    const edit = (text: string): string => text.replace(/^ {2}- \{ id: [2-5], name: guest.*\n/gm, '')
    const site = await Site.recovered({ edit })
    await site.add('guest-a')
    await site.lifecycle.detachDevice('guest-a', '2', now)
    await site.lifecycle.removeDomain('guest-a', now)
    expect(site.commands()).toEqual([])
  })
})

test('silence while an agent is looked at changes nothing, and costs none', async () => {
  const site = await Site.recovered()
  site.link.fault = ({ message }) => (voted.has(message) ? 'lost' : undefined)
  await expect(site.add('guest-a', { agentId: 3 })).rejects.toMatchObject({ code: 'FIRMWARE_SILENT' })
  expect(site.roster.entry(3).state).toBe('free')
  expect(site.faults()).toEqual([])
})

test('an agent that cannot be made fit is passed over, unless it is wanted', async () => {
  const site = await Site.recovered({
    edit: text => text.replace('guest0, permissions: deny', 'guest0, permissions: allow'),
  })
  site.link.fault = ({ message, words }) => (message === RESET_AGENT && words[0] === 2 ? -8 : undefined)
  await expect(site.add('guest-a', { agentId: 2 })).rejects.toMatchObject({
    code: 'AGENT_BUSY',
    message: expect.stringContaining('quarantined'),
  })
  expect((await site.add('guest-a')).agentId).toBe(3)
  expect(site.allowed(2)).toEqual([])
})
