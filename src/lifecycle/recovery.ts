// Taking up what an earlier run left: agents in quarantine, agents half assigned, domains. It works through giving.
import { errorText } from '../errors.ts'
import type { Giving } from './giving.ts'
import { addedMs, type JournalDomain, type JournalState, specOf } from './journal.ts'
import type { LifecycleParts } from './parts.ts'
import type { Rooms } from './rooms.ts'

export class Recovery {
  readonly #parts: LifecycleParts
  readonly #rooms: Rooms
  readonly #giving: Giving

  constructor(parts: LifecycleParts, rooms: Rooms, giving: Giving) {
    this.#parts = parts
    this.#rooms = rooms
    this.#giving = giving
  }

  async recover(): Promise<void> {
    const { ledger, tenancies } = this.#rooms
    const state = ledger.take()
    await this.#recollect(state.domains)
    for (const { agentId, reason } of state.quarantined)
      if (tenancies.isFree(agentId)) tenancies.quarantine(agentId, reason)
    for (const agentId of state.unproven ?? []) await tenancies.proveAgain(agentId)
    for (const saved of state.domains) await this.#takeUp(saved)
    await this.#lookAtOne()
    ledger.taken()
  }

  /** What domains voted for counts before the first of them is served: no release of one overtakes another's vote. */
  async #recollect(domains: JournalState['domains']): Promise<void> {
    const { relay, log } = this.#parts
    const { ledger, rights } = this.#rooms
    if (domains.length > 0) {
      for (const saved of domains) this.#await(saved)
      await rights.holdersChanged()
    }
    const former = domains.map(({ name, slot = -1, addedAt }) => ({ name, slot, since: addedMs(addedAt) }))
    const { domains: standing, foreign } = await relay.recollect(former)
    for (const { slot, since } of standing) {
      const found = former.find(each => each.slot === slot && each.since === since)
      if (found !== undefined) ledger.places.set(found.name, slot)
    }
    if (!foreign || domains.length === 0) return
    const text =
      'what domains voted for before cannot be believed: until each has asked again, the OFF of one may cut another'
    log('warn', text)
    ledger.problems.set('votes', text)
  }

  /** What the host would use if the domain were not there it does not use yet. */
  #await(saved: JournalDomain): void {
    try {
      this.#rooms.ledger.awaited.set(saved.name, this.#giving.former(saved))
    } catch {
      // it is told when the domain does not come back
    }
  }

  async #takeUp(saved: JournalDomain): Promise<void> {
    const { firmware, log, isGone } = this.#parts
    const { ledger, tenancies } = this.#rooms
    const { name, agentId } = saved
    const spec = specOf(saved)
    if (isGone?.(spec) === true) {
      log('info', `domain ${name} went while nobody served it`)
      await this.#rooms.tenancies.forgetVotes(name)
      await this.#awaitNoMore(name)
      return tenancies.proveAgain(agentId)
    }
    try {
      await this.#giving.add(spec, false, saved)
      log('info', `domain ${name} is back with agent ${agentId}`)
    } catch (error) {
      const reason = `domain ${name} was not recovered: ${errorText(error)}`
      log('error', reason)
      await this.#awaitNoMore(name)
      ledger.problems.set(`domain ${name}`, reason)
      const holdsAgent = tenancies.isFree(agentId)
      ledger.lost.set(name, { saved, reason, holdsAgent })
      if (!holdsAgent) return
      // Not reset: its guest may run on, and is refused; what its devices run on is not cut off.
      await firmware.denyAll(agentId, ledger.deviceIds).catch(() => {})
      tenancies.quarantine(agentId, `left by ${name}, which was not recovered`)
    }
  }

  async #awaitNoMore(name: string): Promise<void> {
    if (this.#rooms.ledger.awaited.delete(name)) await this.#rooms.rights.holdersChanged()
  }

  /** Whether the firmware enforces permissions shows at an agent that nobody has. */
  async #lookAtOne(): Promise<void> {
    const { roster, firmware, log } = this.#parts
    const free = roster.list().find(entry => entry.state === 'free' && entry.provenance !== 'virtual')
    if (free === undefined) return
    await firmware.look(free.agentId, free.channel).catch(error => {
      log('warn', `whether the firmware enforces permissions is not known: ${errorText(error)}`)
    })
  }
}
