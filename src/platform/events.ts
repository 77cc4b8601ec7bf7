// What the platform sends of its own accord: who subscribed to what, and the queue of frames that wait to be sent.
import { header, NOTIFICATION } from '../scmi/header.ts'
import type { Permissions } from './permissions.ts'

/** Frames the queue holds; those beyond are dropped and counted. */
const slots = 256
const slotBytes = 64

/** Takes a frame on a channel. Copy what must outlive the call. */
export type EventSink = (channel: number, frame: Uint8Array, length: number) => void

/** Frames on their way to agents, in order. Preallocated. */
export class Events {
  /** Frames that found the queue full. */
  dropped = 0
  readonly #words: readonly Uint32Array[]
  readonly #bytes: readonly Uint8Array[]
  readonly #lengths = new Uint16Array(slots)
  readonly #agents = new Uint8Array(slots)
  #first = 0
  #count = 0
  #flushing = false
  /** Where frames for an agent without P2A are written, and forgotten. */
  readonly #waste = new Uint32Array(slotBytes / 4)

  constructor() {
    const slab = new ArrayBuffer(slots * slotBytes)
    this.#words = Array.from({ length: slots }, (_, i) => new Uint32Array(slab, i * slotBytes, slotBytes / 4))
    this.#bytes = Array.from({ length: slots }, (_, i) => new Uint8Array(slab, i * slotBytes, slotBytes))
  }

  /** Queues a notification of `payloadBytes` to an agent and returns its words for the payload, which starts at word 1. */
  notify(agent: number, protocolId: number, notification: number, payloadBytes: number): Uint32Array {
    if (this.#count === slots) {
      this.dropped++
      return this.#waste
    }
    const at = (this.#first + this.#count++) % slots
    const words = this.#words[at] as Uint32Array
    words.fill(0)
    words[0] = header(protocolId, notification, NOTIFICATION)
    this.#lengths[at] = 4 + payloadBytes
    this.#agents[at] = agent
    return words
  }

  /** Hands everything queued to `sink`, oldest first. `channelOf`: an agent's channel, or -1 where there is no way. */
  flush(sink: EventSink, channelOf: Int16Array): void {
    if (this.#flushing) return // a sink that sends a command comes back here; the outer call goes on
    this.#flushing = true
    while (this.#count > 0) {
      const at = this.#first
      const channel = channelOf[this.#agents[at] as number] as number
      if (channel >= 0) sink(channel, this.#bytes[at] as Uint8Array, this.#lengths[at] as number)
      this.#first = (at + 1) % slots
      this.#count--
    }
    this.#flushing = false
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
