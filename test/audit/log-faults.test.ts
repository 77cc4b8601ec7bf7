// Faults of the machine that no test can provoke for real: the system's answers are replaced, our code is not.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { rotatedPath } from '../../src/audit/files.ts'
import { AuditLog } from '../../src/audit/log.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { temporaryFolder } from './temporary.ts'

const faults = vi.hoisted(() => ({ failing: '' }))
vi.mock('node:fs', async importOriginal => {
  const fs = await importOriginal<typeof import('node:fs')>()
  const faulty = <F extends (...args: never[]) => unknown>(name: string, call: F) =>
    ((...args) => {
      if (faults.failing === name) throw Object.assign(new Error(`EIO: ${name}`), { code: 'EIO' })
      return call(...args)
    }) as F
  return {
    ...fs,
    fdatasyncSync: faulty('fdatasync', fs.fdatasyncSync),
    openSync: faulty('open', fs.openSync as (path: string) => number),
  }
})
afterEach(() => {
  faults.failing = ''
})

test('what could not be forced to the disk is taken back: the error means that nothing was recorded', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, sync: 'management' })
  log.append({ kind: 'start' })
  const before = { head: log.head, bytes: readFileSync(path) }
  faults.failing = 'fdatasync'
  expect(() => log.append({ kind: 'grant', domain: 'a' })).toThrow('audit fdatasync failed: EIO')
  expect({ head: log.head, bytes: readFileSync(path) }).toEqual(before)
  expect(log.append({ kind: 'message', domain: 'a' }), 'messages are not forced').toBe(2)
  faults.failing = ''
  expect(log.append({ kind: 'grant', domain: 'a' })).toBe(3)
  expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 3 })
})

test('when a new file cannot be opened, the old one keeps its name and is still written', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path, maxBytes: 300 })
  log.append({ kind: 'start' })
  faults.failing = 'open'
  expect(() => log.append({ kind: 'grant', domain: 'a' })).toThrow('audit rotate failed: EIO')
  expect(existsSync(rotatedPath(path, 1))).toBe(false)
  faults.failing = ''
  expect(log.append({ kind: 'grant', domain: 'a' })).toBe(2)
  expect(existsSync(rotatedPath(path, 1))).toBe(true)
  expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 2 })
})
