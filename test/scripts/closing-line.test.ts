// test/closing-line.ts: the last line of a run, and its exit code, for runs of every kind.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const place = mkdtempSync(join(tmpdir(), 'closing-line-'))
symlinkSync(resolve('node_modules'), join(place, 'node_modules'))
writeFileSync(join(place, 'package.json'), '{"type": "module"}')
afterAll(() => rmSync(place, { recursive: true, force: true }))

let runs = 0

/** Runs vitest over one file of this text; gives its exit code and the last line of its stdout. */
function run(text: string | undefined, ...more: string[]): [number | null, string] {
  const folder = join(place, `run-${runs++}`)
  mkdirSync(folder)
  if (text !== undefined)
    writeFileSync(
      join(folder, 'some.test.ts'),
      `import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'\n${text}`,
    )
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      resolve('node_modules/vitest/vitest.mjs'),
      'run',
      '--root',
      folder,
      '--pool=forks',
      '--reporter=dot',
      `--reporter=${resolve('test/closing-line.ts')}`,
      ...more,
    ],
    { cwd: folder, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } },
  )
  return [status, stdout.trimEnd().split('\n').at(-1) ?? '']
}

const good = "test('good', () => expect(1).toBe(1))\n"

test.each<[string, string | undefined, number, string]>([
  ['all passed', good, 0, '1 passed, 0 failed'],
  ['one failed', `${good}test('bad', () => expect(1).toBe(2))`, 1, '1 passed, 1 failed'],
  [
    'one skipped',
    `${good}test.skip('later', () => {})\ntest.todo('much later')`,
    0,
    '1 passed, 0 failed, 2 skipped',
  ],
  ['only skipped', "test.skip('later', () => {})", 1, '0 passed, 1 failed, 1 skipped'],
  ['cannot be imported', "import './nowhere.ts'\ntest('good', () => {})", 1, '0 passed, 1 failed'],
  ['throws while collected', `${good}throw new Error('no')`, 1, '0 passed, 1 failed'],
  ['no tests in the file', 'export const nothing = 1', 1, '0 passed, 1 failed'],
  ['no files', undefined, 1, '0 passed, 1 failed'],
  [
    'an unhandled rejection',
    `${good}void Promise.reject(new Error('nobody waits'))`,
    1,
    '1 passed, 1 failed',
  ],
  [
    'a fault after the test',
    `test('good', () => { setTimeout(() => { throw new Error('late') }, 10) })\ntest('waits', () => new Promise(done => setTimeout(done, 50)))`,
    1,
    '2 passed, 1 failed',
  ],
  [
    'beforeAll of the file fails',
    `beforeAll(() => { throw new Error('no') })\n${good}`,
    1,
    '0 passed, 1 failed, 1 skipped',
  ],
  [
    'beforeAll of a group fails',
    `describe('group', () => { beforeAll(() => { throw new Error('no') })\n${good}})\n${good}`,
    1,
    '1 passed, 1 failed, 1 skipped',
  ],
  [
    'afterAll of a group fails',
    `describe('group', () => { afterAll(() => { throw new Error('no') })\n${good}})`,
    1,
    '1 passed, 1 failed',
  ],
  ['beforeEach fails', `beforeEach(() => { throw new Error('no') })\n${good}`, 1, '0 passed, 1 failed'],
  ['a test takes too long', "test('slow', () => new Promise(() => {}), 50)", 1, '0 passed, 1 failed'],
  [
    'the process is killed',
    `${good}test('dies', () => { process.kill(process.pid, 'SIGKILL') })`,
    1,
    '0 passed, 3 failed',
  ],
])(
  '%s',
  (_what, text, status, line) => {
    const [found, last] = run(text)
    expect(last).toMatch(/^\d+ passed, \d+ failed(, \d+ skipped)?$/)
    expect(last).toBe(line)
    expect(found).toBe(status)
  },
  60_000,
)

test('a filter that matches nothing is no success', () => {
  expect(run(good, '-t', 'nothing of that name')).toEqual([1, '0 passed, 1 failed, 1 skipped'])
}, 60_000)
