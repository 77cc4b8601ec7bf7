// Guests with ids of their own over one platform: what they are told does not depend on how the platform numbers its
// resources, on what others have, or on what others do; and what comes by the way back is under their own ids.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import type { LabelOrder } from '../../src/permissions/numbering.ts'
import { exampleText, frameOf, headerWord, Machine, type MemoryGuest, statusOf, wordsOf } from './machine.ts'
import { anyFrame } from './traffic.ts'

/** Devices of the observer (avb, sdhi0, gpu, i2c2 with the codec), and of the other (usb0, adc, canfd). */
const mine = [0, 2, 4, 5]
const theirs = [1, 6, 7]

interface Listed {
  id: number
  name: string
  parents?: number[]
  [key: string]: unknown
}
type Doc = Record<string, Record<string, Listed[]>> & { devices: Record<string, number[]>[] }

/** The example platform with the resources of every protocol in another order, so under other ids. */
function renumbered(order: <T>(list: readonly T[]) => T[]): string {
  const doc = parse(exampleText) as Doc
  for (const [key, kind] of [
    ['power', 'domains'],
    ['performance', 'domains'],
    ['clock', 'clocks'],
    ['sensor', 'sensors'],
    ['reset', 'domains'],
    ['voltage', 'domains'],
  ] as const) {
    const list = order((doc[key] as Record<string, Listed[]>)[kind] as Listed[])
    const now = new Map(list.map(({ id }, at) => [id, at]))
    for (const device of doc.devices)
      if (device[key] !== undefined) device[key] = device[key].map(id => now.get(id) as number)
    for (const each of list)
      if (each.parents !== undefined) each.parents = each.parents.map(id => now.get(id) as number)
    ;(doc[key] as Record<string, Listed[]>)[kind] = list.map((each, id) => ({ ...each, id }))
  }
  return stringify(doc)
}
const platforms = [
  exampleText,
  renumbered(list => [...list].reverse()),
  renumbered(list => [...list.slice(3), ...list.slice(0, 3)]),
]
const machineOf = (text: string) => new Machine({ edit: () => text, hostDevices: [] })
const factsOf = await Promise.all(
  platforms.map(async text => {
    const machine = machineOf(text)
    const facts = await machine.facts()
    machine.stop()
    return facts
  }),
)
/** Labels of the guests' first numbering: the order for every platform. */
function orderOf(devices: readonly number[]): LabelOrder {
  const machine = machineOf(exampleText)
  const facts = factsOf[0] as NonNullable<(typeof factsOf)[0]>
  const { dense } = machine.dense(facts, devices)
  machine.stop()
  return new Map(
    (dense?.toPlatform ?? []).flatMap((table, space) =>
      table === undefined
        ? []
        : [[space, Array.from(table, id => facts.names.get(space)?.[id] as string)] as const],
    ),
  )
}
const [myOrder, theirOrder] = [orderOf(mine), orderOf(theirs)]

function guestsOn(platform: number): [Machine, MemoryGuest, MemoryGuest] {
  const machine = machineOf(platforms[platform] as string)
  const facts = factsOf[platform] as NonNullable<(typeof factsOf)[0]>
  const a = machine.guest([], { grants: machine.dense(facts, mine, myOrder), name: 'observer' })
  const b = machine.guest([], { grants: machine.dense(facts, theirs, theirOrder), name: 'other' })
  machine.takeTapped()
  return [machine, a, b]
}

const steps = fc.array(fc.tuple(fc.boolean(), anyFrame), { minLength: 1, maxLength: 60 })

property.prop([steps, fc.constantFrom(1, 2), fc.boolean()], { seed: 31, numRuns: 30 })(
  'answers are the same however the firmware numbers, and whatever the other guest does',
  (sent, platform, alone) => {
    const [one, a] = guestsOn(0)
    const [other, c, d] = guestsOn(platform)
    const b = one.guests[1] as MemoryGuest
    for (const [who, frame] of sent) {
      if (who) expect(wordsOf(c.ask(frame))).toEqual(wordsOf(a.ask(frame)))
      else {
        // On one platform the other guest is silent, or does the same as on the other.
        d.ask(frame)
        if (!alone) b.ask(frame)
      }
    }
    for (const guest of [a, b, c, d]) expect(guest.faults).toEqual([])
    one.stop()
    other.stop()
  },
)

/** Where a command names its resource: payload words, from the standard's tables. */
const second = new Set([0x1104, 0x1405])
const whole = (message: number): boolean => (message & 0xff) <= 2

property.prop([steps], { seed: 32, numRuns: 30 })(
  'the platform hears of nothing outside the sender’s devices, by its own ids',
  sent => {
    const [machine, a, b] = guestsOn(2)
    for (const [who, frame] of sent) {
      const answer = (who ? a : b).ask(frame)
      const held = machine.resources(who ? mine : theirs)
      for (const { words } of machine.takeTapped()) {
        const header = words[0] as number
        const message = (((header >>> 10) & 0xff) << 8) | (header & 0xff)
        expect([0x10, 0x12, 0x18], 'no such message is forwarded').not.toContain(message >>> 8)
        expect(statusOf(answer)).not.toBe(-10)
        if (whole(message)) continue
        const id = words[second.has(message) ? 2 : 1]
        const owns = (each: number | undefined) =>
          held.some(({ protocol, id: one }) => protocol === message >>> 8 && one === each)
        expect(owns(id), `0x${message.toString(16)} of ${id}`).toBe(true)
        if (message === 0x140d) expect(owns(words[2])).toBe(true)
      }
    }
    machine.stop()
  },
)

describe('the way back', () => {
  const delivered = (guest: MemoryGuest): number[][] => guest.delivered.splice(0).map(wordsOf)
  const withWay = (guest: MemoryGuest): MemoryGuest => Object.assign(guest, { hasP2A: true, room: 100 })
  const [POWER_STATE_CHANGED, RATE_CHANGED] = [headerWord(0x1100, 0, 3), headerWord(0x1400, 0, 3)]
  const at = (order: LabelOrder, space: number, name: string) => order.get(space)?.indexOf(name) as number

  test('notifications come under the guest’s own ids, to each its own', () => {
    const [machine, a, b] = guestsOn(1)
    for (const guest of [a, b]) withWay(guest)
    const [sdhi, canI2c] = [at(myOrder, 0x11, 'sdhi'), at(myOrder, 0x11, 'can-i2c')]
    const other = at(theirOrder, 0x11, 'can-i2c')
    expect(canI2c).not.toBe(other)
    for (const id of [sdhi, canI2c]) expect(a.status(0x1106, id, 1)).toBe(0)
    expect(b.status(0x1106, other, 1)).toBe(0)
    expect(a.status(0x1104, 0, sdhi, 0)).toBe(0)
    expect(delivered(a)).toEqual([[POWER_STATE_CHANGED, 1, sdhi, 0]])
    expect(delivered(b)).toEqual([])
    // A power domain that both have, under different ids; each is told by its own.
    expect(a.status(0x1104, 0, canI2c, 0)).toBe(0)
    expect([delivered(a), delivered(b)]).toEqual([
      [[POWER_STATE_CHANGED, 1, canI2c, 0]],
      [[POWER_STATE_CHANGED, 0, other, 0]],
    ])
    expect(a.status(0x1106, canI2c, 0)).toBe(0)
    machine.stop()
  })

  test('rates too; and what a guest has lost it no longer hears of', () => {
    const [machine, a] = guestsOn(2)
    withWay(a)
    const clock = at(myOrder, 0x14, 'sd0')
    expect(a.status(0x1409, clock, 1)).toBe(0)
    expect(a.status(0x1405, 0, clock, 100_000_000, 0)).toBe(0)
    expect(delivered(a)).toEqual([[RATE_CHANGED, 1, clock, 100_000_000, 0]])
    const facts = factsOf[2] as NonNullable<(typeof factsOf)[0]>
    machine.execute({ type: 'grants', slot: 0, grants: machine.dense(facts, [0, 4, 5], myOrder) })
    const id = facts.names.get(0x14)?.indexOf('sd0') as number
    machine.execute({ type: 'request', channel: 0, frame: frameOf(headerWord(0x1405), 0, id, 50_000_000, 0) })
    expect(delivered(a)).toEqual([])
    expect(a.words(0x1403, clock).slice(0, 2), 'its number is a hole').toEqual([0, 0])
    machine.execute({ type: 'grants', slot: 0, grants: machine.dense(facts, mine, myOrder) })
    expect(a.words(0x1406, clock)).toEqual([0, 50_000_000, 0])
    machine.stop()
  })

  test('delayed responses come under the id that was asked with', () => {
    const text = exampleText.replace(
      '- { id: 0, name: gpu-temp, type: 2,',
      '- { id: 0, name: gpu-temp, async: { messages: 0 }, type: 2,',
    )
    const machine = machineOf(text)
    const swapped = {
      counts: machine.counts,
      versions: machine.versions,
      names: new Map([[0x15, ['', 'adc', 'gpu']]]),
      lists: new Map(),
    }
    // Device 7 has sensor 1, device 5 sensor 0: the order says that the guest counts them the other way round.
    const a = machine.guest([], {
      grants: machine.dense(swapped, [5, 7], new Map([[0x15, ['adc', '#0']]])),
    })
    withWay(a)
    const ticket = a.send(frameOf(headerWord(0x1506, 0x77), 1, 1))
    expect(wordsOf(a.answers[ticket] as Uint8Array)[1]).toBe(0)
    for (let i = 0; i < 5; i++) machine.step()
    const [response] = delivered(a)
    expect(response?.slice(0, 3)).toEqual([headerWord(0x1506, 0x77, 2), 0, 1])
    machine.stop()
  })
})
