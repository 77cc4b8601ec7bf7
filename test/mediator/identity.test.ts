// src/mediator/identity.ts: the Base protocol as a guest sees it, in each of its versions, through the relay.
import { afterAll, describe, expect, test } from 'vitest'
import { compileGrants, noGrants } from '../../src/permissions/grants.ts'
import { frameOf, headerWord, Machine, type MemoryGuest } from './machine.ts'

const NOT_SUPPORTED = -1
const INVALID = -2
const DENIED = -3
const NOT_FOUND = -4
const SELF = 0xffff_ffff
const v1 = 0x1_0000
const v2 = 0x2_0000
const v2_1 = 0x2_0001

const name16 = (text: string): number[] => {
  const bytes = Buffer.alloc(16)
  bytes.write(text)
  return [0, 4, 8, 12].map(at => bytes.readUInt32LE(at))
}

const machines: Machine[] = []
afterAll(() => {
  for (const machine of machines) machine.stop()
})
function guestAt(
  version: number,
  options: { name?: string; devices?: number[] } = {},
): [Machine, MemoryGuest] {
  const machine = new Machine({ versions: [[0x10, version]] })
  machines.push(machine)
  const name = options.name ?? 'guest-a'
  return [machine, machine.guest(options.devices ?? [2, 5], { name })]
}

describe.each([
  ['1.0', v1],
  ['2.0', v2],
  ['2.1', v2_1],
])('Base %s', (_release, version) => {
  const [machine, guest] = guestAt(version)
  const isV1 = version === v1

  test.each<[string, number, number[], number[]]>([
    ['PROTOCOL_VERSION', 0x1000, [], [0, version]],
    ['PROTOCOL_ATTRIBUTES: six protocols, one agent', 0x1001, [], [0, 0x0106]],
    ['BASE_DISCOVER_VENDOR', 0x1003, [], [0, ...name16('example')]],
    ['BASE_DISCOVER_SUB_VENDOR', 0x1004, [], [0, ...name16('r-car-h3')]],
    ['BASE_DISCOVER_IMPLEMENTATION_VERSION', 0x1005, [], [0, 0x1_0000]],
    ['LIST_PROTOCOLS', 0x1006, [0], [0, 6, 0x15141311, 0x1716]],
    ['LIST_PROTOCOLS from the third', 0x1006, [2], [0, 4, 0x17161514]],
    ['LIST_PROTOCOLS from the last', 0x1006, [5], [0, 1, 0x17]],
    ['LIST_PROTOCOLS at its end', 0x1006, [6], [0, 0]],
    ['LIST_PROTOCOLS past its end', 0x1006, [7], [INVALID]],
    ['LIST_PROTOCOLS far past its end', 0x1006, [0x8000_0000], [INVALID]],
    ['DISCOVER_AGENT platform', 0x1007, [0], [0, ...(isV1 ? [] : [0]), ...name16('platform')]],
    ['DISCOVER_AGENT itself', 0x1007, [1], [0, ...(isV1 ? [] : [1]), ...name16('guest-a')]],
    ['DISCOVER_AGENT the caller', 0x1007, [SELF], [0, ...(isV1 ? [] : [1]), ...name16('guest-a')]],
    ['DISCOVER_AGENT its id below', 0x1007, [2], [NOT_FOUND]],
    ['DISCOVER_AGENT the trusted agent’s neighbour', 0x1007, [3], [NOT_FOUND]],
    ['DISCOVER_AGENT one with bit 31', 0x1007, [0x8000_0001], [NOT_FOUND]],
    ['NOTIFY_ERRORS without a way back', 0x1008, [1], [NOT_SUPPORTED]],
    ['NOTIFY_ERRORS with a bad flag', 0x1008, [2], [INVALID]],
    ['SET_DEVICE_PERMISSIONS', 0x1009, [2, 0, 1], [isV1 ? NOT_FOUND : DENIED]],
    ['SET_PROTOCOL_PERMISSIONS', 0x100a, [2, 0, 0x14, 1], [isV1 ? NOT_FOUND : DENIED]],
    ['RESET_AGENT_CONFIGURATION, even of itself', 0x100b, [1, 1], [isV1 ? NOT_FOUND : DENIED]],
    ['a message that does not exist', 0x100c, [], [NOT_FOUND]],
  ])('%s', (_name, message, payload, expected) => {
    machine.takeTapped()
    expect(guest.words(message, ...payload)).toEqual(expected)
    expect(machine.takeTapped()).toEqual([])
    expect(guest.faults).toEqual([])
  })

  test.each<[number, boolean]>([
    [0x0, true],
    [0x1, true],
    [0x2, true],
    [0x3, true],
    [0x4, true],
    [0x5, true],
    [0x6, true],
    [0x7, true],
    [0x8, false], // no way back
    [0x9, false],
    [0xa, false],
    [0xb, false],
    [0xc, false],
    [0x10, version === v2_1],
    [0x11, false],
    [0xff, false],
    [0x100, false], // not message 0
    [0x103, false],
    [0x8000_0003, false],
    [SELF, false],
  ])('MESSAGE_ATTRIBUTES of %i: %s', (id, there) => {
    expect(guest.words(0x1002, id)).toEqual(there ? [0, 0] : [NOT_FOUND])
  })

  test.each<[string, number, number]>([
    ['LIST_PROTOCOLS without its argument', 0x1006, 4],
    ['LIST_PROTOCOLS with one byte too many', 0x1006, 9],
    ['PROTOCOL_VERSION with a payload', 0x1000, 8],
  ])('%s is a PROTOCOL_ERROR', (_name, message, length) => {
    const frame = new Uint8Array(length)
    frame.set(frameOf(headerWord(message)))
    expect(Buffer.from(guest.ask(frame)).readInt32LE(4)).toBe(-10)
  })
})

describe('NEGOTIATE_PROTOCOL_VERSION', () => {
  test('down, and back: the version is the guest’s own', () => {
    const [machine, guest] = guestAt(v2_1)
    const other = machine.guest([1])
    expect(guest.words(0x1010, v1)).toEqual([0])
    expect(guest.words(0x1007, SELF)).toEqual([0, ...name16('guest-a')])
    expect(guest.words(0x1000)).toEqual([0, v2_1]) // still what is presented
    expect(other.words(0x1007, SELF)).toEqual([0, 1, ...name16('guest1')])
    expect(guest.words(0x1002, 0x10)).toEqual([0, 0]) // or there would be no way back
    expect(guest.words(0x1010, v2)).toEqual([0])
    expect(guest.words(0x1007, SELF)).toEqual([0, 1, ...name16('guest-a')])
    expect(machine.takeTapped()).toEqual([])
  })

  test.each<[string, number]>([
    ['newer than presented', 0x3_0000],
    ['unknown', 0x1_0001],
    ['with bit 31', 0x8002_0000],
    ['none', 0],
  ])('%s: refused, and nothing changes', (_name, version) => {
    const [, guest] = guestAt(v2_1)
    expect(guest.words(0x1010, version)).toEqual([NOT_SUPPORTED])
    expect(guest.words(0x1007, SELF)).toEqual([0, 1, ...name16('guest-a')])
  })

  test('a version that the platform does not present', () => {
    const [, guest] = guestAt(v2)
    expect(guest.words(0x1010, v2)).toEqual([NOT_FOUND]) // 2.0 does not have the message
  })

  test('a guest that begins anew begins with what is presented', () => {
    const [machine, guest] = guestAt(v2_1)
    guest.words(0x1010, v1)
    machine.relay.restarted(guest)
    expect(guest.words(0x1007, SELF)).toEqual([0, 1, ...name16('guest-a')])
  })

  test('other grants leave the version as it was', () => {
    const [machine, guest] = guestAt(v2_1)
    guest.words(0x1010, v1)
    machine.regrant(0, 0)
    expect(guest.words(0x1007, SELF)).toEqual([0, ...name16('guest-a')])
    expect(guest.words(0x1006, 0)).toEqual([0, 3, 0x16_1411])
  })

  test('of other protocols: the version presented and no other, answered here', () => {
    const [machine, guest] = guestAt(v2_1)
    machine.takeTapped()
    expect(guest.words(0x1400)).toEqual([0, 0x3_0000])
    expect(guest.words(0x1410, 0x3_0000)).toEqual([0])
    expect(guest.words(0x1410, 0x2_0000)).toEqual([NOT_SUPPORTED])
    expect(guest.words(0x1410, 0xffff_ffff)).toEqual([NOT_SUPPORTED])
    expect(machine.takeTapped()).toEqual([])
  })
})

describe('the list of protocols is what the guest holds', () => {
  test.each<[string, number[], number[]]>([
    ['nothing', [], [0, 0]],
    ['avb: power, clock, reset', [0], [0, 3, 0x16_1411]],
    ['adc: power, clock, sensor, reset', [7], [0, 4, 0x1615_1411]],
  ])('%s', (_name, devices, expected) => {
    const [, guest] = guestAt(v2_1, { devices })
    expect(guest.words(0x1006, 0)).toEqual(expected)
    expect(guest.words(0x1001)).toEqual([0, 0x100 | (expected[1] as number)])
  })

  test('a protocol that the platform does not have is not in it, nor is Base', () => {
    const machine = new Machine()
    machines.push(machine)
    const guest = machine.guest([], { grants: compileGrants([], machine.counts, [0x10, 0x12, 0x19]) })
    expect(guest.words(0x1006, 0)).toEqual([0, 1, 0x12])
  })

  test('a list longer than the guest can take comes in pieces', () => {
    const machine = new Machine()
    machines.push(machine)
    const whole = Array.from({ length: 200 }, (_, i) => 0x30 + i)
    const versions = new Map([...machine.versions, ...whole.map(id => [id, 0x1_0000] as const)])
    machine.execute({
      type: 'configure',
      setup: {
        versions,
        counts: machine.counts,
        identity: { vendor: 'v', implementationVersion: 0 },
        host: noGrants(),
        auditQueries: false,
      },
    })
    const guest = machine.guest([], { grants: compileGrants([], machine.counts, whole) })
    const seen: number[] = []
    for (let more = true; more; ) {
      const answer = guest.ask(frameOf(headerWord(0x1006), seen.length))
      const count = Buffer.from(answer).readUInt32LE(8)
      expect(answer.length).toBe(12 + Math.ceil(count / 4) * 4)
      seen.push(...answer.subarray(12, 12 + count))
      expect([...answer.subarray(12 + count)].every(byte => byte === 0)).toBe(true)
      more = count > 0
    }
    expect(seen).toEqual(whole)
    expect(guest.faults).toEqual([])
  })
})

test('a long name is cut to 15 characters, and one beyond ASCII to 7 bits', () => {
  const [, guest] = guestAt(v2_1, { name: 'a-domain-with-a-long-name' })
  expect(guest.words(0x1007, 1)).toEqual([0, 1, ...name16('a-domain-with-a')])
})

test('without a sub-vendor the message is NOT_SUPPORTED, and MESSAGE_ATTRIBUTES says so', () => {
  const machine = new Machine()
  machines.push(machine)
  machine.execute({
    type: 'configure',
    setup: {
      versions: machine.versions,
      counts: machine.counts,
      identity: { vendor: 'a-vendor-of-16-ch', implementationVersion: 0xffff_ffff },
      host: noGrants(),
      auditQueries: false,
    },
  })
  const guest = machine.guest([])
  expect(guest.words(0x1004)).toEqual([NOT_SUPPORTED])
  expect(guest.words(0x1002, 4)).toEqual([NOT_FOUND])
  expect(guest.words(0x1003)).toEqual([0, ...name16('a-vendor-of-16-')])
  expect(guest.words(0x1005)).toEqual([0, 0xffff_ffff])
})
