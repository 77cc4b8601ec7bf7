#!/usr/bin/env node
// scmi-guest, the program: plays a guest over a trap-socket or a message-socket, by script, by hand, or with malice.
import { createReadStream, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { version } from '../config/version.ts'
import { errorText, MediatorError } from '../errors.ts'
import { discover, seenLines } from './discover.ts'
import type { GuestConnection } from './guest-connection.ts'
import { type Front, hostileLines, runHostile, type Tally } from './hostile.ts'
import { MessageFront } from './hostile-message.ts'
import { TrapFront } from './hostile-trap.ts'
import { helpLines, runInteractive } from './interactive.ts'
import { MessageConnection } from './message-connection.ts'
import type { Random } from './random.ts'
import { Report, toJson } from './report.ts'
import { parseScript, runScript } from './script.ts'
import { GuestSession } from './session.ts'
import { TrapConnection } from './trap-connection.ts'

const EXIT_LINK = 1
const EXIT_USAGE = 2

interface Options {
  readonly trapSocket?: string
  readonly messageSocket?: string
  readonly smcId?: number
  readonly shmem?: number
  readonly json?: boolean
  readonly script?: string
  readonly interactive?: boolean
  readonly discover?: boolean
  readonly hostile?: boolean
  readonly seed: number
  readonly messages: number
  readonly limit: number
}

/** A whole number, decimal or hexadecimal, within bounds. */
const whole =
  (lowest: number, highest: number) =>
  (text: string): number => {
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN
    if (!(value >= lowest && value <= highest))
      throw new InvalidArgumentError(`expected a number from ${lowest} to ${highest}`)
    return value
  }

function command(): Command {
  return new Command('scmi-guest')
    .description('Plays an SCMI guest over one of scmid’s sockets: by script, by hand, or with malice.')
    .addOption(
      new Option('--trap-socket <path>', 'shared memory and trapped calls').conflicts('messageSocket'),
    )
    .option('--message-socket <path>', 'frames over a stream socket')
    .option(
      '--smc-id <id>',
      'function id of the call on a trap-socket (default: 0x82000002)',
      whole(0, 0xffff_ffff),
    )
    .option(
      '--shmem <address>',
      'guest-physical address of the area, sent along as arm,scmi-smc-param does',
      whole(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--script <file>', 'send what the file says, - for standard input')
    .option('--interactive', 'send what is typed at a prompt; the default')
    .option('--discover', 'look around as Linux does when it starts, and print what is there')
    .option('--hostile', 'attack the link and the daemon behind it')
    .option('--seed <number>', 'what decides the order of the attacks', whole(0, 0xffff_ffff), 1)
    .option('--messages <number>', 'how many attacks', whole(0, 10_000_000), 1000)
    .option('--limit <seconds>', 'when to end the attacks at the latest', whole(1, 86_400), 120)
    .option('--json', 'print one JSON object a line')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText(
      'after',
      `\nScripts and the prompt understand, one to a line:\n${helpLines().join('\n')}\n
Exit code: 0 every message had an answer, 1 the link broke, 2 usage.`,
    )
    .exitOverride()
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

class UsageError extends Error {}

function connect(options: Options): Promise<GuestConnection> {
  const { trapSocket, messageSocket, smcId, shmem } = options
  if (trapSocket !== undefined)
    return TrapConnection.open({
      path: trapSocket,
      ...(smcId === undefined ? {} : { smcId }),
      ...(shmem === undefined ? {} : { shmemAddress: shmem }),
    })
  if (messageSocket === undefined)
    throw new UsageError('say which: --trap-socket PATH or --message-socket PATH')
  return MessageConnection.open(messageSocket)
}

async function hostile(options: Options): Promise<number> {
  const { trapSocket, messageSocket, smcId, seed, messages, limit } = options
  const front = (random: Random, tally: Tally): Front => {
    if (trapSocket !== undefined) return new TrapFront(trapSocket, smcId, random, tally)
    if (messageSocket !== undefined) return new MessageFront(messageSocket, random, tally)
    throw new UsageError('say which: --trap-socket PATH or --message-socket PATH')
  }
  const summary = await runHostile(front, { seed, attacks: messages, limitMs: limit * 1000 })
  if (options.json) say(toJson(summary))
  else for (const line of hostileLines(summary)) say(line)
  return summary.unfinished === undefined ? 0 : EXIT_LINK
}

async function play(options: Options): Promise<number> {
  const { script, json = false } = options
  // A script that is whole is read before anything is sent; what is piped in is read as it comes.
  const text = script === undefined || script === '-' ? undefined : readScript(script)
  if (text !== undefined) parseScript(text, script ?? '')
  const connection = await connect(options)
  const report = new Report(say, json)
  const quiet = options.discover === true
  const session = new GuestSession(
    connection,
    quiet ? { exchanged: () => {}, mismatch: line => report.mismatch(line) } : report,
  )
  report.of(session)
  const mark = (line: string): void => report.mark(line)
  try {
    if (options.discover) {
      const seen = await discover(session)
      if (json) say(toJson(seen))
      else for (const line of seenLines(seen)) say(line)
    } else if (text !== undefined) await runScript(session, text.split('\n'), script ?? '', mark)
    else if (script === '-')
      await runScript(session, createInterface({ input: createReadStream('', { fd: 0 }) }), 'stdin', mark)
    else await runInteractive(session, { input: process.stdin, output: process.stdout, say }, mark)
    return 0
  } finally {
    connection.close()
  }
}

function readScript(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UsageError(errorText(error))
  }
}

async function main(): Promise<number> {
  const program = command().parse()
  const options = program.opts<Options>()
  const modes = [options.script, options.interactive, options.discover, options.hostile]
  if (modes.filter(mode => mode !== undefined).length > 1)
    throw new UsageError('one of --script, --interactive, --discover and --hostile')
  return options.hostile ? hostile(options) : play(options)
}

/** Bad options and bad lines are the caller's; all else is the link's. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  process.stderr.write(`scmi-guest: ${errorText(error)}\n`)
  const usage =
    error instanceof UsageError || (error instanceof MediatorError && error.code === 'CONFIG_INVALID')
  return usage ? EXIT_USAGE : EXIT_LINK
}

process.stdout.on('error', () => process.exit(EXIT_LINK)) // nobody reads any more
process.exitCode = await main().catch(exitCodeOf)
