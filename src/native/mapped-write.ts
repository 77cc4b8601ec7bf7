// Writes to mapped memory by the kernel's hand: where a page cannot be had, it says so instead of raising SIGBUS.
import { processVmWrite } from './libc.ts'
import { NativeMemory } from './native-memory.ts'

/** Two struct iovec: from where, to where. Lives as long as its thread. */
const vectors = NativeMemory.allocate(64)
const vectorBytes = 16

function put(word: number, address: number, length: number): void {
  vectors.words[word] = address % 2 ** 32
  vectors.words[word + 1] = Math.floor(address / 2 ** 32)
  vectors.words[word + 2] = length
  vectors.words[word + 3] = 0
}

/** Copies `length` bytes, below 4 GiB, of our memory at `from` to mapped memory at `to`; false when not all could be. */
export function writeMapped(to: number, from: number, length: number): boolean {
  put(0, from, length)
  put(4, to, length)
  return processVmWrite(process.pid, vectors.address, vectors.address + vectorBytes) === length
}
