// scripts/complete-lock.mjs: finds what npm leaves out of the lock file on one platform, and adds it, registry or not.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

type Packages = Record<string, Record<string, unknown>>

function tree(packages: Packages): { root: string; lock: () => Packages } {
  const root = mkdtempSync(join(tmpdir(), 'lock-test-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const folder of ['scripts', 'empty']) mkdirSync(join(root, folder))
  cpSync(resolve('scripts/complete-lock.mjs'), join(root, 'scripts/complete-lock.mjs'))
  const path = join(root, 'package-lock.json')
  writeFileSync(path, JSON.stringify({ name: 'x', lockfileVersion: 3, packages }))
  return { root, lock: () => JSON.parse(readFileSync(path, 'utf8')).packages }
}

/** Without an npm to ask. */
const run = (root: string, ...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'scripts/complete-lock.mjs'), ...args], {
    encoding: 'utf8',
    env: { PATH: join(root, 'empty') },
  })

const lacking: Packages = {
  '': { dependencies: { a: '1.0.0' } },
  'node_modules/a': {
    version: '1.0.0',
    dependencies: { b: '^2' },
    optionalDependencies: { 'a-linux-arm64-musl': '1.0.0' },
  },
  'node_modules/a/node_modules/b': { version: '2.0.0', dependencies: { c: '1' } },
  'node_modules/c': { version: '1.0.0', dev: true, optionalDependencies: { '@c/darwin-x64': '3.0.0' } },
}

test('--check names what is missing and who needs it, and changes nothing', () => {
  const { root, lock } = tree(lacking)
  const { status, stderr } = run(root, '--check')
  expect(status).toBe(1)
  expect(stderr.trim().split('\n')).toEqual([
    'package-lock.json: a-linux-arm64-musl, needed by node_modules/a, is missing',
    'package-lock.json: @c/darwin-x64, needed by node_modules/c, is missing',
  ])
  expect(lock()).toEqual(lacking)
})

test('adds it as optional, for its platform; then --check is content', () => {
  const { root, lock } = tree(lacking)
  expect(run(root)).toMatchObject({ status: 0, stdout: 'package-lock.json: 2 packages added\n' })
  expect(lock()).toEqual({
    ...lacking,
    'node_modules/a-linux-arm64-musl': {
      version: '1.0.0',
      cpu: ['arm64'],
      libc: ['musl'],
      optional: true,
      os: ['linux'],
    },
    'node_modules/@c/darwin-x64': {
      version: '3.0.0',
      cpu: ['x64'],
      dev: true,
      optional: true,
      os: ['darwin'],
    },
  })
  expect(Object.keys(lock())[0]).toBe('')
  expect(run(root, '--check').status).toBe(0)
  expect(run(root)).toMatchObject({ stdout: 'package-lock.json: 0 packages added\n' })
})

test('this repository’s lock is complete', () => {
  expect(spawnSync(process.execPath, [resolve('scripts/complete-lock.mjs'), '--check']).status).toBe(0)
})
