import { describe, expect, test } from 'vitest'
import { clockGettime, read, write } from '../../src/native/libc.ts'
import { CLOCK_MONOTONIC } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { collectionsOf } from './no-garbage.ts'

describe('NativeMemory', () => {
  test.each([
    [1, 64, 'never less than a cache line'],
    [64, 64, 'a size class exactly'],
    [65, 128, 'rounded up to the next class'],
    [5000, 8192, 'more than a page'],
    [100 * 1024 * 1024, 128 * 1024 * 1024, 'more than a whole region'],
  ])('%i bytes take %i: %s', (wanted, size) => {
    const memory = NativeMemory.allocate(wanted)
    expect(memory.size).toBe(size)
    expect(memory.bytes.length).toBe(size)
    expect(memory.address % Math.min(size, 4096)).toBe(0)
    memory.bytes[size - 1] = 7
    expect(memory.bytes[size - 1]).toBe(7)
    memory.release()
  })

  test('lies below 2 GiB, where V8 needs no heap number for an address', () => {
    const memory = NativeMemory.allocate(64)
    expect(memory.address).toBeGreaterThan(0)
    expect(memory.address + memory.size).toBeLessThan(2 ** 31)
    memory.release()
  })

  test('what is released comes back zeroed, and never twice at once', () => {
    const first = NativeMemory.allocate(256)
    first.bytes.fill(0xff)
    first.release()
    first.release()
    const second = NativeMemory.allocate(256)
    const third = NativeMemory.allocate(256)
    expect(second.address).toBe(first.address)
    expect(third.address).not.toBe(second.address)
    expect(second.bytes.every(byte => byte === 0)).toBe(true)
    second.release()
    third.release()
  })

  test('a million calls with addresses from fields, and sums of them, collect no garbage', async () => {
    const memory = NativeMemory.allocate(128)
    const holder = { memory }
    let failed = 0
    const work = (times: number) => {
      for (let i = 0; i < times; i++)
        if (clockGettime(CLOCK_MONOTONIC, holder.memory.address + 64) !== 0) failed++
    }
    expect(await collectionsOf(work, 1e6)).toBe(0)
    expect(failed).toBe(0)
    expect(memory.words[16]).toBeGreaterThan(0)
    memory.release()
  })

  test('calls that fail give -errno', () => {
    const memory = NativeMemory.allocate(64)
    expect(read(-1, memory.address, 8)).toBe(-9)
    expect(write(-1, memory.address, 8)).toBe(-9)
    expect(clockGettime(12345, memory.address)).toBe(-22)
    memory.release()
  })
})
