// src/mediator/arbiter.ts: who asked for what, over more guests and channels than fit in one word.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { Arbiter, NOBODY } from '../../src/mediator/arbiter.ts'
import { compileGrants, noGrants, protocolIds } from '../../src/permissions/grants.ts'

const power = 0x11
const counts = new Uint32Array(protocolIds)
counts[power] = 3
const arbiter = () => new Arbiter(counts, 64, 70)
const holding = (...ids: number[]) =>
  compileGrants(
    ids.map(id => ({ protocol: power, id })),
    counts,
  )

describe('votes', () => {
  test.each([0, 1, 31, 32, 63])('slot %i has its own', slot => {
    const a = arbiter()
    a.vote(power, 1, slot, true)
    for (let other = 0; other < 64; other++) expect(a.voted(power, 1, other)).toBe(other === slot)
    for (const id of [0, 2]) expect(a.othersVote(power, id, NOBODY)).toBe(false)
    expect(a.othersVote(power, 1, slot)).toBe(false)
    expect(a.othersVote(power, 1, (slot + 32) % 64)).toBe(true)
    expect(a.othersVote(power, 1, NOBODY)).toBe(true)
    a.vote(power, 1, slot, false)
    expect(a.othersVote(power, 1, NOBODY)).toBe(false)
  })

  test('the host’s stands for ever', () => {
    const a = arbiter()
    a.setHolders([], holding(2))
    expect(a.othersVote(power, 2, 5)).toBe(true)
    expect(a.hostHolds(power, 2)).toBe(true)
    a.setHolders([], noGrants())
    expect(a.othersVote(power, 2, 5)).toBe(false)
  })
})

test.each([0, 31, 32, 69])('channel %i has its own mark', channel => {
  const a = arbiter()
  a.hold(power, 1, channel, true)
  for (let other = 0; other < 70; other++) expect(a.held(power, 1, other)).toBe(other === channel)
  expect([a.held(power, 0, channel), a.held(power, 2, channel)]).toEqual([false, false])
  expect(a.abandoned(power)).toEqual([1])
  a.hold(power, 1, channel, false)
  expect(a.abandoned(power)).toEqual([])
})

describe('sharing', () => {
  test.each<[string, number[][], number[], boolean]>([
    ['one guest', [[1]], [], false],
    ['two guests', [[1], [0, 1]], [], true],
    ['a guest and the host', [[1]], [1], true],
    ['the host alone', [[0]], [1], false],
    ['nobody', [[0], [2]], [0], false],
  ])('%s', (_who, guests, host, expected) => {
    const a = arbiter()
    a.setHolders(
      guests.map(ids => holding(...ids)),
      holding(...host),
    )
    expect(a.shared(power, 1)).toBe(expected)
  })

  test('is counted anew each time', () => {
    const a = arbiter()
    a.setHolders([holding(1), holding(1)], noGrants())
    a.setHolders([holding(1)], noGrants())
    expect(a.shared(power, 1)).toBe(false)
  })

  test('a protocol without resources is not shared, nor held, nor voted for', () => {
    const a = arbiter()
    a.vote(0x12, 0, 0, true)
    a.hold(0x12, 0, 0, true)
    a.own(0x12, 0, 0)
    a.lock(0x12, 0)
    expect([a.shared(0x12, 0), a.voted(0x12, 0, 0), a.held(0x12, 0, 0), a.busy(0x12, 0)]).toEqual([
      false,
      false,
      false,
      false,
    ])
    expect(a.owner(0x12, 0)).toBe(NOBODY)
  })
})

test('stakes are votes and exclusive holds', () => {
  const a = arbiter()
  a.vote(power, 0, 40, true)
  a.own(power, 2, 40)
  a.own(power, 1, 41)
  expect([a.stakes(power, 40), a.stakes(power, 41), a.stakes(power, 42)]).toEqual([[0, 2], [1], []])
  expect(a.stakes(0x14, 40)).toEqual([])
})

test('locks are counted', () => {
  const a = arbiter()
  a.lock(power, 1)
  a.lock(power, 1)
  a.unlock(power, 1)
  expect(a.busy(power, 1)).toBe(true)
  a.unlock(power, 1)
  a.unlock(power, 1) // one too many is not one in advance
  a.lock(power, 1)
  expect(a.busy(power, 1)).toBe(true)
})

test('what is abandoned is held, asked for by nobody, and not being seen to', () => {
  const a = arbiter()
  for (const id of [0, 1, 2]) a.hold(power, id, 3, true)
  a.vote(power, 0, 63, true)
  a.lock(power, 2)
  expect(a.abandoned(power)).toEqual([1])
})

const changes = fc.array(fc.tuple(fc.nat(2), fc.nat(63), fc.boolean()), { maxLength: 200 })
property.prop([changes], { seed: 3, numRuns: 200 })('votes are a set of slots for each resource', list => {
  const a = arbiter()
  const model = [new Set<number>(), new Set<number>(), new Set<number>()]
  for (const [id, slot, on] of list) {
    a.vote(power, id, slot, on)
    if (on) model[id]?.add(slot)
    else model[id]?.delete(slot)
    expect(a.othersVote(power, id, slot)).toBe([...(model[id] ?? [])].some(each => each !== slot))
  }
  for (const [id, votes] of model.entries())
    for (let slot = 0; slot < 64; slot++) expect(a.voted(power, id, slot)).toBe(votes.has(slot))
})
