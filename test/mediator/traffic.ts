// Traffic of guests that know the standard, and of guests that know how to break it. For property tests; no test.
import { fc } from '@fast-check/vitest'
import { protocols } from '../../src/scmi/protocols.ts'
import { frameOf, headerWord } from './machine.ts'

const messages = protocols.flatMap(p => Object.values(p.messages).map(m => (p.id << 8) | m.id))
/** Payload words of a well-formed command, by message; where ids and values go is written down from the standard. */
const id = fc.nat(14)
const pick = (...words: number[]) => fc.constantFrom(...words)
const control: readonly (readonly [number, fc.Arbitrary<number[]>])[] = [
  [0x1104, fc.tuple(pick(0, 0, 0, 1), fc.nat(8), pick(0, 0x4000_0000, 1))],
  [0x1305, fc.tuple(fc.nat(2), pick(600, 400), pick(200, 400))],
  [0x1307, fc.tuple(fc.nat(2), pick(200, 400, 600, 500))],
  [0x1405, fc.tuple(pick(0, 0, 1, 4, 8), id, pick(20_000_000, 40_000_000, 1), pick(0))],
  [0x1407, fc.tuple(id, pick(0, 1, 0x1_0003, 0x1_0000), pick(0, 30))],
  [0x140d, fc.tuple(id, id)],
  [0x1505, fc.tuple(fc.nat(3), pick(0, 1, 0x13), pick(0, 5), pick(0))],
  [0x150a, fc.tuple(fc.nat(3), pick(0, 1))],
  [0x1604, fc.tuple(fc.nat(9), pick(0, 1, 2, 5), pick(0))],
  [0x1705, fc.tuple(fc.nat(4), pick(0, 7, 8))],
  [0x1707, fc.tuple(fc.nat(4), pick(0, 1), pick(3_300_000, 1_800_000))],
]
const query: readonly (readonly [number, fc.Arbitrary<number[]>])[] = [
  [0x1402, fc.tuple(fc.nat(20))],
  [0x1503, fc.tuple(fc.nat(4))],
  ...[0x1403, 0x1406, 0x140e, 0x140f, 0x1408].map(message => [message, fc.tuple(id)] as const),
  ...[0x1404, 0x140b, 0x140c].map(message => [message, fc.tuple(id, fc.nat(2))] as const),
  ...[0x1103, 0x1105, 0x1603, 0x1703, 0x1706, 0x1708, 0x1303, 0x1308, 0x1306, 0x1509].map(
    message => [message, fc.tuple(fc.nat(9))] as const,
  ),
  ...[0x1506, 0x1508, 0x1704, 0x1304, 0x130b].map(
    message => [message, fc.tuple(fc.nat(4), fc.nat(1))] as const,
  ),
]
const word = fc.oneof(
  id,
  fc.constantFrom(0x4000_0000, 0x8000_0000, 0xffff_ffff, 0x1_0007, 3),
  fc.nat(0xffff_ffff),
)

const wellMeant = fc
  .constantFrom(...control, ...query)
  .chain(([message, payload]) => payload.map(words => frameOf(headerWord(message, 5), ...words)))
/** A message of the standard with anything behind it. */
const mutated = fc
  .tuple(fc.constantFrom(...messages), fc.nat(0x3ff), fc.array(word, { maxLength: 5 }), fc.nat(15), fc.nat(9))
  .map(([message, token, payload, reserved, type]) =>
    frameOf(
      (headerWord(message, token, type < 7 ? 0 : type - 6) | ((reserved > 10 ? reserved : 0) << 28)) >>> 0,
      ...payload,
    ),
  )
const random = fc.uint8Array({ minLength: 4, maxLength: 128 })

/** Frames of 4 to 128 bytes, most of them sensible. */
export const anyFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: wellMeant },
  { weight: 3, arbitrary: mutated },
  { weight: 1, arbitrary: random },
)

/** Requests for what guests share: power domain 2 and 3, clock 9, voltage 0. */
export const sharedRequest: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc
    .tuple(pick(2, 2, 3, 0), pick(0, 0x4000_0000, 1))
    .map(([domain, state]) => frameOf(headerWord(0x1104, 1), 0, domain, state)),
  fc
    .tuple(pick(9, 9, 10, 3), pick(0, 1, 0x1_0003))
    .map(([clock, config]) => frameOf(headerWord(0x1407, 2), clock, config, 0)),
  fc
    .tuple(pick(0, 0, 2), pick(0, 7, 8))
    .map(([domain, config]) => frameOf(headerWord(0x1705, 3), domain, config)),
  fc.tuple(pick(20_000_000, 40_000_000, 1)).map(([hz]) => frameOf(headerWord(0x1405, 4), 0, 9, hz, 0)),
)
