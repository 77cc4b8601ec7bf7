#!/usr/bin/env node
// scmid, the daemon: reads its configuration, builds the concrete parts and wires them. It alone knows all of them.
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command, CommanderError } from 'commander'
import { type Logger, pino } from 'pino'
import { type Agent, Roster } from './agents/roster.ts'
import { AuditLog } from './audit/log.ts'
import { createAuditRing } from './audit/ring-layout.ts'
import { AuditRingReader } from './audit/ring-reader.ts'
import { auditLog, controlSocket, type Directories, directories, prepareDirectories } from './config/paths.ts'
import { parseConfig, type ScmidConfig } from './config/scmid.ts'
import { version } from './config/version.ts'
import { ControlServer } from './control/server.ts'
import { loadDeviceTree } from './dt/load.ts'
import { errorText, MediatorError } from './errors.ts'
import { type Discovery, discover, type FirmwareRequest } from './firmware-link/discovery.ts'
import { resourceNames } from './firmware-link/resource-names.ts'
import { auditNames, type Tenant } from './lifecycle/audit-names.ts'
import { AuditTrail } from './lifecycle/audit-trail.ts'
import { DaemonViews } from './lifecycle/daemon.ts'
import { Firmware } from './lifecycle/firmware.ts'
import { Journal } from './lifecycle/journal.ts'
import { Lifecycle, virtualAgents } from './lifecycle/lifecycle.ts'
import { createCounters } from './mediator/counters.ts'
import { maxGuests } from './mediator/guest.ts'
import { RelayThread } from './mediator/relay-thread.ts'
import { FileLock } from './native/file-lock.ts'
import { loadPlatform } from './platform/load.ts'
import type { RelayData } from './relay-worker.ts'
import { statusName } from './scmi/status.ts'

const defaultConfig = '/etc/scmid/scmid.yaml'
/** Milliseconds between looks into the audit ring. */
const drainMs = 20
/** The relay or the main thread broke: systemd starts us anew. */
const EXIT_INTERNAL = 70

interface Options {
  readonly config: string
  readonly check?: boolean
  readonly directory?: string
}

function command(): Command {
  return new Command('scmid')
    .description(
      'Mediates SCMI between guests and firmware: each guest reaches its own devices’ resources, and nothing else.',
    )
    .option('-c, --config <file>', 'configuration file', defaultConfig)
    .option('--check', 'read the configuration and every file it names, say what is wrong, and end')
    .option('--directory <dir>', 'keep sockets, state and log in this directory instead')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
}

/** Everything that runs, in the order it was started; stopped in reverse. */
class Running {
  readonly #stops: (() => unknown)[] = []
  #stopping: Promise<void> | undefined

  add(stop: () => unknown): void {
    this.#stops.push(stop)
  }

  /** Twice is once. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      for (const stop of this.#stops.reverse()) await stop()
    })()
    return this.#stopping
  }
}

async function start(config: ScmidConfig, where: Directories, log: Logger, running: Running): Promise<void> {
  const host = loadDeviceTree(config.host)
  prepareDirectories(where)
  const lockFile = join(where.run, 'scmid.lock')
  const lock = FileLock.acquire(lockFile)
  if (lock === undefined)
    throw new MediatorError('DAEMON_RUNNING', `another scmid serves from ${where.run} (it holds ${lockFile})`)
  running.add(() => lock.release())
  const audit = createAuditRing(maxGuests, config.audit.recordsPerGuest)
  const counters = createCounters(maxGuests)
  const data: RelayData = {
    firmware: config.firmware,
    maxMessageBytes: config.guests.maxMessageBytes,
    audit,
    counters,
  }
  const relay = await RelayThread.start({
    program: new URL('./relay-worker.js', import.meta.url),
    data,
    log: (level, text) => log[level](text),
    onDeath: error => {
      log.fatal({ err: error }, 'the relay thread is gone')
      process.exit(EXIT_INTERNAL)
    },
  })
  let trail: AuditTrail | undefined
  running.add(async () => {
    await relay.stop() // before the last look into the ring
    trail?.append({ kind: 'stop' })
    trail?.close()
  })

  const request: FirmwareRequest = (channel, frame) => relay.request(channel, frame)
  const facts = await relay.facts()
  const { management, agents } = config.firmware
  const declared = new Map(agents.map(agent => [agent.channel, agent]))
  const channels = Array.from(
    { length: facts.channels },
    (_, channel) => declared.get(channel) ?? { channel },
  ).filter(({ channel }) => channel !== management.channel && (agents.length === 0 || declared.has(channel)))
  for (const { channel } of [management, ...agents])
    if (channel >= facts.channels)
      throw new MediatorError(
        'CONFIG_INVALID',
        `${config.file}: the firmware has ${facts.channels} channels, from 0; there is no channel ${channel}`,
      )
  const discovery = await discover(request, management, channels)
  const named = await resourceNames(request, management.channel, discovery.protocols)
  const roster = rosterOf(discovery)

  const auditFile = new AuditLog({
    path: auditLog(where),
    maxBytes: config.audit.maxFileBytes,
    keep: config.audit.files,
  })
  const tenants = new Map<number, Tenant>()
  const firmware = new Firmware(discovery, named, request, {
    before: ({ agentId, deviceId, allow }) =>
      trail?.append({
        kind: 'permission',
        agentId,
        device: deviceId,
        allow,
        message: 'BASE_SET_DEVICE_PERMISSIONS',
        text: 'sent',
      }),
    after: (done, status) =>
      trail?.append({
        kind: 'permission',
        agentId: done.agentId,
        ...('deviceId' in done
          ? { device: done.deviceId, allow: done.allow, message: 'BASE_SET_DEVICE_PERMISSIONS' }
          : { message: 'BASE_RESET_AGENT_CONFIGURATION' }),
        status,
        statusName: statusName(status),
      }),
  })
  const sources = {
    tenants,
    resourceNames: named,
    versions: firmware.versions,
    holdings: () => lifecycle.holdings,
  }
  const audited = new AuditTrail(auditFile, new AuditRingReader(audit), auditNames(sources))
  const lifecycle: Lifecycle = new Lifecycle({
    host,
    firmware,
    roster,
    relay,
    audit: audited,
    journal: new Journal(join(where.state, 'domains.json')),
    log: (level, text) => log[level](text),
    guests: config.guests,
    tenants,
  })
  trail = audited
  audited.append({ kind: 'start', text: `scmid ${version}, pid ${process.pid}` })
  await relay.configure({
    versions: firmware.versions,
    counts: firmware.counts,
    identity: discovery,
    host: lifecycle.hostGrants(),
    auditQueries: config.audit.queries,
  })
  const free = roster.list().find(({ state, provenance }) => state === 'free' && provenance !== 'virtual')
  if (free !== undefined && (await firmware.probe(free.channel)) === 'enforced')
    firmware.enforcement = 'enforced'
  await lifecycle.recover()
  for (const domain of config.domains) {
    if (lifecycle.domains.some(({ spec }) => spec.name === domain.name)) continue
    await lifecycle.addDomain(
      { ...domain, dtb: readFileSync(domain.dtb), dtbPath: domain.dtb },
      { dryRun: false },
    )
  }

  const socket = controlSocket(where)
  const daemon = new DaemonViews({
    lifecycle,
    roster,
    firmware,
    audit: audited,
    counters,
    facts: {
      version,
      socket,
      config: config.file,
      host: config.host,
      link: facts.kind,
      channels: facts.channels,
    },
  })
  const control = new ControlServer(daemon, { socket, log })
  await control.start()
  running.add(() => control.stop())
  const drain = setInterval(() => audited.drain(), drainMs)
  running.add(() => clearInterval(drain))
  log.info(
    { socket, domains: lifecycle.domains.length, vendor: discovery.vendor, agents: roster.list().length },
    'serving',
  )
}

/** Agents for guests: one a channel; where the firmware has the management channel only, ours over that one. */
function rosterOf({ management, channels }: Discovery): Roster {
  if (channels.length === 0) return virtualAgents(management)
  const agent = ({ agentId, channel, name, smcId, provenance }: Discovery['management']): Agent => ({
    agentId,
    channel,
    provenance,
    ...(name === undefined ? {} : { name }),
    ...(smcId === undefined ? {} : { smcId }),
  })
  return new Roster(agent(management), channels.map(agent))
}

/** Reads the configuration and all it names. */
function check(path: string): ScmidConfig {
  const config = parseConfig(path)
  loadDeviceTree(config.host)
  if (config.firmware.link === 'embedded') loadPlatform(config.firmware.platform)
  for (const { dtb } of config.domains) loadDeviceTree(dtb)
  return config
}

async function main(): Promise<void> {
  const options = command().parse().opts<Options>()
  const config = check(options.config)
  if (options.check) {
    process.stdout.write(`${config.file}: ok\n`)
    return
  }
  const log = pino({ name: 'scmid', level: config.log.level }, pino.destination({ fd: 2, sync: true }))
  const dir = options.directory === undefined ? undefined : resolve(options.directory)
  const where: Directories =
    dir === undefined
      ? directories(config.directories)
      : { run: dir, state: join(dir, 'state'), log: join(dir, 'log'), private: true }
  const running = new Running()
  const end = (signal: string): void => {
    log.info({ signal }, 'stopping')
    running.stop().then(
      () => process.exit(0),
      error => {
        log.fatal({ err: error }, 'stopping failed')
        process.exit(EXIT_INTERNAL)
      },
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('SIGHUP', () => reload(options.config, log))
  const broken = (error: unknown): void => {
    log.fatal({ err: error }, 'internal error')
    // The relay must not outlive this thread; process.exit alone would wait for it for ever.
    const exit = (): never => process.exit(EXIT_INTERNAL)
    running.stop().then(exit, exit)
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1000).unref()
  }
  process.on('uncaughtException', broken)
  process.on('unhandledRejection', broken)
  try {
    await start(config, where, log, running)
  } catch (error) {
    await running.stop()
    throw error
  }
}

/** SIGHUP: what can change while guests are served does; the rest says that it wants a restart. */
function reload(path: string, log: Logger): void {
  try {
    const config = check(path)
    log.level = config.log.level
    log.info(
      { level: config.log.level },
      'configuration read again: the log level is in force, all else from the next start',
    )
  } catch (error) {
    log.error(`configuration not taken: ${errorText(error)}`)
  }
}

main().catch(error => {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2)
  process.stderr.write(
    `scmid: ${error instanceof MediatorError ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  )
  process.exit(error instanceof MediatorError ? 1 : EXIT_INTERNAL)
})
