// src/platform/power.ts and votes.ts: domains that several agents hold.
import { describe, expect, test } from 'vitest'
import { NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../../src/scmi/status.ts'
import { hex, name16, name64, platformOf } from './ask.ts'

const ON = 0
const OFF = 0x4000_0000
const power = (domains: string, more = '', release = '3.2') =>
  platformOf(`
vendor: test
release: '${release}'
agents:
  - { id: 1, name: one, permissions: allow }
  - { id: 2, name: two, permissions: allow }
power:
  ${more}
  domains:
${domains}`)
const plain = '    - { id: 0, name: a }\n'

describe('votes', () => {
  test('a domain is on while any agent holds it; each reads what it set', () => {
    const asked = power(plain)
    const set = (channel: number, state: number) => asked.status(channel, 0x11, 4, 0, 0, state)
    const get = (channel: number) => asked.words(channel, 0x11, 5, 0)[0]
    const seen = () => [get(0), get(1), asked.platform.power.state(0)]
    expect(seen()).toEqual([OFF, OFF, 0])
    expect(set(0, ON)).toBe(SUCCESS)
    expect(seen()).toEqual([ON, OFF, 1])
    set(1, ON)
    expect(set(0, OFF)).toBe(SUCCESS)
    expect(seen(), 'Linux reads its state back after setting it').toEqual([OFF, ON, 1])
    set(1, OFF)
    expect(seen()).toEqual([OFF, OFF, 0])
  })

  test('nobody switches off what the platform holds', () => {
    const asked = power('    - { id: 0, name: a, alwaysOn: true }\n')
    asked.ask(0, 0x11, 4, 0, 0, ON)
    asked.ask(0, 0x11, 4, 0, 0, OFF)
    expect(asked.platform.power.state(0)).toBe(1)
  })

  test('agents may hold domains at boot', () => {
    const asked = power('    - { id: 0, name: a, onBy: [2] }\n')
    expect([0, 1].map(channel => asked.words(channel, 0x11, 5, 0)[0])).toEqual([OFF, ON])
  })
})

describe('last writer', () => {
  test('decides for all, and all see it', () => {
    const asked = power(plain, 'sharing: last-writer')
    asked.ask(0, 0x11, 4, 0, 0, ON)
    asked.ask(1, 0x11, 4, 0, 0, OFF)
    expect([0, 1].map(channel => asked.words(channel, 0x11, 5, 0)[0])).toEqual([OFF, OFF])
    expect(asked.platform.power.state(0)).toBe(0)
  })

  test('releases what it wrote last, and nothing else', () => {
    const asked = power('    - { id: 0, name: a }\n    - { id: 1, name: b }\n', 'sharing: last-writer')
    const { power: votes } = asked.platform
    votes.ask(0, 0, 1)
    votes.ask(0, 1, 1)
    votes.ask(1, 1, 1)
    expect([votes.release(0, 0), votes.release(0, 1)]).toEqual([true, false])
    expect([votes.state(0), votes.state(1)]).toEqual([0, 1])
  })
})

test.each([
  ['none', 0xd000_0000 - 0x4000_0000, NOT_SUPPORTED, NOT_SUPPORTED],
  ['sync', 0xb000_0000, SUCCESS, NOT_SUPPORTED],
  ['async', 0xd000_0000, NOT_SUPPORTED, SUCCESS],
  ['both', 0xf000_0000, SUCCESS, SUCCESS],
])('a domain with set: %s', (set, attributes, sync, async) => {
  const asked = power(`    - { id: 0, name: a, set: ${set} }\n`)
  expect(asked.words(0, 0x11, 3, 0)[0]).toBe(attributes)
  expect([asked.status(0, 0x11, 4, 0, 0, ON), asked.status(0, 0x11, 4, 1, 0, ON)]).toEqual([sync, async])
})

describe('by release', () => {
  const long = 'a-domain-with-a-long-name'
  test.each([
    ['1.0', 0x1_0000, 0xa000_0000, NOT_FOUND, NOT_FOUND],
    ['2.0', 0x2_0000, 0xa000_0000, SUCCESS, NOT_FOUND], // the message came before the bit
    ['3.1', 0x3_0000, 0xb800_0000, SUCCESS, SUCCESS],
    ['3.2', 0x3_0001, 0xb800_0000, SUCCESS, SUCCESS],
  ])('%s', (release, version, attributes, requestedNotify, nameGet) => {
    const asked = power(`    - { id: 0, name: ${long} }\n`, '', release)
    expect(asked.words(0, 0x11, 0)).toEqual([version])
    expect(asked.words(0, 0x11, 1)).toEqual([1, 0, 0, 0])
    expect(asked.ask(0, 0x11, 3, 0)).toBe(hex(0, attributes) + name16(long))
    expect(asked.status(0, 0x11, 7, 0, 1)).toBe(requestedNotify)
    expect(asked.status(0, 0x11, 2, 8)).toBe(nameGet)
    if (nameGet === SUCCESS) expect(asked.ask(0, 0x11, 8, 0)).toBe(hex(0, 0) + name64(long))
  })
})

test('what happened and what was only asked for are told apart', () => {
  const asked = power(plain)
  asked.ask(0, 0x11, 6, 0, 1)
  asked.ask(0, 0x11, 7, 0, 1)
  const set = (channel: number, state: number) => {
    asked.ask(channel, 0x11, 4, 0, 0, state)
    return asked.takeEvents().map(e => e.frame)
  }
  expect(set(1, ON)).toEqual([hex(0x4700, 2, 0, ON)])
  expect(set(0, ON), 'it was on').toEqual([])
  expect(set(0, OFF), 'agent 2 still holds it').toEqual([hex(0x4701, 1, 0, OFF)])
  expect(set(1, OFF)).toEqual([hex(0x4700, 2, 0, OFF)])
})

test('denial ends a subscription for good', () => {
  const asked = platformOf(`
vendor: test
agents: [{ id: 1, name: one, trusted: true, permissions: allow }, { id: 2, name: two }]
devices: [{ id: 0, name: d, power: [0] }]
power: { domains: [{ id: 0, name: a }] }
`)
  asked.ask(0, 0x10, 9, 2, 0, 1)
  asked.ask(1, 0x11, 6, 0, 1)
  asked.ask(0, 0x10, 9, 2, 0, 0)
  asked.ask(0, 0x10, 9, 2, 0, 1)
  asked.ask(0, 0x11, 4, 0, 0, ON)
  expect(asked.takeEvents()).toEqual([])
})
