#!/usr/bin/env node
// scmid, the program: options, configuration, signals and how it ends. What it runs is daemon.ts's.
import { join, resolve } from 'node:path'
import { Command, CommanderError } from 'commander'
import { type Logger, pino } from 'pino'
import { type Directories, directories } from './config/paths.ts'
import { parseConfig, type ScmidConfig } from './config/scmid.ts'
import { scmidOptions, scmidSummary } from './config/scmid-options.ts'
import { version } from './config/version.ts'
import { type Started, startDaemon } from './daemon.ts'
import { loadDeviceTree } from './dt/load.ts'
import { errorText, MediatorError } from './errors.ts'
import { exitNow } from './native/libc.ts'
import { plan } from './permissions/plan.ts'
import { refuseErrors } from './permissions/plan-problems.ts'
import { loadPlatform } from './platform/load.ts'
import { Running } from './running.ts'

/** What the operator or the machine is to mend. */
const EXIT_FAULT = 1
const EXIT_USAGE = 2
/** The relay or the main thread broke: systemd starts us anew. */
const EXIT_INTERNAL = 70
/** Milliseconds that stopping may take: when asked to, and after something broke. */
const patienceMs = 10_000
const lastWishMs = 1000

interface Options {
  readonly config: string
  readonly check?: boolean
  readonly directory?: string
}

function command(): Command {
  const program = new Command('scmid').description(scmidSummary)
  for (const { flags, summary, initial } of scmidOptions) program.option(flags, summary, initial)
  return program
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
}

/** Reads the configuration and all it names, and plans the domains in it. */
function check(path: string): ScmidConfig {
  const config = parseConfig(path)
  const host = loadDeviceTree(config.host)
  if (config.firmware.link === 'embedded') loadPlatform(config.firmware.platform)
  const domains = config.domains.map(({ name, agentId, dtb }) => ({
    name,
    agentId,
    tree: loadDeviceTree(dtb),
  }))
  refuseErrors(plan(host, domains).problems)
  return config
}

/** Everything in one directory, or as configuration and user have it. */
function directoriesOf(config: ScmidConfig, directory: string | undefined): Directories {
  if (directory === undefined) return directories(config.directories)
  const run = resolve(directory)
  return { run, state: join(run, 'state'), log: join(run, 'log'), private: true }
}

async function main(): Promise<void> {
  const options = command().parse().opts<Options>()
  const config = check(options.config)
  if (options.check) {
    process.stdout.write(`${config.file}: ok\n`)
    return
  }
  const stderr = pino.destination({ fd: 2, sync: true })
  stderr.on('error', () => {}) // whoever read the log has gone; guests are served all the same
  const log = pino({ name: 'scmid', level: config.log.level }, stderr)
  const running = new Running()

  let broke = false
  const broken = (error: unknown): void => {
    if (broke) return
    broke = true
    log.fatal({ err: error }, 'internal error')
    // Not process.exit, which waits for a thread that may never come back.
    setTimeout(() => exitNow(EXIT_INTERNAL), lastWishMs)
    const exit = (): void => exitNow(EXIT_INTERNAL)
    running.stop().then(exit, exit)
  }
  process.on('uncaughtException', broken)
  process.on('unhandledRejection', broken)

  // Not before all of this has run: by its first trace, signals are heard.
  const starting = Promise.resolve().then(() =>
    startDaemon(config, directoriesOf(config, options.directory), { log, running, onDeath: broken }),
  )
  let ending = false
  const end = async (signal: string): Promise<void> => {
    if (ending) return
    ending = true
    log.info({ signal }, 'stopping')
    setTimeout(() => exitNow(EXIT_INTERNAL), patienceMs).unref()
    await running.stop()
    await starting.catch(() => {}) // while it starts, stopping makes that fail
    await running.stop()
    process.exit(0)
  }
  process.on('SIGTERM', signal => end(signal).catch(broken))
  process.on('SIGINT', signal => end(signal).catch(broken))
  process.on('SIGHUP', () => reload(options.config, log, starting))
  try {
    await starting
  } catch (error) {
    if (ending || broke) return
    await running.stop().catch(fault => log.error({ err: fault }, 'stopping failed'))
    throw error
  }
}

/** SIGHUP: what can change while guests are served does; the rest says that it wants a restart. */
function reload(path: string, log: Logger, starting: Promise<Started>): void {
  const told = (text: string): void => {
    starting.then(
      ({ reloaded }) => reloaded(text),
      () => {},
    )
  }
  try {
    const { level } = check(path).log
    log.level = level
    log.info({ level }, 'configuration read again: the log level is in force, all else from the next start')
    told(`log level ${level}; all else from the next start`)
  } catch (error) {
    log.error(`configuration not taken: ${errorText(error)}`)
    told(`not taken: ${errorText(error)}`)
  }
}

main().catch(error => {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE)
  const known = error instanceof MediatorError
  process.stderr.write(
    `scmid: ${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  )
  exitNow(known ? EXIT_FAULT : EXIT_INTERNAL)
})
