// Reads an audit log for people: filtered, oldest first, lazily. It does not prove the chain; verify.ts does.
import { MediatorError } from '../errors.ts'
import { checkLine } from './chain.ts'
import type { Decision } from './decision.ts'
import { places } from './places.ts'
import type { AuditRecord, RecordKind } from './record.ts'

/** Which records are asked for; every condition given must hold. */
export interface AuditFilter {
  readonly domain?: string
  readonly decision?: Decision
  readonly kind?: RecordKind
  readonly protocol?: number
  /** Earliest and latest time, milliseconds since 1970, both included; `parseWhen` makes them of text. */
  readonly since?: number
  readonly until?: number
}

export interface QueryOptions {
  /** Stop after this many records. */
  readonly limit?: number
  /** Told of a line that does not hold; without it such a line throws AUDIT_BROKEN. */
  readonly onBroken?: (path: string, line: number, text: string) => void
}

const units: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * A moment in milliseconds since 1970, from ISO 8601 (`2026-01-31`, `2026-01-31T12:00Z`) or from an age (`30s`, `10m`,
 * `2h`, `1d`) before `now`. Throws CONFIG_INVALID on anything else.
 */
export function parseWhen(text: string, now: number = Date.now()): number {
  const age = /^(\d{1,9})([smhd])$/.exec(text)
  if (age !== null) return now - Number(age[1]) * units[age[2]!]!
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time))
    throw new MediatorError('CONFIG_INVALID', `"${text}" is no time: an age as in 10m, 2h, 1d, or ISO 8601`)
  return time
}

/** Whether a record is asked for. */
export function matches(record: AuditRecord, filter: AuditFilter): boolean {
  if (filter.domain !== undefined && record.domain !== filter.domain) return false
  if (filter.decision !== undefined && record.decision !== filter.decision) return false
  if (filter.kind !== undefined && record.kind !== filter.kind) return false
  if (filter.protocol !== undefined && record.protocol !== filter.protocol) return false
  if (filter.since === undefined && filter.until === undefined) return true
  const time = Date.parse(record.time)
  return (
    time >= (filter.since ?? Number.NEGATIVE_INFINITY) && time <= (filter.until ?? Number.POSITIVE_INFINITY)
  )
}

/**
 * The records of the log at `path`, rotated files first, that pass the filter. A file that was last written before
 * `since` is not opened. Throws SYSTEM when there is no log, AUDIT_BROKEN at a line that does not hold.
 */
export async function* queryAudit(
  path: string,
  filter: AuditFilter = {},
  options: QueryOptions = {},
): AsyncGenerator<AuditRecord, void, void> {
  const limit = options.limit ?? Number.POSITIVE_INFINITY
  let given = 0
  for await (const { file, handle, reader } of places(path)) {
    if (filter.since !== undefined && (await handle.stat()).mtimeMs < filter.since) continue
    for await (const bytes of reader.lines()) {
      if (given >= limit) return
      const record = recordOf(bytes, file, reader.line, options.onBroken)
      if (record === undefined || !matches(record, filter)) continue
      given++
      yield record
    }
  }
}

/** The newest `count` records that pass the filter, oldest first. */
export async function lastRecords(
  path: string,
  count: number,
  filter: AuditFilter = {},
  options: QueryOptions = {},
): Promise<AuditRecord[]> {
  const kept: AuditRecord[] = []
  for await (const record of queryAudit(path, filter, options)) {
    kept.push(record)
    if (kept.length > count) kept.shift()
  }
  return kept
}

/** The record that a line holds; undefined once `onBroken` was told that it does not. */
export function recordOf(
  bytes: Buffer,
  path: string,
  line: number,
  onBroken: QueryOptions['onBroken'],
): AuditRecord | undefined {
  const checked = checkLine(bytes)
  if (checked.ok) return checked.record as AuditRecord
  if (onBroken === undefined)
    throw new MediatorError('AUDIT_BROKEN', `${path}:${line}: ${checked.text}`, { path })
  onBroken(path, line, checked.text)
  return undefined
}
