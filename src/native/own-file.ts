// A file of our own in memory: what is stored there outlives this process, though not the machine.
import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { errorText, MediatorError } from '../errors.ts'
import type { MappedMemory } from './mapped-memory.ts'

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants

/**
 * Puts the file at `path` into `window`, made and cut to `bytes` bytes; what it held stays, and what it did not hold is
 * zeros. SYSTEM when that cannot be, also for what is no regular file.
 */
export function attachOwnFile(window: MappedMemory, path: string, bytes: number): void {
  try {
    const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
    try {
      const fault = fill(fd, bytes) ?? window.attach(fd, bytes)
      if (fault !== undefined) throw new Error(fault)
    } finally {
      closeSync(fd)
    }
  } catch (cause) {
    throw new MediatorError('SYSTEM', `${path}: ${errorText(cause)}`, { path, cause })
  }
}

/** Writes the file up to `bytes`, so that every page is there: what a full disk refuses must not kill us later. */
function fill(fd: number, bytes: number): string | undefined {
  ftruncateSync(fd, bytes)
  const content = new Uint8Array(bytes)
  readSync(fd, content, 0, bytes, 0)
  return writeSync(fd, content, 0, bytes, 0) === bytes ? undefined : 'the disk is full'
}
