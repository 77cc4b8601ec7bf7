// src/permissions/numbering.ts: dense ids, their stability, and the way back.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { denseNumbering, HOLE, labelOf } from '../../src/permissions/numbering.ts'
import { clock } from '../../src/scmi/clock.ts'
import { GROUP, pinControl } from '../../src/scmi/pin-control.ts'
import { spaceOf, spacesOf } from '../../src/scmi/space.ts'

const CLOCK = 0x14
const names = new Map([[CLOCK, ['avb', 'usb', 'usb-phy', '', 'sd', 'twin', 'twin', '#1']]])
const clocks = (...ids: number[]) => ids.map(id => ({ protocol: CLOCK, id }))
const numbered = (ids: readonly number[], order: readonly string[] = [], known = names) => {
  const { toFirmware, toGuest, labels } = denseNumbering(
    clocks(...ids),
    known,
    new Map([[CLOCK, order]]),
  ).get(CLOCK) as NonNullable<ReturnType<ReturnType<typeof denseNumbering>['get']>>
  return { toFirmware: [...toFirmware], toGuest: [...toGuest], labels }
}

test('a label is the name where that is one resource’s alone, else its number', () => {
  expect([0, 3, 5, 6, 7, 99].map(id => labelOf(names, CLOCK, id))).toEqual([
    'avb',
    '#3',
    '#5',
    '#6',
    '#7',
    '#99',
  ])
  expect(labelOf(names, 0x11, 0)).toBe('#0')
})

describe('the order', () => {
  test('without one: ascending by firmware id', () => {
    expect(numbered([4, 1, 2, 1])).toEqual({
      toFirmware: [1, 2, 4],
      toGuest: [HOLE, 0, 1, HOLE, 2],
      labels: ['usb', 'usb-phy', 'sd'],
    })
  })

  test('names decide; what they do not have comes behind', () => {
    expect(numbered([0, 1, 3, 4], ['sd', 'usb'])).toEqual({
      toFirmware: [4, 1, 0, 3],
      toGuest: [2, 1, HOLE, 3, 0],
      labels: ['sd', 'usb', 'avb', '#3'],
    })
  })

  test('firmware that numbers anew changes no guest id', () => {
    const anew = new Map([[CLOCK, ['sd', 'new', 'usb', 'avb']]])
    expect(numbered([3, 2, 0], ['avb', 'usb', 'sd'], anew).toFirmware).toEqual([3, 2, 0])
  })

  test('a name that is gone leaves a hole, and comes back into it', () => {
    const without = numbered([1, 4], ['usb', 'gone', 'sd'])
    expect(without.toFirmware).toEqual([1, HOLE, 4])
    expect(without.labels).toEqual(['usb', 'gone', 'sd'])
    const back = new Map([[CLOCK, ['gone', 'usb', 'sd']]])
    expect(numbered([0, 1, 2], without.labels, back).toFirmware).toEqual([1, 0, 2])
  })

  test('a name of what was not granted is a hole: names give no rights', () => {
    expect(numbered([1], ['avb', 'usb']).toFirmware).toEqual([HOLE, 1])
  })

  test('of a name that stands twice the first place counts', () => {
    expect(numbered([1], ['usb', 'usb']).toFirmware).toEqual([1, HOLE])
  })

  test('a number means the resource without a name of its own, or one that has got a name since', () => {
    expect(numbered([5, 6, 4], ['#6', '#4', '#5']).toFirmware).toEqual([6, 4, 5])
    expect(numbered([4], ['sd', '#4']).toFirmware).toEqual([4, HOLE])
    expect(numbered([4, 5], ['#5', '#4']).labels, 'which is kept from then on').toEqual(['#5', 'sd'])
    expect(numbered([4], ['#04', '#-4', '#', '#4.0']).toFirmware).toEqual([HOLE, HOLE, HOLE, HOLE, 4])
  })

  test('a space with an order and no resources is all holes', () => {
    expect(numbered([], ['avb', 'usb'])).toEqual({
      toFirmware: [HOLE, HOLE],
      toGuest: [],
      labels: ['avb', 'usb'],
    })
  })
})

test('namespaces of a protocol are numbered apart', () => {
  const found = denseNumbering(
    [
      { protocol: 0x19, id: 7 },
      { protocol: 0x19, id: 7, namespace: GROUP },
      { protocol: 0x19, id: 3, namespace: GROUP },
    ],
    new Map(),
  )
  expect([...found].map(([space, { toFirmware }]) => [space, [...toFirmware]])).toEqual([
    [0x019, [7]],
    [0x119, [3, 7]],
  ])
  expect(spacesOf(pinControl)).toEqual([0x019, 0x119, 0x219])
  expect(spacesOf(clock)).toEqual([spaceOf(0x14)])
})

const someNames = fc.array(fc.constantFrom('', 'a', 'b', 'c', 'd', 'e', '#0', '#1', '#2'), { maxLength: 12 })
property.prop([fc.uniqueArray(fc.nat(11), { maxLength: 12 }), someNames, someNames], {
  seed: 20,
  numRuns: 2000,
})(
  'every resource has exactly one guest id, and the tables are each other’s inverse',
  (ids, known, order) => {
    const { toFirmware, toGuest, labels } = numbered(ids, order, new Map([[CLOCK, known]]))
    expect(toFirmware.filter(id => id !== HOLE).sort()).toEqual([...ids].sort())
    for (const [guest, id] of toFirmware.entries())
      expect(labels[guest]).toBe(id === HOLE ? order[guest] : labelOf(new Map([[CLOCK, known]]), CLOCK, id))
    expect(labels).toHaveLength(toFirmware.length)
    for (const [guest, id] of toFirmware.entries()) if (id !== HOLE) expect(toGuest[id]).toBe(guest)
    for (const [id, guest] of toGuest.entries()) if (guest !== HOLE) expect(toFirmware[guest]).toBe(id)
  },
)

property.prop([fc.uniqueArray(fc.nat(11), { maxLength: 12 }), fc.nat(), someNames], {
  seed: 21,
  numRuns: 1000,
})('taking resources away and giving them back changes no guest id', (ids, taken, known) => {
  const list = new Map([[CLOCK, known]])
  const before = numbered(ids, [], list)
  const fewer = numbered(
    ids.filter((_, i) => ((taken >>> i) & 1) === 0),
    before.labels,
    list,
  )
  for (const [guest, id] of fewer.toFirmware.entries())
    if (id !== HOLE) expect(before.toFirmware[guest]).toBe(id)
  expect(numbered(ids, fewer.labels, list)).toEqual(before)
})
