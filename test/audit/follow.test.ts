import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { auditFiles } from '../../src/audit/files.ts'
import { type FollowOptions, followAudit } from '../../src/audit/follow.ts'
import { AuditLog } from '../../src/audit/log.ts'
import type { AuditFilter } from '../../src/audit/query.ts'
import { temporaryFolder } from './temporary.ts'

/** Follows until `count` records came; the sequences, and whether the follower then ended as told. */
function follow(path: string, count: number, filter: AuditFilter = {}, options: Partial<FollowOptions> = {}) {
  const stop = new AbortController()
  const sequences: number[] = []
  const done = (async () => {
    for await (const record of followAudit(path, filter, { signal: stop.signal, pollMs: 2, ...options })) {
      sequences.push(record.sequence)
      if (sequences.length === count) stop.abort()
    }
  })()
  return { sequences, done, stop }
}

const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i)

test('gives what is written from now on, as it is written', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path })
  log.append({ kind: 'start' })
  const follower = follow(path, 2)
  await sleep(50)
  log.append({ kind: 'grant' })
  await sleep(50)
  expect(follower.sequences).toEqual([2])
  log.append({ kind: 'stop' })
  await follower.done
  expect(follower.sequences).toEqual([2, 3])
})

test('from the start, with a filter', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, maxBytes: 300 })
  for (const domain of ['a', 'b', 'a', 'b']) log.append({ kind: 'grant', domain })
  const follower = follow(path, 3, { domain: 'b' }, { from: 'start' })
  log.append({ kind: 'revoke', domain: 'b' })
  await follower.done
  expect(follower.sequences).toEqual([2, 4, 5])
})

test.each([
  ['every record', 1],
  ['several records', 1000],
])('goes on when the log is rotated after %s', async (_, maxBytes) => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, maxBytes, sync: 'none' })
  log.append({ kind: 'start' })
  const follower = follow(path, 199)
  await sleep(20)
  for (let i = 2; i <= 200; i++) {
    log.append({ kind: 'grant' })
    if (i % 7 === 0)
      await sleep(i % 3) // sometimes several rotations between two looks,
    else if (i % 2 === 0) await nextTurn() // sometimes one in the middle of a look
  }
  await follower.done
  expect(auditFiles(path).length).toBeGreaterThan(10)
  expect(follower.sequences).toEqual(upTo(200, 2))
})

test('goes on with the oldest that is left, when files are removed', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, maxBytes: 1, keep: 1, sync: 'none' })
  log.append({ kind: 'start' })
  const follower = follow(path, 2, {}, { pollMs: 200 })
  await sleep(50)
  for (let i = 2; i <= 9; i++) log.append({ kind: 'grant' })
  await follower.done
  expect(follower.sequences).toEqual([8, 9])
})

test('waits for a log that is not there yet, and for the rest of a line', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'audit.jsonl')
  const source = join(folder, 'source.jsonl')
  const log = new AuditLog({ path: source })
  for (let i = 0; i < 3; i++) log.append({ kind: 'grant' })
  const bytes = readFileSync(source)
  const follower = follow(path, 3)
  await sleep(30)
  writeFileSync(path, bytes.subarray(0, 10))
  for (let at = 10; at < bytes.length; at += 50) {
    await sleep(4)
    appendFileSync(path, bytes.subarray(at, at + 50))
  }
  await follower.done
  expect(follower.sequences).toEqual([1, 2, 3])
})

test('a torn line that recovery takes away is forgotten', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  new AuditLog({ path }).append({ kind: 'start' })
  const follower = follow(path, 2)
  await sleep(30)
  const size = readFileSync(path).length
  appendFileSync(path, 'x'.repeat(20))
  await sleep(30)
  truncateSync(path, size)
  await sleep(30)
  const log = new AuditLog({ path })
  log.append({ kind: 'grant' })
  log.append({ kind: 'grant' })
  await follower.done
  expect(follower.sequences).toEqual([2, 3])
})

test('ends at once when told, even while it waits', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const follower = follow(path, 1, {}, { pollMs: 60_000 })
  await sleep(20)
  follower.stop.abort()
  await follower.done
  expect(follower.sequences).toEqual([])
})
