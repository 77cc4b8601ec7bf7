// The only place that sequences agents, permissions, links and audit: each change a transaction, one at a time.
import { createHash } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type AgentEntry, Roster } from '../agents/roster.ts'
import { domainName } from '../config/names.ts'
import type { DeviceTree } from '../dt/fdt.ts'
import { readDeviceTree } from '../dt/fdt.ts'
import { errorText, MediatorError } from '../errors.ts'
import { maxGuests } from '../mediator/guest.ts'
import type { RelayPort } from '../mediator/relay-port.ts'
import { compileGrants, type Grants } from '../permissions/grants.ts'
import { plan, planHostDevice } from '../permissions/plan.ts'
import { sharedText } from '../permissions/plan-checks.ts'
import { Problems, refuseErrors } from '../permissions/plan-problems.ts'
import type { Plan, PlanDevice, PlanInput } from '../permissions/plan-shape.ts'
import type { Tenant } from './audit-names.ts'
import type { AuditTrail } from './audit-trail.ts'
import { idsOnlyOf, refuseNested, refuseTaken, refuseTwins } from './claims.ts'
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
import { type Journal, type JournalDomain, type JournalState, savedDomain, specOf } from './journal.ts'
import { Records, tenantOf } from './records.ts'
import { pressOn, Turnstile, transaction, type Undo } from './transaction.ts'
import type { DomainSpec, Outcome } from './views.ts'

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
  'agent-repeated',
  'device-passed-twice',
  'device-id-twice',
])
const nameForm = new RegExp(domainName.pattern)

/** A domain that an earlier run left and that could not come back. */
interface Lost {
  readonly saved: JournalDomain
  readonly reason: string
  /** Its agent is quarantined for its sake. */
  readonly holdsAgent: boolean
}

export class Lifecycle {
  readonly #parts: LifecycleParts
  readonly #records: Records
  readonly #domains = new Map<string, Domain>()
  readonly #lost = new Map<string, Lost>()
  readonly #turnstile = new Turnstile()
  /** Device ids ever seen in a tree: what a deny sweep goes over. */
  readonly #deviceIds = new Set<number>()
  /** Agents that no domain has and that the firmware may allow something. */
  readonly #unproven = new Set<number>()
  /** Quarantined by an earlier run, of a platform that does not have them now. */
  #absent: JournalState['quarantined'] = []
  /** The file keeps what it says until all of it was taken up. */
  #memory: 'unread' | 'recovering' | 'known' = 'unread'
  #generation = 0
  #holdings: Holdings
  readonly #problems = new Map<string, string>()

  constructor(parts: LifecycleParts) {
    this.#parts = parts
    this.#records = new Records(parts.audit, (protocol, id) => parts.firmware.nameOf(protocol, id))
    this.#holdings = new Holdings(parts.host, [])
    for (const id of deviceIdsOf(this.#holdings.host)) this.#deviceIds.add(id)
  }

  get holdings(): Holdings {
    return this.#holdings
  }
  get domains(): readonly Domain[] {
    return [...this.#domains.values()]
  }

  /** What an operator should look at, one sentence each. */
  get problems(): readonly string[] {
    return [...this.#problems.values(), ...this.#parts.firmware.undenied.values()]
  }

  /** Keeps a problem until the next start. */
  tell(text: string): void {
    this.#parts.log('error', text)
    this.#problems.set(text, text)
  }

  /** Whether a domain of that name is served, or was and could not be recovered. */
  knows(name: string): boolean {
    return this.#domains.has(name) || this.#lost.has(name)
  }

  /** Whether the domain that is served under that name was added with the same. */
  isAsServed({ name, domid, dtb, agentId, link }: DomainSpec): boolean {
    const domain = this.#domains.get(name)
    return (
      domain !== undefined &&
      domain.dtbHash === hashOf(dtb) &&
      domain.spec.domid === domid &&
      (agentId === undefined || domain.agent.agentId === agentId) &&
      isDeepStrictEqual(domain.spec.link, link)
    )
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

  /** What the host holds now, for the relay. */
  hostGrants(): Grants {
    return compileGrants(resourcesOf(this.#holdings.host), this.#parts.firmware.counts)
  }

  /** Plans, assigns an agent, grants and opens the link; or leaves everything as it was. */
  addDomain(spec: DomainSpec, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(spec.name, () => this.#add(spec, options.dryRun))
  }

  /** Closes the link, revokes, sweeps the agent id and frees it, or quarantines it. */
  removeDomain(name: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(name, () => {
      const lost = this.#lost.get(name)
      return lost === undefined
        ? this.#remove(this.domain(name), options.dryRun)
        : this.#forget(name, lost, options.dryRun)
    })
  }

  /** Gives a domain a device of its own tree that was detached, or one of the host's tree; or leaves all as it was. */
  attachDevice(name: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(name, () => this.#attach(this.domain(name), device, options.dryRun))
  }

  /** Takes a device away. The guest is refused it from then on, also when this throws because the firmware did not. */
  detachDevice(name: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(name, () => this.#detach(this.domain(name), device, options.dryRun))
  }

  /** Resolves when no change is under way, and what could not be saved has been tried again. For the stop. */
  async settle(): Promise<void> {
    await this.#turnstile.pass(async () => this.#saveOwed())
  }

  /**
   * Takes up what an earlier run left: quarantined agents stay so, unproven ones are swept, domains come back with their
   * agent ids. One that cannot come back has no rights, its agent is quarantined, `problems` tells, and the next start
   * tries again, unless it is removed.
   */
  recover(): Promise<void> {
    return this.#turnstile.pass(() => this.#recover())
  }

  /** One change at a time. A request that is not honoured is written down before it is thrown on. */
  #one(name: string, work: () => Promise<Outcome>): Promise<Outcome> {
    return this.#turnstile.pass(async () => {
      this.#saveOwed()
      try {
        return await work()
      } catch (error) {
        this.#records.refused(name, errorText(error))
        throw error
      }
    })
  }

  async #recover(): Promise<void> {
    const { journal, roster, firmware, log } = this.#parts
    const state = journal.load()
    this.#memory = 'recovering'
    for (const id of state.deviceIds ?? []) this.#deviceIds.add(id)
    const known = new Set(roster.list().map(({ agentId }) => agentId))
    this.#absent = state.quarantined.filter(({ agentId }) => !known.has(agentId))
    for (const { agentId, reason } of state.quarantined)
      if (this.#isFree(agentId)) this.#quarantine(agentId, reason)
    for (const agentId of state.unproven ?? []) await this.#proveAgain(agentId)
    for (const saved of state.domains) {
      const { name, agentId } = saved
      try {
        await this.#add(specOf(saved), false, saved)
        log('info', `domain ${name} is back with agent ${agentId}`)
      } catch (error) {
        const reason = `domain ${name} was not recovered: ${errorText(error)}`
        log('error', reason)
        this.#problems.set(`domain ${name}`, reason)
        const holdsAgent = this.#isFree(agentId)
        this.#lost.set(name, { saved, reason, holdsAgent })
        if (!holdsAgent) continue
        // Not reset: its guest may run on, and is refused; what its devices run on is not cut off.
        await firmware.denyAll(agentId, this.#deviceIds).catch(() => {})
        this.#quarantine(agentId, `left by ${name}, which was not recovered`)
      }
    }
    const free = roster.list().find(entry => entry.state === 'free' && entry.provenance !== 'virtual')
    if (free !== undefined)
      await firmware.look(free.agentId, free.channel).catch(error => {
        log('warn', `whether the firmware enforces permissions is not known: ${errorText(error)}`)
      })
    this.#memory = 'known'
    this.#save()
  }

  /** An earlier run was interrupted between telling the firmware and being done. */
  async #proveAgain(agentId: number): Promise<void> {
    const { firmware, roster } = this.#parts
    if (!this.#isFree(agentId)) return
    const unfit = await firmware.sweep(agentId, roster.entry(agentId).channel, this.#deviceIds)
    if (unfit === undefined) this.#records.cleared(agentId, 'left half assigned by an earlier run, swept')
    else this.#quarantine(agentId, unfit)
  }

  #isFree(agentId: number): boolean {
    return this.#parts.roster.list().some(entry => entry.agentId === agentId && entry.state === 'free')
  }

  async #add(spec: DomainSpec, dryRun: boolean, recovered?: JournalDomain): Promise<Outcome> {
    const { roster, relay, firmware, guests, tenants } = this.#parts
    if (!nameForm.test(spec.name))
      throw new MediatorError('CONFIG_INVALID', `"${spec.name}": expected ${domainName.description}`)
    const lost = this.#lost.get(spec.name)
    if (lost !== undefined)
      throw new MediatorError('DOMAIN_EXISTS', `${lost.reason}; remove it first: scmictl domain-remove`)
    if (!isAbsolute(spec.link.path))
      throw new MediatorError('SOCKET_PATH', `${spec.link.path}: expected an absolute path`, {
        path: spec.link.path,
      })
    refuseTwins(this.domains, spec)
    const input: PlanInput = {
      name: spec.name,
      tree: readDeviceTree(spec.dtb, spec.dtbPath ?? `${spec.name}.dtb`),
      agentId: spec.agentId,
    }
    const { domains, problems } = this.#planned(input)
    refuseErrors(problems)
    const { detached = [], attached = [] } = recovered ?? {}
    const devices: HeldDevice[] = [
      ...(domains.at(-1)?.devices ?? []).map(device => ({
        plan: device,
        own: true,
        attached: !detached.includes(device.node),
      })),
      ...attached.map(path => ({ plan: this.#hostDevice(path), own: false, attached: true })),
    ]
    for (const { plan: device, attached: live } of devices)
      if (live) refuseTaken(this.domains, device, spec.name)

    const slot = this.#freeSlot()
    const agent =
      dryRun || recovered !== undefined ? roster.choose(spec.agentId) : await this.#fit(spec.agentId)
    const domain: Domain = {
      spec,
      input,
      agent,
      slot,
      generation: this.#generation + 1,
      dtbHash: hashOf(spec.dtb),
      addedAt: recovered?.addedAt ?? new Date().toISOString(),
      state: 'adding',
      devices,
    }
    const live = liveDevices(domain)
    const outcome = this.#outcome(domain, dryRun, { granted: live, problems })
    if (dryRun) return outcome
    this.#generation = domain.generation
    for (const id of deviceIdsOf(devices.map(({ plan: device }) => device))) this.#deviceIds.add(id)
    tenants.set(domain.generation, tenantOf(spec))

    await this.#transaction(domain, async undo => {
      this.#records.assigned(domain)
      roster.assign(agent.agentId, spec.name)
      undo(() => (recovered === undefined ? this.#vacate(domain) : this.#leave(domain)))
      if (this.#isTold(agent)) {
        if (recovered === undefined) {
          this.#unproven.add(agent.agentId) // if all ends here, the next start sweeps it
          this.#save()
        } else await this.#reconcile(agent.agentId, live)
      }
      await this.#grant(domain, live, undo)
      undo(() => {
        this.#domains.delete(spec.name)
        return this.#holdersChanged()
      })
      this.#domains.set(spec.name, domain)
      await this.#holdersChanged()
      await relay.open({
        slot,
        generation: domain.generation,
        name: spec.name,
        agentId: agent.agentId,
        channel: agent.channel,
        grants: compileGrants(resourcesOf(live), firmware.counts),
        link: spec.link,
        ...guests,
      })
      undo(() => relay.close(slot))
      domain.state = 'running'
      this.#unproven.delete(agent.agentId)
      undo(() => void this.#unproven.add(agent.agentId))
      this.#save()
    })
    return outcome
  }

  async #remove(domain: Domain, dryRun: boolean): Promise<Outcome> {
    const { relay, audit, tenants } = this.#parts
    const { name } = domain.spec
    const live = liveDevices(domain)
    const outcome = this.#outcome(domain, dryRun, { revoked: live })
    if (dryRun) return outcome
    domain.state = 'removing'
    await relay.close(domain.slot)
    this.#records.revoked(domain, live, [])
    await pressOn([
      () => this.#vacate(domain),
      () => {
        this.#domains.delete(name)
        this.#problems.delete(`domain ${name}`)
        return this.#holdersChanged()
      },
      () => {
        if (audit.fault === undefined) tenants.delete(domain.generation)
      },
      () => this.#save(),
    ])
    return outcome
  }

  /** Removes a domain that was not recovered: its agent is swept and free, or stays in quarantine. */
  async #forget(name: string, { saved, holdsAgent }: Lost, dryRun: boolean): Promise<Outcome> {
    const { firmware, roster } = this.#parts
    const { agentId } = saved
    const outcome = { dryRun, domain: name, agentId, ...nothing }
    if (dryRun) return outcome
    if (holdsAgent) {
      const { channel, provenance } = roster.entry(agentId)
      const unfit =
        provenance === 'virtual' ? undefined : await firmware.sweep(agentId, channel, this.#deviceIds)
      if (unfit === undefined) {
        roster.clear(agentId)
        this.#records.cleared(agentId, `left by ${name}, swept`)
      } else this.#quarantine(agentId, unfit)
    }
    this.#lost.delete(name)
    this.#problems.delete(`domain ${name}`)
    this.#save()
    return outcome
  }

  async #attach(domain: Domain, text: string, dryRun: boolean): Promise<Outcome> {
    const { name } = domain.spec
    refuseIdle(domain)
    const named = domain.devices.filter(({ plan: device }) => names(device, text))
    const known = onlyOne(
      named.filter(({ attached }) => !attached),
      text,
    )
    if (known === undefined && named[0] !== undefined)
      throw new MediatorError('DEVICE_BUSY', `${name} has ${devicePath(named[0].plan)} already`)
    const device = known?.plan ?? this.#hostDevice(text)
    refuseTaken(this.domains, device, name)
    refuseNested(this.domains, device, name)
    const held = known ?? { plan: device, own: false, attached: false }
    const problems = this.#sharing(domain, held)
    const outcome = this.#outcome(domain, dryRun, { granted: [device], problems })
    if (dryRun) return outcome
    for (const id of device.deviceIds) this.#deviceIds.add(id)
    await this.#transaction(domain, async undo => {
      await this.#grant(domain, [device], undo)
      undo(async () => {
        held.attached = false
        if (known === undefined) domain.devices = domain.devices.filter(each => each !== held)
        await pressOn([() => this.#regrant(domain), () => this.#holdersChanged()])
      })
      if (known === undefined) domain.devices.push(held)
      held.attached = true
      await this.#holdersChanged()
      await this.#regrant(domain)
      this.#save()
    })
    return outcome
  }

  async #detach(domain: Domain, text: string, dryRun: boolean): Promise<Outcome> {
    refuseIdle(domain)
    const held = onlyOne(
      domain.devices.filter(({ plan: device, attached }) => attached && names(device, text)),
      text,
    )
    if (held === undefined)
      throw new MediatorError(
        'DEVICE_UNKNOWN',
        `${domain.spec.name} has no device ${text}; see scmictl device-list ${domain.spec.name}`,
      )
    const outcome = this.#outcome(domain, dryRun, { revoked: [held.plan] })
    if (dryRun) return outcome
    held.attached = false
    if (!held.own) domain.devices = domain.devices.filter(each => each !== held)
    const kept = liveDevices(domain)
    this.#records.revoked(domain, [held.plan], kept)
    // Here first: from now on the guest is refused whatever the firmware does.
    await pressOn([
      () => this.#regrant(domain),
      () => this.#holdersChanged(),
      () => this.#save(),
      () =>
        this.#isTold(domain.agent)
          ? this.#parts.firmware.denyAll(domain.agent.agentId, idsOnlyOf([held.plan], kept))
          : undefined,
    ])
    return outcome
  }

  /** Denies what an earlier run may have left allowed. What cannot be denied is told by `undenied`; here it is refused. */
  async #reconcile(agentId: number, live: readonly PlanDevice[]): Promise<void> {
    const own = new Set(deviceIdsOf(live))
    const others = [...this.#deviceIds].filter(id => !own.has(id))
    await this.#parts.firmware.denyAll(agentId, others).catch(() => {})
  }

  /** Writes the grants down, then tells the firmware, device by device; what the domain is allowed already stays out of it. */
  async #grant(domain: Domain, devices: readonly PlanDevice[], undo: (step: Undo) => void): Promise<void> {
    const { firmware } = this.#parts
    const { agentId } = domain.agent
    const others = liveDevices(domain).filter(device => !devices.includes(device))
    undo(() => this.#records.revoked(domain, devices, others))
    this.#records.granted(domain, devices)
    if (!this.#isTold(domain.agent)) return
    for (const id of idsOnlyOf(devices, others)) {
      // A refusal may come after the effect: it is undone all the same. What stays allowed is told by `undenied`.
      undo(() => firmware.deny(agentId, id))
      await firmware.allow(agentId, id)
    }
  }

  /** Takes the agent back: swept and free, or quarantined. */
  async #vacate(domain: Domain): Promise<void> {
    const { agentId, channel } = domain.agent
    const unfit = this.#isReal(domain.agent)
      ? await this.#parts.firmware.sweep(agentId, channel, this.#deviceIds)
      : undefined
    this.#leave(domain)
    if (unfit !== undefined) this.#quarantine(agentId, unfit)
  }

  /** Lets go of the agent without looking what it may still do at the firmware. */
  #leave(domain: Domain): void {
    this.#records.released(domain)
    this.#parts.roster.release(domain.agent.agentId)
    this.#unproven.delete(domain.agent.agentId)
  }

  /** The agent for a new domain, looked at before it is given out. One that cannot be proven clean is quarantined. */
  async #fit(pinned: number | undefined): Promise<AgentEntry> {
    const { roster, firmware } = this.#parts
    for (;;) {
      const agent = roster.choose(pinned)
      if (!this.#isReal(agent)) return agent
      const unfit = await firmware.prepare(agent.agentId, agent.channel, this.#deviceIds)
      if (unfit === undefined) return agent
      this.#quarantine(agent.agentId, unfit)
      this.#save()
    }
  }

  /** Whether the firmware knows the agent: virtual ones are ours alone. */
  #isReal({ provenance }: AgentEntry): boolean {
    return provenance !== 'virtual'
  }

  /** Whether the firmware is told of the agent's devices. */
  #isTold(agent: AgentEntry): boolean {
    return this.#isReal(agent) && this.#parts.firmware.discovery.devicePermissions
  }

  #regrant(domain: Domain): Promise<void> {
    const { relay, firmware } = this.#parts
    return relay.grants(domain.slot, compileGrants(resourcesOf(liveDevices(domain)), firmware.counts))
  }

  /** Who holds what has changed: for the audit log's names, and for the relay, which counts holders. */
  async #holdersChanged(): Promise<void> {
    this.#records.settle()
    this.#holdings = new Holdings(this.#parts.host, this.domains)
    await this.#parts.relay.host(this.hostGrants())
  }

  async #transaction(domain: Domain, steps: (undo: (step: Undo) => void) => Promise<void>): Promise<void> {
    try {
      await transaction(steps, fault =>
        this.#parts.log('error', `rolling back ${domain.spec.name}: ${errorText(fault)}`),
      )
    } catch (error) {
      this.#problems.set('journal', 'a change was rolled back')
      this.#saveOwed() // what the rollback left: an agent in quarantine, or a file half changed
      throw error
    }
  }

  /** The plan of all domains with this one added; of its problems, those that are this one's. */
  #planned(input: PlanInput): Pick<Plan, 'domains' | 'problems'> {
    const whole = plan(this.#parts.host, [...this.domains.map(domain => domain.input), input])
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

  /** What the domain would share if it had the device. */
  #sharing(domain: Domain, held: HeldDevice): Plan['problems'] {
    const others = domain.devices.filter(each => each !== held)
    const then = { ...domain, devices: [...others, { ...held, attached: true }] }
    const holdings = new Holdings(
      this.#parts.host,
      this.domains.map(each => (each === domain ? then : each)),
    )
    const problems = new Problems()
    for (const { protocol, id } of resourcesOf([held.plan])) {
      const holders = holdings.holders(protocol, id).map(holder => holder.domain)
      if (holders.length > 1) problems.add('resource-shared', sharedText({ protocol, id, holders }))
    }
    return problems.list
  }

  #quarantine(agentId: number, reason: string): void {
    this.#parts.roster.quarantine(agentId, reason)
    this.#unproven.delete(agentId)
    this.#parts.log('error', `agent ${agentId} is quarantined: ${reason}`)
    this.#records.quarantined(agentId, reason)
  }

  /** A device of the host's tree, by path, last part of the path, or SCMI device id. */
  #hostDevice(text: string): PlanDevice {
    const found = onlyOne(
      planHostDevice(this.#parts.host, device => names(device, text)).map(device => ({ plan: device })),
      text,
    )
    if (found === undefined)
      throw new MediatorError('DEVICE_UNKNOWN', `the host tree has no device ${text} that names SCMI`)
    return { ...found.plan, hostNode: found.plan.node }
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
    const { agentId } = domain.agent
    const { granted = [], revoked = [], problems = [] } = change
    const others = liveDevices(domain).filter(
      device => !granted.includes(device) && !revoked.includes(device),
    )
    const commands = (devices: readonly PlanDevice[], allow: boolean): Outcome['permissionCommands'] =>
      this.#isTold(domain.agent)
        ? idsOnlyOf(devices, others).map(deviceId => ({ agentId, deviceId, allow }))
        : []
    return {
      dryRun,
      domain: domain.spec.name,
      agentId,
      permissionCommands: [...commands(granted, true), ...commands(revoked, false)],
      granted: resourcesOf(granted),
      revoked: resourcesOf(revoked, others),
      problems,
    }
  }

  /** What could not be saved is, as soon as it can. */
  #saveOwed(): void {
    if (!this.#problems.has('journal')) return
    try {
      this.#save()
    } catch {
      // told by `problems`
    }
  }

  #save(): void {
    if (this.#memory === 'recovering') return
    const { journal, roster } = this.#parts
    if (this.#memory === 'unread')
      throw new MediatorError('STATE_CORRUPT', `${journal.path}: was not read, so it is not overwritten`, {
        path: journal.path,
      })
    const quarantined = roster
      .list()
      .flatMap(({ agentId, state, reason = '' }) => (state === 'quarantined' ? [{ agentId, reason }] : []))
    const lost = [...this.#lost.values()]
    try {
      journal.save({
        version: 1,
        domains: [...this.domains.map(savedDomain), ...lost.map(({ saved }) => saved)],
        // The next start quarantines the agent of a domain again, if the domain does not come back.
        quarantined: [
          ...quarantined.filter(
            ({ agentId }) => !lost.some(({ saved, holdsAgent }) => holdsAgent && saved.agentId === agentId),
          ),
          ...this.#absent,
        ],
        unproven: [...this.#unproven],
        deviceIds: [...this.#deviceIds],
      })
      this.#problems.delete('journal')
    } catch (error) {
      this.#problems.set('journal', `a restart would bring back a former state: ${errorText(error)}`)
      throw error
    }
  }
}

const nothing = { permissionCommands: [], granted: [], revoked: [], problems: [] }

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A domain whose removal did not get through has nothing that could be changed. */
function refuseIdle({ spec, state }: Domain): void {
  if (state !== 'running')
    throw new MediatorError('DOMAIN_UNKNOWN', `${spec.name} is ${state}; remove it again`)
}

/** The one there is, or none. DEVICE_UNKNOWN when `text` is not enough to tell. */
function onlyOne<T extends { readonly plan: PlanDevice }>(found: readonly T[], text: string): T | undefined {
  if (found.length > 1)
    throw new MediatorError(
      'DEVICE_UNKNOWN',
      `${text} is ${found.map(({ plan: device }) => device.node).join(' and ')}: give the path`,
    )
  return found[0]
}

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
