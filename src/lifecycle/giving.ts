// Giving: a domain that comes, a device that is attached. Each a transaction: all of it, or everything as it was.
import { createHash } from 'node:crypto'
import { isAbsolute, resolve } from 'node:path'
import { domainName } from '../config/names.ts'
import { denseTree } from '../dt/dense-tree.ts'
import { readDeviceTree } from '../dt/fdt.ts'
import { errorText, MediatorError } from '../errors.ts'
import type { RestoreReport } from '../mediator/relay-port.ts'
import { refuseErrors } from '../permissions/plan-problems.ts'
import type { PlanInput } from '../permissions/plan-shape.ts'
import { refuseNested, refuseTaken, refuseTwins } from './claims.ts'
import {
  type Domain,
  deviceIdsOf,
  devicePath,
  type HeldDevice,
  type Holding,
  liveDevices,
  names,
  refuseIdle,
} from './domain.ts'
import { addedMs, type JournalDomain, savedLabels, specOf } from './journal.ts'
import type { LifecycleParts } from './parts.ts'
import { onlyOne } from './proposals.ts'
import { tenantOf } from './records.ts'
import type { Rooms } from './rooms.ts'
import { pressOn, transaction, type Undo } from './transaction.ts'
import { trappedDomain } from './trapped-domain.ts'
import type { DomainSpec, Outcome } from './views.ts'

const nameForm = new RegExp(domainName.pattern)

export const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export class Giving {
  readonly #parts: LifecycleParts
  readonly #rooms: Rooms

  constructor(parts: LifecycleParts, rooms: Rooms) {
    this.#parts = parts
    this.#rooms = rooms
  }

  /** `recovered`: as an earlier run left it, with the agent it had. */
  async add(spec: DomainSpec, dryRun: boolean, recovered?: JournalDomain): Promise<Outcome> {
    const { roster, relay, guests, tenants } = this.#parts
    const { ledger, proposals, tenancies, rights, records } = this.#rooms
    this.#refuseUnfit(spec)
    const input: PlanInput = {
      name: spec.name,
      tree: readDeviceTree(spec.dtb, spec.dtbPath ?? `${spec.name}.dtb`),
      agentId: spec.agentId,
      discovery: spec.discovery,
    }
    const { domains, problems } = proposals.planned(input)
    refuseErrors(problems)
    const planned = domains.at(-1)
    const devices = this.#devicesOf(planned?.devices ?? [], recovered)
    for (const { plan: device, attached: live } of devices)
      if (live) refuseTaken(ledger.list, device, spec.name)

    const trapped = trappedDomain(spec, input.tree, guests.smcId, recovered !== undefined)
    const slot = (recovered && ledger.places.get(spec.name)) ?? ledger.freeSlot()
    const agent =
      dryRun || recovered !== undefined ? roster.choose(spec.agentId) : await tenancies.fit(spec.agentId)
    const domain: Domain = {
      spec,
      input,
      agent,
      slot,
      generation: ledger.generation + 1,
      dtbHash: hashOf(spec.dtb),
      addedAt: recovered?.addedAt ?? new Date().toISOString(),
      discovery: planned?.discovery ?? 'identity',
      labels:
        (recovered === undefined ? undefined : savedLabels(recovered)) ??
        denseTree(input.tree)?.names ??
        new Map(),
      state: 'adding',
      devices,
    }
    const live = liveDevices(domain)
    const versions = rights.shownTo(domain)
    const outcome = proposals.outcome(domain, dryRun, { granted: live, problems })
    if (dryRun) return outcome
    ledger.generation = domain.generation
    for (const id of deviceIdsOf(devices.map(({ plan: device }) => device))) ledger.deviceIds.add(id)
    tenants.set(domain.generation, tenantOf(spec))

    await this.#transaction(domain, async undo => {
      records.assigned(domain)
      roster.assign(agent.agentId, spec.name)
      undo(() => (recovered === undefined ? tenancies.vacate(domain) : tenancies.leave(domain)))
      if (tenancies.isTold(agent)) {
        if (recovered === undefined) {
          ledger.unproven.add(agent.agentId) // if all ends here, the next start sweeps it
          ledger.save()
        } else await rights.reconcile(agent.agentId, live)
      }
      await rights.grant(domain, live, undo)
      undo(() => {
        ledger.domains.delete(spec.name)
        return rights.holdersChanged()
      })
      ledger.awaited.delete(spec.name)
      ledger.domains.set(spec.name, domain)
      await rights.holdersChanged()
      const report = await relay.open({
        slot,
        generation: domain.generation,
        name: spec.name,
        agentId: agent.agentId,
        channel: agent.channel,
        grants: rights.grantsOf(domain),
        ...(versions === undefined ? {} : { versions }),
        link: spec.link,
        ...guests,
        returning: recovered !== undefined,
        since: addedMs(domain.addedAt),
        ...(trapped === undefined ? {} : { trapped }),
      })
      undo(() => relay.close(slot))
      ledger.places.delete(spec.name)
      if (report !== undefined) this.#recalled(spec.name, report)
      domain.state = 'running'
      ledger.unproven.delete(agent.agentId)
      undo(() => void ledger.unproven.add(agent.agentId))
      ledger.save()
    })
    return outcome
  }

  async attach(domain: Domain, text: string, dryRun: boolean): Promise<Outcome> {
    const { ledger, proposals, rights } = this.#rooms
    const { name } = domain.spec
    refuseIdle(domain)
    const named = domain.devices.filter(({ plan: device }) => names(device, text))
    const known = onlyOne(
      named.filter(({ attached }) => !attached),
      text,
    )
    if (known === undefined && named[0] !== undefined)
      throw new MediatorError('DEVICE_BUSY', `${name} has ${devicePath(named[0].plan)} already`)
    const device = known?.plan ?? proposals.hostDevice(text)
    refuseTaken(ledger.list, device, name)
    refuseNested(ledger.list, device, name)
    const held = known ?? { plan: device, own: false, attached: false }
    rights.shownTo(domain, [device])
    const problems = proposals.sharing(domain, held)
    const outcome = proposals.outcome(domain, dryRun, { granted: [device], problems })
    if (dryRun) return outcome
    for (const id of device.deviceIds) ledger.deviceIds.add(id)
    await this.#transaction(domain, async undo => {
      await rights.grant(domain, [device], undo)
      undo(async () => {
        held.attached = false
        if (known === undefined) domain.devices = domain.devices.filter(each => each !== held)
        await pressOn([() => rights.regrant(domain), () => rights.holdersChanged()])
      })
      if (known === undefined) domain.devices.push(held)
      held.attached = true
      await rights.holdersChanged()
      await rights.regrant(domain)
      ledger.save()
    })
    return outcome
  }

  /** What a domain has that an earlier run left. Throws where that cannot be told. */
  former(saved: JournalDomain): Holding {
    const spec = specOf(saved)
    const tree = readDeviceTree(spec.dtb, spec.dtbPath ?? `${spec.name}.dtb`)
    const input: PlanInput = { name: spec.name, tree, agentId: spec.agentId, discovery: spec.discovery }
    const planned = this.#rooms.proposals.planned(input).domains.at(-1)
    return { spec, input, devices: this.#devicesOf(planned?.devices ?? [], saved) }
  }

  /** What the platform was told again, of what the domain had asked for of a former run. */
  #recalled(name: string, { votes, releases, failed }: RestoreReport): void {
    if (votes + releases + failed.length === 0) return
    const text = `${votes} switched on again, ${releases} off${failed.map(each => `; ${each}`).join('')}`
    this.#parts.log(failed.length > 0 ? 'warn' : 'info', `${name}: ${text}`)
    this.#rooms.records.recalled(name, text)
  }

  #refuseUnfit(spec: DomainSpec): void {
    const { ledger } = this.#rooms
    if (!nameForm.test(spec.name))
      throw new MediatorError('CONFIG_INVALID', `"${spec.name}": expected ${domainName.description}`)
    const lost = ledger.lost.get(spec.name)
    if (lost !== undefined)
      throw new MediatorError('DOMAIN_EXISTS', `${lost.reason}; remove it first: scmictl domain-remove`)
    if (spec.link.kind === 'xen-smc') return refuseTwins(ledger.list, spec)
    if (!isAbsolute(spec.link.path))
      throw new MediatorError('SOCKET_PATH', `${spec.link.path}: expected an absolute path`, {
        path: spec.link.path,
      })
    if (resolve(spec.link.path) === resolve(this.#parts.sockets.control))
      throw new MediatorError(
        'SOCKET_PATH',
        `${spec.link.path} is the daemon's control socket; name another`,
        {
          path: spec.link.path,
        },
      )
    refuseTwins(ledger.list, spec)
  }

  /** Devices of the domain's tree, and those that an operator had attached or detached before a restart. */
  #devicesOf(planned: readonly HeldDevice['plan'][], recovered: JournalDomain | undefined): HeldDevice[] {
    const { detached = [], attached = [] } = recovered ?? {}
    return [
      ...planned.map(device => ({ plan: device, own: true, attached: !detached.includes(device.node) })),
      ...attached.map(path => ({ plan: this.#rooms.proposals.hostDevice(path), own: false, attached: true })),
    ]
  }

  async #transaction(domain: Domain, steps: (undo: (step: Undo) => void) => Promise<void>): Promise<void> {
    const { ledger } = this.#rooms
    try {
      await transaction(steps, fault =>
        this.#parts.log('error', `rolling back ${domain.spec.name}: ${errorText(fault)}`),
      )
    } catch (error) {
      ledger.problems.set('journal', 'a change was rolled back')
      ledger.saveOwed() // what the rollback left: an agent in quarantine, or a file half changed
      throw error
    }
  }
}
