// A whole daemon in this thread but for its sockets: real lifecycle, relay, platform, log and journal, over a directory of
// its own, with faults where the machine or the firmware can have them. No test.

import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { Roster } from '../../src/agents/roster.ts'
import { AuditLog } from '../../src/audit/log.ts'
import type { AuditEntry, AuditRecord } from '../../src/audit/record.ts'
import { createAuditRing } from '../../src/audit/ring-layout.ts'
import { AuditRingReader } from '../../src/audit/ring-reader.ts'
import { votesFile } from '../../src/config/paths.ts'
import type { DeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { MediatorError } from '../../src/errors.ts'
import { discover, type FirmwareRequest } from '../../src/firmware-link/discovery.ts'
import { resourceLists } from '../../src/firmware-link/resource-lists.ts'
import { resourceNames } from '../../src/firmware-link/resource-names.ts'
import { auditNames, type Tenant } from '../../src/lifecycle/audit-names.ts'
import { AuditTrail } from '../../src/lifecycle/audit-trail.ts'
import { DaemonViews } from '../../src/lifecycle/daemon.ts'
import { deviceIdsOf, liveDevices, resourcesOf } from '../../src/lifecycle/domain.ts'
import { Firmware, versionsOf } from '../../src/lifecycle/firmware.ts'
import { Journal } from '../../src/lifecycle/journal.ts'
import { Lifecycle } from '../../src/lifecycle/lifecycle.ts'
import { permissionRecords } from '../../src/lifecycle/permission-records.ts'
import { virtualAgents } from '../../src/lifecycle/tenancies.ts'
import type { DomainSpec } from '../../src/lifecycle/views.ts'
import { createCounters } from '../../src/mediator/counters.ts'
import { maxGuests } from '../../src/mediator/guest.ts'
import { Relay } from '../../src/mediator/relay.ts'
import { type RelayCommand, RelayCommands } from '../../src/mediator/relay-port.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { compileGrants, owns } from '../../src/permissions/grants.ts'
import type { PlatformConfig } from '../../src/platform/config.ts'
import { parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { MemoryGuest } from '../mediator/machine.ts'
import { FaultyLink, type Sent } from './faulty-link.ts'

export const fixture = (name: string): string =>
  new URL(`../../fixtures/example/${name}`, import.meta.url).pathname
const platformText = readFileSync(fixture('platform.yaml'), 'utf8')
export const now = { dryRun: false }
export const dry = { dryRun: true }

/** BASE_SET_DEVICE_PERMISSIONS and BASE_RESET_AGENT_CONFIGURATION as `Sent.message`. */
export const SET_DEVICE = 0x1009
export const RESET_AGENT = 0x100b

/** The example's devices by domain. */
export const devicesOf: Readonly<Record<string, readonly number[]>> = {
  'guest-a': [0, 2, 5],
  'guest-b': [1, 3, 7],
  'guest-c': [6],
  'guest-d': [8],
}

/** Everything stops at once, as when the process is killed: what was done is done, nothing more will be. */
export class Crash extends Error {}

const configs = new Map<string, PlatformConfig>()
function configOf(text: string): PlatformConfig {
  const config = configs.get(text) ?? parsePlatform(text, 'platform.yaml')
  configs.set(text, config)
  return config
}

const trees = new Map<string, DeviceTree>()
function treeOf(path: string): DeviceTree {
  const tree = trees.get(path) ?? loadDeviceTree(path)
  trees.set(path, tree)
  return tree
}

class LocalRelay extends RelayCommands {
  readonly #relay: Relay
  readonly #before: (command: RelayCommand) => void

  constructor(relay: Relay, before: (command: RelayCommand) => void) {
    super()
    this.#relay = relay
    this.#before = before
  }

  protected execute(command: RelayCommand): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#before(command)
      this.#relay.execute(command, (error, result) => {
        if (error === undefined) resolve(result)
        else reject(error)
      })
    })
  }

  async stop(): Promise<void> {
    this.#relay.close()
  }
}

class SiteLog extends AuditLog {
  before: (entry: AuditEntry) => void = () => {}

  override append(entry: AuditEntry): number {
    this.before(entry)
    return super.append(entry)
  }
}

class SiteJournal extends Journal {
  before: () => void = () => {}

  override save(state: Parameters<Journal['save']>[0]): void {
    this.before()
    super.save(state)
  }
}

export interface SiteOptions {
  /** Of an earlier site, to take up what it left. */
  readonly directory?: string
  /** A platform that has run already. */
  readonly platform?: Platform
  /** Changes the example's platform file. */
  readonly edit?: (text: string) => string
  /** Acts on the link before anything is asked. */
  readonly link?: (link: FaultyLink) => void
  /** Agent ids by channel, where the platform does not tell them. */
  readonly declared?: readonly number[]
  /** Another host tree than the example's. */
  readonly host?: string
  /** Which domains that an earlier site left are there no more. */
  readonly isGone?: (left: DomainSpec) => boolean
}

export class Site {
  readonly directory: string
  platform: Platform
  readonly link: FaultyLink
  readonly lifecycle: Lifecycle
  readonly firmware: Firmware
  readonly roster: Roster
  readonly relay: Relay
  readonly audit: AuditTrail
  readonly views: DaemonViews
  readonly tenants: ReadonlyMap<number, Tenant>
  readonly guests: (MemoryGuest | undefined)[] = []
  readonly logged: string[] = []
  /** Faults of the machine. */
  readonly broken = { audit: false, open: false }
  /** Told before each record. */
  onAudit: () => void = () => {}
  /** Actions that leave this process or thread, so far; from `crashAt` on none is taken. */
  actions = 0
  crashAt = Number.POSITIVE_INFINITY
  /** What was acted upon, in order. */
  readonly trace: string[] = []
  /** Told of a permission command when it is about to take effect. */
  onPermission: (agentId: number, deviceId: number, allow: boolean) => void = () => {}
  readonly #reactor: Reactor

  private constructor(parts: {
    directory: string
    platform: Platform
    link: FaultyLink
    relay: Relay
    reactor: Reactor
  }) {
    this.directory = parts.directory
    this.platform = parts.platform
    this.link = parts.link
    this.relay = parts.relay
    this.#reactor = parts.reactor
    this.lifecycle = undefined as never
    this.firmware = undefined as never
    this.roster = undefined as never
    this.audit = undefined as never
    this.views = undefined as never
    this.tenants = undefined as never
  }

  /** As daemon.ts starts it. */
  static async start(options: SiteOptions = {}): Promise<Site> {
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'lifecycle-test-'))
    const platform = options.platform ?? new Platform(configOf(options.edit?.(platformText) ?? platformText))
    const link = new FaultyLink(platform)
    options.link?.(link)
    const reactor = new Reactor((_source, error) => {
      throw error
    })
    const ring = createAuditRing(maxGuests, 256)
    const counters = createCounters(maxGuests)
    let site: Site | undefined
    const relay = new Relay({
      reactor,
      makeFirmware: handler => {
        link.open(handler)
        return link
      },
      makeLink: (opening, handler) => {
        if (site?.broken.open === true)
          throw new MediatorError('SOCKET_PATH', `${opening.name}: cannot be opened`)
        const guest = new MemoryGuest(opening.slot, handler, opening.maxMessageBytes)
        if (site !== undefined) site.guests[opening.slot] = guest
        return guest
      },
      audit: ring,
      counters,
      expireMs: 10,
      onReconnected: channel => site?.lifecycle?.firmwareReturned(channel),
      votesFile: votesFile({ run: directory }),
    })
    const made = new Site({ directory, platform, link, relay, reactor })
    site = made
    const port = new LocalRelay(relay, command => {
      if (command.type !== 'facts' && command.type !== 'request') made.act(`relay ${command.type}`)
    })
    link.onSend = sent => made.#onSend(sent)

    const request: FirmwareRequest = (channel, frame) => port.request(channel, frame)
    const [management = { channel: 0 }, ...channels] = Array.from({ length: link.channels }, (_, channel) => {
      const agentId = options.declared?.[channel]
      return agentId === undefined ? { channel } : { channel, agentId }
    })
    const discovery = await discover(request, management, channels)
    const named = await resourceNames(request, 0, discovery.protocols)
    const lists = await resourceLists(request, 0, discovery.protocols)
    const roster =
      discovery.channels.length === 0
        ? virtualAgents(discovery.management)
        : new Roster(discovery.management, discovery.channels)
    const tenants = new Map<number, Tenant>()
    const log = new SiteLog({ path: join(directory, 'audit.jsonl'), sync: 'none' })
    log.before = entry => {
      made.onAudit()
      made.act(`audit ${entry.kind}`)
      if (made.broken.audit) throw new MediatorError('SYSTEM', 'audit write failed: ENOSPC')
    }
    const journal = new SiteJournal(join(directory, 'domains.json'))
    journal.before = () => made.act('journal')
    const audit = new AuditTrail(
      log,
      new AuditRingReader(ring),
      auditNames({
        tenants,
        resourceNames: named,
        versions: versionsOf(discovery),
        holdings: () => made.lifecycle.holdings,
      }),
    )
    const firmware = new Firmware(discovery, named, request, permissionRecords(audit), lists)
    const lifecycle = new Lifecycle({
      sockets: { run: directory, control: join(directory, 'scmid.sock') },
      host: treeOf(options.host ?? fixture('host.dtb')),
      firmware,
      roster,
      relay: port,
      audit,
      journal,
      log: (level, text) => made.logged.push(`${level}: ${text}`),
      guests: { smcId: 0x8200_0002, maxMessageBytes: 128 },
      tenants,
      ...(options.isGone === undefined ? {} : { isGone: options.isGone }),
    })
    const views = new DaemonViews({
      lifecycle,
      roster,
      firmware,
      audit,
      counters,
      facts: {
        version: '0',
        socket: 'none',
        config: 'none',
        host: 'none',
        link: link.kind,
        channels: link.channels,
      },
    })
    Object.assign(made, { lifecycle, firmware, roster, audit, views, tenants })
    audit.append({ kind: 'start' })
    await port.configure({
      versions: firmware.versions,
      counts: firmware.counts,
      identity: discovery,
      host: lifecycle.hostGrants(),
      auditQueries: false,
    })
    return made
  }

  /** Started, with what an earlier one left taken up; stopped and removed with the test. */
  static async recovered(options: SiteOptions = {}): Promise<Site> {
    const site = await Site.start(options)
    onTestFinished(() => site.destroy())
    await site.lifecycle.recover()
    return site
  }

  /** The next run over the same files and the same platform. */
  async next(options: SiteOptions = {}): Promise<Site> {
    const site = await Site.start({ directory: this.directory, platform: this.platform, ...options })
    onTestFinished(() => site.destroy())
    return site
  }

  /** The platform is killed and started again, with what it may have become; all channels are back, or these. */
  restartFirmware(channels?: readonly number[], edit: (text: string) => string = text => text): void {
    this.platform = new Platform(configOf(edit(platformText)))
    this.link.restart(this.platform, channels ?? Array.from({ length: this.link.channels }, (_, i) => i))
  }

  destroy(): void {
    this.relay.close()
    this.#reactor.close()
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** One action that others see. From `crashAt` on, there are none. */
  act(what: string): void {
    if (this.actions >= this.crashAt) throw new Crash(`no ${what}: the process is gone`)
    this.actions++
    this.trace.push(what)
  }

  /** Makes saving fail, or heals it: something is in the way of the new file. */
  breakJournal(broken: boolean): void {
    const inTheWay = join(this.directory, 'domains.json.new')
    if (broken) mkdirSync(inTheWay, { recursive: true })
    else {
      try {
        rmdirSync(inTheWay)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
  }

  spec(name: string, more: Partial<DomainSpec> = {}): DomainSpec {
    return {
      name,
      dtb: more.dtb ?? readFileSync(fixture(`${name}.dtb`)),
      dtbPath: `${name}.dtb`,
      link: { kind: 'message-socket', path: join(this.directory, `${name}.sock`) },
      ...more,
    }
  }

  add(name: string, more: Partial<DomainSpec> = {}) {
    return this.lifecycle.addDomain(this.spec(name, more), now)
  }

  /** The guest of a domain. */
  guest(name: string): MemoryGuest {
    const guest = this.guests[this.lifecycle.domain(name).slot]
    if (guest === undefined) throw new Error(`${name} has no link`)
    return guest
  }

  journalText(): string | undefined {
    try {
      return readFileSync(join(this.directory, 'domains.json'), 'utf8')
    } catch {
      return undefined
    }
  }

  /** Every record in the log's file. */
  records(): AuditRecord[] {
    return readFileSync(join(this.directory, 'audit.jsonl'), 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line))
  }

  /** Permission commands that the platform received, as text: `+agent/device`, `-agent/device`, `reset agent`. */
  commands(): string[] {
    return this.link.sent.flatMap(({ message, words }) =>
      message === SET_DEVICE
        ? [`${words[2] === 1 ? '+' : '-'}${words[0]}/${words[1]}`]
        : message === RESET_AGENT
          ? [`reset ${words[0]}`]
          : [],
    )
  }

  /** Devices that the firmware allows an agent. */
  allowed(agentId: number): number[] {
    return this.platform.config.devices
      .map(({ id }) => id)
      .filter(id => this.platform.deviceAllowed(agentId, id))
  }

  /** What must hold whenever no change is under way; gives what does not. */
  faults(): string[] {
    const faults: string[] = []
    const { domains } = this.lifecycle
    const relayed = this.relay.mediator.guests.filter(guest => guest !== undefined)
    const running = domains.filter(({ state }) => state === 'running')
    if (running.length !== domains.length) faults.push('a domain is neither here nor gone')
    if (
      relayed
        .map(({ name }) => name)
        .sort()
        .join() !==
      running
        .map(({ spec }) => spec.name)
        .sort()
        .join()
    )
      faults.push(
        `the relay serves ${relayed.map(({ name }) => name)}, not ${running.map(({ spec }) => spec.name)}`,
      )
    for (const domain of running) {
      const live = liveDevices(domain)
      const expected = compileGrants(resourcesOf(live), this.firmware.counts)
      const guest = relayed.find(({ name }) => name === domain.spec.name)
      if (!same(guest?.grants.owned, expected.owned))
        faults.push(`the relay lets ${domain.spec.name} have something else than its devices`)
      if (guest?.channel !== domain.agent.channel)
        faults.push(`${domain.spec.name} speaks on another's channel`)
    }
    const ids = domains.map(({ agent }) => agent.agentId)
    if (new Set(ids).size !== ids.length) faults.push(`agents given twice: ${ids}`)
    const problems = this.views.status().problems.join('\n')
    for (const { agentId, state, domain: owner, provenance } of this.roster.list()) {
      if (state === 'management' || provenance === 'virtual') continue
      const domain = domains.find(({ agent }) => agent.agentId === agentId)
      if ((domain === undefined) === (state === 'assigned'))
        faults.push(`agent ${agentId} is ${state} of ${owner}`)
      if (!this.firmware.discovery.devicePermissions) continue
      const live = domain === undefined ? [] : deviceIdsOf(liveDevices(domain))
      for (const id of this.allowed(agentId)) {
        if (live.includes(id) || state === 'quarantined') continue
        if (!problems.includes(`agent ${agentId} may still be allowed device ${id}`))
          faults.push(
            `agent ${agentId} (${state}) is allowed device ${id} at the firmware, and nobody is told`,
          )
      }
      for (const id of live)
        if (!this.platform.deviceAllowed(agentId, id)) faults.push(`agent ${agentId} lacks its device ${id}`)
    }
    const host = this.lifecycle.hostGrants()
    for (const { protocol, id, domain } of this.#rightsInLog())
      if (!domains.some(({ spec }) => spec.name === domain))
        faults.push(`the log leaves ${domain} ${protocol}/${id}`)
    const inLog = new Set(
      this.#rightsInLog().map(({ domain, protocol, id }) => `${domain} ${protocol}/${id}`),
    )
    for (const domain of running)
      for (const { protocol, id } of resourcesOf(liveDevices(domain)))
        if (!inLog.delete(`${domain.spec.name} ${protocol}/${id}`))
          faults.push(`${domain.spec.name} has ${protocol}/${id}, and the log does not say so`)
    for (const key of inLog) faults.push(`the log says ${key}, and it is not so`)
    const held = new Set(running.flatMap(domain => liveDevices(domain).map(device => device.hostNode)))
    for (const device of this.lifecycle.holdings.host) {
      if (held.has(device.node)) faults.push(`${device.node} is the host's and a domain's`)
      for (const { protocol, id } of resourcesOf([device]))
        if (!owns(host.owned[protocol], id)) faults.push(`the host lacks ${protocol}/${id}`)
    }
    return faults
  }

  /** Rights as somebody who has only the log would find them: granted and not revoked since. */
  #rightsInLog(): { domain: string; protocol: number; id: number }[] {
    const rights = new Map<string, { domain: string; protocol: number; id: number }>()
    for (const { kind, domain, protocol, resource } of this.records()) {
      if (kind === 'start') rights.clear()
      if (domain === undefined || protocol === undefined || resource === undefined) continue
      const key = `${domain} ${protocol}/${resource}`
      if (kind === 'grant') rights.set(key, { domain, protocol, id: resource })
      if (kind === 'revoke') rights.delete(key)
    }
    return [...rights.values()]
  }

  #onSend({ message, words }: Sent): void {
    if (message !== SET_DEVICE && message !== RESET_AGENT) {
      if (this.actions >= this.crashAt) throw new Crash('no message: the process is gone')
      return
    }
    this.act(
      message === SET_DEVICE ? `firmware ${words[2] === 1 ? 'allow' : 'deny'} ${words[1]}` : 'firmware reset',
    )
    const [agentId = 0, deviceId = 0, flags] = words
    if (message === SET_DEVICE) this.onPermission(agentId, deviceId, flags === 1)
  }
}

function same(
  a: readonly (Uint32Array | undefined)[] | undefined,
  b: readonly (Uint32Array | undefined)[],
): boolean {
  const bits = (list: readonly (Uint32Array | undefined)[]): string =>
    list
      .flatMap((bitmap, protocol) => (bitmap?.some(word => word !== 0) ? [`${protocol}:${bitmap}`] : []))
      .join(' ')
  return a !== undefined && bits(a) === bits(b)
}
