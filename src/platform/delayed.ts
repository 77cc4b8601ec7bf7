// Requests that were accepted and are carried out later: when each is due, whose it is, how many an agent may have. What
// carrying out means is the protocol's matter.

import { BUSY, DENIED, SUCCESS } from '../scmi/status.ts'
import { noSlot, SlotLists } from '../slot-lists.ts'
import type { Call } from './call.ts'
import type { Delays } from './delays.ts'
import type { Events } from './events.ts'
import { protocolCount } from './numbering.ts'
import type { Permissions } from './permissions.ts'

/** A request that is due. One object for all of them: its fields hold for the time of the call. */
export interface Due {
  readonly agent: number
  readonly resource: number
  /** The version that was in force when the request was accepted. */
  readonly version: number
  /** [0]: what the request asked for: a rate, a level, a reset state. A double, so in memory. */
  readonly value: Float64Array
  /** Bytes of the answer's own fields, after the status. The handler's to set. */
  length: number
}

/**
 * Carries a request out; writes the delayed response's own fields from word `DELAYED_BODY` on, sets `length`, returns
 * the status. Allocates nothing.
 */
export type Completion = (due: Due, words: Uint32Array) => number

/** Word of a delayed response where its own fields start, after header and status. */
export const DELAYED_BODY = 2

/** What a slot waits for: it is free, or for a time, or for a number of messages. */
const FREE = 0
const TIME = 1
const MESSAGES = 2

/**
 * The accepted requests of all agents, in memory made once. Each holds its place from acceptance until its answer has
 * been sent: accepted is answered, whatever else is in the queue. Times are monotonic microseconds modulo 2^32, signed.
 */
export class Delayed {
  readonly #events: Events
  readonly #complete: (Completion | undefined)[] = new Array(protocolCount).fill(undefined)
  /** By agent * protocolCount + protocol. */
  readonly #pending: Uint16Array
  readonly #due: { agent: number; resource: number; version: number; value: Float64Array; length: number } = {
    agent: 0,
    resource: 0,
    version: 0,
    value: new Float64Array(1),
    length: 0,
  }
  /** Where the answers go that nobody wants. */
  readonly #waste = new Uint32Array(16)
  readonly #agent: Uint8Array
  readonly #channel: Int16Array
  readonly #protocol: Uint8Array
  readonly #resource: Uint16Array
  readonly #version: Uint32Array
  readonly #header: Uint32Array
  /** Whether the agent renounced the answer. */
  readonly #silent: Uint8Array
  readonly #value: Float64Array
  /** Lists by state: those that are free, and those waiting, the next one due first. */
  readonly #lists: SlotLists
  #now = 0
  #messages = 0

  /** @param places requests there can be at once: all agents, all protocols */
  constructor(agents: number, places: number, events: Events) {
    this.#events = events
    this.#pending = new Uint16Array(agents * protocolCount)
    this.#lists = new SlotLists(places, 3)
    this.#agent = new Uint8Array(places)
    this.#channel = new Int16Array(places)
    this.#protocol = new Uint8Array(places)
    this.#resource = new Uint16Array(places)
    this.#version = new Uint32Array(places)
    this.#header = new Uint32Array(places)
    this.#silent = new Uint8Array(places)
    this.#value = new Float64Array(places)
    for (let slot = 0; slot < places; slot++) this.#lists.append(slot, FREE, 0)
  }

  /** Names who carries out a protocol's requests. */
  handle(protocol: number, complete: Completion | undefined): void {
    this.#complete[protocol] = complete
  }

  /** [0]: what the request to be accepted asks for. */
  readonly value = new Float64Array(1)

  /**
   * Takes the request in hand, with what it asks for in `value`: SUCCESS, or BUSY where the agent has as many pending as
   * it may. @param silent the agent wants no answer
   */
  accept(call: Call, protocol: number, delays: Delays, silent = false): number {
    const { agent, resource } = call
    const counter = agent * protocolCount + protocol
    const pending = this.#pending[counter] as number
    const slot = this.#lists.first(FREE)
    if (pending >= delays.limit || slot === noSlot) return BUSY
    this.#pending[counter] = pending + 1
    this.#agent[slot] = agent
    this.#channel[slot] = call.channel
    this.#protocol[slot] = protocol
    this.#resource[slot] = resource
    this.#version[slot] = call.version
    this.#header[slot] = call.words[0] as number
    this.#silent[slot] = silent ? 1 : 0
    this.#value[slot] = this.value[0] as number
    const amount = delays.amount[resource] as number
    const counted = delays.counted[resource] !== 0
    this.#lists.remove(slot)
    this.#lists.append(
      slot,
      counted ? MESSAGES : TIME,
      counted ? (this.#messages + amount) | 0 : (this.#now + amount * 1000) | 0,
    )
    return SUCCESS
  }

  /** One more message was received. */
  received(): void {
    this.#messages = (this.#messages + 1) | 0
  }

  /** It is `now`. */
  tick(now: number): void {
    this.#now = now | 0
  }

  /** Microseconds until the next request is due by time, 0 when one is; -1 when none waits for a time. */
  get dueIn(): number {
    const slot = this.#lists.first(TIME)
    return slot === noSlot ? -1 : Math.max(0, (this.#lists.wait(slot) - this.#now) | 0)
  }

  /** Carries out what is due and queues its answers. */
  run(): void {
    for (;;) {
      let slot = this.#lists.first(TIME)
      if (slot === noSlot || ((this.#now - this.#lists.wait(slot)) | 0) < 0) {
        slot = this.#lists.first(MESSAGES)
        if (slot === noSlot || ((this.#messages - this.#lists.wait(slot)) | 0) < 0) return
      }
      this.#finish(slot, SUCCESS)
    }
  }

  /** Answers DENIED, without carrying it out, what the agent may no longer ask for. */
  deny(agent: number, permissions: Permissions): void {
    for (let state = TIME; state <= MESSAGES; state++)
      for (let slot = this.#lists.first(state); slot !== noSlot; ) {
        const next = this.#lists.next(slot)
        if (
          this.#agent[slot] === agent &&
          !permissions.allows(agent, this.#protocol[slot] as number, this.#resource[slot] as number)
        )
          this.#finish(slot, DENIED)
        slot = next
      }
  }

  /** Forgets all requests of an agent, unanswered: who comes after it may use the same tokens. */
  drop(agent: number): void {
    for (let state = TIME; state <= MESSAGES; state++)
      for (let slot = this.#lists.first(state); slot !== noSlot; ) {
        const next = this.#lists.next(slot)
        if (this.#agent[slot] === agent) {
          this.#release(slot)
          this.sent(agent, this.#protocol[slot] as number)
        }
        slot = next
      }
  }

  /** An answer has left the queue: the agent may ask again. */
  sent(agent: number, protocol: number): void {
    const counter = agent * protocolCount + protocol
    this.#pending[counter] = (this.#pending[counter] as number) - 1
  }

  #finish(slot: number, denied: number): void {
    const protocol = this.#protocol[slot] as number
    const agent = this.#agent[slot] as number
    const silent = this.#silent[slot] !== 0
    const due = this.#due
    due.agent = agent
    due.resource = this.#resource[slot] as number
    due.version = this.#version[slot] as number
    due.value[0] = this.#value[slot] as number
    due.length = 0
    this.#release(slot)
    const words = silent
      ? this.#waste
      : this.#events.delayed(agent, this.#channel[slot] as number, protocol, this.#header[slot] as number)
    const complete = this.#complete[protocol] as Completion
    const status = denied === SUCCESS ? complete(due, words) : denied
    words[1] = status
    if (silent) this.sent(agent, protocol)
    else this.#events.finish(status === SUCCESS ? due.length : 0)
  }

  #release(slot: number): void {
    this.#lists.remove(slot)
    this.#lists.append(slot, FREE, 0)
  }
}
