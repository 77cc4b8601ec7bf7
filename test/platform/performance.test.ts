// src/platform/performance.ts, performance-state.ts and fast-channels.ts.
import { describe, expect, test } from 'vitest'
import { INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, OUT_OF_RANGE, SUCCESS } from '../../src/scmi/status.ts'
import { hex, name16, platformOf } from './ask.ts'

const levels =
  'levels: [{ level: 100, power: 1, latencyUs: 5, frequencyKhz: 1000 }, { level: 200, power: 3, latencyUs: 6, frequencyKhz: 2000 }, { level: 400, power: 9, latencyUs: 7, frequencyKhz: 4000 }]'
const performance = (domain = '', more = '') =>
  platformOf(`
vendor: test
${more}
agents:
  - { id: 1, name: one, permissions: allow, trusted: true }
  - { id: 2, name: two, permissions: allow }
performance:
  powerUnit: microwatt
  domains:
    - { id: 0, name: a, sustainedKhz: 2000, sustainedLevel: 200, rateLimitUs: 11, ${levels}, initial: 200 ${domain} }`)

describe('limits', () => {
  test('what is in force is the intersection', () => {
    const asked = performance()
    const limits = () => asked.words(0, 0x13, 6, 0)
    expect(limits()).toEqual([400, 100])
    asked.ask(0, 0x13, 5, 0, 200, 100)
    asked.ask(1, 0x13, 5, 0, 400, 150)
    expect(limits()).toEqual([200, 150])
    asked.ask(0, 0x13, 5, 0, 120, 100)
    expect(limits(), 'limits that do not meet: the lower maximum wins').toEqual([120, 120])
    asked.ask(0, 0x10, 0xb, 1, 0)
    expect(limits(), 'the other agent’s remain').toEqual([400, 150])
  })

  test.each([
    [0, 0, OUT_OF_RANGE, [300, 150], 'both zero'],
    [0, 200, SUCCESS, [300, 200], 'zero leaves the maximum'],
    [250, 0, SUCCESS, [250, 150], 'zero leaves the minimum'],
    [120, 0, INVALID_PARAMETERS, [300, 150], 'below the minimum that was left'],
  ])('from version 3 on: %i, %i gives %i (%s)', (max, min, status, after) => {
    const asked = performance()
    asked.ask(0, 0x13, 5, 0, 300, 150)
    expect(asked.status(0, 0x13, 5, 0, max, min)).toBe(status)
    expect(asked.words(0, 0x13, 6, 0)).toEqual(after)
  })

  test('before version 3 zero is a level like any other', () => {
    const asked = performance('', "release: '2.0'")
    expect(asked.status(0, 0x13, 5, 0, 200, 0)).toBe(OUT_OF_RANGE)
    expect(asked.status(0, 0x13, 5, 0, 0, 200)).toBe(INVALID_PARAMETERS)
  })
})

describe('level', () => {
  test.each([
    [100, 100, 'described'],
    [150, 200, 'at least as fast as asked'],
    [201, 400, 'the same'],
  ])('%i runs at %i: %s', (asked, runs) => {
    const platform = performance()
    expect(platform.status(0, 0x13, 7, 0, asked)).toBe(SUCCESS)
    expect(platform.words(1, 0x13, 8, 0)).toEqual([runs])
  })

  test('limits move it', () => {
    const asked = performance()
    asked.ask(0, 0x13, 7, 0, 400)
    asked.ask(1, 0x13, 5, 0, 250, 100)
    expect(asked.words(0, 0x13, 8, 0)).toEqual([200])
    expect(asked.status(0, 0x13, 7, 0, 400)).toBe(OUT_OF_RANGE)
  })
})

describe('indexing', () => {
  test('from version 4 on levels are told by index, before by value', () => {
    const asked = performance(', indexing: true')
    expect(asked.words(0, 0x13, 3, 0)[0]).toBe(0xf200_0000)
    expect(asked.words(0, 0x13, 6, 0)).toEqual([2, 0])
    expect(asked.status(0, 0x13, 5, 0, 1, 0)).toBe(SUCCESS)
    expect(asked.status(0, 0x13, 5, 0, 0, 0), 'index 0 is a level').toBe(SUCCESS)
    expect(asked.words(0, 0x13, 8, 0)).toEqual([0])
    expect(asked.status(0, 0x13, 5, 0, 3, 0)).toBe(OUT_OF_RANGE)
    expect(asked.status(0, 0x13, 5, 0, 0, 1)).toBe(INVALID_PARAMETERS)
    expect(asked.status(0, 0x13, 7, 0, 3)).toBe(OUT_OF_RANGE)
    asked.ask(0, 0x13, 5, 0, 2, 0)
    asked.ask(1, 0x13, 0x10, 0x3_0000)
    asked.ask(1, 0x13, 0xa, 0, 1)
    asked.ask(0, 0x13, 0xa, 0, 1)
    asked.ask(0, 0x13, 7, 0, 2)
    expect(asked.words(1, 0x13, 8, 0), 'the agent that negotiated version 3').toEqual([400])
    expect(asked.takeEvents()).toEqual([
      { channel: 0, frame: hex(0x4f01, 1, 0, 2) },
      { channel: 1, frame: hex(0x4f01, 1, 0, 400) },
    ])
  })
})

describe('descriptions', () => {
  test.each([
    ["release: '2.0'", 0x1, 3, [100, 1, 5, 200, 3, 6, 400, 9, 7]],
    ["release: '3.2'", 0x2_0001, 5, [100, 1, 5, 1000, 0, 200, 3, 6, 2000, 1, 400, 9, 7, 4000, 2]],
  ])('%s', (release, attributes, _words, entries) => {
    const asked = performance('', release)
    // Version 2 has one bit for the unit, milliwatt; a microwatt it cannot tell.
    expect(asked.words(0, 0x13, 1)).toEqual([attributes, 0, 0, 0])
    expect(asked.ask(0, 0x13, 3, 0)).toBe(hex(0, 0xf000_0000, 11, 2000, 200) + name16('a'))
    expect(asked.words(0, 0x13, 4, 0, 0)).toEqual([3, ...entries])
    expect(asked.words(0, 0x13, 4, 0, 2)).toEqual([1, ...entries.slice((entries.length / 3) * 2)])
  })

  test('are cut to the channel', () => {
    const asked = performance('', 'channels: [{ agent: 1, maxMessageBytes: 96 }]')
    const [flags] = asked.words(0, 0x13, 4, 0, 0)
    expect(flags).toBe(3)
    const many = Array.from({ length: 16 }, (_, i) => `{ level: ${i + 1} }`).join(', ')
    const long = platformOf(`
vendor: test
agents: [{ id: 1, name: one, permissions: allow }]
performance: { domains: [{ id: 0, name: a, levels: [${many}] }] }`)
    expect(long.words(0, 0x13, 4, 0, 0)[0]).toBe((11 << 16) | 5)
  })
})

describe('fast channels', () => {
  const fast =
    ', fastChannels: [{ message: 5, address: 0x123456789a, doorbell: { address: 0x40000000, width: 32, set: 1, preserve: 0xfffffffe } }, { message: 8, address: 0x20, rateLimitUs: 3 }]'
  test('are described where the file declares them', () => {
    const asked = performance(fast)
    expect((asked.words(0, 0x13, 3, 0)[0] as number) & 0x0800_0000).toBe(0x0800_0000)
    expect([5, 6, 7, 8].map(id => asked.words(0, 0x13, 2, id)[0])).toEqual([1, 0, 0, 1])
    expect(asked.words(0, 0x13, 0xb, 0, 5)).toEqual([
      5, 0, 0x3456_789a, 0x12, 8, 0x4000_0000, 0, 1, 0, 0xffff_fffe, 0,
    ])
    expect(asked.words(0, 0x13, 0xb, 0, 8)).toEqual([0, 3, 0x20, 0, 4, 0, 0, 0, 0, 0, 0])
    expect(asked.status(0, 0x13, 0xb, 0, 7)).toBe(NOT_SUPPORTED)
    expect(asked.status(0, 0x13, 0xb, 0, 0xffff_ffff)).toBe(NOT_FOUND)
  })
})

test('a limit that moves the level is told as both', () => {
  const asked = performance()
  asked.ask(1, 0x13, 9, 0, 1)
  asked.ask(1, 0x13, 0xa, 0, 1)
  asked.ask(0, 0x13, 5, 0, 100, 100)
  expect(asked.takeEvents().map(e => e.frame)).toEqual([hex(0x4f00, 1, 0, 100, 100), hex(0x4f01, 1, 0, 100)])
})
