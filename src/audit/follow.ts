// Follows an audit log as it grows, across its rotations, like `tail -F`. It looks at the file at intervals.
import { setTimeout as sleep } from 'node:timers/promises'
import { openFirst, openSuccessor, successor } from './places.ts'
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
        const rotated = (await successor(path, place)) !== undefined
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
          const next = await openSuccessor(path, place)
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
