// src/lifecycle/transaction.ts: what is undone, what is pressed on with, who waits for whom.
import { describe, expect, test } from 'vitest'
import { pressOn, Turnstile, transaction } from '../../src/lifecycle/transaction.ts'

const throwing = (text: string) => () => {
  throw new Error(text)
}

describe('a transaction', () => {
  test('undoes nothing when all goes well', async () => {
    const done: string[] = []
    expect(
      await transaction(async undo => {
        undo(() => void done.push('undone'))
        return 7
      }, throwing('no fault')),
    ).toBe(7)
    expect(done).toEqual([])
  })

  test('undoes last first, waits for each, goes on when one fails, and throws the first fault', async () => {
    const done: string[] = []
    const faults: unknown[] = []
    const steps = transaction(
      async undo => {
        undo(() => void done.push('first'))
        undo(async () => {
          await new Promise(resolve => setTimeout(resolve, 5))
          done.push('second')
          throw new Error('while undoing')
        })
        undo(() => void done.push('third'))
        throw new Error('the fault')
      },
      fault => faults.push(fault),
    )
    await expect(steps).rejects.toThrow('the fault')
    expect(done).toEqual(['third', 'second', 'first'])
    expect(faults).toEqual([new Error('while undoing')])
  })
})

test('what is pressed on with is all done, in order; the first fault is thrown', async () => {
  const done: string[] = []
  const steps = pressOn([
    throwing('one'),
    async () => {
      await new Promise(resolve => setTimeout(resolve, 5))
      done.push('two')
    },
    throwing('three'),
    () => void done.push('four'),
  ])
  await expect(steps).rejects.toThrow('one')
  expect(done).toEqual(['two', 'four'])
})

test('one at a time, in the order of arrival, also after a fault', async () => {
  const turnstile = new Turnstile()
  const order: string[] = []
  const slow =
    (name: string, ms: number, fails = false) =>
    async () => {
      order.push(`${name} in`)
      await new Promise(resolve => setTimeout(resolve, ms))
      order.push(`${name} out`)
      if (fails) throw new Error(name)
      return name
    }
  const turns = [
    turnstile.pass(slow('a', 8, true)),
    turnstile.pass(slow('b', 1)),
    turnstile.pass(slow('c', 4)),
  ]
  expect((await Promise.allSettled(turns)).map(({ status }) => status)).toEqual([
    'rejected',
    'fulfilled',
    'fulfilled',
  ])
  expect(order).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out'])
})
