// src/lifecycle/restart.ts: firmware that comes back is told again what each domain has, or the domain is refused.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { now, RESET_AGENT, SET_DEVICE, Site } from './site.ts'

const [SUCCESS, DENIED, BUSY, COMMS_ERROR] = [0, -3, -6, -7]
const [POWER_SET, RATE_GET, CLOCK_SET] = [0x1104, 0x1406, 0x1407]

const allOf = (site: Site): number[][] => [2, 3, 4, 5].map(agentId => site.allowed(agentId))

/** guest-a and guest-b, agents 2 and 3, with what they switched on. */
async function twoGuests(): Promise<Site> {
  const site = await Site.recovered()
  await site.add('guest-a')
  await site.add('guest-b')
  expect(site.guest('guest-a').status(POWER_SET, 0, 2, 0)).toBe(SUCCESS)
  expect(site.guest('guest-b').status(CLOCK_SET, 1, 1, 0)).toBe(SUCCESS)
  site.link.sent.length = 0
  return site
}

/** Waits until the guests of both domains are served, or denied, again. */
async function settled(site: Site): Promise<void> {
  await vi.waitFor(() => {
    expect(site.relay.mediator.guests.filter(guest => guest?.standing === 1)).toEqual([])
  }, 5000)
}

test('each domain has what it had, no more, before its guest is served again', async () => {
  const site = await twoGuests()
  const before = allOf(site)
  const [a, b] = [site.guest('guest-a'), site.guest('guest-b')]
  site.restartFirmware()
  expect(allOf(site)).toEqual([[], [], [], []])
  expect([a.status(RATE_GET, 0), b.status(RATE_GET, 1)]).toEqual([BUSY, BUSY])
  await settled(site)
  expect(allOf(site)).toEqual(before)
  expect([a.status(RATE_GET, 0), b.status(RATE_GET, 1)]).toEqual([SUCCESS, SUCCESS])
  expect([site.platform.power.state(2), site.faults(), site.views.status().problems]).toEqual([1, [], []])

  // What is not a domain's is denied first; nothing is reset, nothing is told that concerns nobody.
  const commands = site.commands()
  expect(commands.slice(0, 9)).toEqual([
    '-2/1',
    '-2/3',
    '-2/4',
    '-2/6',
    '-2/7',
    '-2/8',
    '+2/0',
    '+2/2',
    '+2/5',
  ])
  expect(commands.filter(text => !/^[-+][23]\//.test(text))).toEqual([])
  const told = site.link.sent.findIndex(({ message, words }) => message === SET_DEVICE && words[1] === 5)
  const voted = site.link.sent.findIndex(({ channel, message }) => channel === 1 && message === POWER_SET)
  expect(voted).toBeGreaterThan(told)
})

test('it stands in the log: each command, its status, and what came of it', async () => {
  const site = await twoGuests()
  const from = site.records().length
  site.restartFirmware([1])
  await settled(site)
  const records = site.records().slice(from)
  expect(records.filter(({ kind, allow }) => kind === 'permission' && allow === true)).toMatchObject(
    [0, 2, 5].flatMap(device => [
      { agentId: 2, device, text: 'sent' },
      { agentId: 2, device, status: SUCCESS },
    ]),
  )
  expect(records.at(-1)).toMatchObject({
    kind: 'restore',
    text: 'firmware channel 1 is back: 1 switched on again, 0 off, 0 subscriptions',
  })
})

test('a platform that allows everything at first: what is not the domain’s is denied', async () => {
  const site = await twoGuests()
  const before = allOf(site)
  site.restartFirmware(undefined, text => text.replaceAll('permissions: deny', 'permissions: allow'))
  await settled(site)
  expect(allOf(site).slice(0, 2)).toEqual(before.slice(0, 2))
  // Agents that nobody has are looked at before somebody gets them.
  await expect(site.add('guest-c')).rejects.toThrow(/4 is quarantined \(the firmware no longer refuses it/)
  expect(site.faults()).toEqual([])
})

test('a domain that is not granted again is refused everything; the other is served', async () => {
  const site = await twoGuests()
  const [a, b] = [site.guest('guest-a'), site.guest('guest-b')]
  let broken = true
  site.link.fault = ({ message, words }) =>
    broken && message === SET_DEVICE && words[0] === 2 && words[1] === 2 && words[2] === 1
      ? DENIED
      : undefined
  site.restartFirmware()
  await settled(site)
  expect([a.status(RATE_GET, 0), a.status(POWER_SET, 0, 2, 0), b.status(RATE_GET, 1)]).toEqual([
    DENIED,
    DENIED,
    SUCCESS,
  ])
  expect(site.views.domain('guest-a').state).toBe('failed')
  const problem = expect.stringMatching(
    /^domain guest-a is refused everything: .* DENIED to BASE_SET_DEVICE_PERMISSIONS: agent 2, device 2, allow/,
  )
  expect(site.views.status().problems).toEqual([problem])
  expect(site.records()).toContainEqual(
    expect.objectContaining({
      kind: 'refuse',
      domain: 'guest-a',
      text: expect.stringMatching(/^not granted again/),
    }),
  )
  await expect(site.lifecycle.attachDevice('guest-a', 'can1', now)).rejects.toThrow(/is failed; remove it/)

  broken = false
  await vi.waitFor(() => expect(site.views.domain('guest-a').state).toBe('running'), 5000)
  expect([a.status(RATE_GET, 0), site.views.status().problems, site.faults()]).toEqual([SUCCESS, [], []])
})

test('one that stays refused can be removed, and its agent is swept', async () => {
  const site = await twoGuests()
  site.link.fault = ({ message, words }) =>
    message === SET_DEVICE && words[0] === 2 && words[2] === 1 ? DENIED : undefined
  site.restartFirmware()
  await settled(site)
  await site.lifecycle.removeDomain('guest-a', now)
  expect(site.commands().at(-1)).toMatch(/^-2\//)
  expect(site.link.sent.some(({ message }) => message === RESET_AGENT)).toBe(true)
  expect([site.faults(), site.views.status().problems]).toEqual([[], []])
})

test('silence is waited out: guests wait, operators are told, and it is tried again', async () => {
  const site = await twoGuests()
  let silent = true
  site.link.fault = ({ channel }) => (silent && channel === 0 ? 'lost' : undefined)
  site.restartFirmware()
  await vi.waitFor(() => expect(site.views.status().problems).toHaveLength(5), 5000)
  expect(site.views.status().problems[1]).toMatch(
    /^firmware channel 1 came back, and its guests wait: the firmware did not answer on channel 0$/,
  )
  expect(site.guest('guest-a').status(RATE_GET, 0)).toBe(BUSY)
  silent = false
  await settled(site)
  expect(site.guest('guest-a').status(RATE_GET, 0)).toBe(SUCCESS)
  await vi.waitFor(() => expect(site.views.status().problems).toEqual([]), 5000)
  expect(site.faults()).toEqual([])
})

test('a vote that is not answered is told again', async () => {
  const site = await twoGuests()
  let losses = 2
  site.link.fault = ({ channel, message }) =>
    channel === 1 && message === POWER_SET && losses-- > 0 ? COMMS_ERROR : undefined
  site.restartFirmware()
  await settled(site)
  expect([losses < 0, site.platform.power.state(2), site.faults()]).toEqual([true, 1, []])
})

test.each([
  [
    'another vendor',
    (text: string) => text.replace('vendor: example', 'vendor: other'),
    /vendor was example, is other/,
  ],
  [
    'older protocols',
    (text: string) => text.replace("release: '3.2'", "release: '3.2'\nversions: { clock: 0x20000 }"),
    /it had .*clock 3.0 with 14.*, has .*clock 2.0 with 14/,
  ],
  [
    'another clock in its place',
    (text: string) => text.replace('name: usb0-phy', 'name: pcie'),
    /clock 2 was "usb0-phy", is "pcie"/,
  ],
])('a platform that has become another, %s: guests wait, operators are told', async (_what, edit, says) => {
  const site = await twoGuests()
  site.restartFirmware(undefined, edit)
  await vi.waitFor(() => expect(site.views.status().problems).toHaveLength(5), 5000)
  expect(site.views.status().problems[1]).toMatch(says)
  expect([site.guest('guest-a').status(RATE_GET, 0), site.commands()]).toEqual([BUSY, []])
  site.restartFirmware()
  await settled(site)
  expect(site.guest('guest-a').status(RATE_GET, 0)).toBe(SUCCESS)
})

test('changes go on between attempts, also with a domain whose channel waits', async () => {
  const site = await twoGuests()
  site.link.fault = ({ channel, message }) =>
    channel === 1 && message === POWER_SET ? COMMS_ERROR : undefined
  site.restartFirmware()
  await vi.waitFor(() => expect(site.views.status().problems).toHaveLength(1), 5000)
  await site.add('guest-c')
  expect(site.guest('guest-c').status(RATE_GET, 9)).toBe(SUCCESS)
  site.link.fault = () => undefined
  await site.lifecycle.removeDomain('guest-a', now)
  await vi.waitFor(() => expect(site.views.status().problems).toEqual([]), 5000)
  expect(site.faults()).toEqual([])
})

test('a restart in the midst of a change: what was told before it is told again', async () => {
  const site = await twoGuests()
  let sent = 0
  site.link.onSend = ({ message, words }) => {
    if (message === SET_DEVICE && words[0] === 4 && words[2] === 1 && sent++ === 0)
      queueMicrotask(() => site.restartFirmware())
  }
  await site.add('guest-c')
  site.link.onSend = () => {}
  await settled(site)
  expect([site.allowed(4), site.faults()]).toEqual([[6], []])
})

test('after the stop nothing is tried any more', async () => {
  const site = await twoGuests()
  site.link.fault = ({ channel }) => (channel === 0 ? 'lost' : undefined)
  site.restartFirmware()
  await vi.waitFor(() => expect(site.views.status().problems).toHaveLength(5), 5000)
  await site.lifecycle.settle()
  const { length } = site.link.sent
  await sleep(300)
  expect(site.link.sent).toHaveLength(length)
})
