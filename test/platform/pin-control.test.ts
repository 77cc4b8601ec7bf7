// src/platform/pin-control.ts and pin-state.ts: names, members, settings, and who has a pin.
import { describe, expect, test } from 'vitest'
import {
  DENIED,
  IN_USE,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../../src/scmi/status.ts'
import { type Asked, example, extended, hex, name16, name64, platformOf } from './ask.ts'

const PIN = 0
const GROUP = 1
const FUNCTION = 2
const NONE = 0xffff_ffff
const host = 0 // may use everything
const a = 1 // avb: pins 0 1 2, group 0, functions 0 and 1
const b = 2 // usb0: pins 2 3, group 1, function 0

/** The example machine; guest0 has avb, guest1 usb0. Pin 2 is in both. */
function machine(): Asked {
  const asked = example(extended)
  asked.ask(host, 0x10, 9, 2, 0, 1)
  asked.ask(host, 0x10, 9, 3, 1, 1)
  return asked
}
/** attributes of SETTINGS_CONFIGURE. */
const set = (selector: number, configs: number, withFunction = 0) =>
  selector | (configs << 2) | (withFunction << 10)
const give = (asked: Asked, agent: number, selector: number, id: number, ...configs: number[]) =>
  asked.status(agent, 0x19, 6, id, NONE, set(selector, configs.length / 2), ...configs)
const select = (asked: Asked, agent: number, selector: number, id: number, fn: number) =>
  asked.status(agent, 0x19, 6, id, fn, set(selector, 0, 1))
const request = (asked: Asked, agent: number, selector: number, id: number) =>
  asked.status(agent, 0x19, 7, id, selector)
const release = (asked: Asked, agent: number, selector: number, id: number) =>
  asked.status(agent, 0x19, 8, id, selector)
const all = (asked: Asked, selector: number, id: number, skip = 0) =>
  asked.words(host, 0x19, 5, id, (1 << 18) | (selector << 16) | (skip << 8))

describe('what there is', () => {
  test('three counts', () => {
    expect(machine().words(host, 0x19, 1)).toEqual([(3 << 16) | 5, 3])
    expect(machine().words(host, 0x19, 0)).toEqual([0x1_0000])
  })

  test.each([
    [PIN, 0, 1, 'PA0'],
    [PIN, 4, 0x8000_0001, 'a-pin-of-the-host-alone'],
    [GROUP, 0, 3, 'avb_mdio'],
    [GROUP, 2, 1, 'host'],
    [FUNCTION, 0, 2, 'bus'],
    [FUNCTION, 1, 0x3_0004, 'gpio'],
  ])('selector %i, id %i: attributes 0x%x, %s', (selector, id, attributes, name) => {
    expect(machine().ask(host, 0x19, 3, id, selector)).toBe(hex(0, attributes) + name16(name))
    expect(machine().ask(host, 0x19, 9, id, selector)).toBe(hex(0, 0) + name64(name))
  })

  test('members come two to a word, the last word filled up', () => {
    const asked = machine()
    expect(asked.ask(host, 0x19, 4, 0, GROUP, 0)).toBe(hex(0, 3, 1 << 16, 2))
    expect(asked.ask(host, 0x19, 4, 0, GROUP, 1)).toBe(hex(0, 2, 1 | (2 << 16)))
    expect(asked.ask(host, 0x19, 4, 0, FUNCTION, 1)).toBe(hex(0, 1, 1))
    expect(asked.ask(host, 0x19, 4, 1, FUNCTION, 0), 'pins alone').toBe(hex(0, 4, 1 << 16, 2 | (3 << 16)))
    expect(asked.status(host, 0x19, 4, 0, GROUP, 3)).toBe(OUT_OF_RANGE)
    expect(asked.status(host, 0x19, 4, 0, PIN, 0)).toBe(INVALID_PARAMETERS)
  })

  test('many members and configurations are told in parts that fit', () => {
    const ids = Array.from({ length: 101 }, (_, i) => i)
    const types = [...ids.slice(0, 21), ...ids.slice(0, 9).map(i => 192 + i)]
    const asked = platformOf(`
vendor: test
agents: [{ id: 1, name: one, permissions: allow }]
pinControl:
  configs: [${types.map(type => `{ type: ${type}, value: ${type + 1} }`).join(', ')}]
  pins: [${ids.map(id => `{ id: ${id}, name: p${id} }`).join(', ')}]
  groups: [{ id: 0, name: g, pins: [${ids.join(', ')}] }]
`)
    const members = Buffer.from(asked.ask(0, 0x19, 4, 0, GROUP, 0), 'hex')
    expect(members.length).toBe(4 + 4 + 116) // 128 bytes with the header
    expect(members.readUInt32LE(4)).toBe((43 << 16) | 58)
    expect(members.readUInt16LE(8 + 2 * 57)).toBe(57)
    expect(asked.words(0, 0x19, 4, 0, GROUP, 58)[0]).toBe(43)
    const found: number[] = []
    for (let left = 1; left > 0; ) {
      const [fn, count, ...configs] = all(asked, GROUP, 0, found.length / 2) as [number, number, ...number[]]
      expect(fn).toBe(NONE)
      expect(configs.length).toBe(2 * (count & 0xff))
      left = count >>> 24
      found.push(...configs)
    }
    expect(found).toEqual(types.flatMap(type => [type, type + 1]))
    expect(asked.status(0, 0x19, 5, 0, (1 << 18) | (30 << 8))).toBe(OUT_OF_RANGE)
  })
})

describe('settings', () => {
  const one = (asked: Asked, selector: number, id: number, type: number) =>
    asked.ask(host, 0x19, 5, id, (selector << 16) | type)

  test('of a pin: one type, all, the function alone', () => {
    const asked = machine()
    expect(one(asked, PIN, 0, 10)).toBe(hex(0, NONE, 1, 10, 8))
    expect(all(asked, PIN, 0)).toEqual([NONE, 3, 4, 0, 10, 8, 192, 3_000_000_000])
    expect(all(asked, PIN, 0, 2)).toEqual([NONE, 1, 192, 3_000_000_000])
    expect(asked.words(host, 0x19, 5, 1, 2 << 18)).toEqual([1, 0])
    expect(asked.status(host, 0x19, 5, 0, 3), 'a type the pin has not').toBe(NOT_SUPPORTED)
    expect(asked.status(host, 0x19, 5, 0, 21), 'a reserved type').toBe(INVALID_PARAMETERS)
    expect(asked.status(host, 0x19, 5, 0, 3 << 18), 'a reserved flag').toBe(INVALID_PARAMETERS)
    expect(asked.status(host, 0x19, 5, 0, 2 << 16), 'functions have none').toBe(INVALID_PARAMETERS)
  })

  test('of a group: what its pins agree on', () => {
    const asked = machine()
    expect(all(asked, GROUP, 0)).toEqual([NONE, 3, 4, 0, 10, 8, 192, 3_000_000_000])
    expect(all(asked, GROUP, 1), 'pin 3 has less and another strength').toEqual([NONE, 0])
    expect(give(asked, host, GROUP, 1, 10, 2)).toBe(SUCCESS)
    expect(all(asked, GROUP, 1)).toEqual([NONE, 1, 10, 2])
    expect(all(asked, GROUP, 0), 'pin 2 is in it too').toEqual([NONE, 2, 4, 0, 192, 3_000_000_000])
    expect(asked.status(host, 0x19, 5, 0, (1 << 16) | 10)).toBe(NOT_SUPPORTED)
  })

  test('a function is of groups, or of pins', () => {
    const asked = machine()
    expect(select(asked, a, GROUP, 0, 0)).toBe(SUCCESS)
    expect([0, 1, 2, 3].map(pin => asked.platform.pins.functionOf(pin))).toEqual([0, 0, 0, -1])
    expect(all(asked, GROUP, 0)[0]).toBe(0)
    expect(select(asked, a, PIN, 1, 1)).toBe(SUCCESS)
    expect(all(asked, GROUP, 0)[0]).toBe(NONE)
    expect(select(asked, host, PIN, 0, 0), 'takes groups alone').toBe(NOT_SUPPORTED)
    expect(select(asked, host, GROUP, 0, 1), 'takes pins alone').toBe(NOT_SUPPORTED)
    expect(select(asked, host, GROUP, 0, 2), 'not this group').toBe(NOT_SUPPORTED)
    expect(select(asked, host, GROUP, 0, 3)).toBe(NOT_FOUND)
    expect(select(asked, b, GROUP, 1, 1), 'not the agent’s function').toBe(DENIED)
  })

  test('function and configurations in one, or nothing', () => {
    const asked = machine()
    const configure = (...configs: number[]) =>
      asked.status(a, 0x19, 6, 0, 1, set(PIN, configs.length / 2, 1), ...configs)
    expect(configure(4, 1, 11, 5)).toBe(NOT_SUPPORTED)
    expect(configure(4, 1, 100, 5)).toBe(INVALID_PARAMETERS)
    expect(configure(4, 1, 256, 5)).toBe(INVALID_PARAMETERS)
    expect(all(asked, PIN, 0)).toEqual([NONE, 3, 4, 0, 10, 8, 192, 3_000_000_000])
    expect(configure(4, 1, 192, 0xffff_ffff)).toBe(SUCCESS)
    expect(all(asked, PIN, 0)).toEqual([1, 3, 4, 1, 10, 8, 192, 0xffff_ffff])
  })

  test.each([
    [1, [], 'fewer than told'],
    [1, [4], 'half of one'],
    [0, [4, 1], 'more than told'],
    [255, [4, 1], 'far fewer than told'],
  ])('%i configurations told, words %o: %s', (told, words) => {
    expect(machine().status(host, 0x19, 6, 0, NONE, set(PIN, told), ...words)).toBe(PROTOCOL_ERROR)
  })

  test('as many configurations as the channel carries', () => {
    const words = Array.from({ length: 14 }, (_, i) => [10, i]).flat()
    expect(give(machine(), host, PIN, 0, ...words)).toBe(SUCCESS)
  })
})

describe('who has a pin', () => {
  const owners = (asked: Asked) => [0, 1, 2, 3].map(pin => asked.platform.pins.owner(pin))

  test('one agent at a time, by pin or by group', () => {
    const asked = machine()
    expect(request(asked, a, PIN, 2)).toBe(SUCCESS)
    expect(request(asked, a, PIN, 2), 'again').toBe(SUCCESS)
    expect(request(asked, b, PIN, 2)).toBe(IN_USE)
    expect(request(asked, b, GROUP, 1), 'pin 2 is in it').toBe(IN_USE)
    expect(owners(asked), 'and nothing by halves').toEqual([-1, -1, 1, -1])
    expect(give(asked, b, PIN, 2, 10, 1)).toBe(IN_USE)
    expect(give(asked, b, GROUP, 1, 10, 1)).toBe(IN_USE)
    expect(give(asked, a, PIN, 2, 10, 1)).toBe(SUCCESS)
    expect(release(asked, b, PIN, 2)).toBe(DENIED)
    expect(release(asked, a, GROUP, 0), 'it has not all of it').toBe(DENIED)
    expect(release(asked, a, PIN, 2)).toBe(SUCCESS)
    expect(release(asked, a, PIN, 2), 'again').toBe(DENIED)
    expect(request(asked, b, GROUP, 1)).toBe(SUCCESS)
    expect(request(asked, a, GROUP, 0)).toBe(IN_USE)
    expect(owners(asked)).toEqual([-1, -1, 2, 2])
    expect(release(asked, b, GROUP, 1)).toBe(SUCCESS)
    expect(owners(asked)).toEqual([-1, -1, -1, -1])
  })

  test('a function is nobody’s', () => {
    expect(request(machine(), a, FUNCTION, 0)).toBe(INVALID_PARAMETERS)
    expect(release(machine(), a, FUNCTION, 0)).toBe(INVALID_PARAMETERS)
  })

  test('resetting the agent releases its pins and leaves their settings', () => {
    const asked = machine()
    request(asked, a, GROUP, 0)
    request(asked, b, PIN, 3)
    give(asked, a, PIN, 0, 10, 1)
    expect(asked.status(host, 0x10, 0xb, 2, 0)).toBe(SUCCESS)
    expect(owners(asked)).toEqual([-1, -1, -1, 2])
    expect(asked.platform.pins.value(0, 10)).toBe(1)
    expect(request(asked, b, GROUP, 1)).toBe(SUCCESS)
  })
})

describe('permissions', () => {
  test.each([
    [a, PIN, 0, SUCCESS],
    [a, PIN, 3, DENIED],
    [a, PIN, 5, NOT_FOUND],
    [a, GROUP, 0, SUCCESS],
    [a, GROUP, 1, DENIED],
    [a, GROUP, 3, NOT_FOUND],
    [a, FUNCTION, 1, SUCCESS],
    [a, FUNCTION, 2, DENIED],
    [a, FUNCTION, 3, NOT_FOUND],
    [b, PIN, 2, SUCCESS],
    [b, FUNCTION, 1, DENIED],
    [3, PIN, 0, DENIED],
  ])('agent on channel %i, selector %i, id %i: %i', (agent, selector, id, status) => {
    expect(machine().status(agent, 0x19, 3, id, selector)).toBe(status)
  })

  test('a group in no device gives no pin of another’s device away', () => {
    const asked = platformOf(`
vendor: test
agents:
  - { id: 1, name: one, trusted: true, permissions: allow }
  - { id: 2, name: two, permissions: allow }
devices: [{ id: 0, name: d, pins: [0] }]
pinControl:
  pins: [{ id: 0, name: a }, { id: 1, name: b }]
  groups: [{ id: 0, name: g, pins: [0, 1] }]
`)
    expect(request(asked, 1, GROUP, 0)).toBe(SUCCESS)
    expect(release(asked, 1, GROUP, 0)).toBe(SUCCESS)
    asked.ask(0, 0x10, 9, 2, 0, 0)
    expect(request(asked, 1, GROUP, 0)).toBe(DENIED)
    expect(asked.status(1, 0x19, 6, 0, NONE, GROUP)).toBe(DENIED)
    expect(asked.platform.pins.owner(1)).toBe(-1)
  })

  test('denying the protocol on a device denies its pins, groups and functions', () => {
    const asked = machine()
    asked.ask(host, 0x10, 0xa, 2, 0, 0x19, 0)
    expect(asked.status(a, 0x19, 0)).toBe(DENIED)
    expect(asked.platform.mayUse(2, 0x19, 0)).toBe(false)
  })

  test('nobody sets permissions by pin', () => {
    expect(machine().status(host, 0x19, 0xa, 2, 0, 1)).toBe(NOT_SUPPORTED)
    expect(machine().status(host, 0x19, 2, 0xa)).toBe(NOT_FOUND)
  })
})
