import { readdirSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, MSG_NOSIGNAL } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { socketPair } from '../../src/native/unix-socket.ts'
import { collectionsOf } from './no-garbage.ts'

let reactor: Reactor
let faults: unknown[]
let fds: number[]
const scratch = NativeMemory.allocate(64)
beforeEach(() => {
  faults = []
  fds = []
  reactor = new Reactor((_source, error) => faults.push(error))
})
afterEach(() => {
  reactor.close()
  reactor.close()
  for (const fd of fds) libc.close(fd)
})
const pair = (): [number, number] => {
  const ends = socketPair('seqpacket')
  fds.push(...ends)
  return ends
}
const say = (fd: number) => expect(libc.send(fd, scratch.address, 8, MSG_NOSIGNAL)).toBe(8)
const hear = (fd: number) => libc.recv(fd, scratch.address, 64, 0)

describe('sources', () => {
  test('are called with the events they have, while they have them', () => {
    const [a, b] = pair()
    const seen: number[] = []
    reactor.add(b, EPOLLIN, { ready: events => seen.push(events) })
    expect(reactor.step(0)).toBe(0)
    say(a)
    expect(reactor.step(0)).toBe(1)
    expect(reactor.step(0)).toBe(1)
    hear(b)
    expect(reactor.step(0)).toBe(0)
    reactor.modify(b, EPOLLIN | EPOLLOUT)
    expect(reactor.step(0)).toBe(1)
    expect(seen).toEqual([EPOLLIN, EPOLLIN, EPOLLOUT])
  })

  test('with EPOLLET are called once per edge, unread or not', () => {
    const bell = libc.eventfd()
    fds.push(bell)
    let rung = 0
    reactor.add(bell, EPOLLIN | EPOLLET, { ready: () => rung++ })
    for (let i = 0; i < 3; i++) {
      Reactor.wake(bell)
      expect(reactor.step(0)).toBe(1)
      expect(reactor.step(0)).toBe(0)
    }
    expect(rung).toBe(3)
  })

  test('that are removed hear nothing more, not even of this round', () => {
    const pairs = [pair(), pair()]
    let calls = 0
    for (const [, b] of pairs)
      reactor.add(b, EPOLLIN, {
        ready: () => {
          calls++
          for (const [, other] of pairs) reactor.remove(other)
        },
      })
    for (const [a] of pairs) say(a)
    expect(reactor.step(0)).toBe(1)
    expect(reactor.step(0)).toBe(0)
    expect(calls).toBe(1)
    reactor.remove(12345)
  })

  test('that take the place of a removed one in the same round get none of its events', () => {
    const [a, first] = pair()
    const [c, second] = pair()
    const [, third] = pair()
    const called: string[] = []
    const replace = (name: string, other: number) => ({
      ready: () => {
        called.push(name)
        reactor.remove(other)
        reactor.add(third, EPOLLIN, { ready: () => called.push('third') })
      },
    })
    reactor.add(first, EPOLLIN, replace('first', second))
    reactor.add(second, EPOLLIN, replace('second', first))
    say(a)
    say(c)
    reactor.step(0)
    expect(called.length).toBe(1)
    expect(['first', 'second']).toContain(called[0])
  })

  test('that throw are reported, and the others of the round go on', () => {
    const pairs = [pair(), pair(), pair()]
    const called: number[] = []
    pairs.forEach(([a, b], i) => {
      reactor.add(b, EPOLLIN, {
        ready: () => {
          hear(b)
          called.push(i)
          if (i === 1) throw new Error('broken handler')
        },
      })
      say(a)
    })
    expect(reactor.step(0)).toBe(3)
    expect(called.sort()).toEqual([0, 1, 2])
    expect(faults).toEqual([new Error('broken handler')])
  })

  test('that throw are told so themselves, and may throw again without harm', () => {
    const [a, b] = pair()
    const told: unknown[] = []
    reactor.add(b, EPOLLIN, {
      ready: () => {
        hear(b)
        throw new Error('first')
      },
      faulted: error => {
        told.push(error)
        throw new Error('second')
      },
    })
    say(a)
    reactor.step(0)
    expect(told).toEqual([new Error('first')])
    expect(faults).toEqual([new Error('first'), new Error('second')])
  })

  test('that ask for another turn get it without a wait, after others had theirs', () => {
    const [a, b] = pair()
    const [c, d] = pair()
    const called: string[] = []
    let left = 3
    reactor.add(b, EPOLLIN | EPOLLET, {
      ready: events => {
        called.push(`b${events}`)
        if (--left > 0) {
          reactor.again(b)
          reactor.again(b)
        }
      },
    })
    reactor.add(d, EPOLLIN, {
      ready: () => {
        hear(d)
        called.push('d')
      },
    })
    say(a)
    reactor.step(0)
    say(c)
    reactor.step(-1)
    reactor.step(-1)
    expect(reactor.step(0)).toBe(0)
    expect(called).toEqual(['b1', 'b0', 'd', 'b0'])
  })

  test('another turn does not pass to the next owner of the slot', () => {
    const ends = Array.from({ length: 40 }, pair)
    let stray = 0
    for (const [, b] of ends) {
      reactor.add(b, EPOLLIN, { ready: () => {} })
      reactor.again(b)
    }
    for (const [, b] of ends) reactor.remove(b)
    for (const [, b] of ends) reactor.add(b, EPOLLIN, { ready: () => stray++ })
    expect(reactor.step(0)).toBe(0)
    expect(stray).toBe(0)
  })

  test('many at once all have their turn', () => {
    const ends = Array.from({ length: 200 }, pair)
    const heard = new Set<number>()
    for (const [a, b] of ends) {
      reactor.add(b, EPOLLIN, {
        ready: () => {
          hear(b)
          heard.add(b)
        },
      })
      say(a)
    }
    let rounds = 0
    while (heard.size < 200 && rounds < 10) {
      reactor.step(0)
      rounds++
    }
    expect(heard.size).toBe(200)
    expect(rounds).toBeLessThanOrEqual(4)
  })

  test('cannot be added twice, nor on what cannot be watched', () => {
    const [, b] = pair()
    reactor.add(b, EPOLLIN, { ready: () => {} })
    expect(() => reactor.add(b, EPOLLIN, { ready: () => {} })).toThrow(/watched already/)
    expect(() => reactor.add(-1, EPOLLIN, { ready: () => {} })).toThrow(/EBADF/)
    expect(reactor.sourceCount).toBe(3)
  })

  test('hear of a closed peer', () => {
    const [a, b] = socketPair('seqpacket')
    fds.push(b)
    let seen = 0
    reactor.add(b, EPOLLIN, {
      ready: events => {
        seen = events
      },
    })
    libc.close(a)
    reactor.step(0)
    expect(seen & EPOLLHUP).toBe(EPOLLHUP)
  })
})

describe('time', () => {
  test('is refreshed once per round, wraps as a signed number, and knows the wall clock', () => {
    reactor.step(0)
    const before = reactor.now
    expect(reactor.now).toBe(before)
    reactor.step(20)
    const passed = (reactor.now - before) | 0
    expect(passed).toBeGreaterThanOrEqual(19_000)
    expect(passed).toBeLessThan(2_000_000)
    expect(Math.abs((reactor.clock[0] ?? 0) / 1000 - Date.now())).toBeLessThan(150)
    expect((reactor.clock[1] ?? 0) | 0).toBe(reactor.now)
  })

  test('timers fire once when due, shorten the wait, and can be set again and cleared', () => {
    const fired: string[] = []
    const first = reactor.timer({ expired: () => fired.push('first') })
    const second = reactor.timer({ expired: () => fired.push('second') })
    reactor.step(0)
    first.set(10)
    second.set(5000)
    const began = reactor.now
    reactor.step(-1)
    if (fired.length === 0) reactor.step(-1)
    expect(fired).toEqual(['first'])
    expect((reactor.now - began) | 0).toBeGreaterThanOrEqual(10_000)
    reactor.step(0)
    expect(fired).toEqual(['first'])
    second.set(0)
    reactor.step(-1)
    expect(fired).toEqual(['first', 'second'])
    first.set(0)
    first.clear()
    first.clear()
    expect(first.isSet).toBe(false)
    reactor.step(5)
    expect(fired.length).toBe(2)
  })

  test('of many timers each fires in its time, whichever are cleared meanwhile', () => {
    const fired: number[] = []
    const timers = Array.from({ length: 20 }, (_, i) => reactor.timer({ expired: () => fired.push(i) }))
    reactor.step(0)
    timers.forEach((timer, i) => {
      timer.set(i % 2 === 0 ? 0 : 60_000)
    })
    timers[4]?.clear()
    timers[7]?.set(0)
    reactor.step(-1)
    expect(fired.sort((a, b) => a - b)).toEqual([0, 2, 6, 7, 8, 10, 12, 14, 16, 18])
    expect(timers.filter(timer => timer.isSet).length).toBe(9)
  })

  test('a timer that sets itself anew for now lets the round end', () => {
    let fired = 0
    const timer = reactor.timer({
      expired: () => {
        fired++
        timer.set(0)
      },
    })
    timer.set(0)
    reactor.step(0)
    expect(fired).toBe(1)
    reactor.step(-1)
    expect(fired).toBe(2)
  })

  test('a timer that throws is a fault like any other', () => {
    const timer = reactor.timer({
      expired: () => {
        throw new Error('late')
      },
    })
    timer.set(0)
    reactor.step(0)
    reactor.step(0)
    expect(faults).toEqual([new Error('late')])
  })
})

describe('other threads', () => {
  test('wake a reactor that waits for ever, and it stops within milliseconds', () => {
    const worker = new Worker(
      `const fs = require('node:fs'); const { workerData } = require('node:worker_threads')
       setTimeout(() => fs.writeSync(workerData, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0])), 30)`,
      { eval: true, workerData: reactor.wakeFd },
    )
    let woken = 0
    reactor.onWake = () => {
      woken++
      reactor.stop()
    }
    reactor.run()
    expect(woken).toBe(1)
    return worker.terminate()
  })

  test('a wake before the wait is not lost', () => {
    let woken = 0
    reactor.onWake = () => woken++
    Reactor.wake(reactor.wakeFd)
    Reactor.wake(reactor.wakeFd)
    reactor.step(-1)
    expect(woken).toBe(1)
    expect(reactor.step(0)).toBe(0)
  })
})

test('a signal does not break the wait', () => {
  const handler = () => {}
  process.on('SIGUSR2', handler)
  const sent = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads')
     setTimeout(() => { process.kill(process.pid, 'SIGUSR2'); Atomics.store(workerData, 0, 1) }, 20)`,
    { eval: true, workerData: sent },
  )
  expect(() => {
    for (let i = 0; i < 100 && Atomics.load(sent, 0) === 0; i++) reactor.step(100)
    reactor.step(0)
  }).not.toThrow()
  expect(Atomics.load(sent, 0)).toBe(1)
  process.off('SIGUSR2', handler)
  return worker.terminate()
})

test('half a million rounds with a message and a set timer collect no garbage', async () => {
  const [a, b] = pair()
  reactor.add(b, EPOLLIN, {
    ready: () => {
      hear(b)
    },
  })
  const timer = reactor.timer({ expired: () => {} })
  let sum = 0
  const work = (times: number) => {
    for (let i = 0; i < times; i++) {
      libc.send(a, scratch.address, 8, MSG_NOSIGNAL)
      timer.set(30)
      sum += reactor.step(0)
    }
  }
  expect(await collectionsOf(work, 5e5)).toBe(0)
  expect(sum).toBe(5.5e5)
})

test('a thousand reactors leave no descriptor behind', () => {
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for (let i = 0; i < 1000; i++) new Reactor(() => {}).close()
  expect(open()).toBe(before)
})
