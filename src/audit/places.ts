// Walks the files of an audit log in the order of its chain, by inode, so that a rotation meanwhile leaves none out. It
// opens and closes; what the lines say is others' business.
import { type FileHandle, stat } from 'node:fs/promises'
import { MediatorError } from '../errors.ts'
import { auditFiles, openIfThere, rotatedNumber, rotatedNumbers, rotatedPath } from './files.ts'
import { LineReader } from './lines.ts'

/**
 * Every file of the log at `path`, from the oldest to the one that is the newest now, each closed when the next is asked
 * for; with `single` only the one named. Throws SYSTEM when there is none.
 */
export async function* places(path: string, single = false): AsyncGenerator<Place, void, void> {
  const newest = await stat(path).catch(() => undefined)
  let place = single ? await openPlace(path) : await openFirst(path, true)
  if (place === undefined) throw new MediatorError('SYSTEM', `${path}: no such audit log`, { path })
  try {
    while (place !== undefined) {
      yield place
      const { ino, dev } = await place.handle.stat()
      if (single || (ino === newest?.ino && dev === newest.dev)) return // what came later is not waited for
      const next: Place | undefined = await openSuccessor(path, place)
      await place.handle.close()
      place = next
    }
  } finally {
    await place?.handle.close()
  }
}

/** One file of a log, open, and how far it was read. Whoever has it closes its handle. */
export interface Place {
  file: string
  readonly handle: FileHandle
  readonly reader: LineReader
}

async function openPlace(file: string): Promise<Place | undefined> {
  const handle = await openIfThere(file)
  return handle && { file, handle, reader: new LineReader(handle) }
}

/** The oldest file of the log, or the newest; undefined when there is none. */
export async function openFirst(path: string, oldest: boolean): Promise<Place | undefined> {
  for (;;) {
    const file = oldest ? auditFiles(path)[0]! : path
    const place = await openPlace(file)
    if (place === undefined || !oldest || auditFiles(path)[0] === file) return place
    await place.handle.close() // rotated or removed meanwhile
  }
}

/** The file after `place`, once that was rotated out; undefined while it is the newest. Learns its new name. */
export async function successor(path: string, place: Place): Promise<string | undefined> {
  if (place.file === path) {
    const name = await nameNow(path, place.handle)
    if (name === path) return undefined
    if (name === undefined) return auditFiles(path)[0] // removed: the oldest that is left
    place.file = name
  }
  const number = rotatedNumber(path, place.file) ?? 0
  const next = rotatedNumbers(path).find(n => n > number)
  return next === undefined ? path : rotatedPath(path, next)
}

/** Opens the file after `place`; undefined when it is not there yet. */
export async function openSuccessor(path: string, place: Place): Promise<Place | undefined> {
  for (;;) {
    const file = await successor(path, place)
    const next = file === undefined ? undefined : await openPlace(file)
    // `path` alone could mean a later file, when it was rotated again between the two calls.
    if (next === undefined || (await successor(path, place)) === file) return next
    await next.handle.close()
  }
}

/** What a file that was opened as `path` is called now; undefined when it was removed. */
async function nameNow(path: string, handle: FileHandle): Promise<string | undefined> {
  const { ino, dev } = await handle.stat()
  for (const file of auditFiles(path).reverse()) {
    const status = await stat(file).catch(() => undefined)
    if (status?.ino === ino && status.dev === dev) return file
  }
  return undefined
}
