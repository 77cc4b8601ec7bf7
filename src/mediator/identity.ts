// The Base protocol as a guest sees it: answered here, under a virtual identity, so that nothing of others leaks.
import { PRIVILEGED, type Rules, wellFormed } from '../permissions/rules.ts'
import { base, PLATFORM, SELF } from '../scmi/base.ts'
import {
  NEGOTIATE_PROTOCOL_VERSION,
  PROTOCOL_ATTRIBUTES,
  PROTOCOL_MESSAGE_ATTRIBUTES,
  PROTOCOL_VERSION,
  v2,
} from '../scmi/common.ts'
import { existsAt } from '../scmi/schema.ts'
import { INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'
import type { KeptSession } from './kept-session.ts'

/** What passes through from the platform: Linux picks its quirks by it. */
export interface PlatformIdentity {
  readonly vendor: string
  /** Absent where the platform has none. */
  readonly subVendor?: string
  readonly implementationVersion: number
}

/** Agent id that every guest believes to be its own. */
export const guestAgentId = 1
const baseTable = base.id << 8
const known: readonly number[] = base.versions.map(({ version }) => version)
const { BASE_DISCOVER_VENDOR, BASE_DISCOVER_SUB_VENDOR, BASE_DISCOVER_IMPLEMENTATION_VERSION } = base.messages
const { BASE_DISCOVER_LIST_PROTOCOLS, BASE_DISCOVER_AGENT, BASE_NOTIFY_ERRORS } = base.messages

/** At most 15 characters and zeros, as four words. */
function name16(text: string): Uint32Array {
  const bytes = new Uint8Array(16)
  for (let i = 0; i < 15 && i < text.length; i++) bytes[i] = text.charCodeAt(i) & 0x7f
  return new Uint32Array(bytes.buffer)
}

/** One guest's Base protocol. Made anew when its protocols change. */
export class VirtualIdentity {
  notifyErrors = false
  /** Where a successor of this process finds both. */
  kept: KeptSession | undefined = undefined
  #version = 0
  /** Which messages are there at the version in force, 1 or 0 by id. */
  readonly #there = new Uint8Array(256)
  readonly #rules: Rules
  readonly #presented: number
  readonly #implementationVersion: number
  readonly #vendor: Uint32Array
  readonly #subVendor: Uint32Array | undefined
  readonly #name: Uint32Array
  readonly #platform = name16('platform')
  readonly #protocols: Uint8Array

  /** `protocols`: ids the guest holds, Base left out; any order. */
  constructor(rules: Rules, identity: PlatformIdentity, name: string, protocols: Iterable<number>) {
    this.#rules = rules
    this.#presented = rules.versions.get(base.id) ?? v2
    this.#implementationVersion = identity.implementationVersion | 0
    this.#vendor = name16(identity.vendor)
    this.#subVendor = identity.subVendor === undefined ? undefined : name16(identity.subVendor)
    this.#name = name16(name)
    this.#protocols = Uint8Array.from([...protocols].sort((a, b) => a - b))
    this.reset()
  }

  /** The version in force for this guest. */
  get version(): number {
    return this.#version
  }

  /** Puts a version in force. Who negotiated down can negotiate back. */
  set version(version: number) {
    this.#version = version
    for (let id = 0; id < this.#there.length; id++) {
      const message = this.#rules.entries[baseTable | id]?.message
      const at = id === NEGOTIATE_PROTOCOL_VERSION ? this.#presented : version
      this.#there[id] = message !== undefined && existsAt(message, at) ? 1 : 0
    }
  }

  /** As a guest finds it that begins anew. */
  reset(): void {
    this.#set(this.#presented, false)
  }

  /** As the guest left it, with the former identity of this process or with a predecessor, if that can be. */
  resume(version: number, notifyErrors: boolean): void {
    this.#set(this.#offers(version) ? version : this.#presented, notifyErrors)
  }

  #set(version: number, notifyErrors: boolean): void {
    this.version = version
    this.notifyErrors = notifyErrors
    this.kept?.negotiated(version, notifyErrors)
  }

  #offers(version: number): boolean {
    return version <= this.#presented && known.indexOf(version) >= 0
  }

  /** Whether a Base message is there for this guest. */
  #exists(id: number, hasP2A: boolean): boolean {
    if ((id & ~0xff) !== 0 || this.#there[id] === 0) return false
    if (((this.#rules.flags[baseTable | id] as number) & PRIVILEGED) !== 0) return false
    if (id === BASE_DISCOVER_SUB_VENDOR.id) return this.#subVendor !== undefined
    return id !== BASE_NOTIFY_ERRORS.id || hasP2A
  }

  /** Answers the Base command in `transfer`, whose size the filter has checked. Gives the status. */
  answer(transfer: Transfer, hasP2A: boolean, maxMessageBytes: number): number {
    const id = transfer.header & 0xff
    const argument = transfer.ints[1] as number // signed: 0xFFFFFFFF must not cost a place on the heap
    if (this.#there[id] === 0) return this.#say(transfer, NOT_FOUND)
    if (!wellFormed(this.#rules.checks[baseTable | id], transfer.ints))
      return this.#say(transfer, INVALID_PARAMETERS)
    switch (id) {
      case PROTOCOL_VERSION:
        return this.#word(transfer, this.#presented)
      case PROTOCOL_ATTRIBUTES:
        return this.#word(transfer, this.#protocols.length | (1 << 8)) // one agent: the guest
      case PROTOCOL_MESSAGE_ATTRIBUTES:
        return this.#exists(argument, hasP2A) ? this.#word(transfer, 0) : this.#say(transfer, NOT_FOUND)
      case NEGOTIATE_PROTOCOL_VERSION:
        return this.#negotiate(transfer, argument)
      case BASE_DISCOVER_VENDOR.id:
        return this.#name16(transfer, 2, this.#vendor)
      case BASE_DISCOVER_SUB_VENDOR.id:
        return this.#subVendor === undefined
          ? this.#say(transfer, NOT_SUPPORTED)
          : this.#name16(transfer, 2, this.#subVendor)
      case BASE_DISCOVER_IMPLEMENTATION_VERSION.id:
        return this.#word(transfer, this.#implementationVersion)
      case BASE_DISCOVER_LIST_PROTOCOLS.id:
        return this.#list(transfer, argument, maxMessageBytes)
      case BASE_DISCOVER_AGENT.id:
        return this.#agent(transfer, argument)
      case BASE_NOTIFY_ERRORS.id:
        if (!hasP2A) return this.#say(transfer, NOT_SUPPORTED)
        this.#set(this.version, argument === 1)
        return this.#say(transfer, SUCCESS)
      default:
        return this.#say(transfer, NOT_FOUND)
    }
  }

  #say(transfer: Transfer, status: number): number {
    transfer.answer(status)
    return status
  }

  #word(transfer: Transfer, word: number): number {
    transfer.answer(SUCCESS)
    transfer.words[2] = word
    transfer.length = 12
    return SUCCESS
  }

  #name16(transfer: Transfer, at: number, name: Uint32Array): number {
    if (at === 2) transfer.answer(SUCCESS)
    for (let i = 0; i < 4; i++) transfer.words[at + i] = name[i] as number
    transfer.length = (at + 4) * 4
    return SUCCESS
  }

  #list(transfer: Transfer, skip: number, maxMessageBytes: number): number {
    const total = this.#protocols.length
    if (skip < 0 || skip > total) return this.#say(transfer, INVALID_PARAMETERS)
    const count = Math.min(total - skip, (maxMessageBytes - 12) & ~3)
    transfer.answer(SUCCESS)
    transfer.words[2] = count
    const padded = (count + 3) & ~3
    for (let i = 0; i < padded; i++)
      transfer.bytes[12 + i] = i < count ? (this.#protocols[skip + i] as number) : 0
    transfer.length = 12 + padded
    return SUCCESS
  }

  #agent(transfer: Transfer, agent: number): number {
    const self = agent === (SELF | 0) || agent === guestAgentId
    if (!self && agent !== PLATFORM) return this.#say(transfer, NOT_FOUND)
    const name = self ? this.#name : this.#platform
    if (this.#version < v2) return this.#name16(transfer, 2, name) // version 1: the name only
    transfer.answer(SUCCESS)
    transfer.words[2] = self ? guestAgentId : PLATFORM
    return this.#name16(transfer, 3, name)
  }

  #negotiate(transfer: Transfer, version: number): number {
    if (!this.#offers(version)) return this.#say(transfer, NOT_SUPPORTED)
    this.#set(version, this.notifyErrors)
    return this.#say(transfer, SUCCESS)
  }
}
