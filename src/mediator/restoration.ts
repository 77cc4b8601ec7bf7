// A channel behind which the platform may have forgotten everything: its guests wait while what they asked for and still
// have is asked for again. Votes and subscriptions only: a rate or a level is the guest's to set anew.
import { MediatorError } from '../errors.ts'
import { owns } from '../permissions/grants.ts'
import { type Rules, type VoteRule, wellFormed } from '../permissions/rules.ts'
import { header } from '../scmi/header.ts'
import { power } from '../scmi/power.ts'
import { BUSY, COMMS_ERROR, DENIED, SUCCESS } from '../scmi/status.ts'
import { voltage } from '../scmi/voltage.ts'
import type { Transfer } from '../transfer.ts'
import type { Admission } from './admission.ts'
import { type Arbiter, NOBODY } from './arbiter.ts'
import { type GuestState, REFUSED, RESTORING, SERVED } from './guest.ts'
import type { OwnExchanges } from './own-exchanges.ts'
import type { RestoreReport } from './relay-port.ts'
import type { Routing } from './routing.ts'

/** Supplies feed domains, and domains what is in them: switched on in this order, off in the other. */
const suppliesFirst: readonly number[] = [voltage.id, power.id]

/** Work.subscriptions before they are sent. */
const NOT_YET = -1

/** One switch: of the resource with this vote message, on one channel. */
interface Switch {
  readonly at: number
  readonly id: number
  readonly on: boolean
}

/** Who may have asked for something. */
type Behind = Pick<GuestState, 'slot' | 'channel' | 'grants'> & { readonly closing?: boolean }

/** One channel's, under way. */
interface Work {
  readonly channel: number
  /** The one guest that all this is for, which is not served yet; undefined where it is for all behind the channel. */
  readonly only: Behind | undefined
  readonly refused: ReadonlySet<number>
  readonly done: (error: unknown, report?: RestoreReport) => void
  switches: Switch[]
  asking: boolean
  /** Not answered yet. */
  subscriptions: number
  readonly report: { votes: number; releases: number; subscriptions: number; failed: string[] }
}

export interface RestorationParts {
  readonly rules: Rules
  readonly arbiter: Arbiter
  readonly own: OwnExchanges
  readonly admission: Admission
  readonly routing: Routing
  readonly guests: readonly (GuestState | undefined)[]
  /** Requests of others for the resource may go on. */
  readonly released: (protocol: number, id: number) => void
}

/** Channels that wait to be restored, and those that are being. Off the message path: it allocates. */
export class Restoration {
  readonly #parts: RestorationParts
  readonly #waiting = new Set<number>()
  readonly #works = new Map<number, Work>()

  constructor(parts: RestorationParts) {
    this.#parts = parts
  }

  /** How a guest behind the channel begins. */
  standing(channel: number): number {
    return this.#waiting.has(channel) ? RESTORING : SERVED
  }

  /** The connection of a channel is back. Its guests' messages are answered BUSY until it is restored. */
  begin(channel: number): void {
    this.#waiting.add(channel)
    this.#stand(channel, RESTORING)
    this.#end(channel, new MediatorError('FIRMWARE_SILENT', `firmware channel ${channel} was lost again`))
  }

  /**
   * Asks again for what guests behind the channel asked for, and serves them from then on, but for those in the slots
   * `refused`, which are denied. FIRMWARE_SILENT when the platform does not answer, or only that it is busy: the guests
   * still wait then, and this can be called again.
   */
  restore(channel: number, refused: Iterable<number>, done: Work['done']): void {
    this.#waiting.add(channel)
    this.#stand(channel, RESTORING)
    this.#end(channel, new MediatorError('SYSTEM', `firmware channel ${channel} is being restored anew`))
    this.#start(channel, undefined, new Set(refused), done)
  }

  /**
   * Asks again for what a guest asked for of a former run of this daemon: the platform may have been restarted with it.
   * The guest is to be served when `done` is called, and not before. FIRMWARE_SILENT when the platform does not answer.
   * On a channel that waits to be restored nothing is done now: all is done then.
   */
  recall(guest: Behind, done: Work['done']): void {
    const { channel } = guest
    if (this.#waiting.has(channel)) return done(undefined)
    this.#start(channel, guest, new Set(), done)
  }

  #start(channel: number, only: Behind | undefined, refused: ReadonlySet<number>, done: Work['done']): void {
    const work: Work = {
      channel,
      only,
      refused,
      done,
      switches: [],
      asking: false,
      subscriptions: only === undefined ? NOT_YET : 0, // who goes on is subscribed again later
      report: { votes: 0, releases: 0, subscriptions: 0, failed: [] },
    }
    work.switches = this.#switches(work)
    this.#works.set(channel, work)
    this.#next(work)
  }

  /** Guests that it is for. */
  #behind({ channel, only }: Work): readonly Behind[] {
    if (only !== undefined) return [only]
    return this.#parts.guests.filter(guest => guest?.channel === channel) as GuestState[]
  }

  /** Goes on with what waited for another request. Call it now and then. */
  pump(): void {
    if (this.#works.size === 0) return
    for (const work of [...this.#works.values()]) this.#next(work)
  }

  /** Last, so that nobody is notified of what is switched on again. */
  #subscribe(work: Work): void {
    const { channel, refused, report } = work
    work.subscriptions = 1 // answers may come at once; the last one is ours
    this.#parts.routing.resubscribe(channel, refused, {
      sent: () => work.subscriptions++,
      answered: (text, status) => {
        work.subscriptions--
        if (this.#works.get(channel) !== work) return
        if (isSilence(status)) return this.#silent(work)
        if (status === SUCCESS) report.subscriptions++
        else report.failed.push(`${text}: status ${status}`)
        this.#next(work)
      },
    })
    work.subscriptions--
  }

  /** All that must be switched on, then all that nobody needs. */
  #switches(work: Work): Switch[] {
    const { rules, arbiter } = this.#parts
    const rank = (at: number): number =>
      suppliesFirst.includes(at >>> 8) ? suppliesFirst.indexOf(at >>> 8) : suppliesFirst.length
    const votes = [...rules.votes.keys()]
      .filter(at => rules.votes[at] !== undefined)
      .sort((a, b) => rank(a) - rank(b))
    const on: Switch[] = []
    const off: Switch[] = []
    for (const at of votes) {
      const protocol = at >>> 8
      for (let id = 0; id < arbiter.count(protocol); id++) {
        if (this.#asks(work, protocol, id)) on.push({ at, id, on: true })
        else if (this.#isLeft(work, protocol, id)) off.push({ at, id, on: false })
      }
    }
    return [...on, ...off.reverse()]
  }

  /** Whether a guest behind the channel needs the resource. */
  #asks(work: Work, protocol: number, id: number): boolean {
    return this.#behind(work).some(
      ({ slot, closing }) =>
        closing !== true && !work.refused.has(slot) && this.#parts.arbiter.voted(protocol, id, slot),
    )
  }

  /** Whether nobody needs the resource, and it was this channel that released it last, or did not get to. */
  #isLeft(work: Work, protocol: number, id: number): boolean {
    const { arbiter } = this.#parts
    if (arbiter.othersVote(protocol, id, NOBODY)) return false
    if (arbiter.held(protocol, id, work.channel)) return true
    return (
      arbiter.released(protocol, id, work.channel) &&
      this.#behind(work).some(({ grants }) => owns(grants.owned[protocol], id))
    )
  }

  /** One at a time: a platform that has just started is not flooded. What others are asking about comes later. */
  #next(work: Work): void {
    const { arbiter } = this.#parts
    while (!work.asking && this.#works.get(work.channel) === work) {
      const at = work.switches.findIndex(each => !arbiter.busy(each.at >>> 8, each.id))
      const next = work.switches[at]
      if (next === undefined) break
      work.switches.splice(at, 1)
      this.#ask(work, next)
    }
    if (work.switches.length > 0 || work.asking || this.#works.get(work.channel) !== work) return
    if (work.subscriptions === NOT_YET) this.#subscribe(work)
    if (work.subscriptions === 0 && this.#works.get(work.channel) === work) this.#finish(work)
  }

  #ask(work: Work, { at, id, on }: Switch): void {
    const { rules, arbiter, own, released } = this.#parts
    const { channel } = work
    const vote = rules.votes[at]
    const protocol = at >>> 8
    // Looked at again: others went on meanwhile.
    const wanted = on ? this.#asks(work, protocol, id) : this.#isLeft(work, protocol, id)
    if (vote === undefined || !wanted) return
    const frame = new Uint8Array(4 + (rules.size[at] as number))
    const ints = new Int32Array(frame.buffer)
    ints[0] = header(protocol, at & 0xff)
    ints[rules.resource[at] as number] = id
    ints[vote.word] = vote.off
    if (on) this.#askOn(ints, at, vote, id, channel)
    arbiter.ask(protocol, id, ints[vote.word] as number)
    work.asking = true
    arbiter.lock(protocol, id)
    own.request(channel, frame, (transfer: Transfer) => {
      const status = transfer.ints[1] as number
      work.asking = false
      arbiter.unlock(protocol, id)
      this.#book(work, { at, id, on }, status)
      released(protocol, id)
      if (this.#works.get(channel) !== work) return
      if (isSilence(status)) this.#silent(work)
      else this.#next(work)
    })
  }

  /** What was asked for last, where that can be asked for: it may come from a file. */
  #askOn(
    ints: Int32Array,
    at: number,
    { word, mask, on, off, neutral }: VoteRule,
    id: number,
    channel: number,
  ): void {
    const { rules, arbiter } = this.#parts
    const value = arbiter.wanted(at >>> 8, id, channel)
    ints[word] = value
    const asks = value !== 0 && (value & ~mask) === 0 && value !== off && value !== neutral
    const may = value === on || !arbiter.shared(at >>> 8, id)
    if (!asks || !may || !wellFormed(rules.checks[at], ints)) ints[word] = on
  }

  #book(work: Work, { at, id, on }: Switch, status: number): void {
    const { arbiter, rules } = this.#parts
    const { channel, report } = work
    const protocol = at >>> 8
    // Silence is no refusal: it may have been switched.
    if (status === SUCCESS || isSilence(status)) {
      if (on) arbiter.hold(protocol, id, channel, true)
      if (status !== SUCCESS) return
      if (!on) arbiter.hold(protocol, id, channel, false)
      if (on) report.votes++
      else report.releases++
      return
    }
    if (!on && status === DENIED) return arbiter.hold(protocol, id, channel, false) // lost, and with it the hold
    report.failed.push(`${rules.entries[at]?.name} ${id} ${on ? 'on' : 'off'}: status ${status}`)
    if (!on) return
    // A vote that the platform does not take is none: its guest is told so when it looks.
    arbiter.hold(protocol, id, channel, false)
    for (const { slot } of this.#behind(work)) arbiter.vote(protocol, id, slot, false)
  }

  #finish(work: Work): void {
    if (work.only !== undefined) return this.#end(work.channel, undefined)
    this.#waiting.delete(work.channel)
    this.#stand(work.channel, SERVED, work.refused)
    this.#parts.admission.releaseAbandoned()
    this.#end(work.channel, undefined)
  }

  #silent(work: Work): void {
    this.#end(
      work.channel,
      new MediatorError('FIRMWARE_SILENT', `the firmware did not answer on channel ${work.channel}`),
    )
  }

  #end(channel: number, error: unknown): void {
    const work = this.#works.get(channel)
    if (work === undefined) return
    this.#works.delete(channel)
    if (error === undefined) work.done(undefined, work.report)
    else work.done(error)
  }

  #stand(channel: number, standing: number, refused: ReadonlySet<number> = new Set()): void {
    for (const guest of this.#parts.guests)
      if (guest?.channel === channel) guest.standing = refused.has(guest.slot) ? REFUSED : standing
  }
}

/** BUSY too: it is asked again later. */
const isSilence = (status: number): boolean => status === COMMS_ERROR || status === BUSY
