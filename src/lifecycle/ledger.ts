// What the lifecycle knows between two changes, and how that is saved: domains served and lost, agents that may still be
// allowed something, device ids ever seen, problems. It changes nothing of its own accord.
import { isDeepStrictEqual } from 'node:util'
import type { Roster } from '../agents/roster.ts'
import { errorText, MediatorError } from '../errors.ts'
import { maxGuests } from '../mediator/guest.ts'
import type { Domain, Holding } from './domain.ts'
import { type Journal, type JournalDomain, type JournalState, savedDomain } from './journal.ts'
import type { DomainSpec } from './views.ts'

/** A domain that an earlier run left and that could not come back. */
export interface Lost {
  readonly saved: JournalDomain
  readonly reason: string
  /** Its agent is quarantined for its sake. */
  readonly holdsAgent: boolean
}

/** All that a restart must not forget, and what an operator should look at. */
export class Ledger {
  readonly domains = new Map<string, Domain>()
  readonly lost = new Map<string, Lost>()
  /** Device ids ever seen in a tree: what a deny sweep goes over. */
  readonly deviceIds = new Set<number>()
  /** Agents that no domain has and that the firmware may allow something. */
  readonly unproven = new Set<number>()
  /** What an operator should look at: one sentence for each cause. */
  readonly problems = new Map<string, string>()
  /** Domains that an earlier run left and that are still to be taken up: what they have is not the host's. */
  readonly awaited = new Map<string, Holding>()
  /** Places at the relay of domains that are not served, and what they vote for stands: to come back, or lost. */
  readonly places = new Map<string, number>()
  /** Number of the last domain that had a place at the relay. */
  generation = 0
  readonly #journal: Journal
  readonly #roster: Roster
  /** Quarantined by an earlier run, of a platform that does not have them now. */
  #absent: JournalState['quarantined'] = []
  /** The file keeps what it says until all of it was taken up. */
  #memory: 'unread' | 'recovering' | 'known' = 'unread'

  constructor(journal: Journal, roster: Roster) {
    this.#journal = journal
    this.#roster = roster
  }

  /** Domains served. */
  get list(): readonly Domain[] {
    return [...this.domains.values()]
  }

  /** By name or domid; DOMAIN_UNKNOWN. */
  domain(name: string): Domain {
    const found =
      this.domains.get(name) ??
      this.list.find(({ spec }) => spec.domid !== undefined && String(spec.domid) === name)
    if (found === undefined)
      throw new MediatorError('DOMAIN_UNKNOWN', `${name} is not a domain; see scmictl list`)
    return found
  }

  /** Whether the domain that is served under that name was added with the same. */
  isAsServed(
    { name, domid, agentId, link, release, versions, discovery = 'auto' }: DomainSpec,
    dtbHash: string,
  ): boolean {
    const domain = this.domains.get(name)
    return (
      domain !== undefined &&
      domain.dtbHash === dtbHash &&
      domain.spec.domid === domid &&
      (domain.spec.discovery ?? 'auto') === discovery &&
      (agentId === undefined || domain.agent.agentId === agentId) &&
      isDeepStrictEqual(domain.spec.link, link) &&
      domain.spec.release === release &&
      isDeepStrictEqual(domain.spec.versions, versions)
    )
  }

  /** A place at the relay; AGENTS_EXHAUSTED. */
  freeSlot(): number {
    const taken = new Set([...this.list.map(({ slot }) => slot), ...this.places.values()])
    for (let slot = 0; slot < maxGuests; slot++) if (!taken.has(slot)) return slot
    throw new MediatorError('AGENTS_EXHAUSTED', `${maxGuests} domains are served, the most there can be`)
  }

  /** Reads what an earlier run left. Nothing is saved from then on until `taken`. STATE_CORRUPT. */
  take(): JournalState {
    const state = this.#journal.load()
    this.#memory = 'recovering'
    for (const id of state.deviceIds ?? []) this.deviceIds.add(id)
    const known = new Set(this.#roster.list().map(({ agentId }) => agentId))
    this.#absent = state.quarantined.filter(({ agentId }) => !known.has(agentId))
    return state
  }

  /** All that an earlier run left was taken up: the file is ours. */
  taken(): void {
    this.#memory = 'known'
    this.save()
  }

  /** Replaces the file. STATE_CORRUPT where it was never read; SYSTEM. */
  save(): void {
    if (this.#memory === 'recovering') return
    const { path } = this.#journal
    if (this.#memory === 'unread')
      throw new MediatorError('STATE_CORRUPT', `${path}: was not read, so it is not overwritten`, { path })
    try {
      this.#journal.save(this.#state())
      this.problems.delete('journal')
    } catch (error) {
      this.problems.set('journal', `a restart would bring back a former state: ${errorText(error)}`)
      throw error
    }
  }

  /** What could not be saved is, as soon as it can. */
  saveOwed(): void {
    if (!this.problems.has('journal')) return
    try {
      this.save()
    } catch {
      // told by `problems`
    }
  }

  #state(): JournalState {
    const quarantined = this.#roster
      .list()
      .flatMap(({ agentId, state, reason = '' }) => (state === 'quarantined' ? [{ agentId, reason }] : []))
    const lost = [...this.lost.values()]
    return {
      version: 1,
      domains: [...this.list.map(savedDomain), ...lost.map(({ saved }) => saved)],
      // The next start quarantines the agent of a domain again, if the domain does not come back.
      quarantined: [
        ...quarantined.filter(
          ({ agentId }) => !lost.some(({ saved, holdsAgent }) => holdsAgent && saved.agentId === agentId),
        ),
        ...this.#absent,
      ],
      unproven: [...this.unproven],
      deviceIds: [...this.deviceIds],
    }
  }
}
