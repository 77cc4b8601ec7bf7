// The only place that sequences agents, permissions, links and audit: one change at a time, each done in a room of its own.
import { guestSocket } from '../config/paths.ts'
import { errorText } from '../errors.ts'
import type { Grants } from '../permissions/grants.ts'
import type { Domain } from './domain.ts'
import { Giving, hashOf } from './giving.ts'
import type { Holdings } from './holdings.ts'
import type { LifecycleParts } from './parts.ts'
import { Recovery } from './recovery.ts'
import { rename } from './renaming.ts'
import { Restart } from './restart.ts'
import { buildRooms, type Rooms } from './rooms.ts'
import { Taking } from './taking.ts'
import { Turnstile } from './transaction.ts'
import type { AgentRelease, AskedDomain, DomainSpec, Outcome } from './views.ts'

export class Lifecycle {
  readonly #parts: LifecycleParts
  readonly #rooms: Rooms
  readonly #giving: Giving
  readonly #taking: Taking
  readonly #recovery: Recovery
  readonly #restart: Restart
  readonly #turnstile = new Turnstile()

  constructor(parts: LifecycleParts) {
    this.#parts = parts
    this.#rooms = buildRooms(parts)
    this.#giving = new Giving(parts, this.#rooms)
    this.#taking = new Taking(parts, this.#rooms)
    this.#recovery = new Recovery(parts, this.#rooms, this.#giving)
    this.#restart = new Restart(parts, this.#rooms, this.#turnstile)
  }

  get holdings(): Holdings {
    return this.#rooms.rights.holdings
  }
  get domains(): readonly Domain[] {
    return this.#rooms.ledger.list
  }

  /** Domains that an earlier run left and that could not come back. */
  get lost(): readonly { readonly name: string; readonly domid?: number; readonly uuid?: string }[] {
    return [...this.#rooms.ledger.lost.values()].map(({ saved }) => saved)
  }

  /** What an operator should look at, one sentence each. */
  get problems(): readonly string[] {
    return [...this.#rooms.ledger.problems.values(), ...this.#parts.firmware.undenied.values()]
  }

  /** Keeps a problem until the next start. */
  tell(text: string): void {
    this.#parts.log('error', text)
    this.#rooms.ledger.problems.set(text, text)
  }

  /** Whether a domain of that name is served, or was and could not be recovered. */
  knows(name: string): boolean {
    const { domains, lost } = this.#rooms.ledger
    return domains.has(name) || lost.has(name)
  }

  /** Whether the domain that is served under that name was added with the same. */
  isAsServed(asked: AskedDomain): boolean {
    return this.#rooms.ledger.isAsServed(this.#placed(asked), hashOf(asked.dtb))
  }

  /** By name or domid; DOMAIN_UNKNOWN. */
  domain(name: string): Domain {
    return this.#rooms.ledger.domain(name)
  }

  /** What the host holds now, for the relay. */
  hostGrants(): Grants {
    return this.#rooms.rights.hostGrants()
  }

  /** Plans, assigns an agent, grants and opens the link; or leaves everything as it was. */
  addDomain(asked: AskedDomain, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(asked.name, () => this.#giving.add(this.#placed(asked), options.dryRun))
  }

  /** Calls a domain by another name; all else stays. */
  renameDomain(name: string, to: string): Promise<void> {
    return this.#turnstile.pass(() => rename(this.#parts, this.#rooms, name, to))
  }

  /** Closes the link, revokes, sweeps the agent id and frees it, or quarantines it. */
  removeDomain(name: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(name, () => {
      const lost = this.#rooms.ledger.lost.get(name)
      return lost === undefined
        ? this.#taking.remove(this.domain(name), options.dryRun)
        : this.#taking.forget(name, lost, options.dryRun)
    })
  }

  /** Gives a domain a device of its own tree that was detached, or one of the host's tree; or leaves all as it was. */
  attachDevice(name: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(name, () => this.#giving.attach(this.domain(name), device, options.dryRun))
  }

  /** Takes a device away. The guest is refused it from then on, also when this throws because the firmware did not. */
  detachDevice(name: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#one(name, () => this.#taking.detach(this.domain(name), device, options.dryRun))
  }

  /**
   * The connection of a firmware channel is back: behind it there may be a platform that has forgotten everything. Its
   * guests wait; they are granted again what they have, and their votes are told again. What fails is tried again, and
   * stands in `problems`.
   */
  firmwareReturned(channel: number): void {
    this.#restart.returned(channel)
  }

  /**
   * Frees a quarantined agent: swept again and proven clean, or with `unproven` on the operator's word. AGENT_UNKNOWN,
   * AGENT_BUSY where it is not quarantined or kept for a domain, FIRMWARE_REFUSED where it is not proven clean.
   */
  releaseAgent(agentId: number, options: { dryRun: boolean; unproven: boolean }): Promise<AgentRelease> {
    return this.#turnstile.pass(() => this.#rooms.tenancies.release(agentId, options))
  }

  /** Resolves when no change is under way, and what could not be saved has been tried again. For the stop. */
  async settle(): Promise<void> {
    this.#restart.stop()
    await this.#turnstile.pass(async () => this.#rooms.ledger.saveOwed())
  }

  /**
   * Takes up what an earlier run left: quarantined agents stay so, unproven ones are swept, domains come back with their
   * agent ids. One that cannot come back has no rights, its agent is quarantined, `problems` tells, and the next start
   * tries again, unless it is removed.
   */
  recover(): Promise<void> {
    return this.#turnstile.pass(() => this.#recovery.recover())
  }

  /** With a socket in the run directory, where a vhost-user guest has none of its own. SOCKET_PATH when that is too long. */
  #placed(asked: AskedDomain): DomainSpec {
    const { link } = asked
    if (link.kind !== 'vhost-user') return { ...asked, link }
    return { ...asked, link: { ...link, path: link.path ?? guestSocket(this.#parts.sockets, asked.name) } }
  }

  /** One change at a time. A request that is not honoured is written down before it is thrown on. */
  #one(name: string, work: () => Promise<Outcome>): Promise<Outcome> {
    return this.#turnstile.pass(async () => {
      this.#rooms.ledger.saveOwed()
      try {
        return await work()
      } catch (error) {
        this.#rooms.records.refused(name, errorText(error))
        throw error
      }
    })
  }
}
