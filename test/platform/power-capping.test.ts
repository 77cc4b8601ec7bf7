// src/platform/power-capping.ts and its state: caps of several agents, intervals, measurements, versions.
import { describe, expect, test } from 'vitest'
import { INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, OUT_OF_RANGE, SUCCESS } from '../../src/scmi/status.ts'
import { type Asked, hex, name16, name64, platformOf } from './ask.ts'

const NAME = 'the-whole-system-on-chip'
const capping = (release = '3.2', more = ''): Asked =>
  platformOf(`
vendor: test
release: '${release}'
agents:
  - { id: 1, name: one, trusted: true, permissions: allow }
  - { id: 2, name: two, permissions: allow }
  - { id: 3, name: three, permissions: allow }
powerCapping:
  domains:
    - id: 0
      name: ${NAME}
      unit: milliwatt
      cap: { min: 1000, max: 9000, step: 250 }
      pai: { min: 10, max: 1000, step: 10 }
      initialPai: 200
      sustainable: 7000
      accuracy: 5
      measured: 3000
    - id: 1
      name: fixed
      unit: microwatt
      parent: 0
      cap: { min: 4000, max: 4000, step: 7 }
      pai: { min: 100, max: 100 }
      monitoring: false
      capNotify: false
    - { id: 2, name: own, cap: { min: 1, max: 100, step: 1 }, ownCap: 60, pai: { min: 1, max: 1 } }
${more}`)

/** Caps in force as each agent reads them. */
const caps = (asked: Asked, domain = 0) => [0, 1, 2].map(agent => asked.words(agent, 0x18, 4, domain)[0])
const cap = (asked: Asked, agent: number, value: number, domain = 0) =>
  asked.status(agent, 0x18, 5, domain, 0, value)

test('attributes say what can be set, notified and read, in the words that Linux checks', () => {
  const asked = capping()
  expect(asked.ask(0, 0x18, 1)).toBe(hex(0, 3))
  // notify 31:30, ext name 28, cap 27, monitoring 26, PAI 25, unit 24:23
  expect(asked.ask(0, 0x18, 3, 0)).toBe(
    hex(0, 0xdf00_0000) + name16(NAME) + hex(10, 1000, 10, 1000, 9000, 250, 7000, 5, 0xffff_ffff),
  )
  expect(asked.ask(0, 0x18, 3, 1)).toBe(
    hex(0, 0x0080_0000) + name16('fixed') + hex(100, 100, 0, 4000, 4000, 0, 0, 0, 0),
  )
  expect(asked.ask(0, 0x18, 8, 0)).toBe(hex(0, 0) + name64(NAME))
})

test('agents without a way back are promised nothing', () => {
  const asked = capping('3.2', 'channels: [{ agent: 1, p2a: false }]\n')
  expect(asked.words(0, 0x18, 3, 0)[0]).toBe(0x1f00_0000)
  expect(asked.status(0, 0x18, 0xa, 0, 1)).toBe(NOT_SUPPORTED)
  expect(asked.status(0, 0x18, 0xb, 0, 1, 0, 1)).toBe(NOT_SUPPORTED)
  expect(asked.status(0, 0x18, 2, 0xa)).toBe(NOT_FOUND)
})

describe('caps', () => {
  test('the lowest is in force, and every agent reads it', () => {
    const asked = capping()
    expect(caps(asked)).toEqual([0, 0, 0])
    expect([cap(asked, 0, 5000), cap(asked, 1, 3000), cap(asked, 2, 8000)]).toEqual([
      SUCCESS,
      SUCCESS,
      SUCCESS,
    ])
    expect(caps(asked)).toEqual([3000, 3000, 3000])
    expect(asked.platform.powerCaps.ownCap(2, 0)).toBe(8000)
    cap(asked, 1, 0)
    expect(caps(asked)).toEqual([5000, 5000, 5000])
    cap(asked, 0, 0)
    expect(caps(asked)).toEqual([8000, 8000, 8000])
    cap(asked, 2, 0)
    expect(caps(asked)).toEqual([0, 0, 0])
  })

  test('the platform’s own is lifted by nobody', () => {
    const asked = capping()
    expect(caps(asked, 2)).toEqual([60, 60, 60])
    cap(asked, 0, 100, 2)
    expect(caps(asked, 2)).toEqual([60, 60, 60])
    cap(asked, 1, 20, 2)
    expect(caps(asked, 2)).toEqual([20, 20, 20])
    cap(asked, 1, 0, 2)
    expect(caps(asked, 2)).toEqual([60, 60, 60])
  })

  test.each([
    [0, 0, 999, OUT_OF_RANGE, 0, 'below the lowest'],
    [0, 0, 9001, OUT_OF_RANGE, 0, 'above the highest'],
    [0, 0, 0xffff_ffff, OUT_OF_RANGE, 0, 'far above'],
    [0, 0, 1000, SUCCESS, 1000, 'the lowest'],
    [0, 0, 9000, SUCCESS, 9000, 'the highest'],
    [0, 0, 1499, SUCCESS, 1250, 'between two steps: the lower'],
    [0, 1, 2000, SUCCESS, 2000, 'renouncing a delayed response that nobody asked for'],
    [0, 2, 2000, NOT_SUPPORTED, 0, 'asynchronous: not advertised'],
    [0, 3, 2000, NOT_SUPPORTED, 0, 'the same'],
    [0, 4, 2000, INVALID_PARAMETERS, 0, 'a reserved flag'],
    [1, 0, 4000, NOT_SUPPORTED, 4000, 'a domain that cannot be set'],
  ])('domain %i, flags %i, cap %i gives %i, in force %i: %s', (domain, flags, value, status, inForce) => {
    const asked = capping()
    expect(asked.status(0, 0x18, 5, domain, flags, value)).toBe(status)
    expect(asked.platform.powerCaps.cap(domain)).toBe(inForce)
  })

  test('version 1 cannot lift a cap, and reads the highest where there is none', () => {
    const asked = capping('3.1')
    expect(asked.words(0, 0x18, 0)).toEqual([0x1_0000])
    expect(caps(asked)).toEqual([9000, 9000, 9000])
    expect(cap(asked, 0, 0)).toBe(OUT_OF_RANGE)
    expect(asked.status(0, 0x18, 0x10, 0x1_0000)).toBe(NOT_FOUND)
  })

  test('an agent that negotiated version 1 reads as it does', () => {
    const asked = capping()
    expect(asked.status(1, 0x18, 0x10, 0x1_0000)).toBe(SUCCESS)
    expect(caps(asked)).toEqual([0, 9000, 0])
  })
})

test('the averaging interval is the last writer’s', () => {
  const asked = capping()
  const pai = (agent = 0) => asked.words(agent, 0x18, 6, 0)[0]
  expect(pai()).toBe(200)
  expect(asked.status(1, 0x18, 7, 0, 0, 505)).toBe(SUCCESS)
  expect([pai(0), pai(1), pai(2)]).toEqual([500, 500, 500])
  expect(asked.status(0, 0x18, 7, 0, 0, 5)).toBe(OUT_OF_RANGE)
  expect(asked.status(0, 0x18, 7, 0, 0, 1001)).toBe(OUT_OF_RANGE)
  expect(asked.status(0, 0x18, 7, 0, 1, 100)).toBe(INVALID_PARAMETERS)
  expect(asked.status(0, 0x18, 7, 1, 0, 100)).toBe(NOT_SUPPORTED)
  expect(asked.words(0, 0x18, 9, 0)).toEqual([3000, 500])
  expect(asked.status(0, 0x18, 9, 1)).toBe(NOT_SUPPORTED)
})

describe('notifications', () => {
  const header = (id: number): number => 0x18 * 0x400 + 0x300 + id

  test('a change of the cap in force or of the interval, with who caused it', () => {
    const asked = capping()
    expect(asked.status(1, 0x18, 0xa, 0, 1)).toBe(SUCCESS)
    cap(asked, 0, 5000)
    expect(asked.takeEvents()).toEqual([{ channel: 1, frame: hex(header(0), 1, 0, 5000, 200) }])
    cap(asked, 2, 6000) // changes nothing in force
    expect(asked.takeEvents()).toEqual([])
    asked.ask(2, 0x18, 7, 0, 0, 300)
    expect(asked.takeEvents()).toEqual([{ channel: 1, frame: hex(header(0), 3, 0, 5000, 300) }])
    cap(asked, 0, 0)
    expect(asked.takeEvents()).toEqual([{ channel: 1, frame: hex(header(0), 1, 0, 6000, 300) }])
    expect(asked.status(1, 0x18, 0xa, 0, 0)).toBe(SUCCESS)
    cap(asked, 0, 1000)
    expect(asked.takeEvents()).toEqual([])
    expect(asked.status(1, 0x18, 0xa, 1, 1), 'a domain that cannot notify').toBe(NOT_SUPPORTED)
  })

  test('each agent has a range of its own for measurements, told when it is left and when it is met again', () => {
    const asked = capping()
    expect(asked.status(0, 0x18, 0xb, 0, 1, 2000, 4000)).toBe(SUCCESS)
    expect(asked.status(1, 0x18, 0xb, 0, 1, 1000, 5000)).toBe(SUCCESS)
    const told = (power: number) => {
      asked.platform.powerCaps.setPower(0, power)
      asked.ask(2, 0x10, 0)
      return asked.takeEvents()
    }
    const event = (channel: number, power: number) => ({ channel, frame: hex(header(1), 0, 0, power) })
    expect(told(4000)).toEqual([])
    expect(told(4001)).toEqual([event(0, 4001)])
    expect(told(6000)).toEqual([event(1, 6000)])
    expect(told(500)).toEqual([event(0, 500), event(1, 500)])
    expect(told(3000)).toEqual([event(0, 3000), event(1, 3000)])
    expect(asked.words(2, 0x18, 9, 0)).toEqual([3000, 200])
    expect(asked.status(0, 0x18, 0xb, 0, 1, 4001, 4000), 'low above high').toBe(INVALID_PARAMETERS)
    expect(asked.status(0, 0x18, 0xb, 1, 1, 2, 1), 'capability before the thresholds').toBe(NOT_SUPPORTED)
    expect(asked.status(0, 0x18, 0xb, 0, 2, 2, 1), 'flags before').toBe(INVALID_PARAMETERS)
  })
})

test('resetting an agent lifts its cap, takes its interval back and drops its subscriptions', () => {
  const asked = capping()
  asked.ask(1, 0x18, 0xa, 0, 1)
  asked.ask(2, 0x18, 0xa, 0, 1)
  cap(asked, 0, 5000)
  cap(asked, 1, 3000)
  asked.ask(1, 0x18, 7, 0, 0, 300)
  asked.takeEvents()
  expect(asked.status(0, 0x10, 0xb, 2, 0)).toBe(SUCCESS)
  expect(caps(asked)).toEqual([5000, 5000, 5000])
  expect(asked.words(0, 0x18, 6, 0)).toEqual([200])
  expect(asked.takeEvents()).toEqual([{ channel: 2, frame: hex(0x18 * 0x400 + 0x300, 2, 0, 5000, 200) }])
})

test('fast channels are described, and say so', () => {
  const asked = platformOf(`
vendor: test
agents: [{ id: 1, name: one, permissions: allow }]
powerCapping:
  domains:
    - { id: 0, name: a, cap: { min: 1, max: 9, step: 1 }, pai: { min: 1, max: 1 }, fastChannels: [{ message: 4, address: 0x1000 }] }
`)
  expect((asked.words(0, 0x18, 3, 0)[0] as number) & 0x40_0000).toBe(0x40_0000)
  expect(asked.words(0, 0x18, 2, 4)).toEqual([1])
  expect(asked.words(0, 0x18, 2, 5)).toEqual([0])
  expect(asked.words(0, 0x18, 0xc, 0, 4)).toEqual([0, 0, 0x1000, 0, 4, 0, 0, 0, 0, 0, 0])
  expect(asked.status(0, 0x18, 0xc, 0, 5)).toBe(NOT_SUPPORTED)
  expect(asked.status(0, 0x18, 0xc, 0, 0xd)).toBe(NOT_FOUND)
})
