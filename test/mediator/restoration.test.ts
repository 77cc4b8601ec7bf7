// src/mediator/restoration.ts: a platform that was restarted under its guests is told again what they asked for.
import { afterEach, describe, expect, test } from 'vitest'
import type { RestoreReport } from '../../src/mediator/relay-port.ts'
import { EXCLUSIVELY_HELD, NOT_GRANTED_AGAIN } from '../../src/permissions/reasons.ts'
import { parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { exampleText, Machine, type MemoryGuest, type Tapped } from './machine.ts'
import { RestartableLink } from './restartable-link.ts'

const [SUCCESS, DENIED, BUSY, COMMS_ERROR] = [0, -3, -6, -7]
const [POWER_SET, POWER_GET, POWER_NOTIFY] = [0x1104, 0x1105, 0x1106]
const [CLOCK_SET, RATE_SET, RATE_GET] = [0x1407, 0x1405, 0x1406]
const VOLTAGE_SET = 0x1705
const [ON, OFF] = [0, 0x4000_0000]
const VOLTAGE_ON = 0x7
/** Power domain of guests a and b; clock of c and d. */
const [sdhi, can] = [2, 9]

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})

const received = (commands: readonly Tapped[]): (readonly number[])[] =>
  commands.map(({ channel, words: [header = 0, ...payload] }) => [
    channel,
    (((header >>> 10) & 0xff) << 8) | (header & 0xff),
    ...payload,
  ])

class Scene {
  readonly machine: Machine
  readonly link: RestartableLink
  readonly a: MemoryGuest
  readonly b: MemoryGuest
  readonly c: MemoryGuest
  readonly d: MemoryGuest
  platform: Platform
  tapped: Tapped[] = []
  readonly #text: string

  constructor(edit: (text: string) => string = text => text) {
    let link: RestartableLink | undefined
    this.machine = new Machine({
      edit,
      firmware: platform => {
        link = new RestartableLink(platform)
        return link
      },
    })
    machines.push(this.machine)
    this.link = link as unknown as RestartableLink
    this.platform = this.machine.platform
    this.#text = edit(exampleText).replaceAll('permissions: deny', 'permissions: allow')
    const [a, b, c, d] = [[0, 2, 5], [1, 3, 7], [6], [8]].map(devices => this.machine.guest(devices))
    Object.assign(this, { a, b, c, d })
    this.a = a as MemoryGuest
    this.b = b as MemoryGuest
    this.c = c as MemoryGuest
    this.d = d as MemoryGuest
  }

  /** The platform forgets everything; these channels are back. */
  restart(...channels: number[]): void {
    this.platform = new Platform(parsePlatform(this.#text, 'platform.yaml'))
    this.tapped = []
    this.platform.tap = (channel, words, length) =>
      this.tapped.push({ channel, words: Array.from(words.subarray(0, length >>> 2)) })
    this.link.restart(this.platform, channels)
  }

  /** Tells the platform again, channel by channel. What it receives is given, and the reports. */
  restore(...channels: number[]): RestoreReport[] {
    return channels.map(
      channel => this.machine.execute({ type: 'restore', channel, refused: [] }) as RestoreReport,
    )
  }

  takeReceived(): (readonly number[])[] {
    const { tapped } = this
    this.tapped = []
    return received(tapped)
  }
}

const everything = [1, 2, 3, 4]
const sharing = (kind: string) => (text: string) => text.replace('sharing: votes', `sharing: ${kind}`)

describe.each(['votes', 'last-writer'])('on firmware with %s', kind => {
  test('what guests need is on again, on the channels that asked; the last OFF still goes out', () => {
    const scene = new Scene(sharing(kind))
    const { a, b } = scene
    a.status(POWER_SET, 0, sdhi, ON)
    b.status(POWER_SET, 0, sdhi, ON)
    a.status(POWER_SET, 0, sdhi, OFF) // b needs it: not sent
    a.status(POWER_SET, 0, 0, ON)
    scene.restart(...everything)
    expect(scene.platform.power.state(sdhi)).toBe(0)
    scene.restore(1, 2)
    expect(scene.takeReceived()).toEqual([
      [1, POWER_SET, 0, 0, ON],
      [2, POWER_SET, 0, sdhi, ON],
    ])
    expect([scene.platform.power.state(0), scene.platform.power.state(sdhi)]).toEqual([1, 1])
    expect(a.words(POWER_GET, sdhi)[1]).toBe(OFF)
    expect(b.words(POWER_GET, sdhi)[1]).toBe(ON)
    expect(b.status(POWER_SET, 0, sdhi, OFF)).toBe(SUCCESS)
    expect(scene.platform.power.state(sdhi)).toBe(0)
  })

  test.each([
    [1, 2],
    [2, 1],
  ])('no order of channels cuts anybody: %i, %i', (...order) => {
    const scene = new Scene(sharing(kind))
    const { a, b } = scene
    for (const guest of [a, b]) guest.status(POWER_SET, 0, sdhi, ON)
    b.status(POWER_SET, 0, 1, ON)
    b.status(POWER_SET, 0, 1, OFF)
    scene.restart(...everything)
    const states: number[] = []
    for (const channel of order) {
      scene.restore(channel)
      states.push(scene.platform.power.state(sdhi))
    }
    expect(states).toEqual([1, 1])
    expect(b.status(POWER_SET, 0, sdhi, OFF)).toBe(SUCCESS)
    expect(scene.platform.power.state(sdhi)).toBe(1)
    expect(a.status(POWER_SET, 0, sdhi, OFF)).toBe(SUCCESS)
    expect(scene.platform.power.state(sdhi)).toBe(0)
  })
})

test('supplies first, then domains, then clocks; what was switched off comes last, the other way round', () => {
  const scene = new Scene()
  const { a } = scene
  a.status(CLOCK_SET, 3, 1, 0)
  a.status(POWER_SET, 0, 0, ON)
  a.status(VOLTAGE_SET, 0, VOLTAGE_ON)
  for (const [message, ...words] of [
    [CLOCK_SET, 4, 0, 0],
    [POWER_SET, 0, 4, OFF],
    [VOLTAGE_SET, 1, 0],
  ] as const)
    expect(a.status(message, ...words)).toBe(SUCCESS)
  scene.restart(1)
  const [report] = scene.restore(1)
  expect(scene.takeReceived()).toEqual([
    [1, VOLTAGE_SET, 0, VOLTAGE_ON],
    [1, POWER_SET, 0, 0, ON],
    [1, CLOCK_SET, 3, 1, 0],
    [1, CLOCK_SET, 4, 0, 0],
    [1, POWER_SET, 0, 4, OFF],
    [1, VOLTAGE_SET, 1, 0],
  ])
  expect(report).toEqual({ votes: 3, releases: 3, subscriptions: 0, failed: [] })
})

test('what nobody asked for is not touched, nor is a rate set that a guest had set', () => {
  const scene = new Scene()
  expect(scene.a.status(RATE_SET, 0, 0, 25_000_000, 0)).toBe(SUCCESS)
  scene.restart(...everything)
  for (const report of scene.restore(...everything))
    expect(report).toEqual({ votes: 0, releases: 0, subscriptions: 0, failed: [] })
  expect(scene.takeReceived()).toEqual([])
  expect(scene.a.words(RATE_GET, 0)[1]).toBe(125_000_000) // the truth: it is the guest's to set again
})

test('exclusive settings stay their holder’s', () => {
  const scene = new Scene()
  const { c, d, machine } = scene
  expect(c.status(RATE_SET, 0, can, 20_000_000, 0)).toBe(SUCCESS)
  expect(d.status(RATE_SET, 0, can, 40_000_000, 0)).toBe(DENIED)
  scene.restart(...everything)
  scene.restore(...everything)
  expect(d.status(RATE_SET, 0, can, 40_000_000, 0)).toBe(DENIED)
  expect(machine.records().at(-1)).toMatchObject({ slot: 3, rule: EXCLUSIVELY_HELD })
  expect(c.status(RATE_SET, 0, can, 20_000_000, 0)).toBe(SUCCESS)
})

test('the state a guest chose for a domain of its own is what is asked for again', () => {
  const scene = new Scene()
  // The platform takes ON and OFF alone: another that had taken a third would be asked for it again.
  const value = 0x0000_0001
  scene.link.fault = ({ words }) => (words[3] === value ? SUCCESS : undefined)
  expect(scene.a.status(POWER_SET, 0, 0, value)).toBe(SUCCESS)
  scene.restart(1)
  const sent: Tapped[] = []
  scene.link.fault = command => {
    sent.push(command)
    return SUCCESS
  }
  scene.restore(1)
  expect(received(sent)).toEqual([[1, POWER_SET, 0, 0, value]])
})

test('until then guests are answered BUSY, but for what is answered here', () => {
  const scene = new Scene()
  const { a, b } = scene
  a.status(POWER_SET, 0, sdhi, ON)
  scene.restart(1)
  expect(a.status(POWER_SET, 0, sdhi, OFF)).toBe(BUSY)
  expect(a.status(RATE_GET, 0)).toBe(BUSY)
  expect(a.status(0x1003)).toBe(SUCCESS) // BASE_DISCOVER_VENDOR
  expect(a.words(RATE_GET, 1)).toEqual([SUCCESS, 0, 0]) // a placeholder
  expect(a.status(CLOCK_SET, 1, 1, 0)).toBe(DENIED)
  expect(b.status(RATE_GET, 1)).toBe(SUCCESS) // another channel
  expect(scene.takeReceived()).toEqual([[2, RATE_GET, 1]])
  scene.restore(1)
  expect(scene.takeReceived()).toEqual([[1, POWER_SET, 0, sdhi, ON]]) // the OFF was never taken
  expect(a.status(POWER_SET, 0, sdhi, OFF)).toBe(SUCCESS)
})

test('a guest that comes meanwhile waits with the others behind its channel', () => {
  const scene = new Scene()
  scene.restart(1)
  scene.machine.open(4, [8], { channel: 1 })
  const late = scene.machine.guests[4] as MemoryGuest
  expect(late.status(RATE_GET, can)).toBe(BUSY)
  scene.restore(1)
  expect(late.status(RATE_GET, can)).toBe(SUCCESS)
})

test('a guest in a refused slot is denied, keeps its vote, and the others are served', () => {
  const scene = new Scene()
  const { a, b, machine } = scene
  for (const guest of [a, b]) guest.status(POWER_SET, 0, sdhi, ON)
  scene.restart(1, 2)
  machine.execute({ type: 'restore', channel: 1, refused: [0] })
  expect(scene.takeReceived()).toEqual([])
  scene.restore(2)
  machine.records()
  expect([a.status(RATE_GET, 0), a.status(POWER_SET, 0, sdhi, ON), a.status(0x1003)]).toEqual([
    DENIED,
    DENIED,
    SUCCESS,
  ])
  expect(machine.records()).toMatchObject(Array(2).fill({ slot: 0, rule: NOT_GRANTED_AGAIN }))
  expect(b.status(POWER_SET, 0, sdhi, OFF)).toBe(SUCCESS)
  expect(scene.platform.power.state(sdhi)).toBe(1) // a's device may still run
  scene.restore(1)
  expect(a.status(RATE_GET, 0)).toBe(SUCCESS)
})

test('what the platform refuses now is no vote any more, and is told', () => {
  const scene = new Scene()
  const { a, b } = scene
  for (const guest of [a, b]) guest.status(POWER_SET, 0, sdhi, ON)
  scene.restart(1, 2)
  scene.link.fault = ({ channel, words }) => (channel === 1 && words[2] === sdhi ? DENIED : undefined)
  const [report] = scene.restore(1)
  expect(report).toEqual({
    votes: 0,
    releases: 0,
    subscriptions: 0,
    failed: ['POWER_STATE_SET 2 on: status -3'],
  })
  scene.link.fault = () => undefined
  expect(a.words(POWER_GET, sdhi)[1]).toBe(OFF)
  scene.restore(2)
  expect(scene.platform.power.state(sdhi)).toBe(1)
  expect(b.status(POWER_SET, 0, sdhi, OFF)).toBe(SUCCESS) // nobody else's vote is left
  expect(scene.platform.power.state(sdhi)).toBe(0)
})

test.each([COMMS_ERROR, BUSY])('status %i: guests go on waiting, and it can be tried again', status => {
  const scene = new Scene()
  const { a } = scene
  for (const domain of [0, sdhi, 4]) a.status(POWER_SET, 0, domain, ON)
  scene.restart(1)
  scene.link.fault = ({ words }) => (words[2] === sdhi ? status : undefined)
  expect(() => scene.restore(1)).toThrow(/firmware did not answer on channel 1/)
  expect(a.status(RATE_GET, 0)).toBe(BUSY)
  scene.link.fault = () => undefined
  expect(scene.restore(1)).toMatchObject([{ votes: 3 }])
  expect(a.status(RATE_GET, 0)).toBe(SUCCESS)
  expect([0, sdhi, 4].map(domain => scene.platform.power.state(domain))).toEqual([1, 1, 1])
})

test('a channel that is lost again under way: that attempt fails, the next one is whole', () => {
  const scene = new Scene()
  const { a } = scene
  for (const domain of [0, sdhi]) a.status(POWER_SET, 0, domain, ON)
  scene.restart(1)
  scene.link.held = true
  const first = scene.machine.begin({ type: 'restore', channel: 1, refused: [] })
  expect(first.done()).toBe(false)
  scene.restart(1)
  expect(first.done()).toBe(true)
  expect(() => first.result()).toThrow(/lost again/)
  scene.link.release()
  expect(a.status(RATE_GET, 0)).toBe(BUSY)
  expect(scene.restore(1)).toMatchObject([{ votes: 2 }])
  expect([0, sdhi].map(domain => scene.platform.power.state(domain))).toEqual([1, 1])
})

test('what another guest is asking about meanwhile is taken up after that', () => {
  const scene = new Scene()
  const { a, b, machine } = scene
  for (const guest of [a, b]) guest.status(POWER_SET, 0, sdhi, ON)
  scene.link.held = true
  const ticket = b.send(Uint8Array.from([4, 0x44, 0, 0, 0, 0, 0, 0, sdhi, 0, 0, 0, 0, 0, 0, 0]))
  expect(b.answers[ticket]).toBeUndefined()
  scene.link.restart(scene.platform, [1])
  const restoring = machine.begin({ type: 'restore', channel: 1, refused: [] })
  scene.link.release()
  expect(b.answers[ticket]).toBeDefined()
  machine.relay.mediator.restoration.pump()
  expect(restoring.done()).toBe(true)
  expect(restoring.result()).toMatchObject({ votes: 1 })
})

test('guests behind one channel: each subscription and each vote once', () => {
  const scene = new Scene()
  const { machine } = scene
  machine.open(4, [2], { channel: 4 })
  machine.open(5, [3], { channel: 4 })
  const [e, f] = [machine.guests[4] as MemoryGuest, machine.guests[5] as MemoryGuest]
  for (const guest of [e, f]) {
    guest.hasP2A = true
    guest.room = 100
    expect(guest.status(POWER_SET, 0, sdhi, ON)).toBe(SUCCESS)
    expect(guest.status(POWER_NOTIFY, sdhi, 1)).toBe(SUCCESS)
  }
  scene.restart(4)
  expect(scene.takeReceived()).toEqual([]) // not before it is granted again
  expect(scene.restore(4)).toEqual([{ votes: 1, releases: 0, subscriptions: 1, failed: [] }])
  expect(scene.takeReceived()).toEqual([
    [4, POWER_SET, 0, sdhi, ON],
    [4, POWER_NOTIFY, sdhi, 1],
  ])
  expect(e.delivered).toEqual([]) // neither is told of what it never saw go
})

test('there is no channel beyond the last', () => {
  const scene = new Scene()
  expect(() => scene.restore(99)).toThrow(/no channel 99/)
})
