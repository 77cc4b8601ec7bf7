import { expect, test } from 'vitest'
import { commands } from '../../src/cli/commands.ts'
import { commandHelp } from '../../src/cli/help.ts'
import { lookup } from '../../src/cli/lookup.ts'
import { globalOptions, leadingOptions } from '../../src/cli/parse.ts'

test('names are noun-verb with hyphens, each once', () => {
  const names = commands.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(name).toMatch(/^[a-z]+(-[a-z]+)?$/)
})

test.each(commands.map(command => [command.name, command] as const))('%s explains itself', (_, command) => {
  expect(command.summary).toMatch(/^[A-Z].*\.$/)
  const help = commandHelp(command)
  for (const { flags, summary } of command.options) {
    expect(help).toContain(flags.split(/ [<[]/)[0])
    expect(summary).toMatch(/\.$/)
  }
  for (const [line] of command.examples ?? [])
    expect(line).toContain(`scmictl ${line.includes('-N') ? '-N ' : ''}${command.name}`)
  const longest = Math.max(
    ...help
      .split('\n')
      .slice(1)
      .map(line => line.length),
  )
  expect(longest).toBeLessThanOrEqual(110)
})

test("no command's option hides a global one", () => {
  const short = (flags: string): string[] => flags.match(/(?<=^|\s)--?[\w-]+/g) ?? []
  const taken = new Set([...globalOptions, ...leadingOptions].flatMap(({ flags }) => short(flags)))
  for (const { options } of commands)
    for (const { flags } of options) for (const flag of short(flags)) expect(taken.has(flag)).toBe(false)
})

test.each<[string, string | string[]]>([
  ['list', 'list'],
  ['l', 'list'],
  ['device-list', 'device-list'],
  ['device-l', 'device-list'],
  ['agent', ['agent-list', 'agent-release']],
  ['agent-r', 'agent-release'],
  ['domain', ['domain-add', 'domain-remove']],
  ['', []],
  ['LIST', []],
  ['listx', []],
])('%j is %j', (word, expected) => {
  const result = lookup(commands, word)
  expect(result.found?.name ?? ('candidates' in result ? result.candidates : undefined)).toEqual(expected)
})

test('a full name wins over those that it begins', () => {
  const rows = ['audit', 'audit-all'].map(name => ({ ...commands[0]!, name }))
  expect(lookup(rows, 'audit').found?.name).toBe('audit')
  expect(lookup(rows, 'audi')).toEqual({ found: undefined, candidates: ['audit', 'audit-all'] })
})
