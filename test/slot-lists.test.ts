// The lists against plain arrays: any appends and removals leave the same slots in the same order.
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { noSlot, SlotLists } from '../src/slot-lists.ts'

const slots = 12
const states = 3
const step = fc.record({
  slot: fc.nat(slots - 1),
  state: fc.nat(states - 1),
  // Around the place where the words wrap, some of them equal.
  wait: fc.integer({ min: -6, max: 6 }),
})

test.prop([fc.array(step, { maxLength: 60 })], { seed: 1, numRuns: 500 })(
  'in order of what they wait for, first come first where it is the same',
  steps => {
    const lists = new SlotLists(slots, states)
    const model: { slot: number; wait: number }[][] = [[], [], []]
    for (const { slot, state, wait } of steps) {
      const place = model.findIndex(list => list.some(each => each.slot === slot))
      if (place >= 0) {
        lists.remove(slot)
        model[place] = (model[place] ?? []).filter(each => each.slot !== slot)
      } else {
        lists.append(slot, state, (0x7fff_ffff + wait) | 0)
        const list = model[state] ?? []
        const behind = list.findIndex(each => each.wait > wait)
        list.splice(behind < 0 ? list.length : behind, 0, { slot, wait })
      }
      for (const [index, list] of model.entries()) {
        const found: number[] = []
        for (let at = lists.first(index); at !== noSlot; at = lists.next(at)) found.push(at)
        expect(found).toEqual(list.map(each => each.slot))
        for (const each of found) expect(lists.state(each)).toBe(index)
        expect(found.map(each => lists.wait(each))).toEqual(list.map(each => (0x7fff_ffff + each.wait) | 0))
      }
    }
  },
)
