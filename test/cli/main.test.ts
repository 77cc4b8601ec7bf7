// scmictl as a process of its own: what only a process has, exit codes, streams, pipes and signals.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AuditLog } from '../../src/audit/log.ts'
import { version } from '../../src/config/version.ts'
import { ControlServer } from '../../src/control/server.ts'
import { InMemoryDaemon } from '../control/in-memory-daemon.ts'
import { fixture, type Ran } from './harness.ts'

const program = new URL('../../src/cli/main.ts', import.meta.url).pathname

let folder = ''
let socket = ''
let server: ControlServer
const daemon = new InMemoryDaemon()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scmictl-main-'))
  socket = join(folder, 's')
  server = new ControlServer(daemon, { socket, log: { debug() {}, info() {}, error() {} } })
  await server.start()
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

const start = (...args: string[]): ChildProcess =>
  spawn(process.execPath, ['--import', 'tsx', program, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })

function run(args: readonly string[], stdin = ''): Promise<Ran> {
  return new Promise(resolve => {
    const child = start(...args)
    let [stdout, stderr] = ['', '']
    child.stdout?.setEncoding('utf8').on('data', chunk => (stdout += chunk))
    child.stderr?.setEncoding('utf8').on('data', chunk => (stderr += chunk))
    child.on('close', code => resolve({ code: code ?? -1, stdout, stderr }))
    child.stdin?.end(stdin)
  })
}

test.concurrent.each<[string, string[], string, number, RegExp, RegExp]>([
  ['the version', ['--version'], '', 0, new RegExp(`^scmictl ${version.replaceAll('.', '\\.')}\n$`), /^$/],
  ['nothing at all', [], '', 1, /^Usage: scmictl /, /^$/],
  ['an unknown command', ['nosuch'], '', 1, /^$/, /^scmictl: 'nosuch': command not implemented/],
  ['a bad command line', ['list', '-q'], '', 2, /^$/, /^option `q' not supported\.\n\nUsage: /],
  ['a frame from stdin', ['decode', '-'], '00400000\n', 0, /^base /, /^$/],
  [
    'a plan without a daemon',
    ['plan', '--host', fixture('example/host.dtb'), '--domain', `a=${fixture('example/guest-a.dtb')}`],
    '',
    0,
    /^a\n {2}\/passthrough\/ethernet@e6800000 = /,
    /^warning: .*\(resource-shared\)\n$/,
  ],
])('%s', async (_, args, stdin, code, stdout, stderr) => {
  const ran = await run(args, stdin)
  expect(ran.stderr).toMatch(stderr)
  expect(ran.stdout).toMatch(stdout)
  expect(ran.code).toBe(code)
})

test.concurrent('a daemon that is well, one that is not, and none', async () => {
  expect(await run(['--socket', socket, 'status'])).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
  daemon.problems = ['something']
  expect(await run(['--socket', socket, 'status'])).toMatchObject({
    code: 1,
    stdout: 'degraded\n  something\n',
  })
  const none = await run(['--socket', join(folder, 'none'), 'status'])
  expect(none).toMatchObject({ code: 1, stdout: '' })
  expect(none.stderr.trimEnd().split('\n')).toHaveLength(1)
})

test.concurrent('a reader that leaves is no error', async () => {
  const child = start('decode', '-')
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', chunk => (stderr += chunk))
  child.stdout?.destroy()
  child.stdin?.on('error', () => {})
  child.stdin?.end('00400000\n'.repeat(20_000))
  const code = await new Promise(resolve => child.on('close', resolve))
  expect([code, stderr]).toEqual([0, ''])
})

test.runIf(existsSync('/dev/full'))('a full disk is told in one line', async () => {
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, ['--import', 'tsx', program, 'help'], {
    stdio: ['ignore', full, 'pipe'],
  })
  closeSync(full)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', chunk => (stderr += chunk))
  const code = await new Promise(resolve => child.on('close', resolve))
  expect([code, stderr]).toEqual([1, 'scmictl: output: ENOSPC: no space left on device, write\n'])
})

test.concurrent('audit -f prints what is there, then what comes, each once', async () => {
  const path = join(folder, 'audit.jsonl')
  const log = new AuditLog({ path, sync: 'none' })
  for (const text of ['one', 'two', 'three']) log.append({ kind: 'start', text })
  const child = start('audit', 'list', '-f', '-n', '2', '--json', path)
  const seen: string[] = []
  let rest = ''
  const until = (text: string): Promise<void> =>
    new Promise(resolve => {
      child.stdout?.on('data', function look(chunk: Buffer) {
        rest += chunk.toString('utf8')
        const lines = rest.split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) seen.push((JSON.parse(line) as { text: string }).text)
        if (!seen.includes(text)) return
        child.stdout?.off('data', look)
        resolve()
      })
    })
  await until('three')
  const end = until('five')
  log.append({ kind: 'reload', text: 'four' })
  log.append({ kind: 'stop', text: 'five' })
  await end
  child.kill('SIGINT')
  await new Promise(resolve => child.on('close', resolve))
  log.close()
  expect(seen).toEqual(['two', 'three', 'four', 'five'])
})
