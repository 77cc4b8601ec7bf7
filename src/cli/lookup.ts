// A command by its name or by any part of it that begins only that one, as xl's cmdtable_lookup.
import type { CommandSpec } from './command.ts'
import type { Output } from './output.ts'

export type Lookup =
  | { readonly found: CommandSpec }
  /** Empty: nothing begins like this. Several: all that do. */
  | { readonly found: undefined; readonly candidates: readonly string[] }

/** The row for `word`; a full name wins over those that it begins. */
export function lookup(commands: readonly CommandSpec[], word: string): Lookup {
  const exact = commands.find(command => command.name === word)
  if (exact !== undefined) return { found: exact }
  const matching = word === '' ? [] : commands.filter(command => command.name.startsWith(word))
  const [only] = matching
  if (only !== undefined && matching.length === 1) return { found: only }
  return { found: undefined, candidates: matching.map(command => command.name) }
}

/** Tells that no one command is meant: what it may mean, or where the list is. */
export function tellUnknown(word: string, candidates: readonly string[], out: Output): void {
  const text =
    candidates.length === 0
      ? `'${word}': command not implemented; see 'scmictl help'`
      : `'${word}' may mean ${candidates.join(', ')}`
  out.warn(`scmictl: ${text}`)
  if (out.json) out.data({ error: { code: 'NOT_SUPPORTED', text } })
}
