#!/usr/bin/env node
// scmi-platform, the program: a virtual SCP on its own, from a platform file, with one socket for each agent.
import { join, resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Command, CommanderError, Option } from 'commander'
import { checkDirectory, makeDirectory } from '../config/paths.ts'
import { version } from '../config/version.ts'
import { errorText, MediatorError } from '../errors.ts'
import { Reactor } from '../native/reactor.ts'
import { loadPlatform } from '../platform/load.ts'
import { Platform } from '../platform/platform.ts'
import { type ProfileName, profileNames } from '../platform/profiles.ts'
import { PlatformServer } from './platform-server.ts'
import { type AgentSocket, agentSockets } from './sockets.ts'

const EXIT_FAULT = 1
const EXIT_USAGE = 2
/** Milliseconds in the reactor, and busy rounds, until the process looks whether a signal came. */
const waitMs = 100
const busyRounds = 64

interface Options {
  readonly config: string
  readonly directory?: string
  readonly socketPrefix?: string
  readonly profile?: ProfileName
  readonly json?: boolean
}

function command(): Command {
  return new Command('scmi-platform')
    .description('Serves a virtual SCP: an SCMI platform from a file, with a message socket for each agent.')
    .requiredOption('-c, --config <file>', 'platform file')
    .addOption(
      new Option('--directory <dir>', 'make the sockets DIR/agent-ID.sock; made if it is missing').conflicts(
        'socketPrefix',
      ),
    )
    .option('--socket-prefix <prefix>', 'make the sockets PREFIXID.sock instead')
    .addOption(
      new Option('--profile <name>', "imitate this platform's deviations, whatever the file says").choices(
        profileNames,
      ),
    )
    .option('--json', 'print one JSON object a line')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText(
      'after',
      `
Prints where each agent's socket is when all of them take connections, and what happens later to stderr. The sockets are
for their owner alone (mode 0600); each serves one connection at a time. Ends at SIGTERM or SIGINT.

Exit code: 0 it was told to end, 1 a file or a socket is not as it must be, 2 usage.`,
    )
    .exitOverride()
}

class UsageError extends Error {}

function prefixOf({ directory, socketPrefix }: Options): string {
  if (socketPrefix !== undefined) return resolve(socketPrefix) + (socketPrefix.endsWith('/') ? '/' : '')
  if (directory === undefined) throw new UsageError('say where: --directory DIR or --socket-prefix PREFIX')
  const path = resolve(directory)
  try {
    makeDirectory(path)
  } catch (cause) {
    throw new MediatorError('SYSTEM', `${path}: mkdir failed: ${errorText(cause)}`, { cause, path })
  }
  checkDirectory(path, false)
  return join(path, 'agent-')
}

const socketLine = ({ agentId, name, trusted, path }: AgentSocket): string =>
  `agent ${agentId} ${name}${trusted ? ' (trusted)' : ''}: ${path}`

async function main(): Promise<void> {
  const options = command().parse().opts<Options>()
  const { json = false } = options
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const log = (level: 'info' | 'warn' | 'error', text: string): void =>
    void process.stderr.write(
      json ? `${JSON.stringify({ level, text })}\n` : `scmi-platform: ${level}: ${text}\n`,
    )
  const file = loadPlatform(options.config)
  const config = { ...file, profile: options.profile ?? file.profile }
  const sockets = agentSockets(config, prefixOf(options))
  const platform = new Platform(config, {
    onSystemRequest: (agentId, state, graceful) =>
      log('info', `agent ${agentId} asks for system power state ${state}${graceful ? ', gracefully' : ''}`),
  })
  const reactor = new Reactor((_source, error) =>
    log(
      'error',
      `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    ),
  )
  const server = new PlatformServer(platform, sockets, { reactor, log })
  let running = true
  const end = (): void => {
    running = false
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  if (json)
    say(
      JSON.stringify({
        program: 'scmi-platform',
        version,
        pid: process.pid,
        config: resolve(options.config),
        vendor: config.vendor,
        profile: config.profile,
        sockets,
      }),
    )
  else for (const socket of sockets) say(socketLine(socket))
  // The reactor knows no signals: a round that did nothing ended by one, or by waitMs; then node has its turn.
  while (running) {
    for (let left = busyRounds; left > 0 && reactor.step(waitMs) > 0; ) left--
    await setImmediate()
  }
  server.close()
  reactor.close()
}

process.stdout.on('error', () => process.exit(EXIT_FAULT)) // nobody reads any more
process.stderr.on('error', () => {}) // a log that nobody reads is no reason to end
main().catch(error => {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE)
  const known = error instanceof MediatorError || error instanceof UsageError
  process.stderr.write(
    `scmi-platform: ${known ? error.message : ((error as Error).stack ?? String(error))}\n`,
  )
  process.exit(error instanceof UsageError ? EXIT_USAGE : EXIT_FAULT)
})
