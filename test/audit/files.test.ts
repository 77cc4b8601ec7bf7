import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { auditFiles, rotatedNumber, rotatedPath } from '../../src/audit/files.ts'
import { temporaryFolder } from './temporary.ts'

test.each([
  ['/var/log/scmid/audit.jsonl', 12, '/var/log/scmid/audit.12.jsonl'],
  ['audit', 1, 'audit.1'],
  ['/a.b/audit', 1, '/a.b/audit.1'],
])('%s rotated out as number %i is %s', (path, number, expected) => {
  expect(rotatedPath(path, number)).toBe(expected)
  expect(rotatedNumber(path, expected)).toBe(number)
})

test.each([
  'audit.jsonl',
  'audit.01.jsonl',
  'audit.0.jsonl',
  'audit.-1.jsonl',
  'audit.1.jsonl.torn-1',
  'audit.1.json',
  'other.1.jsonl',
])('%s is no rotated file of audit.jsonl', name =>
  expect(rotatedNumber('/x/audit.jsonl', `/x/${name}`)).toBeUndefined(),
)

test('files come in the order of the chain: by number, not by name', () => {
  const folder = temporaryFolder()
  for (const name of ['audit.10.jsonl', 'audit.9.jsonl', 'audit.jsonl.torn-1', 'other.jsonl'])
    writeFileSync(join(folder, name), '')
  const path = join(folder, 'audit.jsonl')
  expect(auditFiles(path)).toEqual([join(folder, 'audit.9.jsonl'), join(folder, 'audit.10.jsonl'), path])
  expect(auditFiles('/none/at/all/audit.jsonl')).toEqual(['/none/at/all/audit.jsonl'])
})
