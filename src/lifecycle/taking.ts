// Taking away: a domain that goes, a device that is detached. It goes on whatever fails: the guest is refused here first.
import { rmSync } from 'node:fs'
import { inflightFile, sessionFile } from '../config/paths.ts'
import { MediatorError } from '../errors.ts'
import { type Domain, liveDevices, names, refuseIdle } from './domain.ts'
import type { Lost } from './ledger.ts'
import type { LifecycleParts } from './parts.ts'
import { noChange, onlyOne } from './proposals.ts'
import type { Rooms } from './rooms.ts'
import { pressOn } from './transaction.ts'
import type { Outcome } from './views.ts'

export class Taking {
  readonly #parts: LifecycleParts
  readonly #rooms: Rooms

  constructor(parts: LifecycleParts, rooms: Rooms) {
    this.#parts = parts
    this.#rooms = rooms
  }

  async remove(domain: Domain, dryRun: boolean): Promise<Outcome> {
    const { relay, audit, tenants } = this.#parts
    const { ledger, proposals, records, rights, tenancies } = this.#rooms
    const { name } = domain.spec
    const live = liveDevices(domain)
    const outcome = proposals.outcome(domain, dryRun, { revoked: live })
    if (dryRun) return outcome
    domain.state = 'removing'
    await relay.close(domain.slot)
    records.revoked(domain, live, [])
    await pressOn([
      () => this.#forgetFiles(name),
      () => tenancies.vacate(domain),
      () => {
        ledger.domains.delete(name)
        ledger.problems.delete(`domain ${name}`)
        return rights.holdersChanged()
      },
      () => {
        if (audit.fault === undefined) tenants.delete(domain.generation)
      },
      () => ledger.save(),
    ])
    return outcome
  }

  /** Removes a domain that was not recovered: its agent is swept and free, or stays in quarantine. */
  async forget(name: string, { saved, holdsAgent }: Lost, dryRun: boolean): Promise<Outcome> {
    const { ledger, tenancies } = this.#rooms
    const { agentId } = saved
    const outcome = { dryRun, domain: name, agentId, ...noChange }
    if (dryRun) return outcome
    this.#forgetFiles(name)
    await this.#rooms.tenancies.forgetVotes(name)
    if (holdsAgent) await tenancies.clear(agentId, name)
    ledger.lost.delete(name)
    ledger.problems.delete(`domain ${name}`)
    ledger.save()
    return outcome
  }

  /** What was under way, and what its guest subscribed to, is nobody's: a domain added under that name is another one. */
  #forgetFiles(name: string): void {
    const { sockets } = this.#parts
    for (const path of [inflightFile(sockets, name), sessionFile(sockets, name)])
      rmSync(path, { force: true })
  }

  async detach(domain: Domain, text: string, dryRun: boolean): Promise<Outcome> {
    const { ledger, proposals, records, rights } = this.#rooms
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
    const outcome = proposals.outcome(domain, dryRun, { revoked: [held.plan] })
    if (dryRun) return outcome
    held.attached = false
    if (!held.own) domain.devices = domain.devices.filter(each => each !== held)
    const kept = liveDevices(domain)
    records.revoked(domain, [held.plan], kept)
    // Here first: from now on the guest is refused whatever the firmware does.
    await pressOn([
      () => rights.regrant(domain),
      () => rights.holdersChanged(),
      () => ledger.save(),
      () => rights.deny(domain, [held.plan], kept),
    ])
    return outcome
  }
}
