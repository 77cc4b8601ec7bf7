import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rotatedPath } from '../../src/audit/files.ts'
import { AuditLog } from '../../src/audit/log.ts'
import { type AuditFilter, lastRecords, parseWhen, queryAudit } from '../../src/audit/query.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { temporaryFolder } from './temporary.ts'

const minute = (n: number) => `2026-01-31T12:${String(n).padStart(2, '0')}:00.000000Z`

/** Seven records, one a minute, in files of about two. */
function makeLog(): string {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, maxBytes: 600, sync: 'none' })
  log.append({ time: minute(0), kind: 'start' })
  log.append({ time: minute(1), kind: 'grant', domain: 'a', device: 3 })
  log.append({ time: minute(2), kind: 'message', domain: 'a', protocol: 0x14, decision: 'allowed' })
  log.append({ time: minute(3), kind: 'message', domain: 'a', protocol: 0x11, decision: 'denied' })
  log.append({ time: minute(4), kind: 'message', domain: 'b', protocol: 0x14, decision: 'denied' })
  log.append({ time: minute(5), kind: 'lost', domain: 'b', count: 4 })
  log.append({ time: minute(6), kind: 'stop' })
  log.close()
  return path
}

async function all(records: AsyncIterable<AuditRecord>): Promise<number[]> {
  const sequences: number[] = []
  for await (const record of records) sequences.push(record.sequence)
  return sequences
}

const at = (n: number) => Date.parse(minute(n))

test.each<[AuditFilter, number[], string]>([
  [{}, [1, 2, 3, 4, 5, 6, 7], 'everything, across files, in order'],
  [{ domain: 'a' }, [2, 3, 4], 'of one domain'],
  [{ domain: 'c' }, [], 'of a domain that has none'],
  [{ decision: 'denied' }, [4, 5], 'denials'],
  [{ decision: 'denied', domain: 'b' }, [5], 'both must hold'],
  [{ kind: 'grant' }, [2], 'of one kind'],
  [{ protocol: 0x14 }, [3, 5], 'of one protocol'],
  [{ since: at(4) }, [5, 6, 7], 'since, included'],
  [{ until: at(2) }, [1, 2, 3], 'until, included'],
  [{ since: at(1), until: at(4), kind: 'message' }, [3, 4, 5], 'a span'],
])('%j gives %j: %s', async (filter, sequences) => {
  expect(await all(queryAudit(makeLog(), filter))).toEqual(sequences)
})

test('a limit ends the reading, a tail is the newest', async () => {
  const path = makeLog()
  expect(await all(queryAudit(path, {}, { limit: 3 }))).toEqual([1, 2, 3])
  expect((await lastRecords(path, 2, { kind: 'message' })).map(record => record.sequence)).toEqual([4, 5])
  expect(await lastRecords(path, 0)).toEqual([])
})

test('a file last written before since is not opened', async () => {
  const path = makeLog()
  const first = rotatedPath(path, 1)
  writeFileSync(first, 'this would be AUDIT_BROKEN\n')
  utimesSync(first, new Date(at(0)), new Date(at(1)))
  expect(await all(queryAudit(path, { since: at(4) }))).toEqual([5, 6, 7])
})

test('a line that does not hold is an error, or told and passed over', async () => {
  const path = makeLog()
  const second = rotatedPath(path, 1)
  writeFileSync(second, readFileSync(second, 'utf8').replace('"grant"', '"stork"'))
  await expect(all(queryAudit(path))).rejects.toMatchObject({ code: 'AUDIT_BROKEN', path: second })
  const told: unknown[] = []
  const onBroken = (...fault: unknown[]) => void told.push(fault)
  expect(await all(queryAudit(path, {}, { onBroken }))).toEqual([1, 3, 4, 5, 6, 7])
  expect(told).toEqual([[second, 2, expect.stringContaining('does not match')]])
})

test('no log at all is an error', async () => {
  await expect(all(queryAudit(join(temporaryFolder(), 'audit.jsonl')))).rejects.toMatchObject({
    code: 'SYSTEM',
  })
})

describe('parseWhen', () => {
  const now = Date.parse('2026-01-31T12:00:00Z')
  test.each([
    ['30s', now - 30_000],
    ['10m', now - 600_000],
    ['2h', now - 7_200_000],
    ['1d', now - 86_400_000],
    ['2026-01-31', Date.parse('2026-01-31T00:00:00Z')],
    ['2026-01-31T11:00:00.000001Z', now - 3_600_000],
  ])('%s', (text, expected) => expect(parseWhen(text, now)).toBe(expected))

  test.each(['', 'yesterday', '10', '10y', '-1h', '1.5h', '5', '2026-13-01', '2026'])(
    '%j is refused',
    text => {
      expect(() => parseWhen(text, now)).toThrow('is no time')
    },
  )
})
