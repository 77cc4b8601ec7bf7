import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fc, test } from '@fast-check/vitest'
import { afterAll, describe, expect } from 'vitest'
import { genesis, sealLine } from '../../src/audit/chain.ts'
import { auditFiles, rotatedPath } from '../../src/audit/files.ts'
import { AuditLog } from '../../src/audit/log.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { temporaryFolder } from './temporary.ts'

function write(path: string, records: number, maxBytes = 1 << 20): AuditLog {
  const log = new AuditLog({ path, maxBytes, sync: 'none' })
  for (let i = 0; i < records; i++) log.append({ kind: 'grant', domain: 'guest-\u00e9', device: i })
  return log
}

function makeLog(records: number, maxBytes?: number): { path: string; log: AuditLog } {
  const path = join(temporaryFolder(), 'audit.jsonl')
  return { path, log: write(path, records, maxBytes) }
}

describe('one changed byte is found in its line', () => {
  test.each([
    [0x01, 'the lowest bit'],
    [0x20, 'capitals for small letters'],
    [0x80, 'no longer UTF-8'],
  ])('any byte, XOR %i: %s', async (mask, _) => {
    const { path } = makeLog(3)
    const whole = readFileSync(path)
    let line = 1
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole)
      bytes[at] = bytes[at]! ^ mask
      writeFileSync(path, bytes)
      const result = await verifyAudit(path)
      expect([at, result.chain, result.line, result.records]).toEqual([at, 'broken', line, line - 1])
      if (whole[at] === 10) line++
    }
    writeFileSync(path, whole)
    expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 3, path })
  })

  const folder = mkdtempSync(join(tmpdir(), 'audit-test-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'audit.jsonl')
  write(path, 8, 700).close()
  const files = auditFiles(path).map(file => ({ file, bytes: readFileSync(file) }))
  const places = files.flatMap(({ file, bytes }) => Array.from(bytes, (_, at) => ({ file, bytes, at })))

  test.prop([fc.constantFrom(...places), fc.integer({ min: 1, max: 255 })], { seed: 1, numRuns: 1000 })(
    'any byte of a log of several files, to any other value',
    async ({ file, bytes, at }, mask) => {
      const changed = Buffer.from(bytes)
      changed[at] = changed[at]! ^ mask
      writeFileSync(file, changed)
      const line = bytes.subarray(0, at).toString('latin1').split('\n').length
      const result = await verifyAudit(path).finally(() => writeFileSync(file, bytes))
      expect(result).toMatchObject({ chain: 'broken', path: file, line })
    },
  )
})

describe('what else is found', () => {
  test('a removed line, by the one that follows it', async () => {
    const { path } = makeLog(4)
    const lines = readFileSync(path, 'utf8').split('\n')
    writeFileSync(path, lines.filter((_, i) => i !== 1).join('\n'))
    expect(await verifyAudit(path)).toMatchObject({
      chain: 'broken',
      line: 2,
      text: 'sequence 3 follows 1: records are missing',
    })
  })

  test('two lines that changed places', async () => {
    const { path } = makeLog(4)
    const [a, b, c, d] = readFileSync(path, 'utf8').split('\n')
    writeFileSync(path, `${[a, c, b, d].join('\n')}\n`)
    expect(await verifyAudit(path)).toMatchObject({ chain: 'broken', line: 2, records: 1 })
  })

  test('a line written anew with a good hash, by the line that follows it', async () => {
    const { path } = makeLog(3)
    const lines = readFileSync(path, 'utf8').split('\n')
    const { hash: _, ...record } = JSON.parse(lines[1]!)
    lines[1] = sealLine(JSON.stringify({ ...record, domain: 'guest-b' })).line
    writeFileSync(path, lines.join('\n'))
    expect(await verifyAudit(path)).toMatchObject({
      chain: 'broken',
      line: 3,
      text: 'its prev is not the hash of record 2: the line before was replaced',
    })
  })

  test('a first record that claims something before it', async () => {
    const { path } = makeLog(0)
    writeFileSync(path, `${sealLine(`{"sequence":1,"prev":"${genesis.replace('0', '1')}"}`).line}\n`)
    expect(await verifyAudit(path)).toMatchObject({ chain: 'broken', line: 1 })
  })

  test('a torn last line', async () => {
    const { path } = makeLog(2)
    appendFileSync(path, '{"time":"2026')
    const result = await verifyAudit(path)
    expect(result).toMatchObject({ chain: 'broken', line: 3, records: 2 })
    expect(result.text).toBe('torn: 13 bytes without a line feed at the end of the file')
  })

  test('a line beyond every size, without reading it all', async () => {
    const { path } = makeLog(1)
    appendFileSync(path, 'x'.repeat(3 << 20))
    expect(await verifyAudit(path)).toMatchObject({
      chain: 'broken',
      line: 2,
      text: 'longer than 1048576 bytes',
    })
  })

  test('an empty line', async () => {
    const { path } = makeLog(2)
    appendFileSync(path, '\n')
    expect(await verifyAudit(path)).toMatchObject({ chain: 'broken', line: 3 })
  })

  test('a missing file between others', async () => {
    const { path } = makeLog(10, 500)
    rmSync(rotatedPath(path, 2))
    const result = await verifyAudit(path)
    expect(result).toMatchObject({ chain: 'broken', path: rotatedPath(path, 3), line: 1 })
    expect(result.text).toContain('records are missing')
  })

  test('two files that changed names', async () => {
    const { path } = makeLog(10, 500)
    renameSync(rotatedPath(path, 2), `${path}.tmp`)
    renameSync(rotatedPath(path, 3), rotatedPath(path, 2))
    renameSync(`${path}.tmp`, rotatedPath(path, 3))
    expect(await verifyAudit(path)).toMatchObject({ chain: 'broken', path: rotatedPath(path, 2), line: 1 })
  })

  test('an end that was cut off, when the head is known', async () => {
    const { path, log } = makeLog(3)
    const lines = readFileSync(path, 'utf8').split('\n')
    writeFileSync(path, `${lines.slice(0, 2).join('\n')}\n`)
    expect(await verifyAudit(path), 'a chain alone cannot tell').toMatchObject({ chain: 'ok', records: 2 })
    const result = await verifyAudit(path, { expected: log.head })
    expect(result).toMatchObject({ chain: 'broken', line: 3, records: 2 })
    expect(result.text).toContain('the end was cut off')
  })

  test('a last line written anew, when the head is known', async () => {
    const { path, log } = makeLog(1)
    const { hash: _, ...record } = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, `${sealLine(JSON.stringify({ ...record, domain: 'guest-b' })).line}\n`)
    expect(await verifyAudit(path, { expected: log.head })).toMatchObject({
      chain: 'broken',
      line: 1,
      records: 0,
    })
  })
})

test('one rotated file can be verified by itself', async () => {
  const { path } = makeLog(10, 500)
  const file = rotatedPath(path, 3)
  const first = JSON.parse(readFileSync(file, 'utf8').split('\n')[0]!).sequence
  expect(await verifyAudit(file, { single: true })).toMatchObject({ chain: 'ok', path: file, first })
})

test('an empty log is whole; none at all is an error', async () => {
  const { path } = makeLog(0)
  expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 0, first: 0 })
  await expect(verifyAudit(`${path}.none`)).rejects.toMatchObject({ code: 'SYSTEM' })
})

test('a log that is being written and rotated verifies all the while', async () => {
  const { path, log } = makeLog(1, 4000)
  let writing = true
  const writer = (async () => {
    while (writing) {
      for (let i = 0; i < 5; i++) log.append({ kind: 'message', message: 'CLOCK_RATE_SET' })
      await sleep(1)
    }
  })()
  try {
    let records = 0
    while (records < 1500) {
      const result = await verifyAudit(path)
      expect(result).toMatchObject({ chain: 'ok' })
      records = result.records
    }
  } finally {
    writing = false
    await writer
  }
  expect(auditFiles(path).length).toBeGreaterThan(50)
  expect(await verifyAudit(path, { expected: log.head })).toMatchObject({ chain: 'ok' })
})
