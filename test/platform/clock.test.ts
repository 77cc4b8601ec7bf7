// src/platform/clock.ts and clock-state.ts: rates, enables, parents, extended configuration, permissions.
import { describe, expect, test } from 'vitest'
import { DENIED, INVALID_PARAMETERS, NOT_SUPPORTED, SUCCESS } from '../../src/scmi/status.ts'
import { example, hex, name16, name64, platformOf } from './ask.ts'

const agents = `
vendor: test
agents:
  - { id: 1, name: one, permissions: allow }
  - { id: 2, name: two, permissions: allow }
`
const clocks = (list: string, more = '') => platformOf(`${agents}${more}clock:\n  clocks:\n${list}`)

describe('rounding', () => {
  const DOWN = 0
  const UP = 4
  const AUTO = 8
  test.each<readonly [number, number, number, number | undefined, string]>([
    // list 100, 200, 400
    [0, DOWN, 200, 200, 'described'],
    [0, DOWN, 399, 200, 'down'],
    [0, UP, 201, 400, 'up'],
    [0, AUTO, 299, 200, 'nearest'],
    [0, AUTO, 301, 400, 'nearest'],
    [0, AUTO | UP, 299, 200, 'the platform chooses, whatever bit 2 says'],
    [0, DOWN, 100, 100, 'lowest'],
    [0, UP, 400, 400, 'highest'],
    [0, DOWN, 401, undefined, 'no clamping from above'],
    [0, UP, 99, undefined, 'no clamping from below'],
    // 100 to 1000 by 250: 100, 350, 600, 850; the step does not divide the range
    [1, DOWN, 349, 100, 'down on the grid'],
    [1, UP, 351, 600, 'up on the grid'],
    [1, AUTO, 470, 350, 'nearest on the grid'],
    [1, UP, 900, 850, 'nothing above but the end of the grid'],
    [1, DOWN, 1000, 850, 'the end of the range is not on the grid'],
    [1, DOWN, 1001, undefined, 'above the range'],
    // above 32 bits
    [2, DOWN, 6_000_000_000, 5_000_000_000, 'two words'],
    [2, UP, 4_294_967_297, 5_000_000_000, 'two words'],
    [2, DOWN, 2 ** 53 + 2, undefined, 'a rate that no double is exact for'],
  ])('clock %i, flags %i, %d Hz: %s (%s)', (clock, flags, rate, result) => {
    const asked = clocks(`
    - { id: 0, name: list, rates: [100, 200, 400] }
    - { id: 1, name: range, rates: { min: 100, max: 1000, step: 250 } }
    - { id: 2, name: fast, rates: [4294967295, 4294967296, 5000000000, 8000000000] }`)
    const before = asked.words(0, 0x14, 6, clock)
    const status = asked.status(0, 0x14, 5, flags, clock, rate % 2 ** 32, Math.floor(rate / 2 ** 32))
    const [low, high] = asked.words(0, 0x14, 6, clock) as [number, number]
    if (result === undefined) {
      expect(status).toBe(INVALID_PARAMETERS)
      expect([low, high], 'unchanged').toEqual(before)
    } else {
      expect(status).toBe(SUCCESS)
      expect(low + high * 2 ** 32).toBe(result)
      expect(asked.platform.clocks.rate(clock)).toBe(result)
    }
  })
})

describe('DESCRIBE_RATES', () => {
  const rates = Array.from({ length: 30 }, (_, i) => 1000 + i)
  const list = `    - { id: 0, name: many, rates: [${rates.join(', ')}] }\n`

  test.each([
    ['', 14, '128 bytes: 14 rates beside header, status and flags'],
    ['channels: [{ agent: 1, maxMessageBytes: 96 }]\n', 10, '96 bytes'],
    ['channels: [{ agent: 1, maxMessageBytes: 100 }]\n', 11, '100 bytes'],
    ['channels: [{ agent: 1, maxMessageBytes: 4096 }]\n', 30, 'all at once'],
  ])('is cut to the channel %s', (channels, part) => {
    const asked = clocks(list, channels)
    const seen: number[] = []
    for (let index = 0; ; ) {
      const [flags, ...words] = asked.words(0, 0x14, 4, 0, index) as [number, ...number[]]
      const returned = flags & 0xfff
      expect(returned).toBe(Math.min(part, 30 - index))
      expect(flags >>> 16, 'remaining').toBe(30 - index - returned)
      expect(words.length).toBe(2 * returned)
      for (let i = 0; i < returned; i++) seen.push(words[2 * i] as number)
      index += returned
      if (flags >>> 16 === 0) break
    }
    expect(seen).toEqual(rates)
  })

  test('a range is lowest, highest, step, all at once', () => {
    const asked = clocks('    - { id: 0, name: range, rates: { min: 1, max: 6000000000, step: 3 } }\n')
    expect(asked.words(0, 0x14, 4, 0, 0)).toEqual([0x1003, 1, 0, 1_705_032_704, 1, 3, 0])
  })
})

describe('enables', () => {
  const tree = `
    - { id: 0, name: pll, rates: [100] }
    - { id: 1, name: bus, rates: [100], parents: [0] }
    - { id: 2, name: uart, rates: [100], parents: [1] }
    - { id: 3, name: spi, rates: [100], parents: [1, 0], parent: 1 }
    - { id: 4, name: cpu, rates: [100], parents: [0], alwaysOn: true }`

  test('a clock runs while any agent enables it; each agent sees its own view', () => {
    const asked = clocks(tree)
    const { clocks: state } = asked.platform
    const enable = (channel: number, on: number) => asked.ask(channel, 0x14, 7, 2, on, 0)
    const seen = (channel: number) => [
      asked.words(channel, 0x14, 3, 2)[0],
      asked.words(channel, 0x14, 0xb, 2, 0)[1],
    ]
    enable(0, 1)
    expect([seen(0), seen(1), state.enableCount(2)]).toEqual([[0x9000_0001, 1], [0x9000_0000, 0], 1])
    enable(1, 1)
    enable(1, 1)
    expect(state.enableCount(2), 'twice is once').toBe(2)
    enable(0, 0)
    expect([seen(0), seen(1), state.running(2)]).toEqual([[0x9000_0000, 0], [0x9000_0001, 1], true])
    enable(0, 0)
    expect(state.running(2), 'a disable by who does not enable takes nothing').toBe(true)
    enable(1, 0)
    expect([state.running(2), state.enableCount(2)]).toEqual([false, 0])
  })

  test('a running clock keeps what feeds it running', () => {
    const asked = clocks(tree)
    const running = () => [0, 1, 2, 3, 4].map(id => (asked.platform.clocks.running(id) ? 1 : 0)).join('')
    expect(running(), 'the cpu clock and its PLL').toBe('10001')
    asked.ask(0, 0x14, 7, 2, 1, 0)
    expect(running()).toBe('11101')
    asked.ask(1, 0x14, 7, 3, 1, 0)
    asked.ask(0, 0x14, 7, 2, 0, 0)
    expect(running(), 'spi holds the bus').toBe('11011')
    expect(asked.status(1, 0x14, 0xd, 3, 0)).toBe(SUCCESS)
    expect(running(), 'spi moved to the PLL').toBe('10011')
    asked.ask(1, 0x14, 7, 1, 1, 0)
    asked.ask(1, 0x14, 7, 3, 0, 0)
    expect(running()).toBe('11001')
    asked.ask(1, 0x14, 7, 1, 0, 0)
    expect(running()).toBe('10001')
  })

  test('agents may have clocks enabled at boot', () => {
    const asked = clocks('    - { id: 0, name: uart, rates: [1], enabledBy: [2] }\n')
    expect([0, 1].map(channel => asked.words(channel, 0x14, 3, 0)[0])).toEqual([0x8000_0000, 0x8000_0001])
    expect(asked.platform.clocks.enableCount(0)).toBe(1)
  })
})

test('parents', () => {
  const asked = example()
  expect(asked.words(0, 0x14, 3, 12)[0], 'has a parent').toBe(0x9000_0000)
  expect(asked.words(0, 0x14, 0xc, 12, 0)).toEqual([2, 7, 13])
  expect(asked.words(0, 0x14, 0xc, 12, 1)).toEqual([1, 13])
  expect(asked.words(0, 0x14, 0xe, 12)).toEqual([7])
  asked.ask(0, 0x14, 0xd, 12, 13)
  expect(asked.words(0, 0x14, 0xe, 12)).toEqual([13])
})

test('many parents are told in parts', () => {
  const ids = Array.from({ length: 40 }, (_, i) => i)
  const list = ids.map(id => `    - { id: ${id}, name: p${id}, rates: [1] }`).join('\n')
  const asked = clocks(`${list}\n    - { id: 40, name: mux, rates: [1], parents: [${ids.join(', ')}] }\n`)
  const first = asked.words(0, 0x14, 0xc, 40, 0)
  expect(first[0]).toBe(((40 - 29) << 24) | 29)
  expect(asked.words(0, 0x14, 0xc, 40, 29)).toEqual([11, ...ids.slice(29)])
})

describe('extended configuration', () => {
  const oem = (list = '{ type: 1, value: 50 }, { type: 0x80, value: 7 }') =>
    clocks(`    - { id: 0, name: pwm, rates: [1], extended: [${list}] }\n`)

  test('is stored where the clock has it, and leaves the enable alone when told to', () => {
    const asked = oem()
    expect((asked.words(0, 0x14, 3, 0)[0] as number) & 0x0800_0000).toBe(0x0800_0000)
    expect(asked.words(0, 0x14, 0xb, 0, 1)).toEqual([0, 0, 50])
    expect(asked.status(0, 0x14, 7, 0, 0x1_0001, 25), 'enable with a duty cycle').toBe(SUCCESS)
    expect(asked.status(0, 0x14, 7, 0, 0x80_0003, 0xdead_beef), 'leave it enabled').toBe(SUCCESS)
    expect(asked.words(1, 0x14, 0xb, 0, 1)).toEqual([0, 0, 25])
    expect(asked.words(0, 0x14, 0xb, 0, 0x80)).toEqual([0, 1, 0xdead_beef])
    expect(asked.words(0, 0x14, 0xb, 0, 0), 'none asked for').toEqual([0, 1, 0])
  })

  test('a refused value changes nothing, the enable neither', () => {
    const asked = oem()
    expect(asked.status(0, 0x14, 7, 0, 0x1_0001, 101)).toBe(INVALID_PARAMETERS)
    expect(asked.status(0, 0x14, 7, 0, 0x1_0001, 0xffff_ffff)).toBe(INVALID_PARAMETERS)
    expect(asked.status(0, 0x14, 7, 0, 0x2_0001, 90)).toBe(NOT_SUPPORTED)
    expect(asked.status(0, 0x14, 7, 0, 0x81_0001, 90)).toBe(NOT_SUPPORTED)
    expect(asked.words(0, 0x14, 0xb, 0, 1)).toEqual([0, 0, 50])
  })

  test('its value is ignored without a type', () => {
    const asked = oem()
    expect(asked.status(0, 0x14, 7, 0, 1, 0xffff_ffff)).toBe(SUCCESS)
    expect(asked.words(0, 0x14, 0xb, 0, 0x80)).toEqual([0, 1, 7])
  })
})

test('restrictions hold for the agents named, and are told', () => {
  const asked = clocks(
    `    - { id: 0, name: a, rates: [1, 2], parents: [1], restrict: [{ agents: [2], deny: [rate, parent] }] }
    - { id: 1, name: b, rates: [1], restrict: [{ agents: [2], deny: [state] }] }\n`,
  )
  expect(asked.words(0, 0x14, 0xf, 0)).toEqual([0xe000_0000])
  expect(asked.words(1, 0x14, 0xf, 0)).toEqual([0x8000_0000])
  expect(asked.words(1, 0x14, 0xf, 1)).toEqual([0x6000_0000])
  const restricted = (channel: number, id: number) =>
    ((asked.words(channel, 0x14, 3, id)[0] as number) >>> 1) & 1
  expect([restricted(0, 0), restricted(1, 0), restricted(1, 1)]).toEqual([0, 1, 1])
  expect(asked.status(1, 0x14, 5, 0, 0, 2, 0)).toBe(DENIED)
  expect(asked.status(1, 0x14, 0xd, 0, 1)).toBe(DENIED)
  expect(asked.status(1, 0x14, 7, 0, 1, 0)).toBe(SUCCESS)
  expect(asked.status(1, 0x14, 7, 1, 1, 0)).toBe(DENIED)
  expect(asked.status(0, 0x14, 5, 0, 0, 2, 0)).toBe(SUCCESS)
})

describe('by version', () => {
  const long = 'a-clock-with-a-name-of-more-than-fifteen-characters'
  const list = `    - { id: 0, name: ${long}, rates: [1, 2], enableDelayUs: 9, extended: [{ type: 1, value: 5 }] }\n`
  test.each([
    [0x1_0000, hex(0, 0) + name16(long), 0x7],
    [0x2_0000, hex(0, 0xa000_0000) + name16(long) + hex(9), 0x9],
    [0x3_0000, hex(0, 0xa800_0000) + name16(long) + hex(9), 0x10],
  ])('CLOCK_ATTRIBUTES and the messages there are at 0x%s', (version, answer, last) => {
    const asked = clocks(list, `versions: { clock: 0x${version.toString(16)} }\n`)
    expect(asked.words(0, 0x14, 0)).toEqual([version])
    expect(asked.ask(0, 0x14, 3, 0)).toBe(answer)
    const exist = Array.from({ length: 0x12 }, (_, id) => id).filter(id => asked.status(0, 0x14, 2, id) === 0)
    expect(exist.at(-1)).toBe(last)
    if (version >= 0x2_0000) expect(asked.ask(0, 0x14, 8, 0)).toBe(hex(0, 0) + name64(long))
  })

  test('CONFIG_SET has two words before version 3 and three from then on', () => {
    const old = clocks(list, 'versions: { clock: 0x20000 }\n')
    expect(old.status(0, 0x14, 7, 0, 1)).toBe(SUCCESS)
    expect(old.status(0, 0x14, 7, 0, 1, 0)).toBe(-10)
    expect(old.status(0, 0x14, 7, 0, 0x1_0001), 'no extended types').toBe(INVALID_PARAMETERS)
    const now = clocks(list)
    expect(now.status(0, 0x14, 7, 0, 1)).toBe(-10)
    expect(now.status(0, 0x14, 7, 0, 1, 0)).toBe(SUCCESS)
  })
})

test('subscribers hear of a changed rate, the one who changed it too; not of the same rate set again', () => {
  const asked = clocks('    - { id: 0, name: a, rates: [1, 5000000000] }\n')
  for (const channel of [0, 1]) expect(asked.status(channel, 0x14, 9, 0, 1)).toBe(SUCCESS)
  asked.ask(1, 0x14, 5, 4, 0, 2, 0)
  const frame = hex(0x5300, 2, 0, 705_032_704, 1)
  expect(asked.takeEvents()).toEqual([
    { channel: 0, frame },
    { channel: 1, frame },
  ])
  asked.ask(1, 0x14, 5, 4, 0, 2, 0)
  asked.ask(0, 0x14, 9, 0, 0)
  expect(asked.takeEvents()).toEqual([])
  asked.ask(1, 0x14, 5, 0, 0, 1, 0)
  expect(asked.takeEvents().map(e => e.channel)).toEqual([1])
})
