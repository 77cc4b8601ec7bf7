// src/running.ts: stopped in reverse, once, whatever fails; what starts late is stopped too.
import { expect, test } from 'vitest'
import { Running } from '../src/running.ts'

test('last first, each once', async () => {
  const running = new Running()
  const order: string[] = []
  for (const name of ['one', 'two', 'three']) running.add(() => order.push(name))
  await Promise.all([running.stop(), running.stop()])
  await running.stop()
  expect(order).toEqual(['three', 'two', 'one'])
})

test('a stop that fails keeps none of the others from it, and is told', async () => {
  const running = new Running()
  const order: string[] = []
  running.add(() => order.push('one'))
  running.add(async () => {
    throw new Error('two')
  })
  await expect(running.stop()).rejects.toThrow('two')
  expect(order).toEqual(['one'])
})

test('who starts something after the stop began is told so, and it is stopped', async () => {
  const running = new Running()
  await running.stop()
  let stopped = false
  expect(() =>
    running.add(() => {
      stopped = true
    }),
  ).toThrow('stopped while starting')
  await running.stop()
  expect(stopped).toBe(true)
})
