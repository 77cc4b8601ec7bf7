import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { commands } from '../../src/cli/commands.ts'
import { between, generate } from '../../src/cli/docs-pages.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'scmi-docs-'))
  mkdirSync(join(root, 'docs'))
})
afterEach(() => rmSync(root, { recursive: true }))

test('the pages in the repository are fresh', () => {
  expect(generate(new URL('../..', import.meta.url).pathname, true)).toEqual([])
})

test('a missing page, then a stale one, is named; writing makes both good', () => {
  expect(generate(root, true)).toContain('docs/scmictl.md: missing; run npm run docs')
  generate(root, false)
  const path = join(root, 'docs/scmictl.md')
  const made = readFileSync(path, 'utf8')
  writeFileSync(path, made.replace('domain-add', 'domain-ad'))
  expect(generate(root, true)).toContain('docs/scmictl.md: stale; run npm run docs')
  generate(root, false)
  expect(readFileSync(path, 'utf8')).toBe(made)
})

test("the README's table is made between its markers, and a README without them is an error", () => {
  const path = join(root, 'README.md')
  generate(root, false)
  writeFileSync(path, '# x\n<!-- protocols:begin -->\n<!-- protocols:end -->\nrest\n')
  expect(generate(root, true)).toEqual(['README.md: stale; run npm run docs'])
  expect(generate(root, false)).toEqual([])
  const [head, table, rest] = readFileSync(path, 'utf8').split(/<!-- protocols:(?:begin|end) -->\n/)
  expect([head, rest]).toEqual(['# x\n', 'rest\n'])
  for (const name of ['Clock management', '0x17']) expect(table).toContain(name)
  expect(generate(root, true)).toEqual([])
  writeFileSync(path, '# x\n')
  expect(generate(root, true)).toEqual([
    'README.md: expected <!-- protocols:begin --> and <!-- protocols:end -->, once each and in this order',
  ])
})

test('the manual has every command with every option', () => {
  generate(root, false)
  const page = readFileSync(join(root, 'docs/scmictl.md'), 'utf8')
  for (const { name, options, summary } of commands) {
    const section = page.split(`\n### ${name}\n`)[1]?.split(/\n##/)[0] ?? ''
    expect(section).toContain(summary)
    for (const { flags } of options) expect(section).toContain(`\`${flags.split(/ [<[]/)[0]}`)
  }
})

describe('between markers', () => {
  test('only what is between them changes', () => {
    expect(between('a\n<b>\nold\n<e>\nz\n', '<b>', '<e>', '\nnew\n')).toBe('a\n<b>\nnew\n<e>\nz\n')
  })

  test.each(['no markers', '<b> only', '<e> before <b>', '<b> <b> <e>', '<b> <e> <e>'])(
    '%s is an error',
    text => {
      expect(() => between(text, '<b>', '<e>', 'x')).toThrow(
        'expected <b> and <e>, once each and in this order',
      )
    },
  )
})
