import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AuditLog } from '../../src/audit/log.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { ControlServer } from '../../src/control/server.ts'
import { InMemoryDaemon } from '../control/in-memory-daemon.ts'
import { scmictl } from './harness.ts'

let folder = ''
let path = ''

/** Six records: two long ago, four of today, three guests' denials among them. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'scmictl-audit-'))
  path = join(folder, 'audit.jsonl')
  const log = new AuditLog({ path, sync: 'none' })
  const today = new Date().toISOString()
  log.append({ time: '2020-01-01T00:00:00.000Z', kind: 'start', text: 'scmid' })
  log.append({
    time: '2020-01-01T00:00:01.000Z',
    kind: 'message',
    domain: 'guest-a',
    decision: 'denied',
    message: 'CLOCK_RATE_SET',
    resource: 1,
  })
  log.append({
    time: today,
    kind: 'message',
    domain: 'guest-a',
    decision: 'denied',
    message: 'CLOCK_RATE_SET',
    resource: 2,
  })
  log.append({
    time: today,
    kind: 'message',
    domain: 'guest-a',
    decision: 'allowed',
    message: 'CLOCK_RATE_SET',
    resource: 3,
  })
  log.append({
    time: today,
    kind: 'message',
    domain: 'guest-b',
    decision: 'denied',
    message: 'RESET',
    resource: 4,
  })
  log.append({ time: today, kind: 'stop' })
  log.close()
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Which records were printed, by their sequence. */
const sequences = async (...args: string[]): Promise<number[]> => {
  const { stdout } = await scmictl(['audit', '--json', ...args, 'list', path])
  return (JSON.parse(stdout) as { sequence: number }[]).map(each => each.sequence)
}

test.each<[string, string[], number[]]>([
  ['everything', [], [1, 2, 3, 4, 5, 6]],
  ['one domain', ['--domain', 'guest-a'], [2, 3, 4]],
  ['one decision', ['--decision', 'denied'], [2, 3, 5]],
  ['both', ['--domain', 'guest-a', '--decision', 'denied'], [2, 3]],
  ['of the last hour', ['--since', '1h'], [3, 4, 5, 6]],
  ['since a date', ['--since', '2020-01-01T00:00:01Z'], [2, 3, 4, 5, 6]],
  ['the newest two', ['-n', '2'], [5, 6]],
  ['the newest denial', ['-n', '1', '--decision', 'denied'], [5]],
  ['none', ['-n', '0'], []],
])('%s', async (_, args, expected) => expect(await sequences(...args)).toEqual(expected))

test('as text, a line each, oldest first', async () => {
  const { code, stdout, stderr } = await scmictl(['audit', 'list', path, '--decision', 'denied'])
  expect([code, stderr]).toEqual([0, ''])
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(3)
  expect(lines[0]).toMatch(/^2020-01-01T00:00:01.*guest-a CLOCK_RATE_SET .*denied/)
  expect(lines[2]).toMatch(/guest-b RESET .*denied/)
})

test('a whole log verifies', async () => {
  expect(await scmictl(['audit', 'verify', path])).toEqual({
    code: 0,
    stdout: `${path}: 6 records, the chain is whole\n`,
    stderr: '',
  })
  const { stdout } = await scmictl(['--json', 'audit', 'verify', path])
  expect(JSON.parse(stdout)).toMatchObject({ records: 6, chain: 'ok', path })
})

test.each([1, 3, 6])('one flipped byte in line %i is found there', async line => {
  const lines = readFileSync(path, 'utf8').split('\n')
  const bytes = Buffer.from(lines[line - 1] ?? '')
  bytes[20] = (bytes[20] ?? 0) ^ 1
  lines[line - 1] = bytes.toString('utf8')
  writeFileSync(path, lines.join('\n'))
  const { code, stdout } = await scmictl(['audit', 'verify', path])
  expect(code).toBe(1)
  expect(stdout.split('\n')[0]).toMatch(new RegExp(`^${path}:${line}: .*line was changed`))
  const json = JSON.parse((await scmictl(['--json', 'audit', 'verify', path])).stdout)
  expect(json).toMatchObject({ chain: 'broken', line, records: line - 1 })
  const listed = await scmictl(['audit', 'list', path])
  expect(listed.code).toBe(1)
  expect(listed.stdout.trimEnd().split('\n')).toHaveLength(5)
  expect(listed.stderr).toContain(`${path}:${line}: `)
})

test('no such log is an error', async () => {
  const missing = join(folder, 'none.jsonl')
  for (const action of ['list', 'verify'])
    expect(await scmictl(['audit', action, missing])).toMatchObject({
      code: 1,
      stderr: `scmictl: ${missing}: no such audit log\n`,
    })
})

test('without a file and a daemon it is the one beside the socket', async () => {
  mkdirSync(join(folder, 'log'))
  renameSync(path, join(folder, 'log', 'audit.jsonl'))
  const { code, stdout } = await scmictl(['audit', 'verify'], { socket: join(folder, 'scmid.sock') })
  expect([code, stdout]).toEqual([
    0,
    `${join(folder, 'log', 'audit.jsonl')}: 6 records, the chain is whole\n`,
  ])
})

test('a log that begins later says so', async () => {
  writeFileSync(path, readFileSync(path, 'utf8').split('\n').slice(2).join('\n'))
  const { code, stdout } = await scmictl(['audit', 'verify', path])
  expect(code).toBe(0)
  expect(stdout).toBe(
    `${path}: 4 records, the chain is whole, from record 3 on: what came before is not here\n`,
  )
})

test('without a file it is the one that the daemon writes; a number is a domid', async () => {
  const daemon = new InMemoryDaemon()
  const socket = join(folder, 's')
  const server = new ControlServer(daemon, { socket, log: { debug() {}, info() {}, error() {} } })
  await server.start()
  try {
    daemon.auditPath = path
    const { head } = await verifyAudit(path)
    daemon.auditHead = head
    let flushed = 0
    const flush = daemon.flushAudit.bind(daemon)
    daemon.flushAudit = () => {
      flushed++
      return flush()
    }
    expect((await scmictl(['audit', 'verify'], { socket })).stdout).toContain(`${path}: 6 records`)
    expect((await scmictl(['audit', '-n', '1'], { socket })).stdout).toContain(' stop')
    expect(flushed).toBe(2)
    daemon.auditHead = { ...head, sequence: head.sequence + 1 }
    const cut = await scmictl(['audit', 'verify'], { socket })
    expect(cut.code).toBe(1) // the daemon has written one more than the file holds
    expect(cut.stdout).toContain('the chain is broken after 6 records')
    await daemon.addDomain(
      { name: 'guest-b', domid: 9, dtb: new Uint8Array(4), link: { kind: 'message-socket', path: '/b' } },
      { dryRun: false },
    )
    const { stdout } = await scmictl(['audit', '--domain', '9', '--json'], { socket })
    expect((JSON.parse(stdout) as { sequence: number }[]).map(each => each.sequence)).toEqual([5])
  } finally {
    await server.stop()
  }
})
