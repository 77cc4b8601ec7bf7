// src/mediator/in-flight.ts: when no message judged by former grants is under way any more.
import { fc, test as property } from '@fast-check/vitest'
import { expect, test } from 'vitest'
import { InFlight } from '../../src/mediator/in-flight.ts'

test('nothing under way: at once', () => {
  let done = 0
  new InFlight().whenQuiet(() => done++)
  expect(done).toBe(1)
})

test('what comes after the change is not waited for', () => {
  const inFlight = new InFlight()
  const before = inFlight.begin()
  let done = 0
  inFlight.whenQuiet(() => done++)
  const after = inFlight.begin()
  expect(done).toBe(0)
  inFlight.end(before)
  expect(done).toBe(1)
  inFlight.end(after)
  expect(done).toBe(1)
})

test('changes wait for one another, and what they call may change again', () => {
  const inFlight = new InFlight()
  const order: string[] = []
  const first = inFlight.begin()
  inFlight.whenQuiet(() => {
    order.push('first')
    inFlight.whenQuiet(() => order.push('third'))
  })
  const second = inFlight.begin()
  inFlight.whenQuiet(() => order.push('second'))
  expect(order).toEqual([])
  inFlight.end(first)
  expect(order).toEqual(['first'])
  inFlight.end(second)
  expect(order).toEqual(['first', 'second', 'third'])
})

property.prop([fc.array(fc.nat(9), { maxLength: 100 })], { seed: 2, numRuns: 2000 })(
  'each change is told once, in order, and never while a message of before it is under way',
  steps => {
    const inFlight = new InFlight()
    /** Changes asked for when the message went out, and its epoch. */
    const out: { changes: number; epoch: number }[] = []
    const told: number[] = []
    let asked = 0
    for (const step of steps) {
      if (step < 4) out.push({ changes: asked, epoch: inFlight.begin() })
      else if (step < 8) {
        const [message] = out.splice(step % Math.max(1, out.length), 1)
        if (message !== undefined) inFlight.end(message.epoch)
      } else {
        const change = asked++
        inFlight.whenQuiet(() => {
          told.push(change)
          expect(out.some(({ changes }) => changes <= change)).toBe(false)
        })
      }
    }
    for (const { epoch } of out.splice(0)) inFlight.end(epoch)
    expect(told).toEqual(Array.from({ length: asked }, (_, i) => i))
  },
)
