import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { replaceFile } from '../../src/native/replaced-file.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'replaced-file-'))
  path = join(folder, 'state.json')
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a file is made, and replaced whole, for its owner alone', () => {
  replaceFile(path, 'a long first content')
  replaceFile(path, 'second')
  expect(readFileSync(path, 'utf8')).toBe('second')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder)).toEqual(['state.json'])
})

test.each<[string, () => void, string]>([
  ['where the new one cannot be written', () => mkdirSync(`${path}.new`), 'EISDIR'],
  ['where it cannot take its place', () => mkdirSync(path), 'EISDIR'],
  ['where there is no folder', () => rmSync(folder, { recursive: true }), 'ENOENT'],
])('%s it says so, naming the file', (_where, spoil, why) => {
  spoil()
  expect(() => replaceFile(path, 'new')).toThrow(expect.objectContaining({ code: 'SYSTEM', path }))
  expect(() => replaceFile(path, 'new')).toThrow(why)
  mkdirSync(folder, { recursive: true })
})

test('the former file stays where the new one cannot be written', () => {
  writeFileSync(path, 'former')
  mkdirSync(`${path}.new`)
  expect(() => replaceFile(path, 'new')).toThrow()
  expect(readFileSync(path, 'utf8')).toBe('former')
})
