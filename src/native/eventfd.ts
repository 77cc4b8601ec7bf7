// Eventfds that come from somebody else: only what is one may be waited for or written to, for anything else could block.
import { readlinkSync } from 'node:fs'
import { setNonBlocking } from './libc.ts'

/** Whether `fd` is an eventfd. It is made non-blocking, for everyone who shares it: a write to it then never waits. */
export function acceptEventfd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]' && setNonBlocking(fd) >= 0
  } catch {
    return false
  }
}
