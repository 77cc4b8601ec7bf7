import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import {
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
} from '../../src/native/linux.ts'
import { MappedMemory } from '../../src/native/mapped-memory.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'

const open: number[] = []
afterEach(() => {
  for (const fd of open.splice(0)) libc.close(fd)
})

function memfd(bytes: number, seals: number): number {
  const fd = libc.memfdCreate('test', MFD_CLOEXEC | MFD_ALLOW_SEALING)
  open.push(fd)
  expect(fd).toBeGreaterThanOrEqual(0)
  expect(libc.ftruncate(fd, bytes)).toBe(0)
  if (seals !== 0) expect(libc.fcntl(fd, F_ADD_SEALS, seals)).toBe(0)
  return fd
}

/** What the file itself holds, read without any mapping. */
function fileWord(fd: number, offset: number): number {
  const memory = NativeMemory.allocate(64)
  expect(libc.pread(fd, memory.address, 4, offset)).toBe(4)
  const word = memory.words[0] ?? 0
  memory.release()
  return word
}

describe('MappedMemory', () => {
  test('shares bytes both ways with the file', () => {
    const fd = memfd(8192, F_SEAL_SHRINK)
    const window = new MappedMemory(8192)
    expect(window.words[5]).toBe(0)
    expect(window.attach(fd, 8192, { requireSealed: true })).toBeUndefined()
    expect(window.attached).toBe(8192)
    window.words[5] = 0xcafe
    expect(fileWord(fd, 20)).toBe(0xcafe)
    const memory = NativeMemory.allocate(64)
    memory.words[0] = 0xbeef
    expect(libc.pwrite(fd, memory.address, 4, 4096)).toBe(4)
    expect(window.words[1024]).toBe(0xbeef)
    memory.release()
    window.close()
  })

  test('a mapping from an offset begins there', () => {
    const fd = memfd(8192, F_SEAL_SHRINK)
    const window = new MappedMemory(4096)
    expect(window.attach(fd, 4096, { offset: 4096 })).toBeUndefined()
    window.words[0] = 0x1234
    expect(fileWord(fd, 4096)).toBe(0x1234)
    window.close()
  })

  test.each<[string, number, number, number, object, RegExp]>([
    ['unsealed', 4096, 0, 4096, { requireSealed: true }, /not sealed with F_SEAL_SHRINK/],
    ['sealed otherwise', 4096, F_SEAL_GROW, 4096, { requireSealed: true }, /not sealed with F_SEAL_SHRINK/],
    ['short', 4096, F_SEAL_SHRINK, 4100, {}, /holds 4096 bytes, not 4100/],
    ['short behind its offset', 4096, F_SEAL_SHRINK, 4, { offset: 4096 }, /holds 4096 bytes, not 4100/],
    ['empty', 0, F_SEAL_SHRINK, 4, {}, /holds 0 bytes/],
    ['sealed against writing', 4096, F_SEAL_SHRINK | F_SEAL_WRITE, 4096, {}, /mmap: EPERM/],
    ['asked for more than the window', 16384, F_SEAL_SHRINK, 12288, {}, /do not fit a window of 8192/],
    ['asked for nothing', 4096, F_SEAL_SHRINK, 0, {}, /do not fit/],
    ['asked at an odd offset', 8192, F_SEAL_SHRINK, 4096, { offset: 4 }, /not a multiple/],
  ])('refuses a file that is %s', (_what, bytes, seals, wanted, options, reason) => {
    const window = new MappedMemory(8192)
    expect(window.attach(memfd(bytes, seals), wanted, options)).toMatch(reason)
    expect(window.attached).toBe(0)
    expect(window.words[0]).toBe(0)
    window.close()
  })

  test('refuses what is no file', () => {
    const window = new MappedMemory(4096)
    const eventfd = libc.eventfd()
    open.push(eventfd)
    expect(window.attach(eventfd, 4096)).toMatch(/holds -1 bytes/)
    expect(window.attach(eventfd, 4096, { requireSealed: true })).toMatch(/not sealed/)
    expect(window.attach(-1, 4096)).toMatch(/holds -1 bytes/)
    expect(window.attach(987654, 4096, { requireSealed: true })).toMatch(/not sealed/)
    window.close()
  })

  test('stale views read zero after detach and after close, and harm nobody when written', () => {
    const fd = memfd(4096, F_SEAL_SHRINK)
    const window = new MappedMemory(4096)
    const stale = window.words
    expect(window.attach(fd, 4096)).toBeUndefined()
    stale[3] = 77
    window.detach()
    expect(stale[3]).toBe(0)
    stale[3] = 78
    expect(fileWord(fd, 12)).toBe(77)
    expect(window.attach(fd, 4096)).toBeUndefined()
    expect(stale[3]).toBe(77)
    window.close()
    window.close()
    expect(stale[3]).toBe(0)
    expect(window.attach(fd, 4096)).toBe('the window is closed')
  })

  test('a smaller file in the place of a larger leaves nothing of the larger', () => {
    const window = new MappedMemory(8192)
    const large = memfd(8192, F_SEAL_SHRINK)
    expect(window.attach(large, 8192)).toBeUndefined()
    window.words[1024] = 5
    expect(window.attach(memfd(4096, F_SEAL_SHRINK), 4096)).toBeUndefined()
    expect(window.words[1024]).toBe(0)
    window.close()
  })

  test('a thousand windows and files leave no more mappings than one', () => {
    const mappings = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length
    const cycle = () => {
      const window = new MappedMemory(65536)
      const fd = memfd(65536, F_SEAL_SHRINK)
      expect(window.attach(fd, 65536)).toBeUndefined()
      window.bytes[65535] = 1
      window.close()
      for (const opened of open.splice(0)) libc.close(opened)
    }
    for (let i = 0; i < 1000; i++) cycle() // until node's own heap and code have grown
    const before = mappings()
    for (let i = 0; i < 1000; i++) cycle()
    expect(mappings()).toBeLessThan(before + 20)
  })

  test('a window that cannot be is an error', () => {
    expect(() => new MappedMemory(0)).toThrow(/a memory window of 0 bytes/)
    expect(() => new MappedMemory(2 ** 32 + 4)).toThrow(/a memory window/)
    expect(() => new MappedMemory(6)).toThrow(/a memory window/)
  })
})
