// Waiting for a file descriptor that node cannot watch (a character device) without holding up the thread that asks.
//
// Each wait takes one of node's pool threads for as long as it lasts, and the process cannot end before it returns: wait
// briefly and again.
import { load } from 'koffi'
import { NativeMemory } from './native-memory.ts'

export const POLLIN = 1
export const POLLOUT = 4

const lib = load(null)
const poll = lib.func('poll', 'int', ['uintptr_t', 'ulong', 'int'])

/**
 * Resolves with the POLL bits that came, 0 after `timeoutMs` or when nothing can be told. The fd must stay open until then.
 */
export function waitFor(fd: number, events: number, timeoutMs: number): Promise<number> {
  const memory = NativeMemory.allocate(8) // struct pollfd: int fd; short events; short revents
  memory.words[0] = fd
  memory.words[1] = events
  return new Promise(resolve => {
    poll.async(memory.address, 1, timeoutMs, (error: unknown, result: number) => {
      const came = error === null && result > 0 ? (memory.words[1] ?? 0) >>> 16 : 0
      memory.release()
      resolve(came)
    })
  })
}
