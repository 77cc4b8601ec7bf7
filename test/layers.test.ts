// The layer rule of docs/architecture.md, held by the linter: a planted upward or sideways import must fail.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { beforeAll, expect, test } from 'vitest'

const layers = [
  ['scmi', 'native', 'config'],
  ['dt', 'virtio', 'platform', 'framing', 'xenstore'],
  ['agents', 'permissions', 'guest-link', 'firmware-link', 'audit'],
  ['mediator'],
  ['lifecycle'],
  ['control', 'cli', 'guest', 'platform-server', 'toolstack'],
  ['demo'],
] as const
const height = (folder: string): number =>
  layers.findIndex(layer => (layer as readonly string[]).includes(folder))
const folders = layers.flat()

const outside = ['node:fs', '../errors.ts', 'koffi', 'ajv']
const nameOf = (imported: string): string => `${imported.replace(/[^a-z]/g, '-')}.ts`

/** `folder/file` of every planted import that the linter refuses. */
const refused = new Set<string>()

beforeAll(() => {
  const place = mkdtempSync(join(tmpdir(), 'layers-'))
  cpSync(resolve('biome.json'), join(place, 'biome.json'))
  for (const folder of folders) {
    mkdirSync(join(place, 'src', folder), { recursive: true })
    for (const imported of [...folders.map(other => `../${other}/part.ts`), ...outside])
      writeFileSync(
        join(place, 'src', folder, nameOf(imported)),
        `import { x } from '${imported}'\n\nexport const y = x\n`,
      )
  }
  const arguments_ = ['lint', '--reporter=github', '--max-diagnostics=none', 'src']
  const { stdout, stderr } = spawnSync(resolve('node_modules/.bin/biome'), arguments_, {
    cwd: place,
    encoding: 'utf8',
  })
  rmSync(place, { recursive: true, force: true })
  for (const line of `${stdout}${stderr}`.split('\n')) {
    const file = /file=(?:.*\/)?src\/([^,]+)/.exec(line)?.[1]
    if (file !== undefined && line.includes('noRestrictedImports')) refused.add(file)
  }
  if (refused.size === 0) throw new Error(`the linter said nothing of planted imports:\n${stdout}${stderr}`)
})

const isRefused = (folder: string, imported: string): boolean => refused.has(`${folder}/${nameOf(imported)}`)

test('every folder of src/ has its layer', () => {
  const there = readdirSync('src', { withFileTypes: true }).filter(entry => entry.isDirectory())
  expect(there.map(({ name }) => name).filter(name => height(name) < 0)).toEqual([])
})

test.each(folders)('%s: imports from above or beside are refused, those from below are not', folder => {
  for (const other of folders) {
    if (other !== folder)
      expect(isRefused(folder, `../${other}/part.ts`), `${folder} imports ${other}`).toBe(
        height(other) >= height(folder),
      )
  }
})

test('scmi/ imports nothing at all, not even node', () => {
  for (const imported of outside) expect(isRefused('scmi', imported), imported).toBe(true)
})

test('koffi is for native/ alone', () => {
  expect(isRefused('native', 'koffi')).toBe(false)
  for (const folder of folders.filter(name => name !== 'native'))
    expect(isRefused(folder, 'koffi'), folder).toBe(true)
})
