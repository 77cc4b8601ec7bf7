// A reactor that looks for events before it sleeps does what one does that sleeps at once.
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { EPOLLET, EPOLLIN } from '../../src/native/linux.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { collectionsOf } from './no-garbage.ts'

const fail = (_source: unknown, error: unknown): void => {
  throw error
}
const open: Reactor[] = []
const spinning = (micros: number): Reactor => {
  const reactor = new Reactor(fail, micros)
  open.push(reactor)
  return reactor
}
afterEach(() => {
  for (const reactor of open.splice(0)) reactor.close()
})

test('what is there is handled, and nothing twice; a wait that nothing ends comes to its end', () => {
  const reactor = spinning(100)
  const bell = libc.eventfd()
  let rung = 0
  reactor.add(bell, EPOLLIN | EPOLLET, { ready: () => rung++ })
  for (let i = 1; i <= 1000; i++) {
    Reactor.wake(bell)
    expect(reactor.step(-1)).toBe(1)
    expect(rung).toBe(i)
  }
  for (let i = 0; i < 50; i++) expect(reactor.step(1)).toBe(0)
  expect(rung).toBe(1000)
  reactor.remove(bell)
  libc.close(bell)
})

test('a timer goes off while events are looked for, and the clock goes on', () => {
  const reactor = spinning(1000)
  let last = reactor.now
  let times = 0
  const timer = reactor.timer({
    expired: now => {
      expect((now - last) | 0).toBeGreaterThanOrEqual(200)
      last = now
      if (++times < 100) timer.set(0.2)
    },
  })
  timer.set(0.2)
  while (times < 100) reactor.step(-1)
  expect(timer.isSet).toBe(false)
})

test('another thread is heard, however it and the look meet', async () => {
  const reactor = spinning(50)
  const heard = libc.eventfd()
  const rounds = 20_000
  // Answers each wake of the reactor with one of its own: a guest on another CPU, or on this one.
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { load } = require('koffi')
    const lib = load(null)
    const read = lib.func('read', 'intptr_t', ['int', '_Out_ uint64_t *', 'size_t'])
    const write = lib.func('write', 'intptr_t', ['int', 'uint64_t *', 'size_t'])
    const poll = lib.func('poll', 'int', ['_Inout_ uint64_t *', 'ulong', 'int'])
    for (let left = workerData.rounds; left > 0; left--) {
      write(workerData.wakeFd, [1], 8)
      while (read(workerData.heard, [0], 8) < 0) poll([BigInt(workerData.heard) | (1n << 32n)], 1, 1000)
    }
    parentPort.postMessage('done')
  `
  let woken = 0
  reactor.onWake = () => {
    woken++
    Reactor.wake(heard)
  }
  const other = new Worker(code, { eval: true, workerData: { wakeFd: reactor.wakeFd, heard, rounds } })
  const done = new Promise(resolve => other.once('message', resolve))
  while (woken < rounds) reactor.step(1000)
  expect(await done).toBe('done')
  expect(woken).toBe(rounds)
  libc.close(heard)
})

test('looking collects no garbage', async () => {
  const reactor = spinning(2)
  expect(
    await collectionsOf(times => {
      for (let i = 0; i < times; i++) {
        Reactor.wake(reactor.wakeFd)
        reactor.step(-1)
      }
    }, 200_000),
  ).toBe(0)
})
