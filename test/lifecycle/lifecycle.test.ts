// src/lifecycle/lifecycle.ts: domains and devices come and go; who may have what; dry runs; one change at a time.
import { describe, expect, test } from 'vitest'
import type { DomainSpec } from '../../src/lifecycle/views.ts'
import { blob, type Node } from '../dt/build.ts'
import { devicesOf, dry, now, Site } from './site.ts'

const [SUCCESS, DENIED] = [0, -3]
const [CLOCK_CONFIG_SET, POWER_STATE_SET, CLOCK_RATE_SET] = [0x1407, 0x1104, 0x1405]

/** A partial tree whose devices name the example platform's ids; phandles are protocol numbers. */
const partial = (devices: Node): Uint8Array =>
  blob({
    passthrough: {
      scmi: {
        compatible: 'arm,scmi-smc',
        'protocol@11': { reg: 0x11, phandle: 0x11, '#power-domain-cells': 1 },
        'protocol@14': { reg: 0x14, phandle: 0x14, '#clock-cells': 1 },
      },
      ...devices,
    },
  })

const enables = (site: Site, name: string, clock: number): boolean =>
  site.guest(name).status(CLOCK_CONFIG_SET, clock, 1, 0) === SUCCESS

describe('what two devices of one domain both name', () => {
  const both: Node = {
    one: { 'xen,path': '/soc/usb@ee080000', scmi_devid: [1, 7], clocks: [0x14, 1, 0x14, 11] },
    two: { 'xen,path': '/soc/adc@e6f30000', scmi_devid: [7, 3], clocks: [0x14, 11, 0x14, 5] },
  }

  test('detaching one leaves the id and the resource of the other', async () => {
    const site = await Site.recovered()
    await site.add('guest-x', { dtb: partial(both) })
    const outcome = await site.lifecycle.detachDevice('guest-x', '/passthrough/one', now)
    expect(outcome.permissionCommands).toEqual([{ agentId: 2, deviceId: 1, allow: false }])
    const clocks = outcome.revoked.filter(({ protocol }) => protocol === 0x14).map(({ id }) => id)
    expect(clocks).toEqual([1])
    expect(site.allowed(2)).toEqual([3, 7])
    expect([1, 11, 5].map(clock => enables(site, 'guest-x', clock))).toEqual([false, true, true])
    expect(site.faults()).toEqual([])
    await site.lifecycle.detachDevice('guest-x', '/passthrough/two', now)
    expect(site.allowed(2)).toEqual([])
    expect([1, 11, 5].map(clock => enables(site, 'guest-x', clock))).toEqual([false, false, false])
    expect(site.faults()).toEqual([])
  })

  test('attaching one tells the firmware of what is new, and takes back no more than that', async () => {
    const site = await Site.recovered()
    await site.add('guest-x', { dtb: partial(both) })
    await site.lifecycle.detachDevice('guest-x', '/passthrough/one', now)
    site.breakJournal(true)
    await expect(site.lifecycle.attachDevice('guest-x', '/passthrough/one', now)).rejects.toThrow()
    site.breakJournal(false)
    expect(site.allowed(2)).toEqual([3, 7])
    expect(site.faults()).toEqual([])
    const { permissionCommands } = await site.lifecycle.attachDevice('guest-x', '/passthrough/one', now)
    expect(permissionCommands).toEqual([{ agentId: 2, deviceId: 1, allow: true }])
    expect(site.faults()).toEqual([])
  })

  test('a name that both have is not enough; it is the same after a restart', async () => {
    const site = await Site.recovered()
    await site.add('guest-x', { dtb: partial(both) })
    await expect(site.lifecycle.detachDevice('guest-x', '7', now)).rejects.toMatchObject({
      code: 'DEVICE_UNKNOWN',
      message: '7 is /passthrough/one and /passthrough/two: give the path',
    })
    await site.lifecycle.detachDevice('guest-x', 'two', now)
    const next = await site.next()
    await next.lifecycle.recover()
    expect(next.views.domain('guest-x').devices.map(({ node }) => node)).toEqual(['/passthrough/one'])
    expect(next.faults()).toEqual([])
  })

  test('one host device passed twice: each is detached by its own path, and comes back as it was', async () => {
    const site = await Site.recovered()
    const node = { 'xen,path': '/soc/usb@ee080000', scmi_devid: 1, clocks: [0x14, 1] }
    await site.add('guest-x', { dtb: partial({ one: node, two: node }) })
    await site.lifecycle.detachDevice('guest-x', 'two', now)
    expect(enables(site, 'guest-x', 1)).toBe(true)
    const next = await site.next()
    await next.lifecycle.recover()
    expect(next.views.domain('guest-x').devices.map(({ node: path }) => path)).toEqual(['/passthrough/one'])
  })
})

describe('a device has one domain', () => {
  test.each<[string, string, string]>([
    ['by path', '/soc/i2c@e6510000', "/soc/i2c@e6510000 is guest-a's"],
    ['by id', '4', "/soc/i2c@e6510000 is guest-a's"],
    [
      'a part of it',
      'codec@10',
      "/soc/i2c@e6510000/codec@10 is part of /soc/i2c@e6510000, which is guest-a's",
    ],
    ['of its tree', '/soc/gpu@fd000000', "/soc/gpu@fd000000 is guest-a's"],
  ])('attached elsewhere, %s', async (_how, device, message) => {
    const site = await Site.recovered()
    await site.add('guest-a')
    await site.add('guest-b')
    await site.lifecycle.attachDevice('guest-a', '4', now)
    await expect(site.lifecycle.attachDevice('guest-b', device, now)).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
      message,
    })
    expect(site.faults()).toEqual([])
  })

  test('a device without an id, attached from the host’s tree, is not given twice', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    await site.add('guest-b')
    await site.lifecycle.attachDevice('guest-a', 'codec@10', now) // clock 12, and no SCMI device id of its own
    await expect(site.lifecycle.attachDevice('guest-b', 'codec@10', now)).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
    })
    await expect(site.lifecycle.attachDevice('guest-b', '4', now)).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
      message: "/soc/i2c@e6510000/codec@10, which is part of /soc/i2c@e6510000, is guest-a's",
    })
    const dtb = partial({ codec: { 'xen,path': '/soc/i2c@e6510000/codec@10', clocks: [0x14, 12] } })
    await expect(site.add('guest-x', { dtb })).rejects.toMatchObject({ code: 'DEVICE_BUSY' })
    expect(site.faults()).toEqual([])
  })

  test('what is attached from the host takes what is below it along, and the host gets it back', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    expect(site.lifecycle.holdings.holders(0x14, 12).map(({ domain }) => domain)).toEqual(['Dom0'])
    await site.lifecycle.attachDevice('guest-a', '4', now)
    expect(site.lifecycle.holdings.holders(0x14, 12).map(({ domain }) => domain)).toEqual(['guest-a'])
    expect(site.guest('guest-a').status(CLOCK_RATE_SET, 0, 12, 24_576_000, 0)).toBe(SUCCESS) // nobody shares it
    await site.lifecycle.detachDevice('guest-a', '4', now)
    expect(site.lifecycle.holdings.holders(0x14, 12).map(({ domain }) => domain)).toEqual(['Dom0'])
    expect(site.faults()).toEqual([])
  })

  test('the host has its devices back when adding failed', async () => {
    const site = await Site.recovered()
    const before = site.lifecycle.holdings.host.map(({ node }) => node)
    expect(before).toContain('/soc/gpu@fd000000')
    site.broken.open = true
    await expect(site.add('guest-a')).rejects.toMatchObject({ code: 'SOCKET_PATH' })
    expect(site.lifecycle.holdings.host.map(({ node }) => node)).toEqual(before)
    expect(site.faults()).toEqual([])
  })

  test('a detached device can go to another domain, and then not come back', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    await site.add('guest-b')
    await site.lifecycle.detachDevice('guest-a', '5', now)
    const { problems } = await site.lifecycle.attachDevice('guest-b', '5', now)
    expect(problems).toEqual([])
    expect(site.allowed(3)).toEqual([1, 3, 5, 7])
    await expect(site.lifecycle.attachDevice('guest-a', '5', now)).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
    })
    const next = await site.next()
    await next.lifecycle.recover()
    expect(next.views.status().problems).toEqual([])
    expect(next.faults()).toEqual([])
    expect(enables(next, 'guest-b', 8)).toBe(true)
    expect(enables(next, 'guest-a', 8)).toBe(false)
  })

  test('attaching tells what will be shared', async () => {
    const site = await Site.recovered()
    await site.add('guest-c')
    const { problems } = await site.lifecycle.attachDevice('guest-c', '3', dry)
    expect(problems).toMatchObject([
      { severity: 'warning', code: 'resource-shared', text: expect.stringContaining('guest-c and Dom0') },
    ])
    expect((await site.lifecycle.attachDevice('guest-c', '3', now)).problems).toEqual(problems)
    await expect(site.lifecycle.attachDevice('guest-c', '3', now)).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
    })
  })
})

test.each<[string, Partial<DomainSpec>, string]>([
  ['Dom0 is the host', { name: 'Dom0' }, 'PLAN_REFUSED'],
  ['digits could be a domid', { name: '7' }, 'CONFIG_INVALID'],
  ['no name', { name: '' }, 'CONFIG_INVALID'],
  ['a name with a slash', { name: 'a/b' }, 'CONFIG_INVALID'],
  ['a socket relative to whatever', { link: { kind: 'message-socket', path: 'guest.sock' } }, 'SOCKET_PATH'],
  ['a name twice', { name: 'guest-b' }, 'DOMAIN_EXISTS'],
  ['a domid twice', { domid: 7 }, 'DOMAIN_EXISTS'],
  ['the management agent', { agentId: 1 }, 'AGENT_BUSY'],
  ['the platform', { agentId: 0 }, 'PLAN_REFUSED'],
  ['another’s agent', { agentId: 2 }, 'AGENT_BUSY'],
  ['no agent', { agentId: 99 }, 'AGENT_UNKNOWN'],
  [
    'a node that passes no device through',
    { dtb: partial({ codec: { clocks: [0x14, 12] } }) },
    'PLAN_REFUSED',
  ],
  ['no tree', { dtb: new Uint8Array(3) }, 'DTB_MALFORMED'],
])('refused: %s', async (_why, more, code) => {
  const site = await Site.recovered()
  await site.add('guest-b', { domid: 7 })
  const trace = site.trace.length
  await expect(site.add('guest-a', more)).rejects.toMatchObject({ code })
  expect(site.trace.slice(trace)).toEqual(['audit refuse'])
  expect(site.records().at(-1)).toMatchObject({ kind: 'refuse', domain: more.name ?? 'guest-a' })
  expect(site.faults()).toEqual([])
})

test('a socket is one domain’s, however it is spelled', async () => {
  const site = await Site.recovered()
  await site.add('guest-b')
  const path = `${site.directory}/./x/../guest-b.sock`
  await expect(site.add('guest-a', { link: { kind: 'message-socket', path } })).rejects.toMatchObject({
    code: 'SOCKET_PATH',
    message: `${path} is guest-b's socket`,
  })
})

test('a domain is found by name or domid', async () => {
  const site = await Site.recovered()
  await site.add('guest-b', { domid: 7 })
  expect(site.views.domain('7').name).toBe('guest-b')
  await site.lifecycle.detachDevice('7', '3', now)
  await site.lifecycle.removeDomain('7', now)
  expect(site.views.domains()).toEqual([])
})

test.each<[string, (site: Site) => Promise<unknown>]>([
  ['add', site => site.lifecycle.addDomain(site.spec('guest-a'), dry)],
  ['add, on a pinned agent', site => site.lifecycle.addDomain(site.spec('guest-a', { agentId: 5 }), dry)],
  ['remove', site => site.lifecycle.removeDomain('guest-b', dry)],
  ['attach', site => site.lifecycle.attachDevice('guest-b', '4', dry)],
  ['detach', site => site.lifecycle.detachDevice('guest-b', '3', dry)],
  ['add that is refused', site => site.lifecycle.addDomain(site.spec('guest-b'), dry).catch(() => {})],
  ['detach that is refused', site => site.lifecycle.detachDevice('guest-b', '8', dry).catch(() => {})],
])('a dry run changes nothing: %s', async (what, operation) => {
  const site = await Site.recovered()
  await site.add('guest-b')
  const state = () => ({
    journal: site.journalText(),
    domains: site.views.domains(),
    agents: site.views.agents(),
    devices: site.views.devices(),
    status: site.views.status(),
    sent: site.link.sent.length,
  })
  const before = state()
  const trace = site.trace.length
  await operation(site)
  expect(state()).toEqual(before)
  expect(site.trace.slice(trace)).toEqual(what.endsWith('refused') ? ['audit refuse'] : [])
  expect(site.faults()).toEqual([])
})

test('a dry run tells what then happens', async () => {
  const site = await Site.recovered()
  const operations: ((options: { dryRun: boolean }) => Promise<unknown>)[] = [
    options => site.lifecycle.addDomain(site.spec('guest-a'), options),
    options => site.lifecycle.detachDevice('guest-a', '2', options),
    options => site.lifecycle.attachDevice('guest-a', '4', options),
    options => site.lifecycle.removeDomain('guest-a', options),
  ]
  for (const operation of operations) {
    const told = await operation(dry)
    expect(await operation(now)).toEqual({ ...(told as object), dryRun: false })
  }
})

test('what the firmware received is what the outcome says', async () => {
  const site = await Site.recovered()
  const { permissionCommands } = await site.add('guest-a')
  expect(site.commands()).toEqual(
    permissionCommands.map(({ agentId, deviceId }) => `+${agentId}/${deviceId}`),
  )
  expect(site.views.permissionCommands()).toEqual(permissionCommands)
})

describe('messages under way', () => {
  /** Until the relay has taken up what it was asked. */
  const turn = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await new Promise(done => setImmediate(done))
  }

  test('remove waits for them, and what they did is undone before the agent is free', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    const guest = site.guest('guest-a')
    site.link.held = true
    const tickets = [
      guest.send(frame(POWER_STATE_SET, 0, 0, 0)),
      guest.send(frame(CLOCK_CONFIG_SET, 3, 1, 0)),
    ]
    let removed = false
    const removal = site.lifecycle.removeDomain('guest-a', now).then(() => {
      removed = true
    })
    await turn()
    expect(removed).toBe(false)
    expect(guest.closed).toBe(true)
    expect(site.views.domain('guest-a').state).toBe('removing')
    expect(site.roster.entry(2).state).toBe('assigned')
    site.link.release()
    await removal
    expect(tickets.map(ticket => guest.answers[ticket] !== undefined)).toEqual([true, true])
    expect(guest.faults).toEqual([])
    const power = site.link.sent
      .filter(({ message, words }) => message === POWER_STATE_SET && words[0] === 0) // no probe
      .map(({ words }) => words[2])
    expect(power.slice(-2)).toEqual([0, 0x4000_0000]) // on, and off again
    expect(site.platform.clocks.running(3)).toBe(false)
    expect(site.faults()).toEqual([])
  })

  test('detach: a message judged before is answered, the next one is refused, and only then the firmware is told', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    const guest = site.guest('guest-a')
    site.link.held = true
    const ticket = guest.send(frame(CLOCK_CONFIG_SET, 3, 1, 0))
    const detaching = site.lifecycle.detachDevice('guest-a', '2', now)
    await turn()
    expect(guest.status(CLOCK_CONFIG_SET, 3, 1, 0)).toBe(DENIED)
    expect(site.commands().filter(text => text.startsWith('-'))).toEqual([])
    site.link.release()
    await detaching
    expect(guest.answers[ticket]?.[4]).toBe(0)
    expect(site.platform.clocks.running(3)).toBe(false)
    expect(site.commands().at(-1)).toBe('-2/2')
    const messages = site.records().filter(({ kind }) => kind === 'message')
    expect(messages.map(({ decision, node }) => [decision, node])).toEqual(
      expect.arrayContaining([['allowed', '/soc/mmc@ee100000']]),
    )
    expect(site.faults()).toEqual([])
  })
})

describe('one change at a time', () => {
  test('whatever is asked at once happens one after the other', async () => {
    const site = await Site.recovered()
    const names = Object.keys(devicesOf)
    const results = await Promise.allSettled([
      ...names.map(name => site.add(name)),
      ...names.map(name => site.add(name)),
      site.lifecycle.attachDevice('guest-c', '4', now),
      site.lifecycle.attachDevice('guest-d', '4', now),
      site.lifecycle.removeDomain('guest-a', now),
      site.lifecycle.removeDomain('guest-a', now),
      site.lifecycle.detachDevice('guest-b', '1', now),
      site.lifecycle.detachDevice('guest-b', '1', now),
    ])
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
      true,
      false,
      true,
      false,
      true,
      false,
    ])
    expect(site.faults()).toEqual([])
    // No step of one change lies between two of another's.
    const released = site.trace.indexOf('audit release')
    expect(site.trace.slice(released).filter(each => each.startsWith('firmware allow'))).toEqual([])
  })

  test('a change that fails does not keep the next one from its turn', async () => {
    const site = await Site.recovered()
    const first = site.lifecycle.removeDomain('nobody', now)
    const second = site.add('guest-a')
    await expect(first).rejects.toMatchObject({ code: 'DOMAIN_UNKNOWN' })
    await expect(second).resolves.toMatchObject({ agentId: 2 })
  })
})

test('a hundred comings and goings leave nothing behind', async () => {
  const site = await Site.recovered()
  for (let i = 0; i < 100; i++) {
    await site.add('guest-a')
    site.guest('guest-a').status(CLOCK_CONFIG_SET, 0, 1, 0)
    await site.lifecycle.removeDomain('guest-a', now)
  }
  expect(site.faults()).toEqual([])
  expect(site.roster.entry(2).state).toBe('free')
  expect(site.platform.clocks.running(0)).toBe(false)
  expect(site.tenants.size).toBe(0)
  const messages = site.records().filter(({ kind }) => kind === 'message')
  expect(new Set(messages.map(({ domain, node }) => `${domain} ${node}`))).toEqual(
    new Set(['guest-a /soc/ethernet@e6800000']),
  )
}, 60_000)

function frame(message: number, ...words: number[]): Uint8Array {
  const header = ((message & 0xff) | ((message >>> 8) << 10)) >>> 0
  return new Uint8Array(Uint32Array.of(header, ...words).buffer)
}
