// Follows an audit log as it grows, across its rotations, like `tail -F`. It looks at the file at intervals.
import { type FileHandle, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { auditFiles, openIfThere } from './files.ts'
import { LineReader } from './lines.ts'
import { type AuditFilter, matches, recordOf } from './query.ts'
import type { AuditRecord } from './record.ts'

export interface FollowOptions {
  /** Ends the following. */
  readonly signal: AbortSignal
  /** Where to begin: with the whole log, or with what is written from now on. Default `now`. */
  readonly from?: 'start' | 'now'
  /** Milliseconds between looks at the file. Default 100. */
  readonly pollMs?: number
  readonly onBroken?: (path: string, line: number, text: string) => void
}

/**
 * Records as they are written, like `tail -F`: goes on across rotations, none twice, none left out; waits when there
 * is no file yet. Ends when the signal is aborted.
 */
export async function* followAudit(
  path: string,
  filter: AuditFilter,
  options: FollowOptions,
): AsyncGenerator<AuditRecord, void, void> {
  const { signal, pollMs = 100 } = options
  let place = await openFirst(path, options.from === 'start')
  let old = options.from !== 'start' // what is in the file already
  try {
    while (!signal.aborted) {
      if (place !== undefined) {
        // Asked before the lines are read: a file that was rotated out by now is complete once they have been.
        const rotated = (await successor(path, place.handle)) !== undefined
        await place.reader.forgetCutOff()
        for await (const bytes of place.reader.lines()) {
          if (old) continue
          const record = recordOf(bytes, place.file, place.reader.line, options.onBroken)
          if (record === undefined || !matches(record, filter)) continue
          yield record
          if (signal.aborted) return
        }
        old = false
        if (rotated) {
          const next = await openSuccessor(path, place.handle)
          if (next !== undefined) {
            await place.handle.close()
            place = next
            continue
          }
        }
      }
      old = false // with no log yet, whatever comes is new
      await sleep(pollMs, undefined, { signal }).catch(() => undefined)
      place ??= await openFirst(path, true)
    }
  } finally {
    await place?.handle.close()
  }
}

/** Where a follower reads. */
interface Place {
  readonly file: string
  readonly handle: FileHandle
  readonly reader: LineReader
}

async function openPlace(file: string): Promise<Place | undefined> {
  const handle = await openIfThere(file)
  return handle && { file, handle, reader: new LineReader(handle) }
}

async function openFirst(path: string, oldest: boolean): Promise<Place | undefined> {
  for (;;) {
    const file = oldest ? auditFiles(path)[0]! : path
    const place = await openPlace(file)
    if (place === undefined || !oldest || auditFiles(path)[0] === file) return place
    await place.handle.close() // rotated or removed meanwhile
  }
}

/** The file after the one that `handle` is, once that was rotated out; undefined while it is the newest. */
async function successor(path: string, handle: FileHandle): Promise<string | undefined> {
  const { ino, dev } = await handle.stat()
  const files = auditFiles(path)
  for (let i = files.length - 1; i >= 0; i--) {
    const status = await stat(files[i]!).catch(() => undefined)
    if (status?.ino === ino && status.dev === dev) return files[i + 1]
  }
  return files[0] // ours was removed: the oldest that is left
}

/** Opens the file after `handle`'s; undefined when it is not there yet. */
async function openSuccessor(path: string, handle: FileHandle): Promise<Place | undefined> {
  for (;;) {
    const file = await successor(path, handle)
    const place = file === undefined ? undefined : await openPlace(file)
    // The name alone could mean a later file, when it was rotated again between the two calls.
    if (place === undefined || (await successor(path, handle)) === file) return place
    await place.handle.close()
  }
}
