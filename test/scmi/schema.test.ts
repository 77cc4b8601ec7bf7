// Properties that every layout of the schema has, whatever the message.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bits, checked, fits, layout, list, text, uint8, uint16, uint32 } from '../../src/scmi/schema.ts'
import { allLayouts, masksOf, valuesOf, valuesOfLayout } from './layouts.ts'

const seeded = { seed: 1, numRuns: 50 }
const titled = allLayouts.map(one => [one.name, one] as const)

const frameOf = (size: number) => new DataView(new ArrayBuffer(size))

describe('every layout', () => {
  test.each(titled)('%s comes back from its bytes', (_, { layout: l }) => {
    fc.assert(
      fc.property(valuesOfLayout(l), fc.nat(8), (value, base) => {
        const frame = frameOf(base + l.size)
        l.encode(frame, base, value)
        expect(l.decode(frame, base)).toEqual(value)
      }),
      seeded,
    )
  })

  test.each(titled)('%s has its fields one behind the other', (_, { layout: l }) => {
    let at = 0
    for (const [name, field] of Object.entries(l.fields)) {
      expect(l.at[name]).toBe(at)
      expect(l.word[name]).toBe(Math.floor(at / 4))
      at += field.size
    }
    expect(l.size).toBe(at)
    expect(at % 4 === 0 || l.size <= 2).toBe(true) // LIST_PROTOCOLS' bytes and LIST_ASSOCIATIONS' halves alone
  })

  test.each(titled)('%s writes each field at its offset and nowhere else', (_, { layout: l }) => {
    fc.assert(
      fc.property(
        valuesOfLayout(l),
        fc.uint8Array({ minLength: l.size, maxLength: l.size }),
        (value, noise) => {
          for (const [name, field] of Object.entries(l.fields)) {
            const bytes = noise.slice()
            field.set(new DataView(bytes.buffer), l.at[name] as number, value[name])
            const [from, to] = [l.at[name] as number, (l.at[name] as number) + field.size]
            expect(bytes.subarray(0, from)).toEqual(noise.subarray(0, from))
            expect(bytes.subarray(to)).toEqual(noise.subarray(to))
            expect(readBack(field.type, bytes.subarray(from, to), masksOf(field))).toEqual(plain(value[name]))
          }
        },
      ),
      seeded,
    )
  })
})

/** A second reader, on Buffer and BigInt: shares nothing with the schema's own. Ranges are read as unsigned. */
function readBack(
  type: string,
  bytes: Uint8Array,
  masks: Readonly<Record<string, number>> | undefined,
): unknown {
  const buffer = Buffer.from(bytes)
  switch (type) {
    case 'uint16':
      return (bytes[0] as number) + (bytes[1] as number) * 0x100
    case 'uint8':
      return buffer.readUInt8(0)
    case 'uint32':
      return buffer.readUInt32LE(0)
    case 'int32':
      return buffer.readInt32LE(0)
    case 'uint64':
      return buffer.readBigUInt64LE(0)
    case 'int64':
      return buffer.readBigInt64LE(0)
    case 'bits': {
      const word = BigInt(buffer.readUInt32LE(0))
      return Object.fromEntries(
        Object.entries(masks ?? {}).map(([name, mask]) => {
          const lowest = BigInt(mask) & -BigInt(mask)
          return [name, Number((word & BigInt(mask)) / lowest) % 2 ** 32]
        }),
      )
    }
    default:
      return buffer.toString('latin1').replace(/\0+$/, '')
  }
}

/** Signed ranges as `readBack` reads them. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value as Record<string, number>).map(([name, part]) => [
      name,
      part < 0 ? part + 32 : part,
    ]),
  )
}

describe('words of bits', () => {
  const words = allLayouts.flatMap(({ name, layout: l, command }) =>
    Object.entries(l.fields).flatMap(([field, f]) =>
      f.type === 'bits' ? [[`${name} ${field}`, f, command] as const] : [],
    ),
  )

  /** Words in which not every combination of declared bits is allowed: valid.test.ts has their values. */
  const restricted = [
    'clock CLOCK_CONFIG_SET command 0x30000 attributes',
    'pin-control PINCTRL_ATTRIBUTES command 0x10000 flags',
    'pin-control PINCTRL_LIST_ASSOCIATIONS command 0x10000 flags',
    'pin-control PINCTRL_SETTINGS_GET command 0x10000 attributes',
    'pin-control PINCTRL_SETTINGS_CONFIGURE command 0x10000 attributes',
    'pin-control PINCTRL_REQUEST command 0x10000 flags',
    'pin-control PINCTRL_RELEASE command 0x10000 flags',
    'pin-control PINCTRL_NAME_GET command 0x10000 flags',
  ]

  test.each(words)('%s refuses exactly the bits it does not declare', (name, field) => {
    const known = Object.values(masksOf(field) ?? {}).reduce((all, mask) => (all | mask) >>> 0, 0)
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), drawn => {
        const declared = (drawn & known) >>> 0
        if (!restricted.includes(name)) expect(field.valid?.(declared)).toBe(true)
        if (drawn !== declared) expect(field.valid?.(drawn)).toBe(false)
      }),
      { seed: 1, numRuns: 200 },
    )
    for (let bit = 0; bit < 32; bit++) {
      const isKnown = ((known >>> bit) & 1) === 1
      if (!isKnown) expect(field.valid?.((1 << bit) >>> 0)).toBe(false)
      else if (!restricted.includes(name)) expect(field.valid?.((1 << bit) >>> 0)).toBe(true)
    }
  })

  test.each(words)('%s has ranges that do not overlap, and hides only what it declares', (_, field) => {
    const masks = Object.values(masksOf(field) ?? {})
    const sum = masks.reduce((all, mask) => all + mask, 0)
    const union = masks.reduce((all, mask) => (all | mask) >>> 0, 0)
    expect(sum).toBe(union)
    expect(((field.hidden ?? 0) & ~union) >>> 0).toBe(0)
    expect(((field.p2a ?? 0) & ~union) >>> 0).toBe(0)
  })

  test('a signed range is read and written in two’s complement', () => {
    const field = bits({ exponent: [27, 5, 'signed'], value: [0, 27] })
    const frame = frameOf(4)
    for (const [word, exponent] of [
      [0x7800_0001, 15],
      [0x8000_0001, -16],
      [0xf800_0001, -1],
    ] as const) {
      frame.setUint32(0, word, true)
      expect(field.get(frame, 0)).toEqual({ exponent, value: 1 })
      frame.setUint32(0, 0, true)
      field.set(frame, 0, { exponent, value: 1 })
      expect(frame.getUint32(0, true)).toBe(word)
    }
  })

  test('a range of all 32 bits keeps the sign bit unsigned', () => {
    const field = bits({ all: [0, 32] })
    const frame = frameOf(4)
    field.set(frame, 0, { all: 0xffff_fffe })
    expect(frame.getUint32(0, true)).toBe(0xffff_fffe)
    expect(field.get(frame, 0)).toEqual({ all: 0xffff_fffe })
  })

  test('`valid` adds to the declared bits, it does not replace them', () => {
    const field = bits({ low: [0, 2] }, { valid: word => word !== 2 })
    expect([0, 1, 2, 3, 4].map(word => field.valid?.(word))).toEqual([true, true, false, true, false])
  })
})

describe('names', () => {
  test.each([
    ['abc', 'abc', 'short'],
    ['123456789012345', '123456789012345', 'all 15 characters'],
    ['1234567890123456', '123456789012345', 'the last byte is always the zero'],
    ['', '', 'empty'],
  ])('%j is kept as %j: %s', (given, kept) => {
    const frame = frameOf(16)
    for (let i = 0; i < 16; i++) frame.setUint8(i, 0xff)
    text(16).set(frame, 0, given)
    expect(text(16).get(frame, 0)).toBe(kept)
    expect(frame.getUint8(15)).toBe(0)
  })

  test('a name without its zero ends with the field', () => {
    const frame = frameOf(8)
    for (let i = 0; i < 8; i++) frame.setUint8(i, 0x41)
    expect(text(4).get(frame, 0)).toBe('AAAA')
  })
})

describe('fits', () => {
  const plainLayout = layout({ a: uint32, b: uint32 })
  const triplets = layout({ a: uint32 }, list('rates', layout({ x: uint32, y: uint32, z: uint32 })))
  const halves = layout({ a: uint32 }, list('ids', layout({ id: uint16 }), [0, 0xff], { unpadded: true }))
  const packed = layout({ a: uint32 }, list('ids', layout({ id: uint8 }), [0, 0xff], { pad: 4 }))
  const varying = layout(
    { a: uint32 },
    list('parts', layout({ x: uint32, y: uint32 }), [0, 0xff], { sizeAt: () => 4 }),
  )
  test.each([
    ['without a tail, equal', plainLayout, 8, true],
    ['without a tail, shorter', plainLayout, 4, false],
    ['without a tail, longer', plainLayout, 12, false],
    ['no entries', triplets, 4, true],
    ['whole entries', triplets, 28, true],
    ['a broken entry', triplets, 24, false],
    ['packed and padded', packed, 12, true],
    ['packed and not padded', packed, 11, false],
    ['halves that fill the last word', halves, 8, true],
    ['halves that do not', halves, 6, true],
    ['half a half', halves, 7, false],
    ['entries of differing sizes, in words', varying, 12, true],
    ['entries of differing sizes, not in words', varying, 10, false],
    ['shorter than the fixed fields', triplets, 0, false],
  ])('%s', (_, l, bytes, expected) => {
    expect(fits(l, bytes)).toBe(expected)
  })
})

test('a checked word is a plain word with a condition', () => {
  const field = checked(word => word < 3)
  expect([field.type, field.size, field.valid?.(2), field.valid?.(3)]).toEqual(['uint32', 4, true, false])
  expect(uint32.valid).toBeUndefined() // the field it is made from stays as it was
})

test('values are drawn for every type of field there is', () => {
  const types = new Set(allLayouts.flatMap(({ layout: l }) => Object.values(l.fields).map(f => f.type)))
  expect([...types].sort()).toEqual([
    'bits',
    'char[16]',
    'char[64]',
    'int32',
    'int64',
    'uint16',
    'uint32',
    'uint64',
    'uint8',
  ])
  for (const { layout: l } of allLayouts) {
    for (const field of Object.values(l.fields))
      expect(fc.sample(valuesOf(field), { seed: 1, numRuns: 1 })).toHaveLength(1)
  }
})
