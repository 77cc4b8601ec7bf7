// A file that is replaced whole: whoever reads it finds the former content or the new one, over a power failure too.
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorText, MediatorError } from '../errors.ts'

/**
 * Replaces the file at `path`, for its owner alone; on the disk when this returns. When it throws SYSTEM, the former file
 * may still be there.
 */
export function replaceFile(path: string, content: string): void {
  const temporary = `${path}.new`
  try {
    const fd = openSync(temporary, 'w', 0o600)
    try {
      writeFileSync(fd, content) // a single write may take less, on a disk that fills up
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
    syncFolder(dirname(path)) // else a power failure may bring the former one back
  } catch (cause) {
    try {
      rmSync(temporary, { force: true })
    } catch {
      // what is in the way is told by the error at hand
    }
    throw new MediatorError('SYSTEM', `${path}: ${errorText(cause)}`, { path, cause })
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
