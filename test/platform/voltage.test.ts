// src/platform/voltage.ts: levels, modes, on and off.
import { describe, expect, test } from 'vitest'
import { INVALID_PARAMETERS, NOT_FOUND, SUCCESS } from '../../src/scmi/status.ts'
import { hex, name16, platformOf } from './ask.ts'

const voltage = (domains: string, release = '3.2') =>
  platformOf(`
vendor: test
release: '${release}'
agents:
  - { id: 1, name: one, permissions: allow }
  - { id: 2, name: two, permissions: allow }
voltage:
  domains:
${domains}`)

test('levels are signed, in a list or a range', () => {
  const asked = voltage(`
    - { id: 0, name: list, levels: [-5000, 0, 3300000], level: 0 }
    - { id: 1, name: range, levels: { min: -100, max: 100, step: 50 } }`)
  expect(asked.ask(0, 0x17, 4, 0, 0)).toBe(hex(0, 3, -5000, 0, 3_300_000))
  expect(asked.ask(0, 0x17, 4, 0, 2)).toBe(hex(0, 1, 3_300_000))
  expect(asked.ask(0, 0x17, 4, 1, 0)).toBe(hex(0, 0x1003, -100, 100, 50))
  expect(asked.status(0, 0x17, 7, 0, 0, -5000)).toBe(SUCCESS)
  expect(asked.ask(1, 0x17, 8, 0)).toBe(hex(0, -5000))
  expect(asked.platform.voltages.level(0)).toBe(-5000)
  expect(asked.status(0, 0x17, 7, 1, 0, 50)).toBe(SUCCESS)
  expect(asked.status(0, 0x17, 7, 1, 0, -150), 'suite v014: one step below').toBe(INVALID_PARAMETERS)
  expect(asked.ask(0, 0x17, 8, 1)).toBe(hex(0, 50))
})

test('many levels are told in parts', () => {
  const levels = Array.from({ length: 40 }, (_, i) => 800_000 + i)
  const asked = voltage(`    - { id: 0, name: a, levels: [${levels.join(', ')}] }\n`)
  expect(asked.words(0, 0x17, 4, 0, 0)).toEqual([(11 << 16) | 29, ...levels.slice(0, 29)])
  expect(asked.words(0, 0x17, 4, 0, 29)).toEqual([11, ...levels.slice(29)])
})

describe('on and off', () => {
  const ON = 7
  const OFF = 0
  test('ON wins, then the highest mode; each agent reads its own', () => {
    const asked = voltage('    - { id: 0, name: a, levels: [1], modes: [8, 9] }\n')
    const set = (channel: number, config: number) => asked.status(channel, 0x17, 5, 0, config)
    const seen = () => [
      asked.words(0, 0x17, 6, 0)[0],
      asked.words(1, 0x17, 6, 0)[0],
      asked.platform.voltages.config(0),
    ]
    expect([set(0, 8), set(1, 9)]).toEqual([SUCCESS, SUCCESS])
    expect(seen()).toEqual([8, 9, 9])
    set(0, ON)
    expect(seen()).toEqual([ON, 9, ON])
    set(1, OFF)
    expect(seen()).toEqual([ON, OFF, ON])
    set(0, OFF)
    expect(seen()).toEqual([OFF, OFF, OFF])
  })
})

test.each([
  ['3.0', 0x1_0000, 0],
  ['3.1', 0x2_0000, 0x4000_0000],
])('attributes in release %s', (release, version, attributes) => {
  const asked = voltage('    - { id: 0, name: a-name-that-is-long, levels: [1] }\n', release)
  expect(asked.words(0, 0x17, 0)).toEqual([version])
  expect(asked.ask(0, 0x17, 3, 0)).toBe(hex(0, attributes) + name16('a-name-that-is-long'))
  expect(asked.status(0, 0x17, 9, 0)).toBe(version === 0x1_0000 ? NOT_FOUND : SUCCESS)
})
