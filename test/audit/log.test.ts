import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { AuditLog } from '../../src/audit/log.ts'
import { type AuditEntry, AuditRecord } from '../../src/audit/record.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { MediatorError } from '../../src/errors.ts'
import { temporaryFolder } from './temporary.ts'

const denial: AuditEntry = {
  time: '2026-01-31T12:00:00.000001Z',
  kind: 'message',
  domain: 'guest-a',
  domid: 3,
  agentId: 2,
  protocol: 0x14,
  protocolName: 'clock',
  message: 'CLOCK_RATE_SET',
  resource: 7,
  resourceName: 'avb',
  decision: 'denied',
  arguments: { rate: 24_000_000 },
  rule: 'not granted',
  node: '/soc/avb@e6800000',
  status: -3,
  statusName: 'DENIED',
  durationMicros: 12,
  repeated: 4,
}

const lines = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1)
const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof MediatorError) return `${error.code} ${error.message}`
    throw error
  }
  return 'no error'
}

function fill(path: string, count: number): AuditLog {
  const log = new AuditLog({ path })
  for (let i = 0; i < count; i++) log.append({ kind: 'grant', domain: `guest-${i}` })
  return log
}

test('a record is in the file when append returns, as the shape says, for its owner only', () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path })
  expect(log.append(denial)).toBe(1)
  const [line] = lines(path)
  const { prev, hash, sequence, ...facts } = JSON.parse(line!)
  expect(facts).toEqual(denial)
  expect([sequence, prev, hash]).toEqual([1, '0'.repeat(64), log.head.hash])
  const validate = new Ajv().compile(AuditRecord)
  expect([validate(JSON.parse(line!)), validate.errors]).toEqual([true, null])
  expect(statSync(path).mode & 0o777).toBe(0o600)
  log.close()
  log.close()
  expect(codeOf(() => log.append(denial))).toContain('closed')
})

test('a record without a time is stamped now', () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const before = Date.now()
  fill(path, 1)
  const { time } = JSON.parse(lines(path)[0]!)
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  expect(Date.parse(time)).toBeGreaterThanOrEqual(before)
  expect(Date.parse(time)).toBeLessThanOrEqual(Date.now())
})

test('text that would break a line or a decoder stays one line that verifies', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path })
  const texts = ['a\nb', '\u2028', 'é漢😀', '\ud800', '"},"hash":"', '\u0000\u001b[2J', '"'.repeat(300)]
  for (const text of texts) log.append({ kind: 'refuse', text })
  const read = lines(path).map(line => JSON.parse(line).text)
  expect(read).toEqual(texts.map(text => (text === '\ud800' ? '\ufffd' : text)))
  expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: texts.length })
})

test('a record too long to be read again is refused, and the chain goes on', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = fill(path, 1)
  expect(codeOf(() => log.append({ kind: 'refuse', text: 'x'.repeat(1 << 20) }))).toContain('above 1048576')
  expect(log.append(denial)).toBe(2)
  expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 2 })
})

test('opened again, the chain goes on', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  fill(path, 2).close()
  chmodSync(path, 0o644)
  const log = new AuditLog({ path })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(log.append(denial)).toBe(3)
  expect(await verifyAudit(path, { expected: log.head })).toMatchObject({ chain: 'ok', records: 3 })
})

describe('rotation', () => {
  test('goes by size; the chain goes across files, the oldest having the lowest number', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'audit.jsonl')
    const log = new AuditLog({ path, maxBytes: 1000 })
    for (let i = 0; i < 20; i++) log.append(denial)
    const names = readdirSync(folder)
    expect(names.length).toBeGreaterThan(5)
    for (const name of names) {
      expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(1000)
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600)
    }
    expect(JSON.parse(lines(join(folder, 'audit.1.jsonl'))[0]!).sequence).toBe(1)
    expect(await verifyAudit(path, { expected: log.head })).toMatchObject({
      chain: 'ok',
      records: 20,
      first: 1,
    })
  })

  test('a record above the limit has a file of its own', () => {
    const folder = temporaryFolder()
    const log = new AuditLog({ path: join(folder, 'audit.jsonl'), maxBytes: 100 })
    for (let i = 0; i < 3; i++) log.append(denial)
    expect(readdirSync(folder).sort()).toEqual(['audit.1.jsonl', 'audit.2.jsonl', 'audit.jsonl'])
  })

  test('keeps as many files as asked, and never uses a number again', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'audit.jsonl')
    const log = new AuditLog({ path, maxBytes: 100, keep: 2 })
    for (let i = 0; i < 6; i++) log.append(denial)
    expect(readdirSync(folder).sort()).toEqual(['audit.4.jsonl', 'audit.5.jsonl', 'audit.jsonl'])
    expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 3, first: 4 })
  })

  test.each([
    ['before the new file was made', false],
    ['before anything was written to it', true],
  ])('a crash %s leaves a chain that goes on', async (_, made) => {
    const path = join(temporaryFolder(), 'audit.jsonl')
    fill(path, 3).close()
    renameSync(path, path.replace('audit.', 'audit.1.'))
    if (made) writeFileSync(path, '')
    expect(new AuditLog({ path }).append(denial)).toBe(4)
    expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 4 })
  })

  test('when the file cannot be renamed, the record is refused and the log is as it was', async () => {
    const folder = temporaryFolder()
    const path = join(folder, `${'a'.repeat(249)}.jsonl`) // 255 bytes: no room for a number
    const log = new AuditLog({ path, maxBytes: 800 })
    log.append(denial)
    expect(statSync(path).size).toBeGreaterThan(400)
    const head = log.head
    expect(codeOf(() => log.append(denial))).toMatch(/^SYSTEM .*ENAMETOOLONG/)
    expect(log.head).toEqual(head)
    expect(log.append({ kind: 'stop' }), 'a shorter one still fits').toBe(2)
    expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: 2 })
  })
})

describe('after a crash', () => {
  test('every possible unfinished last line is set aside or completed, and told; nothing before it is touched', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'audit.jsonl')
    fill(path, 2).close()
    const whole = readFileSync(path)
    const last = lines(path)[1]!
    for (let kept = 1; kept <= last.length; kept++) {
      const run = join(folder, `cut-${kept}`)
      mkdirSync(run)
      const file = join(run, 'audit.jsonl')
      writeFileSync(file, whole.subarray(0, whole.length - last.length - 1 + kept))
      const log = new AuditLog({ path: file, sync: 'none' })
      if (kept === last.length) {
        expect(log.head.sequence, 'only the line feed was missing').toBe(2)
        expect(readFileSync(file)).toEqual(whole)
      } else {
        expect(readFileSync(`${file}.torn-1`, 'utf8')).toBe(last.slice(0, kept))
        expect(JSON.parse(lines(file)[1]!)).toMatchObject({ sequence: 2, kind: 'recover' })
        expect(lines(file)[1]).toContain(`${kept} bytes of an unfinished line were moved to ${file}.torn-1`)
        expect(lines(file)[0]).toBe(lines(path)[0])
      }
      log.close()
      expect(await verifyAudit(file)).toMatchObject({ chain: 'ok', records: 2 })
    }
  })

  test('a torn line is kept beside an earlier one', () => {
    const folder = temporaryFolder()
    const path = join(folder, 'audit.jsonl')
    for (const rest of ['one', 'two']) {
      fill(path, 1).close()
      appendFileSync(path, rest)
      new AuditLog({ path }).close()
    }
    expect(readFileSync(`${path}.torn-1`, 'utf8')).toBe('one')
    expect(readFileSync(`${path}.torn-2`, 'utf8')).toBe('two')
  })

  test('a file that holds nothing but a torn line begins anew', () => {
    const path = join(temporaryFolder(), 'audit.jsonl')
    writeFileSync(path, '{"time":"20')
    const log = new AuditLog({ path })
    expect(log.head.sequence).toBe(1)
    expect(JSON.parse(lines(path)[0]!).kind).toBe('recover')
  })
})

describe('what is refused', () => {
  test('a last line that does not hold, by file and line', () => {
    const path = join(temporaryFolder(), 'audit.jsonl')
    fill(path, 3).close()
    writeFileSync(path, readFileSync(path, 'utf8').replace('guest-2', 'guest-9'))
    expect(codeOf(() => new AuditLog({ path }))).toMatch(
      /^AUDIT_BROKEN .*audit\.jsonl:3: its hash does not match/,
    )
  })

  test('a rotated file that ends in a torn line, when the chain must go on from it', () => {
    const path = join(temporaryFolder(), 'audit.jsonl')
    const rotated = path.replace('audit.', 'audit.1.')
    fill(rotated, 1).close()
    truncateSync(rotated, 10)
    expect(codeOf(() => new AuditLog({ path }))).toContain('AUDIT_BROKEN')
  })

  test('a symbolic link, a folder, a missing folder', () => {
    const folder = temporaryFolder()
    const path = join(folder, 'audit.jsonl')
    symlinkSync(join(folder, 'elsewhere'), path)
    expect(codeOf(() => new AuditLog({ path }))).toContain('SYSTEM')
    expect(existsSync(join(folder, 'elsewhere'))).toBe(false)
    expect(codeOf(() => new AuditLog({ path: folder }))).toContain('SYSTEM')
    expect(codeOf(() => new AuditLog({ path: join(folder, 'none', 'audit.jsonl') }))).toContain('ENOENT')
  })

  test('a megabyte without a line feed', () => {
    const path = join(temporaryFolder(), 'audit.jsonl')
    writeFileSync(path, 'x'.repeat((1 << 20) + 1))
    expect(codeOf(() => new AuditLog({ path }))).toContain('AUDIT_BROKEN')
  })
})

test('a disk that fills in the middle of a line: the error is told, the file ends in a whole line, the chain holds', async () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  // RLIMIT_FSIZE makes write(2) come back short and then fail, as a full disk does; Node ignores SIGXFSZ.
  const run = spawnSync(
    'sh',
    ['-c', 'ulimit -f 4; exec "$0" --import tsx "$1" "$2"', process.execPath, fillDisk, path],
    { encoding: 'utf8', env: { ...process.env, TSX_DISABLE_CACHE: '1' } },
  )
  expect(run.stderr).toBe('')
  const { written, code, message } = JSON.parse(run.stdout)
  expect(code).toBe('SYSTEM')
  expect(message).toContain('EFBIG')
  expect(written).toBeGreaterThan(2)
  expect(lines(path)).toHaveLength(written)
  expect(readFileSync(path).at(-1)).toBe(10)
  const log = new AuditLog({ path })
  expect(log.append(denial)).toBe(written + 1)
  expect(await verifyAudit(path)).toMatchObject({ chain: 'ok', records: written + 1 })
})

const fillDisk = new URL('./fill-disk.ts', import.meta.url).pathname

test('a log that was removed while it is written refuses what must be on the disk', () => {
  const path = join(temporaryFolder(), 'audit.jsonl')
  const log = new AuditLog({ path })
  log.append({ kind: 'start' })
  unlinkSync(path)
  expect(() => log.append({ kind: 'grant', domain: 'a' })).toThrow('the file was removed')
  expect(log.head.sequence).toBe(1)
})
