// What a guest knows while it talks to a platform: protocol versions, tokens, what was asked and answered. No policy.

import { encodeCommand } from '../scmi/codec.ts'
import { PROTOCOL_VERSION } from '../scmi/common.ts'
import { type DecodedFrame, decodeFrame } from '../scmi/decode-frame.ts'
import { messageType, NOTIFICATION, protocolId, tokens } from '../scmi/header.ts'
import { messageOf, newestVersion, protocolOf } from '../scmi/protocols.ts'
import type { Version } from '../scmi/schema.ts'
import { COMMS_ERROR, SUCCESS } from '../scmi/status.ts'
import type { GuestConnection } from './guest-connection.ts'

/** Field name to value, as the codec takes and gives them. */
type Values = NonNullable<DecodedFrame['value']>

/** One request and its answer. */
export interface Exchange {
  readonly request: Uint8Array
  readonly response: Uint8Array
  readonly protocol: number
  /** The message's name; absent where the schema does not know it. */
  readonly message?: string
  /** Of the form that the frames were read in. */
  readonly version?: Version
  /** COMMS_ERROR where the answer is too short to hold a status. */
  readonly status: number
  /** The answer's fields and list; empty where the status is not SUCCESS. */
  readonly value: Values
  readonly entries: readonly Values[]
  /** What is wrong with the answer, in words. */
  readonly problems: readonly string[]
}

/** Told of what happens in a session, in order. */
export interface Listener {
  exchanged(exchange: Exchange): void
  /** A delayed response or a notification came. */
  arrived?(frame: Uint8Array): void
  /** Something did not come out as the protocol promises: a value that was set is not the one read back. */
  mismatch(text: string): void
}

/** A conversation over one connection. */
export class GuestSession {
  readonly connection: GuestConnection
  readonly listener: Listener
  readonly #versions = new Map<number, Version>()
  #token = 0

  constructor(connection: GuestConnection, listener: Listener) {
    this.connection = connection
    this.listener = listener
    connection.onFrame = frame => listener.arrived?.(frame)
  }

  /** The version in force of a protocol, where it was asked for. */
  readonly known = (protocol: number): Version | undefined => this.#versions.get(protocol)

  /**
   * Sends a command by name, laid out for the version that PROTOCOL_VERSION told: it is asked first where that has not
   * happened yet. RangeError as `encodeCommand` throws it, and what the connection throws.
   */
  async ask(protocol: number, message: string, value: Values = {}): Promise<Exchange> {
    const version = message === 'PROTOCOL_VERSION' ? 0x1_0000 : await this.version(protocol)
    return this.send(encodeCommand(protocol, message, version, value, this.#nextToken()))
  }

  /** Sends a frame as it is. */
  async send(request: Uint8Array): Promise<Exchange> {
    const response = await this.connection.request(request)
    const exchange = this.#read(request, response)
    if (exchange.message === 'PROTOCOL_VERSION' && exchange.status === SUCCESS)
      this.#versions.set(exchange.protocol, Number(exchange.value['version']))
    this.listener.exchanged(exchange)
    return exchange
  }

  /** The protocol's version; where the platform does not tell, the newest that the schema knows. */
  async version(protocol: number): Promise<Version> {
    const known = this.#versions.get(protocol)
    if (known !== undefined) return known
    const declared = protocolOf(protocol)
    if (declared === undefined) throw new RangeError(`the schema has no protocol 0x${protocol.toString(16)}`)
    await this.send(encodeCommand(protocol, PROTOCOL_VERSION, 0x1_0000, {}, this.#nextToken()))
    const version = this.#versions.get(protocol) ?? newestVersion(declared)
    this.#versions.set(protocol, version)
    return version
  }

  #nextToken(): number {
    const token = this.#token
    this.#token = (token + 1) % tokens
    return token
  }

  #read(request: Uint8Array, response: Uint8Array): Exchange {
    const header = new DataView(request.buffer, request.byteOffset).getUint32(0, true)
    const protocol = protocolId(header)
    const name = messageType(header) === NOTIFICATION ? undefined : messageOf(protocol, header & 0xff)?.name
    const decoded = decodeFrame(response, { version: this.known, direction: 'response' })
    const view = new DataView(response.buffer, response.byteOffset, response.length)
    const status = response.length < 8 ? COMMS_ERROR : view.getInt32(4, true)
    const rest = decoded?.rest.length ?? 0
    return {
      request,
      response,
      protocol,
      ...(name === undefined ? {} : { message: name }),
      ...(decoded?.version === undefined ? {} : { version: decoded.version }),
      status,
      value: decoded?.value ?? {},
      entries: decoded?.entries ?? [],
      problems: [
        ...(decoded?.problems ?? ['no header']),
        ...(rest === 0 || name === undefined ? [] : [`${rest} bytes too many`]),
      ],
    }
  }
}
