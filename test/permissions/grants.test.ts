// src/permissions/grants.ts: resources as bitmaps.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import {
  bitmapsOf,
  compileGrants,
  noGrants,
  owns,
  ownsEverything,
  protocolIds,
  type ResourceId,
} from '../../src/permissions/grants.ts'

const counts = new Uint32Array(protocolIds)
counts[0x14] = 33
counts[0x11] = 32

describe('compileGrants', () => {
  test.each<[number, number, boolean, string]>([
    [0x14, 0, true, 'the first'],
    [0x14, 1, false, 'its neighbour'],
    [0x14, 31, true, 'the sign bit of a word'],
    [0x14, 32, true, 'the next word'],
    [0x14, 33, false, 'beyond the count, though it was asked for'],
    [0x14, 64, false, 'beyond the bitmap'],
    [0x14, 0xffff_ffff, false, 'the largest id'],
    [0x14, -1, false, 'the same, read signed'],
    [0x11, 31, true, 'another protocol'],
    [0x11, 0, false, 'granted in another protocol only'],
    [0x15, 0, false, 'a protocol that the platform does not have'],
  ])('protocol %i, id %i: %s (%s)', (protocol, id, expected) => {
    const grants = compileGrants(
      [
        { protocol: 0x14, id: 0 },
        { protocol: 0x14, id: 31 },
        { protocol: 0x14, id: 32 },
        { protocol: 0x14, id: 33 },
        { protocol: 0x11, id: 31 },
        { protocol: 0x15, id: 0 },
      ],
      counts,
    )
    expect(owns(grants.owned[protocol], id)).toBe(expected)
    expect([...grants.protocols.keys()].filter(p => grants.protocols[p] === 1)).toEqual([0x11, 0x14])
  })

  test('a protocol without resources is held as a whole', () => {
    const grants = compileGrants([], counts, [0x12])
    expect(grants.protocols[0x12]).toBe(1)
    expect(owns(grants.owned[0x12], 0)).toBe(false)
  })

  test('a protocol of which no resource exists is not held', () => {
    expect(compileGrants([{ protocol: 0x14, id: 500 }], counts).protocols[0x14]).toBe(0)
  })

  test('nothing of power capping is held by who sees the platform’s ids; the host and dense guests can', () => {
    const plenty = new Uint32Array(256).fill(40)
    const wanted = [
      { protocol: 0x18, id: 3 },
      { protocol: 0x14, id: 3 },
    ]
    const { protocols, owned } = compileGrants(wanted, plenty)
    expect([protocols[0x18], protocols[0x14]]).toEqual([0, 1])
    expect(owned[0x18]).toBeUndefined()
    expect(owns(bitmapsOf(wanted, plenty).owned[0x18], 3)).toBe(true)
  })

  test('namespaces of a protocol are held apart', () => {
    const { protocols, owned } = compileGrants(
      [
        { protocol: 0x19, id: 3, namespace: 1 },
        { protocol: 0x19, id: 9, namespace: 2 },
      ],
      new Uint32Array(0x400).fill(8),
    )
    expect(protocols[0x19]).toBe(1)
    expect([0x019, 0x119, 0x219].map(space => owns(owned[space], 3))).toEqual([false, true, false])
    expect(owned[0x219], 'beyond the count').toBeUndefined()
  })

  test('no grants: nothing is held', () => {
    const { protocols, owned } = noGrants()
    expect(protocols.some(p => p !== 0)).toBe(false)
    expect(owned.every(bitmap => bitmap === undefined)).toBe(true)
  })

  test.each([
    ['all', [0x11, 0x14], [1, 2], true],
    ['all of one protocol', [0x14], [1, 2], false],
    ['nothing, of nothing', [], [0, 0], false],
  ])('%s: owns everything', (_what, held, [power = 0, clocks = 0], expected) => {
    const few = new Uint32Array(protocolIds)
    few[0x11] = power
    few[0x14] = clocks
    few[0x18] = 5 // which nobody can be granted
    const all = held.flatMap(protocol => [0, 1].map(id => ({ protocol, id })))
    expect(ownsEverything(compileGrants(all, few), few)).toBe(expected)
  })

  test('they cross to another thread as they are', () => {
    const grants = compileGrants([{ protocol: 0x14, id: 32 }], counts)
    const copy = structuredClone(grants)
    expect(owns(copy.owned[0x14], 32)).toBe(true)
    expect(owns(copy.owned[0x11], 0)).toBe(false)
  })
})

const resources = fc.array(
  fc.record({ protocol: fc.constantFrom(0x11, 0x14, 0x15), id: fc.oneof(fc.nat(40), fc.nat(0xffff_ffff)) }),
)
property.prop([resources], { seed: 1, numRuns: 300 })('exactly what was given and exists is owned', given => {
  const grants = compileGrants(given, counts)
  const has = ({ protocol, id }: ResourceId) =>
    given.some(each => each.protocol === protocol && each.id === id)
  for (const protocol of [0x11, 0x14, 0x15])
    for (let id = 0; id < 70; id++)
      expect(owns(grants.owned[protocol], id)).toBe(
        id < (counts[protocol] as number) && has({ protocol, id }),
      )
})
