// Command lines to what they mean, by commander, fed from the table; its complaints in xl's words. Runs nothing.
import { Argument, Command, CommanderError, Option } from 'commander'
import { type CommandSpec, type OptionSpec, UsageError } from './command.ts'

/** The options that stand before a command's name or behind it. */
export const globalOptions: readonly OptionSpec[] = [
  { flags: '-h, --help', summary: 'Print help and exit.' },
  { flags: '--json', summary: 'Print one JSON document instead of text.' },
  { flags: '-N', summary: 'Dry run: print what would be done, and do nothing.' },
  { flags: '--socket <path>', summary: "The daemon's control socket, where it is not the usual one." },
  { flags: '-v, --verbose', summary: 'Say more: what was done, and the causes of errors.' },
]

/** These stand before the name only. */
export const leadingOptions: readonly OptionSpec[] = [
  { flags: '--version', summary: 'Print the version and exit.' },
]

/** The global options as given. */
export interface GivenGlobals {
  readonly help?: boolean
  readonly json?: boolean
  readonly N?: boolean
  readonly socket?: string
  readonly verbose?: boolean
  readonly version?: boolean
}

export interface Parsed {
  readonly args: readonly string[]
  readonly options: Readonly<Record<string, unknown>>
}

/** Options before the command, and the rest from the command's name on. Throws UsageError. */
export function parseLeading(argv: readonly string[]): { globals: GivenGlobals; rest: readonly string[] } {
  const program = bare('scmictl').argument('[words...]').passThroughOptions()
  for (const option of [...globalOptions, ...leadingOptions]) program.addOption(build(option))
  const { args, options } = run(program, argv)
  return { globals: options, rest: args }
}

/** What stands behind a command's name. Throws UsageError; where help is asked for, nothing else matters. */
export function parseCommand(
  command: CommandSpec,
  argv: readonly string[],
): Parsed & { globals: GivenGlobals } {
  const program = bare(command.name)
  for (const word of command.args.split(' ')) if (word !== '') program.addArgument(new Argument(word))
  for (const option of [...command.options, ...globalOptions]) program.addOption(build(option))
  if (asksHelp(argv)) return { args: [], options: {}, globals: { help: true } }
  const parsed = run(program, argv)
  return { ...parsed, globals: parsed.options }
}

/** Before arguments are counted: `domain-add -h` lacks several. */
const asksHelp = (argv: readonly string[]): boolean => {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).some(word => word === '-h' || word === '--help')
}

const bare = (name: string): Command =>
  new Command(name)
    .helpOption(false)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })

function build(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.summary)
  if (spec.required === true) option.makeOptionMandatory()
  const { parse = (text: string): unknown => text } = spec
  const checked = (text: string): unknown => {
    try {
      return parse(text)
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`${optionName(spec)}: ${error.message}`)
      throw error
    }
  }
  if (spec.repeats === true)
    option.argParser((text: string, before: unknown) => [
      ...(Array.isArray(before) ? before : []),
      checked(text),
    ])
  else if (spec.flags.includes('<')) option.argParser(checked)
  return option
}

/** `--dtb` of `-d, --dtb <file>`. */
const optionName = (spec: OptionSpec): string => spec.flags.match(/--[\w-]+/)?.[0] ?? spec.flags.slice(0, 2)

function run(program: Command, argv: readonly string[]): Parsed {
  try {
    program.parse(argv, { from: 'user' })
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`'${called(program)}' ${error.message}`)
    if (error instanceof CommanderError) throw new UsageError(inWords(program, error))
    throw error
  }
  return { args: program.args, options: program.opts() }
}

const called = (program: Command): string =>
  program.name() === 'scmictl' ? 'scmictl' : `scmictl ${program.name()}`

/** As xl says it. */
function inWords(program: Command, { code, message }: CommanderError): string {
  const named = /'([^']*)'/.exec(message)?.[1] ?? ''
  const flag = /^-{0,2}([^\s,=]*)/.exec(named.replace(/^-\w, /, ''))?.[1] ?? named
  const count = program.registeredArguments.filter(argument => argument.required).length
  switch (code) {
    case 'commander.missingArgument':
      return `'${called(program)}' requires at least ${count} argument${count === 1 ? '' : 's'}.`
    case 'commander.excessArguments': {
      const most = program.registeredArguments.length
      return most === 0
        ? `'${called(program)}' takes no arguments.`
        : `'${called(program)}' takes at most ${most} argument${most === 1 ? '' : 's'}.`
    }
    case 'commander.unknownOption':
      return `option \`${flag}' not supported.`
    case 'commander.optionMissingArgument':
      return `option \`${flag}' requires an argument.`
    case 'commander.missingMandatoryOptionValue':
      return `'${called(program)}' requires ${named.replace(/<([^>]+)>/, (_, value: string) => value.toUpperCase())}.`
    default:
      return `'${called(program)}': ${message.replace(/^error: /, '')}`
  }
}
