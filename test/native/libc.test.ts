import { describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import {
  CLOCK_MONOTONIC,
  EAGAIN,
  EBADF,
  EPOLLIN,
  errnoName,
  F_GETFL,
  F_SETFL,
  O_NONBLOCK,
} from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { socketPair } from '../../src/native/unix-socket.ts'

describe('libc', () => {
  test.each([
    [2, 'ENOENT'],
    [-11, 'EAGAIN'],
    [104, 'ECONNRESET'],
    [4095, '4095'],
  ])('errno %i is called %s', (errno, name) => {
    expect(errnoName(errno)).toBe(name)
  })

  test.each<[string, () => number]>([
    ['accept4', () => libc.accept4(-1, 0)],
    ['recv', () => libc.recv(-1, 0, 0, 0)],
    ['send', () => libc.send(-1, 0, 0, 0)],
    ['recvmsg', () => libc.recvmsg(-1, 0, 0)],
    ['sendmsg', () => libc.sendmsg(-1, 0, 0)],
    ['read', () => libc.read(-1, 0, 0)],
    ['pread', () => libc.pread(-1, 0, 0, 0)],
    ['pwrite', () => libc.pwrite(-1, 0, 0, 0)],
    ['close', () => libc.close(-1)],
    ['shutdown', () => libc.shutdown(-1, 2)],
    ['listen', () => libc.listen(-1, 1)],
    ['fcntl', () => libc.fcntl(-1, F_GETFL, 0)],
    ['setNonBlocking', () => libc.setNonBlocking(-1)],
    ['ftruncate', () => libc.ftruncate(-1, 0)],
    ['epollWait', () => libc.epollWait(-1, 1, 1, 0)],
    ['timerfdSettime', () => libc.timerfdSettime(-1, 0, NativeMemory.allocate(64).address)],
  ])('%s of no file gives -EBADF', (_name, call) => {
    expect(call()).toBe(-EBADF)
  })

  test('setNonBlocking makes a read return at once', () => {
    const [a, b] = socketPair('stream')
    const memory = NativeMemory.allocate(64)
    libc.fcntl(a, F_SETFL, 0)
    expect(libc.fcntl(a, F_GETFL, 0) & O_NONBLOCK).toBe(0)
    expect(libc.setNonBlocking(a)).toBe(0)
    expect(libc.read(a, memory.address, 1)).toBe(-EAGAIN)
    memory.release()
    libc.close(a)
    libc.close(b)
  })

  test('a timer file fires in a reactor', () => {
    const reactor = new Reactor(() => {})
    const timer = libc.timerfdCreate(CLOCK_MONOTONIC)
    const memory = NativeMemory.allocate(64)
    memory.words.set([0, 0, 0, 0, 0, 0, 5_000_000, 0]) // struct itimerspec: no interval, first after 5 ms
    expect(libc.timerfdSettime(timer, 0, memory.address)).toBe(0)
    let fired = 0
    reactor.add(timer, EPOLLIN, {
      ready: () => {
        fired++
        libc.read(timer, memory.address + 32, 8)
      },
    })
    reactor.step(1000)
    expect(fired).toBe(1)
    expect(memory.words[8]).toBe(1)
    expect(reactor.step(0)).toBe(0)
    reactor.close()
    libc.close(timer)
    memory.release()
  })

  test('memory can be mapped and unmapped', () => {
    const address = libc.mmap(0, 4096, 3, 0x22, -1, 0)
    expect(address).toBeGreaterThan(0)
    expect(new Uint8Array(libc.viewMemory(address, 4096))[4095]).toBe(0)
    expect(libc.munmap(address, 4096)).toBe(0)
    expect(libc.mmap(0, 4096, 3, 0x1, -1, 0)).toBe(-EBADF)
  })
})
