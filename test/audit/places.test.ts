import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { rotatedPath } from '../../src/audit/files.ts'
import { AuditLog } from '../../src/audit/log.ts'
import { openFirst, openSuccessor, places, successor } from '../../src/audit/places.ts'
import { temporaryFolder } from './temporary.ts'

/** A log that is rotated at every record, with `records` in it. */
function makeLog(records: number): { path: string; log: AuditLog } {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, maxBytes: 1, sync: 'none' })
  for (let i = 0; i < records; i++) log.append({ kind: 'grant' })
  return { path, log }
}

test('the newest file has no successor, until it is rotated out, which tells its name', async () => {
  const { path, log } = makeLog(1)
  const place = (await openFirst(path, false))!
  expect(await successor(path, place)).toBeUndefined()
  log.append({ kind: 'grant' })
  expect([await successor(path, place), place.file]).toEqual([path, rotatedPath(path, 1)])
  log.append({ kind: 'grant' })
  expect(await successor(path, place)).toBe(rotatedPath(path, 2))
  await place.handle.close()
})

test('a rotation between asking for the next file and opening it leaves none out', async () => {
  const { path, log } = makeLog(2)
  const place = (await openFirst(path, true))!
  expect(place.file).toBe(rotatedPath(path, 1))
  const opening = openSuccessor(path, place) // has found that `path` is next, and not opened it yet
  log.append({ kind: 'grant' })
  const next = (await opening)!
  expect(next.file).toBe(rotatedPath(path, 2))
  await place.handle.close()
  await next.handle.close()
})

test('after a removed file comes the next that is left', async () => {
  const { path } = makeLog(5)
  const place = (await openFirst(path, true))!
  for (const number of [1, 2]) rmSync(rotatedPath(path, number))
  expect(await successor(path, place)).toBe(rotatedPath(path, 3))
  await place.handle.close()
})

test('a walk ends at the file that was the newest when it began', async () => {
  const { path, log } = makeLog(3)
  const files: string[] = []
  for await (const place of places(path)) {
    files.push(place.file)
    log.append({ kind: 'grant' }) // rotates
  }
  expect(files).toEqual([rotatedPath(path, 1), rotatedPath(path, 2), rotatedPath(path, 3)])
})
