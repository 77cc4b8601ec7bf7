// scripts/ensure.mjs in trees of its own: what it does when, alone and several at once. npm is played by a script, since
// the registry is not this test's business; the compiler is the real one.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'

const node = process.execPath

/** A tree with one source and an `npm` that takes its time and installs the compiler. */
function tree(): string {
  const root = mkdtempSync(join(tmpdir(), 'ensure-test-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const folder of ['src', 'scripts', 'bin']) mkdirSync(join(root, folder))
  cpSync(resolve('scripts/ensure.mjs'), join(root, 'scripts/ensure.mjs'))
  writeFileSync(join(root, 'package.json'), '{"type": "module"}')
  writeFileSync(join(root, 'package-lock.json'), '{}')
  writeFileSync(
    join(root, 'tsconfig.json'),
    '{"compilerOptions": {"rootDir": "src", "noEmitOnError": true, "types": []}, "include": ["src"]}',
  )
  writeFileSync(join(root, 'src/a.ts'), 'export const a: number = 1\n')
  writeFileSync(
    join(root, 'bin/npm'),
    `#!/bin/sh
echo "$@" >> npm.log
if [ -e npm.fails ]; then echo 'no registry' >&2; exit 7; fi
rm -rf node_modules && sleep 0.5 && mkdir node_modules && ln -s ${resolve('node_modules/typescript')} node_modules/typescript
`,
  )
  chmodSync(join(root, 'bin/npm'), 0o755)
  return root
}

const environment = (root: string) => ({
  ...process.env,
  PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
})

function ensure(root: string, ...args: string[]): { status: number | null; said: string[]; stdout: string } {
  const { status, stdout, stderr } = spawnSync(node, [join(root, 'scripts/ensure.mjs'), ...args], {
    encoding: 'utf8',
    env: environment(root),
    cwd: '/',
  })
  return {
    status,
    said: stderr
      .trim()
      .split('\n')
      .filter(line => line !== ''),
    stdout,
  }
}

const installs = (root: string): number =>
  existsSync(join(root, 'npm.log'))
    ? readFileSync(join(root, 'npm.log'), 'utf8').trim().split('\n').length
    : 0
const compiled = (root: string): string => readFileSync(join(root, 'dist/a.js'), 'utf8')
const leftovers = (root: string): string[] => readdirSync(root).filter(name => name.startsWith('dist.'))

const installing = 'scmi-mediator: installing dependencies from package-lock.json (once, about 20 s)'
const compiling = 'scmi-mediator: compiling src/ to dist/'

describe('alone', () => {
  test('does what is needed, once, and says it in a line each on stderr', () => {
    const root = tree()
    expect(ensure(root)).toEqual({ status: 0, said: [installing, compiling], stdout: '' })
    expect(readFileSync(join(root, 'npm.log'), 'utf8')).toMatch(/^ci --include=dev/)
    expect(compiled(root)).toContain('a = 1')
    const made = statSync(join(root, 'dist/a.js')).mtimeMs
    expect(ensure(root)).toEqual({ status: 0, said: [], stdout: '' })
    expect(statSync(join(root, 'dist/a.js')).mtimeMs).toBe(made)
    expect(leftovers(root)).toEqual([])
  })

  test.each<[string, (root: string) => void, string[]]>([
    ['a source changed', root => writeFileSync(join(root, 'src/a.ts'), 'export const a = 2\n'), [compiling]],
    ['a source came', root => writeFileSync(join(root, 'src/b.ts'), 'export const b = 2\n'), [compiling]],
    ['only times changed', root => utimesSync(join(root, 'src/a.ts'), new Date(), new Date()), []],
    [
      'the lock changed',
      root => writeFileSync(join(root, 'package-lock.json'), '{"name": "x"}'),
      [installing, compiling],
    ],
    ['node_modules is gone', root => rmSync(join(root, 'node_modules'), { recursive: true }), [installing]],
    [
      'an installation was broken off',
      root => rmSync(join(root, 'node_modules/.scmi-mediator-lock')),
      [installing],
    ],
    ['dist is gone', root => rmSync(join(root, 'dist'), { recursive: true }), [compiling]],
    ['dist was not made by this', root => rmSync(join(root, 'dist/.scmi-mediator-built')), [compiling]],
  ])('%s', (_what, change, said) => {
    const root = tree()
    ensure(root)
    change(root)
    expect(ensure(root)).toEqual({ status: 0, said, stdout: '' })
    expect(ensure(root)).toEqual({ status: 0, said: [], stdout: '' })
  })

  test('a source that is gone is gone from dist', () => {
    const root = tree()
    writeFileSync(join(root, 'src/b.ts'), 'export const b = 2\n')
    ensure(root)
    rmSync(join(root, 'src/b.ts'))
    ensure(root)
    expect(readdirSync(join(root, 'dist')).sort()).toEqual(['.scmi-mediator-built', 'a.js'])
  })

  test('--build compiles in any case', () => {
    const root = tree()
    ensure(root)
    expect(ensure(root, '--build').said).toEqual([compiling])
  })

  test('a compilation that fails tells why, keeps the former dist, and is tried again', () => {
    const root = tree()
    ensure(root)
    writeFileSync(join(root, 'src/a.ts'), "export const a: number = 'no'\n")
    const { status, said } = ensure(root)
    expect(status).toBe(1)
    expect(said.join('\n')).toMatch(/src\/a\.ts.*TS2322[\s\S]*failed \(exit \d\)$/)
    expect(compiled(root)).toContain('a = 1')
    expect(leftovers(root)).toEqual([])
    writeFileSync(join(root, 'src/a.ts'), 'export const a = 3\n')
    expect(ensure(root).status).toBe(0)
    expect(compiled(root)).toContain('a = 3')
  })

  test('an installation that fails tells why, and is tried again', () => {
    const root = tree()
    writeFileSync(join(root, 'npm.fails'), '')
    const { status, said } = ensure(root)
    expect(status).toBe(1)
    expect(said).toEqual([installing, 'no registry', expect.stringMatching(/npm ci .* failed \(exit 7\)$/)])
    rmSync(join(root, 'npm.fails'))
    expect(ensure(root).status).toBe(0)
  })

  test('what a killed one left is cleared away', () => {
    const root = tree()
    mkdirSync(join(root, 'dist.next-4711'))
    mkdirSync(join(root, 'dist.next-4711-former'))
    ensure(root)
    expect(leftovers(root)).toEqual([])
  })

  test.runIf(process.getuid?.() === 0)(
    'a tree that cannot be written is run when it is ready, else it is told',
    () => {
      const root = tree()
      chmodSync(root, 0o755)
      const asNobody = () =>
        spawnSync(node, [join(root, 'scripts/ensure.mjs')], { encoding: 'utf8', uid: 65534, gid: 65534 })
      const refused = asNobody()
      expect(refused.status).toBe(1)
      expect(refused.stderr).toMatch(
        /^scmi-mediator: .*cannot be written \(EACCES\): run it once where it can\n$/,
      )
      ensure(root)
      expect(asNobody()).toMatchObject({ status: 0, stderr: '' })
    },
  )
})

describe('at once', () => {
  const begin = (root: string) => {
    const child = spawn(node, [join(root, 'scripts/ensure.mjs')], { env: environment(root) })
    let said = ''
    child.stderr.on('data', chunk => {
      said += chunk
    })
    return { child, ended: once(child, 'exit').then(([status]) => ({ status, said: () => said })) }
  }

  test('several install and compile once; the others wait and say so', async () => {
    const root = tree()
    const results = await Promise.all(Array.from({ length: 4 }, () => begin(root).ended))
    expect(results.map(({ status }) => status)).toEqual([0, 0, 0, 0])
    expect(installs(root)).toBe(1)
    const all = results.map(({ said }) => said()).join('')
    expect(all.split(compiling)).toHaveLength(2)
    expect(all).toContain('waiting for it')
    expect(compiled(root)).toContain('a = 1')
    expect(leftovers(root)).toEqual([])
  }, 60_000)

  test('one that is killed at its work holds nobody up', async () => {
    const root = tree()
    const { child, ended } = begin(root)
    while (!existsSync(join(root, 'npm.log'))) await new Promise(done => setTimeout(done, 10))
    child.kill('SIGKILL')
    await ended
    await new Promise(done => setTimeout(done, 700)) // its npm runs out
    expect(ensure(root).status).toBe(0)
    expect(compiled(root)).toContain('a = 1')
  }, 60_000)

  test('whoever runs dist meanwhile finds it whole but for a moment', async () => {
    const root = tree()
    ensure(root)
    writeFileSync(join(root, 'src/a.ts'), 'export const a = 2\n')
    const { ended } = begin(root)
    let looks = 0
    let missing = 0
    let over = false
    void ended.then(() => {
      over = true
    })
    while (!over) {
      looks++
      if (!existsSync(join(root, 'dist/a.js'))) missing++
      if (looks % 50 === 0) await new Promise(done => setImmediate(done))
    }
    expect(looks).toBeGreaterThan(1000)
    expect(missing / looks).toBeLessThan(0.001)
  }, 60_000)
})
