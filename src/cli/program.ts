// One run of scmictl: from the command line to the exit code. Streams and environment come from outside.
import { findControlSocket } from '../config/paths.ts'
import { version } from '../config/version.ts'
import { errorText, MediatorError } from '../errors.ts'
import { ControlClient } from './client.ts'
import { type CommandSpec, type Context, UsageError } from './command.ts'
import { commands } from './commands.ts'
import { commandHelp, programHelp, programUsage, usageLine } from './help.ts'
import { lookup, tellUnknown } from './lookup.ts'
import { Output, type OutputOptions } from './output.ts'
import { type GivenGlobals, parseCommand, parseLeading } from './parse.ts'

/** The world as scmictl sees it. */
export interface World extends OutputOptions {
  readonly stdin: Context['stdin']
}

/**
 * Runs one command line (without node and script).
 * @returns exit code: 0 done; 1 the daemon, a file or the machine said no, or there is no such command; 2 the command
 *   line cannot be meant
 */
export async function runScmictl(argv: readonly string[], world: World): Promise<number> {
  const out = new Output(world)
  let command: CommandSpec | undefined
  try {
    const { globals, rest } = parseLeading(argv)
    out.json = globals.json === true
    if (globals.version === true) {
      out.document({ version }, () => out.line(`scmictl ${version}`))
      return 0
    }
    const [word, ...words] = rest
    if (word === undefined) {
      out.verbatim(programHelp(commands))
      return globals.help === true ? 0 : 1
    }
    const result = lookup(commands, word)
    if (result.found === undefined) {
      out.json ||= words.includes('--json')
      tellUnknown(word, result.candidates, out)
      return 1
    }
    command = result.found
    const parsed = globals.help === true ? { args: [], options: {}, globals } : parseCommand(command, words)
    if (parsed.globals.help === true) {
      out.verbatim(commandHelp(command))
      return 0
    }
    return await runCommand(command, parsed, { ...globals, ...parsed.globals }, world, out)
  } catch (error) {
    return tellError(error, command, out, argv)
  }
}

async function runCommand(
  command: CommandSpec,
  { args, options }: Pick<Context<Readonly<Record<string, unknown>>>, 'args' | 'options'>,
  given: GivenGlobals,
  { stdin }: World,
  out: Output,
): Promise<number> {
  if (given.N === true && !command.modifies)
    throw new UsageError(`'scmictl ${command.name}' modifies nothing: it does not implement -N (dry run).`)
  out.json = given.json === true
  let client: ControlClient | undefined
  const context: Context = {
    args,
    options,
    globals: { json: out.json, dryRun: given.N === true, verbose: given.verbose === true },
    client: () => {
      client ??= new ControlClient(findControlSocket(given.socket))
      return client
    },
    out,
    stdin,
  }
  return (await command.run(context)) ?? 0
}

function tellError(
  error: unknown,
  command: CommandSpec | undefined,
  out: Output,
  argv: readonly string[],
): number {
  if (error instanceof UsageError) {
    out.warn(error.message)
    out.warn(`\n${command === undefined ? programUsage : usageLine(command)}`)
    return 2
  }
  out.warn(`scmictl: ${errorText(error)}`)
  const verbose = argv.includes('-v') || argv.includes('--verbose')
  for (
    let cause = (error as Error | undefined)?.cause;
    verbose && cause instanceof Error;
    cause = cause.cause
  )
    out.warn(`  because: ${cause.message}`)
  if (out.json) {
    const { code, path } = error instanceof MediatorError ? error : { code: 'SYSTEM', path: undefined }
    out.data({ error: { code, text: errorText(error), ...(path === undefined ? {} : { path }) } })
  }
  if (!(error instanceof MediatorError) && verbose && error instanceof Error) out.warn(error.stack ?? '')
  return 1
}
