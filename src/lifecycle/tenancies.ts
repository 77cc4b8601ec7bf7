// Agents as domains come and go: which one a domain gets, proven clean; taken back swept, or quarantined.
import { type AgentEntry, Roster } from '../agents/roster.ts'
import { MediatorError } from '../errors.ts'
import { maxGuests } from '../mediator/guest.ts'
import type { Domain } from './domain.ts'
import type { Firmware } from './firmware.ts'
import type { Ledger } from './ledger.ts'
import type { LifecycleParts } from './parts.ts'
import type { Records } from './records.ts'
import type { AgentRelease } from './views.ts'

export class Tenancies {
  readonly #roster: Roster
  readonly #firmware: Firmware
  readonly #relay: LifecycleParts['relay']
  readonly #log: LifecycleParts['log']
  readonly #ledger: Ledger
  readonly #records: Records

  constructor({ roster, firmware, relay, log }: LifecycleParts, ledger: Ledger, records: Records) {
    this.#roster = roster
    this.#firmware = firmware
    this.#relay = relay
    this.#log = log
    this.#ledger = ledger
    this.#records = records
  }

  /** The agent for a new domain, looked at before it is given out. One that cannot be proven clean is quarantined. */
  async fit(pinned: number | undefined): Promise<AgentEntry> {
    for (;;) {
      const agent = this.#roster.choose(pinned)
      if (!isReal(agent)) return agent
      const unfit = await this.#firmware.prepare(agent.agentId, agent.channel, this.#ledger.deviceIds)
      if (unfit === undefined) return agent
      this.quarantine(agent.agentId, unfit)
      this.#ledger.save()
    }
  }

  /** Takes the agent back: swept and free, or quarantined. */
  async vacate(domain: Domain): Promise<void> {
    const { agentId, channel } = domain.agent
    const unfit = isReal(domain.agent)
      ? await this.#firmware.sweep(agentId, channel, this.#ledger.deviceIds)
      : undefined
    this.leave(domain)
    if (unfit !== undefined) this.quarantine(agentId, unfit)
  }

  /** Lets go of the agent without looking what it may still do at the firmware. */
  leave(domain: Domain): void {
    this.#records.released(domain)
    this.#roster.release(domain.agent.agentId)
    this.#ledger.unproven.delete(domain.agent.agentId)
  }

  /** Releases what a domain that is not served had asked for of a former run. */
  async forgetVotes(name: string): Promise<void> {
    const slot = this.#ledger.places.get(name)
    if (slot === undefined) return
    await this.#relay.forget(slot)
    this.#ledger.places.delete(name)
  }

  /** Takes back the agent of a domain that did not come back, and was quarantined for its sake. */
  async clear(agentId: number, domain: string): Promise<void> {
    const agent = this.#roster.entry(agentId)
    const unfit = isReal(agent)
      ? await this.#firmware.sweep(agentId, agent.channel, this.#ledger.deviceIds)
      : undefined
    if (unfit !== undefined) return this.quarantine(agentId, unfit)
    this.#roster.clear(agentId)
    this.#records.cleared(agentId, `left by ${domain}, swept`)
  }

  /** An earlier run was interrupted between telling the firmware and being done. */
  async proveAgain(agentId: number): Promise<void> {
    if (!this.isFree(agentId)) return
    const { channel } = this.#roster.entry(agentId)
    const unfit = await this.#firmware.sweep(agentId, channel, this.#ledger.deviceIds)
    if (unfit === undefined) this.#records.cleared(agentId, 'left half assigned by an earlier run, swept')
    else this.quarantine(agentId, unfit)
  }

  /** Frees a quarantined agent; see `Lifecycle.releaseAgent`. */
  async release(
    agentId: number,
    { dryRun, unproven }: { dryRun: boolean; unproven: boolean },
  ): Promise<AgentRelease> {
    const agent = this.#roster.entry(agentId)
    const { state, reason = '' } = agent
    if (state !== 'quarantined')
      throw new MediatorError('AGENT_BUSY', `agent ${agentId} is ${state}, not quarantined`)
    for (const [name, { saved, holdsAgent }] of this.#ledger.lost)
      if (holdsAgent && saved.agentId === agentId)
        throw new MediatorError(
          'AGENT_BUSY',
          `agent ${agentId} is kept for ${name}, which was not recovered; remove that: scmictl domain-remove ${name}`,
        )
    if (dryRun) return { dryRun, agentId, reason }
    const unfit = isReal(agent)
      ? await this.#firmware.sweep(agentId, agent.channel, this.#ledger.deviceIds)
      : undefined
    if (unfit !== undefined && !unproven) {
      this.quarantine(agentId, unfit)
      this.#ledger.save()
      throw new MediatorError('FIRMWARE_REFUSED', `agent ${agentId} is not proven clean: ${unfit}`)
    }
    if (unfit !== undefined) this.#firmware.accept(agentId)
    this.#roster.clear(agentId)
    const word = unfit === undefined ? 'swept' : `not proven clean (${unfit}), on the operator's word`
    this.#records.cleared(agentId, `released by the operator: ${word}; was quarantined: ${reason}`)
    this.#ledger.save()
    return { dryRun, agentId, reason, ...(unfit === undefined ? {} : { unproven: unfit }) }
  }

  quarantine(agentId: number, reason: string): void {
    this.#roster.quarantine(agentId, reason)
    this.#ledger.unproven.delete(agentId)
    this.#log('error', `agent ${agentId} is quarantined: ${reason}`)
    this.#records.quarantined(agentId, reason)
  }

  isFree(agentId: number): boolean {
    return this.#roster.list().some(entry => entry.agentId === agentId && entry.state === 'free')
  }

  /** Whether the firmware is told of the agent's devices. */
  isTold(agent: AgentEntry): boolean {
    return isReal(agent) && this.#firmware.discovery.devicePermissions
  }
}

/** Whether the firmware knows the agent: virtual ones are ours alone. */
const isReal = ({ provenance }: AgentEntry): boolean => provenance !== 'virtual'

/** The agents of a platform with too few: as many as there can be guests, all on the management channel. */
export function virtualAgents(management: { readonly agentId: number; readonly channel: number }): Roster {
  return new Roster(
    { agentId: management.agentId, channel: management.channel, provenance: 'discovered' },
    Array.from({ length: maxGuests }, (_, i) => ({
      agentId: management.agentId + 1 + i,
      channel: management.channel,
      provenance: 'virtual' as const,
    })),
  )
}
