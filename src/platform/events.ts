// What the platform sends of its own accord: who subscribed to what, and the queue of frames that wait to be sent.
import { DELAYED_RESPONSE, header, NOTIFICATION } from '../scmi/header.ts'
import type { Permissions } from './permissions.ts'

/** Notifications the queue holds; those beyond are dropped and counted. */
const notifications = 256
const slotBytes = 64
/** Instead of a delayed response's protocol. */
const none = -1

/** Takes a frame on a channel. Copy what must outlive the call. */
export type EventSink = (channel: number, frame: Uint8Array, length: number) => void

/** Frames on their way to agents, in order. Preallocated. */
export class Events {
  /** Notifications that found the queue full. */
  dropped = 0
  /** Whether notifications carry a number in their token. */
  numbered = false
  /** Hears of each delayed response that has left the queue. */
  onSent: ((agent: number, protocol: number) => void) | undefined = undefined
  readonly #slots: number
  readonly #words: readonly Uint32Array[]
  readonly #bytes: readonly Uint8Array[]
  /** 0: withdrawn. */
  readonly #lengths: Uint16Array
  readonly #agents: Uint8Array
  /** The channel of a delayed response; a notification's is its agent's. */
  readonly #channels: Int16Array
  /** Protocol index of a delayed response; -1 for notifications. */
  readonly #protocols: Int8Array
  #number = 0
  #first = 0
  #count = 0
  /** How many of them are notifications. */
  #notifications = 0
  /** Where the delayed response is that is being written. */
  #open = 0
  #flushing = false
  /** Where notifications are written that found the queue full. */
  readonly #waste = new Uint32Array(slotBytes / 4)

  /** @param delayed how many delayed responses there can be at once: for them there is always room */
  constructor(delayed = 0) {
    const slots = notifications + delayed
    const slab = new ArrayBuffer(slots * slotBytes)
    this.#slots = slots
    this.#words = Array.from({ length: slots }, (_, i) => new Uint32Array(slab, i * slotBytes, slotBytes / 4))
    this.#bytes = Array.from({ length: slots }, (_, i) => new Uint8Array(slab, i * slotBytes, slotBytes))
    this.#lengths = new Uint16Array(slots)
    this.#agents = new Uint8Array(slots)
    this.#channels = new Int16Array(slots)
    this.#protocols = new Int8Array(slots)
  }

  /** Queues a notification of `payloadBytes` to an agent and returns its words for the payload, which starts at word 1. */
  notify(agent: number, protocolId: number, notification: number, payloadBytes: number): Uint32Array {
    if (this.#notifications === notifications) {
      this.dropped++
      return this.#waste
    }
    this.#notifications++
    const at = this.#append(agent, none)
    this.#lengths[at] = 4 + payloadBytes
    const words = this.#words[at] as Uint32Array
    words[0] = header(protocolId, notification, NOTIFICATION, this.numbered ? this.#number++ : 0)
    return words
  }

  /**
   * Queues the delayed response to the command whose header this is, and returns its words: word 0 is written, 1 is for
   * the status, and what follows for its fields. Whoever calls has reserved its place; `finish` says how long it is.
   */
  delayed(agent: number, channel: number, protocol: number, command: number): Uint32Array {
    this.#open = this.#append(agent, protocol)
    this.#channels[this.#open] = channel
    this.#lengths[this.#open] = 8
    const words = this.#words[this.#open] as Uint32Array
    words[0] = command | (DELAYED_RESPONSE << 8)
    return words
  }

  /** Says how many bytes the fields have that follow the status of the delayed response written last. */
  finish(bytes: number): void {
    this.#lengths[this.#open] = 8 + bytes
  }

  /** Withdraws all that is queued for an agent. */
  withdraw(agent: number): void {
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#first + i) % this.#slots
      if (this.#agents[at] === agent) this.#lengths[at] = 0
    }
  }

  /** Hands everything queued to `sink`, oldest first. `channelOf`: an agent's channel, or -1 where there is no way. */
  flush(sink: EventSink, channelOf: Int16Array): void {
    if (this.#flushing) return // a sink that sends a command comes back here; the outer call goes on
    this.#flushing = true
    while (this.#count > 0) {
      const at = this.#first
      const agent = this.#agents[at] as number
      const protocol = this.#protocols[at] as number
      const channel = (protocol < 0 ? channelOf[agent] : this.#channels[at]) as number
      const length = this.#lengths[at] as number
      if (channel >= 0 && length > 0) sink(channel, this.#bytes[at] as Uint8Array, length)
      this.#first = (at + 1) % this.#slots
      this.#count--
      if (protocol < 0) this.#notifications--
      else this.onSent?.(agent, protocol)
    }
    this.#flushing = false
  }

  #append(agent: number, protocol: number): number {
    const at = (this.#first + this.#count++) % this.#slots
    this.#words[at]?.fill(0)
    this.#agents[at] = agent
    this.#protocols[at] = protocol
    return at
  }
}

/** Who subscribed to which notification about which resource, of one protocol. */
export class Subscriptions {
  readonly #agents: number
  readonly #kinds: number
  readonly #resources: number
  readonly #set: Uint8Array

  /** @param kinds notification ids, from 0 */
  constructor(kinds: number, resources: number, agents: number) {
    this.#kinds = kinds
    this.#resources = resources
    this.#agents = agents
    this.#set = new Uint8Array(kinds * resources * agents)
  }

  set(kind: number, resource: number, agent: number, enable: number): void {
    this.#set[(kind * this.#resources + resource) * this.#agents + agent] = enable
  }

  has(kind: number, resource: number, agent: number): boolean {
    return this.#set[(kind * this.#resources + resource) * this.#agents + agent] !== 0
  }

  /** Forgets all that the agent subscribed to. */
  drop(agent: number): void {
    for (let i = agent; i < this.#set.length; i += this.#agents) this.#set[i] = 0
  }

  /** Forgets what the agent subscribed to and may no longer use. */
  dropDenied(agent: number, permissions: Permissions, protocol: number): void {
    for (let kind = 0; kind < this.#kinds; kind++)
      for (let resource = 0; resource < this.#resources; resource++)
        if (!permissions.allows(agent, protocol, resource)) this.set(kind, resource, agent, 0)
  }
}
