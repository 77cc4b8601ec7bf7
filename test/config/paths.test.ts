import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Environment, readEnvironment } from '../../src/config/environment.ts'
import {
  auditBeside,
  auditLog,
  checkDirectory,
  checkSocketPath,
  controlSocket,
  directories,
  findControlSocket,
  prepareDirectories,
  privateDirectories,
} from '../../src/config/paths.ts'
import { MediatorError } from '../../src/errors.ts'

const me = process.geteuid?.() ?? 0
const isRoot = me === 0

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'scmid-paths-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const environment = (parts: Partial<Environment>): Environment => ({
  uid: 1000,
  runtimeDir: undefined,
  temporaryDir: '/tmp',
  noColor: false,
  ...parts,
})

const refusal = (run: () => unknown): MediatorError => {
  try {
    run()
  } catch (error) {
    if (error instanceof MediatorError) return error
    throw error
  }
  throw new Error('was accepted')
}

describe('where the directories are', () => {
  test.each<[string, Partial<Environment>, Record<string, string>, string[]]>([
    ['root', { uid: 0 }, {}, ['/run/scmid', '/var/lib/scmid', '/var/log/scmid']],
    [
      'root, even where XDG_RUNTIME_DIR has leaked through su',
      { uid: 0, runtimeDir: '/run/user/1000' },
      {},
      ['/run/scmid', '/var/lib/scmid', '/var/log/scmid'],
    ],
    [
      'a user with a session',
      { runtimeDir: '/run/user/1000' },
      {},
      ['/run/user/1000/scmid', '/run/user/1000/scmid/state', '/run/user/1000/scmid/log'],
    ],
    ['a user without one', {}, {}, ['/tmp/scmid-1000', '/tmp/scmid-1000/state', '/tmp/scmid-1000/log']],
    [
      'overrides win one by one, and state and log follow run',
      {},
      { run: '/a/./b', log: '/c' },
      ['/a/b', '/a/b/state', '/c'],
    ],
  ])('%s', (_, parts, overrides, [run, state, log]) => {
    const found = directories(overrides, environment(parts))
    expect(found).toEqual({ run, state, log, private: parts.uid !== 0 })
    expect(controlSocket(found)).toBe(`${run}/scmid.sock`)
    expect(auditLog(found)).toBe(`${log}/audit.jsonl`)
  })

  test.each<[string | undefined, string | undefined]>([
    ['/run/user/5', '/run/user/5'],
    ['run/user/5', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('XDG_RUNTIME_DIR %j counts as %j', (value, expected) => {
    expect(readEnvironment({ XDG_RUNTIME_DIR: value }, 5).runtimeDir).toBe(expected)
  })

  test.each<[Record<string, string>, boolean]>([
    [{}, false],
    [{ NO_COLOR: '' }, false],
    [{ NO_COLOR: '0' }, true],
    [{ TERM: 'dumb' }, true],
    [{ TERM: 'xterm' }, false],
  ])('%j means no colour: %j', (variables, expected) => {
    expect(readEnvironment(variables, 5).noColor).toBe(expected)
  })
})

describe('making them', () => {
  const mine = () => environment({ uid: me, runtimeDir: folder })

  test('all three are made with mode 0700 whatever the umask, and made again is no error', () => {
    const wanted = {
      run: join(folder, 'r'),
      state: join(folder, 'r/state'),
      log: join(folder, 'l/m'),
      private: true,
    }
    const before = process.umask(0)
    try {
      prepareDirectories(wanted, mine())
      prepareDirectories(wanted, mine())
    } finally {
      process.umask(before)
    }
    for (const path of [wanted.run, wanted.state, wanted.log])
      expect(statSync(path).mode & 0o7777).toBe(0o700)
  })

  test('a run directory that is not private may be passed through, the others not', () => {
    const wanted = {
      run: join(folder, 'p'),
      state: join(folder, 'p/state'),
      log: join(folder, 'p/log'),
      private: false,
    }
    const before = process.umask(0o022)
    try {
      prepareDirectories(wanted, mine())
    } finally {
      process.umask(before)
    }
    const modes = [wanted.run, wanted.state, wanted.log].map(path => statSync(path).mode & 0o7777)
    expect(modes).toEqual([0o711, 0o700, 0o700])
  })

  test('a private run has a directory of its own, twice two', () => {
    const parts = environment({ uid: me, temporaryDir: folder })
    const one = privateDirectories(parts)
    const two = privateDirectories(parts)
    expect(one.run).not.toBe(two.run)
    expect(one.run.startsWith(`${folder}/`)).toBe(true)
    expect(statSync(one.run).mode & 0o777).toBe(0o700)
    prepareDirectories(one, parts)
    expect(existsSync(one.log)).toBe(true)
  })

  test('where nothing can be made, as in /proc, it says so and returns', () => {
    const run = '/proc/scmid-test/run'
    const error = refusal(() => prepareDirectories({ run, state: run, log: run, private: true }, mine()))
    expect([error.code, error.path]).toEqual(['SYSTEM', run])
    expect(error.message).toMatch(/^\/proc\/scmid-test\/run: mkdir failed: /)
  })

  test.each<[string, (path: string) => void, boolean, RegExp]>([
    [
      'a symbolic link, even to a directory of ours',
      path => {
        mkdirSync(`${path}.real`, { mode: 0o700 })
        symlinkSync(`${path}.real`, path)
      },
      true,
      /is a symbolic link/,
    ],
    [
      'a dangling link',
      path => symlinkSync('/nowhere/at/all', path),
      true,
      /is a symbolic link|mkdir failed/,
    ],
    ['a file', path => writeFileSync(path, ''), true, /is not a directory|mkdir failed: EEXIST/],
    ['readable by the group', path => mode(path, 0o750), true, /mode is 0750, open to others; .* chmod 700$/],
    ['writable by others', path => mode(path, 0o707), false, /mode is 0707, open to others; .* chmod go-w$/],
  ])('refuses %s', (_, plant, isPrivate, text) => {
    const run = join(folder, 'scmid')
    plant(run)
    const wanted = { run, state: join(run, 'state'), log: join(run, 'log'), private: isPrivate }
    const error = refusal(() => prepareDirectories(wanted, mine()))
    expect(error.path).toBe(run)
    expect(error.message).toMatch(text)
    expect(error.message).toContain(run)
  })

  test("root's may be read by others, as /run/scmid made by systemd is", () => {
    const run = join(folder, 'scmid')
    mode(run, 0o755)
    expect(() => checkDirectory(run, false, mine())).not.toThrow()
  })

  test('refuses a directory of another user', () => {
    const run = join(folder, 'scmid')
    mkdirSync(run, { mode: 0o700 })
    const other = environment({ uid: me + 1 })
    expect(refusal(() => checkDirectory(run, true, other)).message).toBe(
      `${run}: belongs to user ${me}, not to user ${me + 1}`,
    )
  })

  test.runIf(isRoot)('refuses a directory of ours in one of a stranger', () => {
    const parent = join(folder, 'theirs')
    mkdirSync(join(parent, 'scmid'), { recursive: true, mode: 0o700 })
    chownSync(parent, 4711, 4711)
    const error = refusal(() => checkDirectory(join(parent, 'scmid'), true, mine()))
    expect(error.message).toContain('its parent belongs to user 4711')
  })

  test('refuses a parent that anybody may write, unless it is sticky', () => {
    const parent = join(folder, 'open')
    mkdirSync(join(parent, 'scmid'), { recursive: true, mode: 0o700 })
    chmodSync(parent, 0o777)
    const check = () => checkDirectory(join(parent, 'scmid'), true, mine())
    expect(refusal(check).message).toContain("its parent's mode is 0777: anybody could exchange it")
    chmodSync(parent, 0o1777)
    expect(check).not.toThrow()
  })
})

test.each<[string, Partial<Environment>, string, string]>([
  ["root's", { uid: 0 }, '/run/scmid/scmid.sock', '/var/log/scmid/audit.jsonl'],
  ["a user's", {}, '/tmp/scmid-1000/scmid.sock', '/tmp/scmid-1000/log/audit.jsonl'],
  ['a run directory of its own', { uid: 0 }, '/tmp/x/scmid.sock', '/tmp/x/log/audit.jsonl'],
])('the audit log of the daemon at a socket: %s', (_, parts, socket, expected) => {
  expect(auditBeside(socket, environment(parts))).toBe(expected)
})

describe('the control socket', () => {
  test('is where the override says, made absolute', () => {
    expect(findControlSocket('some/x.sock', environment({}))).toBe(join(process.cwd(), 'some/x.sock'))
  })

  test('is in the run directory, whether that is there already or not', () => {
    const parts = environment({ uid: me === 0 ? 1000 : me, runtimeDir: folder })
    expect(findControlSocket(undefined, parts)).toBe(join(folder, 'scmid/scmid.sock'))
    if (isRoot) return // the directory would be root's, not user 1000's
    mkdirSync(join(folder, 'scmid'), { mode: 0o700 })
    expect(findControlSocket(undefined, parts)).toBe(join(folder, 'scmid/scmid.sock'))
  })

  test('of a stranger is not talked to', () => {
    mkdirSync(join(folder, 'scmid'), { mode: 0o700 })
    const error = refusal(() =>
      findControlSocket(undefined, environment({ uid: me + 1000, runtimeDir: folder })),
    )
    expect(error.code).toBe('SOCKET_PATH')
    expect(error.message).toContain(`belongs to user ${me}, not to user ${me + 1000}`)
  })

  test.each<[string, string, boolean]>([
    ['107 bytes fit', `/${'a'.repeat(106)}`, true],
    ['108 do not', `/${'a'.repeat(107)}`, false],
    ['bytes are counted, not characters', `/${'ä'.repeat(54)}`, false],
    ['nothing is no path', '', false],
    ['a NUL would end it early', '/run/a\0b', false],
  ])('%s', (_, path, fits) => {
    if (fits) return expect(checkSocketPath(path)).toBe(path)
    expect(refusal(() => checkSocketPath(path)).code).toBe('SOCKET_PATH')
  })

  test('a run directory that is too deep is told with both numbers', () => {
    const error = refusal(() => controlSocket({ run: `/${'d'.repeat(100)}` }))
    expect(error.message).toMatch(/may have 107 bytes, this has 112$/)
  })
})

function mode(path: string, bits: number): void {
  mkdirSync(path)
  chmodSync(path, bits)
}
