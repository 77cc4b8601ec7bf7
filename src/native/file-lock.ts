// A lock file that one process at a time can have. The kernel gives it back however the process ends.
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs'
import { errorText, MediatorError } from '../errors.ts'
import { flock } from './libc.ts'

const LOCK_EX = 2
const LOCK_NB = 4

/** Held from `acquire` to `release`. */
export class FileLock {
  readonly #fd: number
  #held = true

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** The lock at `path` (0600, no symbolic link), with this process's id in the file; undefined while another has it. */
  static acquire(path: string): FileLock | undefined {
    let fd: number
    try {
      fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    } catch (error) {
      throw new MediatorError('SYSTEM', `${path}: ${errorText(error)}`, { path, cause: error })
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
      closeSync(fd)
      return undefined
    }
    ftruncateSync(fd)
    writeSync(fd, `${process.pid}\n`)
    return new FileLock(fd)
  }

  /** Gives the lock back; the file stays. Twice is once. */
  release(): void {
    if (!this.#held) return
    this.#held = false
    closeSync(this.#fd)
  }
}
