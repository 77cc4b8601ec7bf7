// Builds the daemon's parts after its configuration and wires them. It and relay-worker.ts alone know the concrete classes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Agent, Roster } from './agents/roster.ts'
import { AuditLog } from './audit/log.ts'
import { createAuditRing } from './audit/ring-layout.ts'
import { AuditRingReader } from './audit/ring-reader.ts'
import { auditLog, controlSocket, type Directories, prepareDirectories } from './config/paths.ts'
import type { ScmidConfig } from './config/scmid.ts'
import { version } from './config/version.ts'
import { ControlServer } from './control/server.ts'
import { loadDeviceTree } from './dt/load.ts'
import { errorText, MediatorError } from './errors.ts'
import {
  type DeclaredChannel,
  type Discovery,
  discover,
  type FirmwareRequest,
  patient,
} from './firmware-link/discovery.ts'
import { resourceLists } from './firmware-link/resource-lists.ts'
import { resourceNames } from './firmware-link/resource-names.ts'
import { auditNames, type Tenant } from './lifecycle/audit-names.ts'
import { AuditTrail } from './lifecycle/audit-trail.ts'
import { DaemonViews } from './lifecycle/daemon.ts'
import { Firmware, versionsOf } from './lifecycle/firmware.ts'
import { Journal } from './lifecycle/journal.ts'
import { Lifecycle } from './lifecycle/lifecycle.ts'
import { permissionRecords } from './lifecycle/permission-records.ts'
import { virtualAgents } from './lifecycle/tenancies.ts'
import { createCounters } from './mediator/counters.ts'
import { maxGuests } from './mediator/guest.ts'
import type { LinkFacts } from './mediator/relay-port.ts'
import { RelayThread } from './mediator/relay-thread.ts'
import { FileLock } from './native/file-lock.ts'
import type { RelayData } from './relay-worker.ts'
import type { Running } from './running.ts'
import { buildToolstack, openXen } from './xen-toolstack.ts'

/** Milliseconds between looks into the audit ring. */
const drainMs = 20
/** Milliseconds that a stop waits for a change under way. */
const patienceMs = 1000

/** What the program gives the daemon. */
export interface Surroundings {
  readonly log: Logger
  /** Everything started is added, so that whoever has it can stop it, also when the start fails. */
  readonly running: Running
  /** The relay thread is gone: the daemon must go too. */
  readonly onDeath: (error: Error) => void
}

/** A daemon that serves. */
export interface Started {
  /** Writes down that the configuration was read again, and what came of it. */
  readonly reloaded: (text: string) => void
}

/** Starts all of it; resolves when the control socket is served. */
export async function startDaemon(
  config: ScmidConfig,
  where: Directories,
  { log, running, onDeath }: Surroundings,
): Promise<Started> {
  const host = loadDeviceTree(config.host)
  prepareDirectories(where)
  for (const directory of new Set([where.run, where.state, where.log])) claim(directory, running)
  const ring = createAuditRing(maxGuests, config.audit.recordsPerGuest)
  const counters = createCounters(maxGuests)
  const data: RelayData = {
    firmware: config.firmware,
    guests: config.guests,
    run: where.run,
    xen: config.xen,
    monitors: join(where.state, 'monitors'),
    audit: ring,
    counters,
  }
  let returned = (_channel: number): void => {} // nothing was granted yet
  const relay = await RelayThread.start({
    program: new URL('./relay-worker.js', import.meta.url),
    data,
    log: (level, text) => log[level](text),
    onDeath,
    onReconnected: channel => returned(channel),
  })
  running.add(() => relay.stop())

  const request: FirmwareRequest = (channel, frame) => relay.request(channel, frame)
  const facts = await relay.facts()
  const { management } = config.firmware
  const ask = patient(request, 3)
  const discovery = await discover(ask, management, channelsOf(config, facts))
  const named = await resourceNames(ask, management.channel, discovery.protocols)
  const lists = await resourceLists(ask, management.channel, discovery.protocols)
  const roster = rosterOf(discovery)

  const tenants = new Map<number, Tenant>()
  const names = auditNames({
    tenants,
    resourceNames: named,
    versions: versionsOf(discovery),
    holdings: () => lifecycle.holdings,
  })
  const { maxFileBytes, files } = config.audit
  const audit = new AuditTrail(
    new AuditLog({ path: auditLog(where), maxBytes: maxFileBytes, keep: files }),
    new AuditRingReader(ring),
    names,
  )
  running.add(async () => {
    await relay.stop() // before the last look into the ring
    audit.note({ kind: 'stop' })
    audit.close()
  })
  const say = (level: 'info' | 'warn' | 'error', text: string): void => log[level](text)
  const xen =
    config.toolstack.kind === 'xen' ? openXen(config.xen.libraries, join(where.state, 'monitors')) : undefined
  if (xen !== undefined) running.add(() => xen.close())
  const firmware = new Firmware(discovery, named, request, permissionRecords(audit), lists)
  const socket = controlSocket(where)
  const lifecycle: Lifecycle = new Lifecycle({
    sockets: { run: where.run, control: socket },
    host,
    firmware,
    roster,
    relay,
    audit,
    journal: new Journal(join(where.state, 'domains.json')),
    log: say,
    guests: config.guests,
    tenants,
    ...(xen === undefined ? {} : { isGone: xen.isGone }),
  })
  audit.append({ kind: 'start', text: `scmid ${version}, pid ${process.pid}` })
  const drain = setInterval(() => audit.tryDrain(), drainMs)
  running.add(() => clearInterval(drain))
  running.add(() => Promise.race([lifecycle.settle(), sleep(patienceMs, undefined, { ref: false })]))
  await relay.configure({
    versions: firmware.versions,
    counts: firmware.counts,
    identity: discovery,
    host: lifecycle.hostGrants(),
    auditQueries: config.audit.queries,
  })
  returned = channel => lifecycle.firmwareReturned(channel)
  await lifecycle.recover()
  await addConfigured(config, lifecycle, log)
  const toolstack =
    xen === undefined
      ? undefined
      : buildToolstack(config.toolstack, xen, where.state, lifecycle, version, say)
  if (toolstack !== undefined) {
    running.add(() => toolstack.stop())
    await toolstack.start()
  }

  const daemon = new DaemonViews({
    lifecycle,
    roster,
    firmware,
    audit,
    counters,
    facts: {
      version,
      socket,
      config: config.file,
      host: config.host,
      link: facts.kind,
      channels: facts.channels,
    },
    ...(toolstack === undefined ? {} : { toolstack }),
  })
  const control = new ControlServer(daemon, { socket, log })
  await control.start()
  running.add(() => control.stop())
  log.info(
    { socket, domains: lifecycle.domains.length, vendor: discovery.vendor, agents: roster.list().length },
    'serving',
  )
  return { reloaded: text => audit.note({ kind: 'reload', text }) }
}

/** One daemon to a directory: sockets, state and audit log each have one writer. */
function claim(directory: string, running: Running): void {
  const path = join(directory, 'scmid.lock')
  const lock = FileLock.acquire(path)
  if (lock === undefined)
    throw new MediatorError('DAEMON_RUNNING', `another scmid serves from ${directory} (it holds ${path})`, {
      path,
    })
  running.add(() => lock.release())
}

/** Channels of guests' agents: those declared, or all there are but the management channel. */
function channelsOf({ file, firmware }: ScmidConfig, facts: LinkFacts): readonly DeclaredChannel[] {
  const { management, agents } = firmware
  for (const { channel } of [management, ...agents])
    if (channel >= facts.channels)
      throw new MediatorError(
        'CONFIG_INVALID',
        `${file}: the firmware has ${facts.channels} channels, from 0; there is no channel ${channel}`,
        { path: file },
      )
  if (agents.length > 0) return agents.filter(({ channel }) => channel !== management.channel)
  return Array.from({ length: facts.channels }, (_, channel) => ({ channel })).filter(
    ({ channel }) => channel !== management.channel,
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

/** Domains of the configuration that did not come back by themselves. One that cannot be added leaves the others be. */
async function addConfigured(config: ScmidConfig, lifecycle: Lifecycle, log: Logger): Promise<void> {
  for (const domain of config.domains) {
    const { name, dtb } = domain
    try {
      const spec = { ...domain, dtb: readFileSync(dtb), dtbPath: dtb }
      if (!lifecycle.knows(name)) await lifecycle.addDomain(spec, { dryRun: false })
      else if (!lifecycle.isAsServed(spec))
        log.warn(
          `domain ${name} is served as it was added before; remove it to have it as ${config.file} says`,
        )
    } catch (error) {
      lifecycle.tell(`domain ${name} of ${config.file} was not added: ${errorText(error)}`)
    }
  }
}
