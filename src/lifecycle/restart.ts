// Firmware that came back: what it had been told of its agents is told again, before their guests are served again.
import { errorText, MediatorError } from '../errors.ts'
import { type Domain, deviceIdsOf, liveDevices, resourcesOf } from './domain.ts'
import { isSilent } from './firmware.ts'
import type { LifecycleParts } from './parts.ts'
import type { Rooms } from './rooms.ts'
import type { Turnstile } from './transaction.ts'

/** Milliseconds until a channel is tried again; doubled each time, up to the most. */
const retryMs = 50
const retryMostMs = 5000
/** How often what was refused is asked for again. Silence is waited out for ever. */
const refusalsMost = 5

/** What one channel has gone through since it came back. */
interface Return {
  tries: number
  refusals: number
  timer: NodeJS.Timeout | undefined
}

/** One channel at a time, between other changes. */
export class Restart {
  readonly #parts: LifecycleParts
  readonly #rooms: Rooms
  readonly #turnstile: Turnstile
  readonly #returns = new Map<number, Return>()
  #stopped = false

  constructor(parts: LifecycleParts, rooms: Rooms, turnstile: Turnstile) {
    this.#parts = parts
    this.#rooms = rooms
    this.#turnstile = turnstile
  }

  /** A channel is back, for the first time or again. */
  returned(channel: number): void {
    clearTimeout(this.#returns.get(channel)?.timer)
    const since: Return = { tries: 0, refusals: 0, timer: undefined }
    this.#returns.set(channel, since)
    void this.#try(channel, since)
  }

  /** Nothing is tried again. */
  stop(): void {
    this.#stopped = true
    for (const { timer } of this.#returns.values()) clearTimeout(timer)
  }

  async #try(channel: number, since: Return): Promise<void> {
    const { ledger } = this.#rooms
    const key = `firmware channel ${channel}`
    try {
      const refused = await this.#turnstile.pass(async () =>
        this.#isLatest(channel, since) ? this.#restore(channel) : 0,
      )
      if (!this.#isLatest(channel, since)) return
      ledger.problems.delete(key)
      if (refused > 0 && since.refusals++ < refusalsMost) this.#later(channel, since)
    } catch (error) {
      if (!this.#isLatest(channel, since)) return
      const problem = `${key} came back, and its guests wait: ${errorText(error)}`
      if (!ledger.problems.has(key)) this.#parts.log('warn', problem)
      ledger.problems.set(key, problem)
      if (isSilent(error) || since.refusals++ < refusalsMost) this.#later(channel, since)
    }
  }

  #later(channel: number, since: Return): void {
    if (this.#stopped) return
    const pause = Math.min(retryMs * 2 ** since.tries++, retryMostMs)
    since.timer = setTimeout(() => void this.#try(channel, since), pause)
    since.timer.unref()
  }

  /** The channel was not lost again meanwhile, and nobody waits for the end. */
  #isLatest(channel: number, since: Return): boolean {
    return !this.#stopped && this.#returns.get(channel) === since
  }

  /** Gives how many domains were not granted again what they have. */
  async #restore(channel: number): Promise<number> {
    const { firmware, roster, relay, log } = this.#parts
    const { ledger, records, tenancies } = this.#rooms
    const difference = await firmware.difference(channel)
    if (difference !== undefined)
      throw new MediatorError(
        'AGENT_MISMATCH',
        `the platform is not the one there was (${difference}); start scmid anew`,
      )
    for (const { agentId, state, channel: on } of roster.list()) {
      if (on !== channel || state === 'management') continue
      firmware.doubt(agentId)
      if (state === 'quarantined') await firmware.denyAll(agentId, ledger.deviceIds).catch(() => {})
    }
    const domains = ledger.list.filter(
      ({ agent, state }) => agent.channel === channel && (state === 'running' || state === 'failed'),
    )
    const refused: Domain[] = []
    for (const domain of domains) {
      const reason = tenancies.isTold(domain.agent) ? await this.#grantAgain(domain) : undefined
      this.#settle(domain, reason)
      if (reason !== undefined) refused.push(domain)
    }
    const report = await relay.restore(
      channel,
      refused.map(({ slot }) => slot),
    )
    const text = `firmware channel ${channel} is back: ${report.votes} switched on again, ${report.releases} off, ${report.subscriptions} subscriptions${report.failed.map(each => `; ${each}`).join('')}`
    log(report.failed.length > 0 ? 'warn' : 'info', text)
    records.restored(text)
    return refused.length
  }

  /** Denies what is not the domain's and allows what is. Gives the reason why that failed. FIRMWARE_SILENT. */
  async #grantAgain(domain: Domain): Promise<string | undefined> {
    const { firmware, log } = this.#parts
    const { agentId, channel } = domain.agent
    const live = liveDevices(domain)
    const own = deviceIdsOf(live)
    try {
      await firmware.denyAll(
        agentId,
        [...this.#rooms.ledger.deviceIds].filter(id => !own.includes(id)),
      )
      for (const id of own) await firmware.allow(agentId, id)
      const resources = resourcesOf(live).map(({ protocol, id }) => `${protocol}/${id}`)
      const opened = await firmware.opened(channel, new Set(resources))
      // Refused here all the same.
      if (opened.length > 0)
        log('warn', `agent ${agentId} is not refused by the firmware: ${opened.join(', ')}`)
      return undefined
    } catch (error) {
      if (isSilent(error)) throw error
      return errorText(error)
    }
  }

  #settle(domain: Domain, reason: string | undefined): void {
    const { ledger, records } = this.#rooms
    const { name } = domain.spec
    const key = `domain ${name}`
    if (reason === undefined) {
      if (domain.state === 'failed') ledger.problems.delete(key)
      domain.state = 'running'
      return
    }
    const text = `domain ${name} is refused everything: the firmware came back and did not grant it again: ${reason}`
    if (domain.state !== 'failed') this.#parts.log('error', text)
    domain.state = 'failed'
    ledger.problems.set(key, text)
    records.refused(name, `not granted again: ${reason}`)
  }
}
