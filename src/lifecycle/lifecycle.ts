// The only place that sequences agents, permissions, links and audit: each change a transaction, one at a time.
import { createHash } from 'node:crypto'
import { type AgentEntry, Roster } from '../agents/roster.ts'
import type { AuditEntry } from '../audit/record.ts'
import type { DeviceTree } from '../dt/fdt.ts'
import { readDeviceTree } from '../dt/fdt.ts'
import { errorText, MediatorError } from '../errors.ts'
import { maxGuests } from '../mediator/guest.ts'
import type { RelayPort } from '../mediator/relay-port.ts'
import { compileGrants, type Grants } from '../permissions/grants.ts'
import { plan, planHostDevice } from '../permissions/plan.ts'
import { sharedText } from '../permissions/plan-checks.ts'
import type { Plan, PlanDevice, PlanInput } from '../permissions/plan-shape.ts'
import type { Tenant } from './audit-names.ts'
import type { AuditTrail } from './audit-trail.ts'
import {
  type Domain,
  deviceIdsOf,
  devicePath,
  type HeldDevice,
  liveDevices,
  names,
  resourcesOf,
} from './domain.ts'
import type { Firmware } from './firmware.ts'
import { Holdings } from './holdings.ts'
import type { Journal, JournalDomain } from './journal.ts'
import { Turnstile, transaction, type Undo } from './transaction.ts'
import type { DomainSpec, Outcome, PermissionCommand } from './views.ts'

type Told = (level: 'info' | 'warn' | 'error', text: string) => void

export interface LifecycleParts {
  readonly host: DeviceTree
  readonly firmware: Firmware
  readonly roster: Roster
  readonly relay: RelayPort
  readonly audit: AuditTrail
  readonly journal: Journal
  readonly log: Told
  /** Function id and largest frame of guests that name none. */
  readonly guests: { readonly smcId: number; readonly maxMessageBytes: number }
  /** Who has had each place at the relay; the audit log's names come from it. */
  readonly tenants: Map<number, Tenant>
}

/** Problems between domains, which the plan finds in trees and the lifecycle in what is held. */
const betweenDomains: ReadonlySet<string> = new Set([
  'domain-name',
  'agent-repeated',
  'device-passed-twice',
  'device-id-twice',
])
const nameForm = /^[A-Za-z0-9][A-Za-z0-9._:+-]{0,62}$/

export class Lifecycle {
  readonly #parts: LifecycleParts
  readonly #domains = new Map<string, Domain>()
  readonly #turnstile = new Turnstile()
  /** Device ids ever seen in a tree: what a deny sweep goes over. */
  readonly #deviceIds = new Set<number>()
  #generation = 0
  #holdings: Holdings
  /** What an operator should know, by domain or agent. */
  readonly problems = new Map<string, string>()

  constructor(parts: LifecycleParts) {
    this.#parts = parts
    this.#holdings = new Holdings(parts.host, [])
    for (const id of deviceIdsOf(this.#holdings.host)) this.#deviceIds.add(id)
  }

  get holdings(): Holdings {
    return this.#holdings
  }
  get domains(): readonly Domain[] {
    return [...this.#domains.values()]
  }

  /** By name or domid. */
  domain(name: string): Domain {
    const found =
      this.#domains.get(name) ??
      this.domains.find(({ spec }) => spec.domid !== undefined && String(spec.domid) === name)
    if (found === undefined)
      throw new MediatorError('DOMAIN_UNKNOWN', `${name} is not a domain; see scmictl list`)
    return found
  }

  /** What the host holds at the start, for the relay. */
  hostGrants(): Grants {
    return compileGrants(resourcesOf(this.#holdings.host), this.#parts.firmware.counts)
  }

  /** Plans, assigns an agent, grants and opens the link; or leaves everything as it was. */
  addDomain(spec: DomainSpec, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#turnstile.pass(() =>
      this.#refusing(spec.name, () => this.#add(spec, options.dryRun, [], [])),
    )
  }

  /** Closes the link, revokes, sweeps the agent id and frees it, or quarantines it. */
  removeDomain(name: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#turnstile.pass(() =>
      this.#refusing(name, () => this.#remove(this.domain(name), options.dryRun)),
    )
  }

  /** Gives a domain a device of its own tree that was detached, or one of the host's tree. */
  attachDevice(name: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#turnstile.pass(() =>
      this.#refusing(name, () => this.#attach(this.domain(name), device, options.dryRun)),
    )
  }

  detachDevice(name: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#turnstile.pass(() =>
      this.#refusing(name, () => this.#detach(this.domain(name), device, options.dryRun)),
    )
  }

  /**
   * Takes up what an earlier run left: quarantined agents stay so, domains come back with their agent ids. One that
   * cannot come back has no rights, its agent is quarantined, and `problems` tells.
   */
  async recover(): Promise<void> {
    const { journal, roster, log } = this.#parts
    const state = journal.load()
    for (const { agentId, reason } of state.quarantined) {
      if (roster.list().some(entry => entry.agentId === agentId && entry.state === 'free'))
        this.#quarantine(agentId, reason)
    }
    for (const saved of state.domains) {
      try {
        const spec = specOf(saved)
        await this.#turnstile.pass(() => this.#add(spec, false, saved.detached, saved.attached))
        log('info', `domain ${saved.name} is back with agent ${saved.agentId}`)
      } catch (error) {
        const text = `domain ${saved.name} was not recovered: ${errorText(error)}`
        log('error', text)
        this.problems.set(`domain ${saved.name}`, text)
        if (roster.list().some(entry => entry.agentId === saved.agentId && entry.state === 'free'))
          this.#quarantine(saved.agentId, `left by ${saved.name}, which was not recovered`)
      }
    }
    this.#save()
  }

  /** Writes a refused request down before it is thrown on. */
  async #refusing(name: string, work: () => Promise<Outcome>): Promise<Outcome> {
    try {
      return await work()
    } catch (error) {
      this.#record({ kind: 'refuse', domain: name, text: errorText(error) })
      throw error
    }
  }

  async #add(
    spec: DomainSpec,
    dryRun: boolean,
    detached: readonly string[],
    attached: readonly string[],
  ): Promise<Outcome> {
    const { roster, relay, host, firmware, guests, tenants } = this.#parts
    if (!nameForm.test(spec.name))
      throw new MediatorError(
        'CONFIG_INVALID',
        `"${spec.name}" is no domain name: 1 to 63 letters, digits and ._:+-, beginning with a letter or digit`,
      )
    this.#refuseTwins(spec)
    const input: PlanInput = {
      name: spec.name,
      tree: readDeviceTree(spec.dtb, spec.dtbPath ?? `${spec.name}.dtb`),
      agentId: spec.agentId,
    }
    const { domains, problems } = this.#planned(host, input)
    const errors = problems.filter(({ severity }) => severity === 'error')
    if (errors.length > 0) throw new MediatorError('PLAN_REFUSED', errors.map(({ text }) => text).join('; '))
    const own = (domains.at(-1)?.devices ?? []).map(device => ({
      plan: device,
      own: true,
      attached: !detached.includes(devicePath(device)),
    }))
    const more = attached.map(path => ({ plan: this.#hostDevice(path), own: false, attached: true }))
    const devices: HeldDevice[] = [...own, ...more]
    for (const { plan: device, attached: live } of devices) if (live) this.#refuseTaken(device, spec.name)

    const agent = roster.choose(spec.agentId)
    const domain: Domain = {
      spec,
      input,
      agent,
      slot: this.#freeSlot(),
      generation: this.#generation + 1,
      dtbHash: createHash('sha256').update(spec.dtb).digest('hex'),
      addedAt: new Date().toISOString(),
      state: 'adding',
      devices,
    }
    const live = liveDevices(domain)
    const outcome = this.#outcome(domain, dryRun, { granted: live, problems })
    if (dryRun) return outcome
    this.#generation = domain.generation
    for (const id of deviceIdsOf(live)) this.#deviceIds.add(id)
    tenants.set(domain.generation, tenantOf(spec))

    await this.#transaction(domain, async undo => {
      this.#record({ kind: 'assign', ...this.#who(domain) })
      roster.assign(agent.agentId, spec.name)
      undo(() => roster.release(agent.agentId))
      await this.#grant(domain, live, undo)
      this.#domains.set(spec.name, domain)
      undo(() => void this.#domains.delete(spec.name))
      await this.#hostChanged()
      undo(() => this.#hostChanged())
      await relay.open({
        slot: domain.slot,
        generation: domain.generation,
        name: spec.name,
        agentId: agent.agentId,
        channel: agent.channel,
        grants: compileGrants(resourcesOf(live), firmware.counts),
        link: spec.link,
        ...guests,
      })
      undo(() => relay.close(domain.slot))
      domain.state = 'running'
      this.#save()
    })
    return outcome
  }

  async #remove(domain: Domain, dryRun: boolean): Promise<Outcome> {
    const { relay, roster, firmware } = this.#parts
    const live = liveDevices(domain)
    const outcome = this.#outcome(domain, dryRun, { revoked: live })
    if (dryRun) return outcome
    domain.state = 'removing'
    await relay.close(domain.slot)
    this.#recordRevoked(domain, live)
    const { agentId, channel, provenance } = domain.agent
    let unfit: string | undefined
    try {
      if (provenance !== 'virtual') {
        for (const id of deviceIdsOf(live)) await firmware.setDevice(agentId, id, false)
        unfit = await firmware.sweep(agentId, channel, this.#deviceIds)
      }
    } catch (error) {
      unfit = errorText(error)
    }
    this.#record({ kind: 'release', ...this.#who(domain) })
    if (unfit === undefined) roster.release(agentId)
    else this.#quarantine(agentId, unfit)
    this.#domains.delete(domain.spec.name)
    this.problems.delete(`domain ${domain.spec.name}`)
    await this.#hostChanged()
    this.#save()
    return outcome
  }

  async #attach(domain: Domain, text: string, dryRun: boolean): Promise<Outcome> {
    const known = domain.devices.find(({ plan: device }) => names(device, text))
    if (known?.attached)
      throw new MediatorError('DEVICE_BUSY', `${domain.spec.name} has ${devicePath(known.plan)} already`)
    const device = known?.plan ?? this.#hostDevice(text)
    this.#refuseTaken(device, domain.spec.name)
    const outcome = this.#outcome(domain, dryRun, { granted: [device], problems: [] })
    if (dryRun) return outcome
    for (const id of device.deviceIds) this.#deviceIds.add(id)
    await this.#transaction(domain, async undo => {
      await this.#grant(domain, [device], undo)
      const held = known ?? { plan: device, own: false, attached: false }
      if (known === undefined) domain.devices.push(held)
      held.attached = true
      undo(() => {
        held.attached = false
        if (known === undefined) domain.devices = domain.devices.filter(each => each !== held)
      })
      await this.#hostChanged()
      undo(() => this.#hostChanged())
      await this.#regrant(domain)
      undo(() => this.#regrant(domain))
      this.#save()
    })
    return outcome
  }

  async #detach(domain: Domain, text: string, dryRun: boolean): Promise<Outcome> {
    const held = domain.devices.find(({ plan: device, attached }) => attached && names(device, text))
    if (held === undefined)
      throw new MediatorError(
        'DEVICE_UNKNOWN',
        `${domain.spec.name} has no device ${text}; see scmictl device-list ${domain.spec.name}`,
      )
    const outcome = this.#outcome(domain, dryRun, { revoked: [held.plan] })
    if (dryRun) return outcome
    this.#recordRevoked(domain, [held.plan])
    // Here first: from now on the guest is refused whatever the firmware does.
    held.attached = false
    if (!held.own) domain.devices = domain.devices.filter(each => each !== held)
    await this.#regrant(domain)
    await this.#hostChanged()
    this.#save()
    if (domain.agent.provenance !== 'virtual')
      for (const { deviceId } of outcome.permissionCommands)
        await this.#parts.firmware.setDevice(domain.agent.agentId, deviceId, false)
    return outcome
  }

  /** Writes the grants down, then tells the firmware, device by device. */
  async #grant(domain: Domain, devices: readonly PlanDevice[], undo: (step: Undo) => void): Promise<void> {
    const { firmware } = this.#parts
    const { agentId, provenance } = domain.agent
    this.#recordGranted(domain, devices)
    undo(() => this.#recordRevoked(domain, devices))
    if (provenance === 'virtual') return
    for (const id of deviceIdsOf(devices)) {
      // A refusal may come after the effect: it is undone all the same.
      undo(async () => {
        try {
          await firmware.setDevice(agentId, id, false)
        } catch (error) {
          this.#quarantine(agentId, `device ${id} may still be allowed: ${errorText(error)}`)
        }
      })
      await firmware.setDevice(agentId, id, true)
    }
  }

  #regrant(domain: Domain): Promise<void> {
    const { relay, firmware } = this.#parts
    return relay.grants(domain.slot, compileGrants(resourcesOf(liveDevices(domain)), firmware.counts))
  }

  /** Who holds what has changed: for the audit log's names, and for the relay, which counts holders. */
  async #hostChanged(): Promise<void> {
    this.#parts.audit.drain()
    this.#holdings = new Holdings(this.#parts.host, this.domains)
    await this.#parts.relay.host(this.hostGrants())
  }

  async #transaction(domain: Domain, steps: (undo: (step: Undo) => void) => Promise<void>): Promise<void> {
    await transaction(steps, fault => {
      const text = `rolling back ${domain.spec.name}: ${errorText(fault)}`
      this.#parts.log('error', text)
      this.problems.set(`domain ${domain.spec.name}`, text)
    })
  }

  /** The plan of all domains with this one added; of its problems, those that are this one's. */
  #planned(host: DeviceTree, input: PlanInput): Pick<Plan, 'domains' | 'problems'> {
    const whole = plan(host, [...this.domains.map(domain => domain.input), input])
    const shared = whole.shared.filter(({ holders }) => holders.includes(input.name)).map(sharedText)
    return {
      domains: whole.domains,
      // Who has a device or an id now is looked at apart: a domain may have given back what its tree names.
      problems: whole.problems.filter(
        ({ domain, code, text }) =>
          (domain === input.name && !betweenDomains.has(code)) || shared.includes(text),
      ),
    }
  }

  #quarantine(agentId: number, reason: string): void {
    this.#parts.roster.quarantine(agentId, reason)
    this.#parts.log('error', `agent ${agentId} is quarantined: ${reason}`)
    this.#record({ kind: 'quarantine', agentId, text: reason })
  }

  #refuseTwins(spec: DomainSpec): void {
    for (const { spec: other } of this.domains) {
      if (other.name === spec.name)
        throw new MediatorError('DOMAIN_EXISTS', `there is a domain ${spec.name} already`)
      if (spec.domid !== undefined && other.domid === spec.domid)
        throw new MediatorError('DOMAIN_EXISTS', `domain ${other.name} has domid ${spec.domid} already`)
      if (other.link.path === spec.link.path)
        throw new MediatorError('SOCKET_PATH', `${spec.link.path} is ${other.name}'s socket`, {
          path: spec.link.path,
        })
    }
  }

  /** One device, one domain; one SCMI device id, one domain: a grant to the one would be a grant of the other's resources. */
  #refuseTaken(device: PlanDevice, name: string): void {
    for (const other of this.domains) {
      if (other.spec.name === name) continue
      for (const theirs of liveDevices(other)) {
        if (device.hostNode !== undefined && device.hostNode === theirs.hostNode)
          throw new MediatorError('DEVICE_BUSY', `${device.hostNode} is ${other.spec.name}'s`)
        if (devicePath(device) === theirs.hostNode)
          throw new MediatorError('DEVICE_BUSY', `${devicePath(device)} is ${other.spec.name}'s`)
        const id = device.deviceIds.find(each => theirs.deviceIds.includes(each))
        if (id !== undefined)
          throw new MediatorError(
            'DEVICE_BUSY',
            `SCMI device ${id} of ${devicePath(device)} is ${other.spec.name}'s (${devicePath(theirs)})`,
          )
      }
    }
  }

  /** A device of the host's tree, by path, last part of the path, or SCMI device id. */
  #hostDevice(text: string): PlanDevice {
    const found = planHostDevice(this.#parts.host, device => names(device, text))
    if (found.length === 0)
      throw new MediatorError('DEVICE_UNKNOWN', `the host tree has no device ${text} that names SCMI`)
    if (found.length > 1)
      throw new MediatorError(
        'DEVICE_UNKNOWN',
        `${text} is ${found.map(devicePath).join(' and ')}: give the path`,
      )
    return found[0] as PlanDevice
  }

  #freeSlot(): number {
    const taken = new Set(this.domains.map(({ slot }) => slot))
    for (let slot = 0; slot < maxGuests; slot++) if (!taken.has(slot)) return slot
    throw new MediatorError('AGENTS_EXHAUSTED', `${maxGuests} domains are served, the most there can be`)
  }

  #outcome(
    domain: Domain,
    dryRun: boolean,
    change: {
      granted?: readonly PlanDevice[]
      revoked?: readonly PlanDevice[]
      problems?: Outcome['problems']
    },
  ): Outcome {
    const { agentId, provenance } = domain.agent
    const { granted = [], revoked = [] } = change
    const told = this.#parts.firmware.discovery.devicePermissions && provenance !== 'virtual'
    const kept = new Set(deviceIdsOf(liveDevices(domain).filter(device => !revoked.includes(device))))
    const commands = (devices: readonly PlanDevice[], allow: boolean): PermissionCommand[] =>
      told
        ? deviceIdsOf(devices).flatMap(deviceId =>
            !allow && kept.has(deviceId) ? [] : [{ agentId, deviceId, allow }],
          )
        : []
    return {
      dryRun,
      domain: domain.spec.name,
      agentId,
      permissionCommands: [...commands(granted, true), ...commands(revoked, false)],
      granted: resourcesOf(granted),
      revoked: resourcesOf(revoked),
      problems: change.problems ?? [],
    }
  }

  #who({ spec, agent }: Domain): Pick<AuditEntry, 'domain' | 'domid' | 'agentId'> {
    return { ...tenantOf(spec), agentId: agent.agentId }
  }

  #recordGranted(domain: Domain, devices: readonly PlanDevice[]): void {
    this.#recordDevices('grant', domain, devices)
  }
  #recordRevoked(domain: Domain, devices: readonly PlanDevice[]): void {
    this.#recordDevices('revoke', domain, devices)
  }

  /** A record a resource, and one for a device that names none. */
  #recordDevices(kind: 'grant' | 'revoke', domain: Domain, devices: readonly PlanDevice[]): void {
    for (const device of devices) {
      const about = {
        kind,
        ...this.#who(domain),
        node: devicePath(device),
        ...(device.deviceIds[0] === undefined ? {} : { device: device.deviceIds[0] }),
      }
      const resources = resourcesOf([device])
      if (resources.length === 0) this.#record(about)
      for (const { protocol, id, property } of resources) {
        const resourceName = this.#parts.firmware.nameOf(protocol, id)
        this.#record({
          ...about,
          protocol,
          resource: id,
          ...(resourceName === undefined ? {} : { resourceName }),
          rule: property,
        })
      }
    }
  }

  #record(entry: AuditEntry): void {
    this.#parts.audit.append(entry)
  }

  #save(): void {
    const { journal, roster } = this.#parts
    journal.save({
      version: 1,
      domains: this.domains.map(({ spec, agent, devices, addedAt }) => ({
        name: spec.name,
        ...(spec.domid === undefined ? {} : { domid: spec.domid }),
        agentId: agent.agentId,
        dtb: Buffer.from(spec.dtb).toString('base64'),
        ...(spec.dtbPath === undefined ? {} : { dtbPath: spec.dtbPath }),
        link: spec.link,
        detached: devices
          .filter(({ own, attached }) => own && !attached)
          .map(({ plan: device }) => devicePath(device)),
        attached: devices.filter(({ own }) => !own).map(({ plan: device }) => devicePath(device)),
        addedAt,
      })),
      quarantined: roster
        .list()
        .flatMap(({ agentId, state, reason }) =>
          state === 'quarantined' ? [{ agentId, reason: reason ?? '' }] : [],
        ),
    })
  }
}

const tenantOf = ({ name, domid }: DomainSpec): Tenant => ({
  domain: name,
  ...(domid === undefined ? {} : { domid }),
})

const specOf = ({ name, domid, agentId, dtb, dtbPath, link }: JournalDomain): DomainSpec => ({
  name,
  ...(domid === undefined ? {} : { domid }),
  agentId,
  dtb: Buffer.from(dtb, 'base64'),
  ...(dtbPath === undefined ? {} : { dtbPath }),
  link: link as DomainSpec['link'],
})

/** The agents of a platform with too few: as many as there can be guests, all on the management channel. */
export function virtualAgents(management: AgentEntry | { agentId: number; channel: number }): Roster {
  return new Roster(
    { agentId: management.agentId, channel: management.channel, provenance: 'discovered' },
    Array.from({ length: maxGuests }, (_, i) => ({
      agentId: management.agentId + 1 + i,
      channel: management.channel,
      provenance: 'virtual' as const,
    })),
  )
}
