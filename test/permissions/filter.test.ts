// src/permissions/filter.ts: what becomes of a frame, judged on its words alone.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { FORWARD, HARMLESS_RELEASE, LOCAL, PLACEHOLDER, verdict } from '../../src/permissions/filter.ts'
import { compileGrants } from '../../src/permissions/grants.ts'
import { compileRules } from '../../src/permissions/rules.ts'
import { newestVersion, protocols } from '../../src/scmi/protocols.ts'
import { spaceIds } from '../../src/scmi/space.ts'

const NOT_SUPPORTED = -1
const INVALID = -2
const DENIED = -3
const NOT_FOUND = -4
const PROTOCOL_ERROR = -10

const newest = new Map(protocols.map(p => [p.id, newestVersion(p)]))
/** System power is held as a whole; voltage is a protocol of the platform that the guest does not hold. */
const rules = compileRules(newest)
const counts = new Uint32Array(spaceIds)
for (const protocol of [0x11, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19]) counts[protocol] = 40
counts[0x119] = 20
counts[0x219] = 5
const grants = compileGrants(
  [
    { protocol: 0x11, id: 2 },
    { protocol: 0x13, id: 0 },
    { protocol: 0x14, id: 7 },
    { protocol: 0x14, id: 31 },
    { protocol: 0x14, id: 39 },
    { protocol: 0x15, id: 1 },
    { protocol: 0x16, id: 5 },
    { protocol: 0x18, id: 2 }, // cannot be granted
    { protocol: 0x19, id: 2 },
    { protocol: 0x19, id: 3, namespace: 1 },
    { protocol: 0x19, id: 1, namespace: 2 },
  ],
  counts,
  [0x12],
)

/** 16 words, those beyond the frame poisoned. */
const memory = new Int32Array(1024)
function judge(words: readonly number[], length = words.length * 4, p2a = false, version = rules): number {
  memory.fill(0xee_ee_ee_ee | 0)
  for (const [i, word] of words.entries()) memory[i] = word | 0
  return verdict(version, counts, grants, p2a, memory, length)
}
const word = (message: number, type = 0, token = 0x2aa): number =>
  ((message & 0xff) | (type << 8) | ((message >>> 8) << 10) | (token << 18)) >>> 0

const ON = 0
const OFF = 0x4000_0000

describe('the order of checks', () => {
  test.each<[string, number[], number | undefined, number]>([
    ['type 1 comes before all', [word(0xff00, 1)], undefined, PROTOCOL_ERROR],
    ['type 2, on a protocol that does not exist', [word(0xff00, 2)], undefined, PROTOCOL_ERROR],
    ['type 3, which crashes a reference platform', [word(0x1406, 3), 7], undefined, PROTOCOL_ERROR],
    ['reserved header bit 28', [(word(0x1406) | 0x1000_0000) >>> 0, 7], undefined, PROTOCOL_ERROR],
    ['reserved header bit 31', [(word(0x1406) | 0x8000_0000) >>> 0, 7], undefined, PROTOCOL_ERROR],
    ['a protocol that does not exist, before its size', [word(0x2003), 1, 2, 3], undefined, NOT_SUPPORTED],
    ['protocol 0', [word(0x0003)], undefined, NOT_SUPPORTED],
    ['a vendor protocol', [word(0x8003)], undefined, NOT_SUPPORTED],
    ['a protocol not held, before its messages', [word(0x17ee)], undefined, DENIED],
    ['a protocol not held, even its version', [word(0x1700)], undefined, DENIED],
    ['a protocol not held, before the size', [word(0x1705), 1], undefined, DENIED],
    ['a message that does not exist, before its size', [word(0x14ee), 1, 2], undefined, NOT_FOUND],
    ['one byte short', [word(0x1406), 7], 7, PROTOCOL_ERROR],
    ['one byte long', [word(0x1406), 7, 0], 9, PROTOCOL_ERROR],
    ['one word long, though the resource is owned', [word(0x1406), 7, 0], 12, PROTOCOL_ERROR],
    ['a header alone', [word(0x1406)], 4, PROTOCOL_ERROR],
    ['the size, before the resource', [word(0x1406), 99, 0], 12, PROTOCOL_ERROR],
    ['an id beyond the count', [word(0x1406), 40], undefined, NOT_FOUND],
    ['an id with bit 31 set', [word(0x1406), 0xffff_ffff], undefined, NOT_FOUND],
    ['an id whose low bits are owned: 2^31 + 7', [word(0x1406), 0x8000_0007], undefined, NOT_FOUND],
    ['an id whose low bits are owned: 2^16 + 7', [word(0x1406), 0x1_0007], undefined, NOT_FOUND],
    ['an id beyond the count, before bad flags', [word(0x1407), 40, 2, 0], undefined, NOT_FOUND],
    ['bad flags, before DENIED', [word(0x1405), 0x10, 8, 0, 0], undefined, INVALID],
    ['bad flags, before the placeholder', [word(0x140b), 8, 0x100], undefined, INVALID],
    ['another resource: denied', [word(0x1405), 0, 8, 0, 0], undefined, DENIED],
    ['another resource: asked for', [word(0x1406), 8], undefined, PLACEHOLDER],
    ['owned', [word(0x1406), 7], undefined, FORWARD],
    ['owned, in the same word of the bitmap', [word(0x1406), 31], undefined, FORWARD],
    ['owned, in the next word', [word(0x1406), 39], undefined, FORWARD],
    ['not owned, in the next word', [word(0x1406), 38], undefined, PLACEHOLDER],
    ['owned, with bad flags: the platform checks them', [word(0x1405), 0x10, 7, 0, 0], undefined, FORWARD],
    ['about the protocol', [word(0x1401)], undefined, FORWARD],
    ['a token is no matter', [word(0x1406, 0, 0x3ff), 7], undefined, FORWARD],
  ])('%s', (_why, words, length, expected) => {
    expect(judge(words, length)).toBe(expected)
  })
})

describe('Base', () => {
  test.each<[string, number[], number]>([
    ['a query', [word(0x1003)], LOCAL],
    ['NOTIFY_ERRORS', [word(0x1008), 1], LOCAL],
    ['NEGOTIATE', [word(0x1010), 0x2_0000], LOCAL],
    ['SET_DEVICE_PERMISSIONS', [word(0x1009), 2, 1, 1], DENIED],
    ['SET_PROTOCOL_PERMISSIONS', [word(0x100a), 2, 1, 0x14, 1], DENIED],
    ['RESET_AGENT_CONFIGURATION', [word(0x100b), 2, 1], DENIED],
    ['a permission command of another size', [word(0x1009), 2, 1], PROTOCOL_ERROR],
    ['a permission command as a notification', [word(0x1009, 3), 2, 1, 1], PROTOCOL_ERROR],
    ['a message that is not there', [word(0x100c)], NOT_FOUND],
  ])('%s', (_why, words, expected) => expect(judge(words)).toBe(expected))
})

describe('releases of what the guest does not own take nothing from anybody', () => {
  test.each<[string, number[], number]>([
    ['power OFF', [word(0x1104), 0, 3, OFF], HARMLESS_RELEASE],
    ['power ON', [word(0x1104), 0, 3, ON], DENIED],
    ['another state than OFF', [word(0x1104), 0, 3, OFF + 1], DENIED],
    ['power OFF with a bad flag', [word(0x1104), 2, 3, OFF], INVALID],
    ['a state with reserved bits', [word(0x1104), 0, 3, 0x8000_0000], INVALID],
    ['a clock disabled', [word(0x1407), 8, 0, 0], HARMLESS_RELEASE],
    ['a clock enabled', [word(0x1407), 8, 1, 0], DENIED],
    ['a clock left as it is, its duty cycle set', [word(0x1407), 8, 0x1_0003, 50], DENIED],
    ['a clock disabled, and its duty cycle set too', [word(0x1407), 8, 0x1_0000, 50], DENIED],
    ['a clock with the reserved value', [word(0x1407), 8, 2, 0], INVALID],
    ['a clock left as it is, and nothing else', [word(0x1407), 8, 3, 0], INVALID],
  ])('%s', (_why, words, expected) => expect(judge(words)).toBe(expected))

  test('a voltage is not among them: a regulator has no enable count', () => {
    const held = compileGrants([{ protocol: 0x17, id: 1 }], counts)
    const frame = Int32Array.of(word(0x1705), 0, 0)
    expect(verdict(rules, counts, held, false, frame, 12)).toBe(DENIED)
  })
})

describe('what needs a way back', () => {
  test.each<[string, number[], number, number]>([
    // without, with a way back
    ['a subscription', [word(0x1106), 2, 1], NOT_SUPPORTED, FORWARD],
    ['a subscription with a bad flag', [word(0x1106), 2, 2], INVALID, FORWARD],
    ['a subscription to what is not owned', [word(0x1106), 3, 1], PLACEHOLDER, PLACEHOLDER],
    ['a subscription to what is not there', [word(0x1106), 99, 1], NOT_FOUND, NOT_FOUND],
    ['a subscription to the system state, of no resource', [word(0x1205), 1], NOT_SUPPORTED, FORWARD],
    ['the same with a bad flag', [word(0x1205), 2], INVALID, FORWARD],
    ['an asynchronous rate', [word(0x1405), 1, 7, 0, 0], NOT_SUPPORTED, FORWARD],
    ['the same with a bad flag', [word(0x1405), 0x11, 7, 0, 0], INVALID, FORWARD],
    ['an asynchronous reading', [word(0x1506), 1, 1], NOT_SUPPORTED, FORWARD],
    ['an asynchronous reset', [word(0x1604), 5, 5, 0], NOT_SUPPORTED, FORWARD],
    [
      'an asynchronous power state, seen only by its notification',
      [word(0x1104), 1, 2, ON],
      NOT_SUPPORTED,
      FORWARD,
    ],
    ['a synchronous rate', [word(0x1405), 0, 7, 0, 0], FORWARD, FORWARD],
  ])('%s', (_why, words, without, withIt) => {
    expect(judge(words)).toBe(without)
    expect(judge(words, undefined, true)).toBe(withIt)
  })
})

describe('what leads past the mediator', () => {
  test.each<[string, number[], number]>([
    ['a fast channel of an owned domain', [word(0x130b), 0, 5], NOT_SUPPORTED],
    ['of another', [word(0x130b), 1, 5], PLACEHOLDER],
    ['of none', [word(0x130b), 40, 5], NOT_FOUND],
  ])('%s', (_why, words, expected) => {
    expect(judge(words)).toBe(expected)
    expect(judge(words, undefined, true)).toBe(expected)
  })
})

describe('a second resource of the same protocol', () => {
  test.each<[string, number[], number]>([
    ['both owned', [word(0x140d), 7, 31], FORWARD],
    ['the parent is not', [word(0x140d), 7, 8], DENIED],
    ['the parent does not exist', [word(0x140d), 7, 40], NOT_FOUND],
    ['the parent has bit 31 set', [word(0x140d), 7, 0x8000_001f], NOT_FOUND],
    ['the clock is not', [word(0x140d), 8, 7], DENIED],
  ])('%s', (_why, words, expected) => expect(judge(words)).toBe(expected))
})

test('power capping is DENIED whole to who sees the platform’s ids, whatever it was to have', () => {
  for (let message = 0; message <= 0x20; message++)
    expect(judge([word((0x18 << 8) | message), 2, 0], undefined, true)).toBe(DENIED)
})

/** Pin 2, group 3 and function 1 are the guest's; there are 40 pins, 20 groups, 5 functions. */
describe('ids with a selector', () => {
  test.each<[string, number[], number]>([
    ['its pin', [word(0x1903), 2, 0], FORWARD],
    ['its group', [word(0x1903), 3, 1], FORWARD],
    ['its function', [word(0x1903), 1, 2], FORWARD],
    ['a group with the number of its pin', [word(0x1903), 2, 1], PLACEHOLDER],
    ['a function with the number of its pin', [word(0x1903), 2, 2], PLACEHOLDER],
    ['a pin with the number of its group', [word(0x1903), 3, 0], PLACEHOLDER],
    ['another’s pin, taken', [word(0x1907), 3, 0], DENIED],
    ['its group, taken', [word(0x1907), 3, 1], FORWARD],
    ['a function cannot be taken', [word(0x1907), 1, 2], INVALID],
    ['no pin', [word(0x1903), 40, 0], NOT_FOUND],
    ['no group', [word(0x1903), 20, 1], NOT_FOUND],
    ['no function', [word(0x1903), 5, 2], NOT_FOUND],
    ['no kind', [word(0x1903), 2, 3], INVALID],
    ['no kind, and no id', [word(0x1903), 99, 3], INVALID],
    ['selected in bits 17:16', [word(0x1905), 3, 1 << 16], FORWARD],
    ['the same of another', [word(0x1905), 2, 1 << 16], PLACEHOLDER],
    ['a function that is given', [word(0x1906), 2, 1, 0x400], FORWARD],
    ['a function that is not its own', [word(0x1906), 2, 2, 0x400], DENIED],
    ['no function given', [word(0x1906), 2, 9, 0x400], NOT_FOUND],
    ['a function that is not meant', [word(0x1906), 2, 9, 0], FORWARD],
    ['fewer entries than told', [word(0x1906), 2, 0, 8, 4, 1], PROTOCOL_ERROR],
    ['more', [word(0x1906), 2, 0, 0, 4, 1], PROTOCOL_ERROR],
    ['privileged, and names no resource', [word(0x190a), 2, 2, 1], NOT_SUPPORTED],
  ])('%s', (_why, words, expected) => expect(judge(words, undefined, true)).toBe(expected))
})

test('messages are those of the version in force', () => {
  const old = compileRules(new Map([[0x14, 0x1_0000]]))
  expect(judge([word(0x140b), 7, 0], undefined, false, old)).toBe(NOT_FOUND)
  expect(judge([word(0x1407), 7, 1], undefined, false, old)).toBe(FORWARD)
  expect(judge([word(0x1407), 7, 1, 0], undefined, false, old)).toBe(PROTOCOL_ERROR)
  expect(judge([word(0x1410), 0x3_0000], undefined, false, old)).toBe(NOT_FOUND)
  expect(judge([word(0x1103), 2], undefined, false, old)).toBe(NOT_SUPPORTED) // not presented at all
})

/** Where each message names its resource: from the tables of the standard, not from the schema. */
const secondWord = new Set([0x1104, 0x1405])
const owned = new Map([
  [0x11, [2]],
  [0x13, [0]],
  [0x14, [7, 31, 39]],
  [0x15, [1]],
  [0x16, [5]],
])
const selectorWord = (message: number): number => (message === 0x1906 ? 2 : 1)
const known = protocols.flatMap(p => Object.values(p.messages).map(m => (p.id << 8) | m.id))
const anyWord = fc.oneof(
  { weight: 3, arbitrary: fc.nat(41) },
  fc.constantFrom(OFF, 0x8000_0000, 0xffff_ffff, 1, 3, 0x1_0000, 0x8000_0007),
  fc.nat(0xffff_ffff),
)
const frames = fc.record({
  message: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...known) }, fc.nat(0xffff)),
  type: fc.oneof({ weight: 19, arbitrary: fc.constant(0) }, fc.nat(3)),
  payload: fc.array(anyWord, { maxLength: 6 }),
  cut: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.nat(3)),
})

property.prop([frames, fc.boolean()], { seed: 7, numRuns: 50_000 })(
  'forwards nothing about a resource that was not granted, and nothing privileged',
  ({ message, type, payload, cut }, p2a) => {
    const words = [word(message, type), ...payload]
    const outcome = judge(words, words.length * 4 - (payload.length > 0 ? cut : 0), p2a)
    if (outcome !== FORWARD) {
      expect([LOCAL, PLACEHOLDER, HARMLESS_RELEASE, -1, -2, -3, -4, -10]).toContain(outcome)
      return
    }
    const protocol = message >>> 8
    expect(type).toBe(0)
    expect(protocol).not.toBe(0x10)
    expect([0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19]).toContain(protocol)
    expect(message).not.toBe(0x130b)
    const whole =
      (message & 0xff) <= 2 || (message & 0xff) === 0x10 || protocol === 0x12 || message === 0x1503
    if (protocol === 0x19 && !whole) {
      const selector = (payload[selectorWord(message)] as number) >>> (message === 0x1905 ? 16 : 0)
      expect(payload[0]).toBe([2, 3, 1][selector & 3])
      if (message === 0x1906 && ((payload[2] as number) & 0x400) !== 0) expect(payload[1]).toBe(1)
    } else if (!whole) expect(owned.get(protocol)).toContain(payload[secondWord.has(message) ? 1 : 0])
    if (message === 0x140d) expect(owned.get(protocol)).toContain(payload[1])
    if (!p2a && message === 0x1405) expect((payload[0] as number) & 1).toBe(0)
  },
)

property.prop([frames], { seed: 8, numRuns: 10_000 })('a guest without grants reaches Base alone', frame => {
  const nothing = compileGrants([], counts)
  const words = Int32Array.from([word(frame.message, frame.type), ...frame.payload])
  const outcome = verdict(rules, counts, nothing, true, words, words.length * 4)
  expect(outcome === FORWARD || outcome === PLACEHOLDER || outcome === HARMLESS_RELEASE).toBe(false)
  if (outcome === LOCAL) expect(frame.message >>> 8).toBe(0x10)
})
