// What a command is: one row, from which parsing, help, completion and the manual are made. No command is here.
import type { ControlClient } from './client.ts'
import type { Output } from './output.ts'

/** An option of a command. */
export interface OptionSpec {
  /** In commander's notation: `-l, --long`, `--dtb <file>`, or `--vhost-user [path]`, whose value may be left out. */
  readonly flags: string
  readonly summary: string
  /** May stand several times; the values come as a list. */
  readonly repeats?: true
  /** Must be there. */
  readonly required?: true
  /** Makes a value of the text; throws UsageError when it is none. Default: the text. */
  readonly parse?: (text: string) => unknown
  /** All values there are, for completion. */
  readonly words?: readonly string[]
}

/** Options that every command understands, before its name or behind it. */
export interface Globals {
  /** One JSON document on stdout instead of text. */
  readonly json: boolean
  /** Show what would be done, and do nothing. */
  readonly dryRun: boolean
  readonly verbose: boolean
}

/** What a command is given. */
export interface Context<O = object> {
  readonly args: readonly string[]
  readonly options: O
  readonly globals: Globals
  /** The daemon: --socket, else where the directories' rule says. Not touched before it is asked. */
  readonly client: () => ControlClient
  readonly out: Output
  /** Standard input, for those that read it. */
  readonly stdin: AsyncIterable<string | Uint8Array>
}

/** One command. Its exit code is what `run` gives: nothing is 0; what it throws is 1, a UsageError 2. */
export interface CommandSpec<O = object> {
  readonly name: string
  /** Arguments in commander's notation: `<Domain> [device]`; `<x...>` takes the rest. */
  readonly args: string
  /** The synopsis behind the name, where it says more than options and arguments do. */
  readonly usage?: string
  /** One sentence. */
  readonly summary: string
  /** What else there is to know, a paragraph each. */
  readonly details?: readonly string[]
  /** Command lines with what they do, for the manual. */
  readonly examples?: readonly (readonly [string, string])[]
  readonly options: readonly OptionSpec[]
  /** Whether it changes anything at the daemon; if so it takes -N. */
  readonly modifies: boolean
  /** Whether it needs a daemon; `may` does without where there is none. */
  readonly daemon: 'yes' | 'no' | 'may'
  /** A method, so that rows of different options fit in one table. */
  run(context: Context<O>): Promise<number | undefined> | number | undefined
}

/** A command line that cannot be meant; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Synopsis behind the program's name: `domain-remove <Domain>`. */
export function synopsis(command: CommandSpec): string {
  const own = command.usage ?? [command.options.length > 0 ? '[options]' : '', command.args].join(' ').trim()
  return own === '' ? command.name : `${command.name} ${own}`
}

/** A parser of whole numbers in a range, decimal or with 0x. */
export const integer =
  (minimum: number, maximum: number) =>
  (text: string): number => {
    const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN
    if (!(value >= minimum && value <= maximum))
      throw new UsageError(`expected an integer from ${minimum} to ${maximum}, got "${text}"`)
    return value
  }

/** A parser of one word out of a list. */
const oneOf =
  <const T extends string>(words: readonly T[]) =>
  (text: string): T => {
    const found = words.find(word => word === text)
    if (found === undefined) throw new UsageError(`expected one of ${words.join(', ')}, got "${text}"`)
    return found
  }

/** The parser and the words of an option whose value is one out of a list. */
export const choice = <const T extends string>(words: readonly T[]) => ({ words, parse: oneOf(words) })
