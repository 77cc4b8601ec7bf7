// Whole frames to and from named values, tails included. For set-up, tools and tests; the relay works on bytes instead.
import { encodeBody, readBody, type Values } from './body.ts'
import {
  COMMAND,
  DELAYED_RESPONSE,
  header,
  messageId,
  messageType,
  NOTIFICATION,
  protocolId,
} from './header.ts'
import { messageOf, protocolOf } from './protocols.ts'
import { type AnyMessage, formAt, type Layout, type Notification, payloadAt, type Version } from './schema.ts'
import { COMMS_ERROR, SUCCESS } from './status.ts'

/** What stands in a frame after its header. */
export interface Decoded {
  /** The SCMI status; COMMS_ERROR where `malformed` says that the frame is not the one asked for. */
  readonly status: number
  /** Fixed fields; absent where the status is not SUCCESS. */
  readonly value?: Values
  /** What the tail holds, for messages that have one. */
  readonly entries?: readonly Values[]
  /** Why the frame cannot be believed. */
  readonly malformed?: string
}

const headerBytes = 4
const statusBytes = 4

function declared(protocol: number, message: string | number): { name: string; message: AnyMessage } {
  const found =
    typeof message === 'number'
      ? messageOf(protocol, message)
      : Object.entries(protocolOf(protocol)?.messages ?? {})
          .map(([name, m]) => ({ name, message: m }))
          .find(({ name }) => name === message)
  if (found === undefined)
    throw new RangeError(`protocol 0x${protocol.toString(16)} has no message ${message}`)
  return found
}

function declaredNotification(
  protocol: number,
  notification: string,
): { name: string; notification: Notification } {
  const found = Object.entries(protocolOf(protocol)?.notifications ?? {}).find(
    ([name]) => name === notification,
  )
  if (found === undefined)
    throw new RangeError(`protocol 0x${protocol.toString(16)} has no notification ${notification}`)
  return { name: notification, notification: found[1] }
}

function assemble(headerWord: number, status: number | undefined, body: Uint8Array): Uint8Array {
  const bodyAt = headerBytes + (status === undefined ? 0 : statusBytes)
  const frame = new Uint8Array(bodyAt + body.length)
  const view = new DataView(frame.buffer)
  view.setUint32(0, headerWord, true)
  if (status !== undefined) view.setInt32(headerBytes, status, true)
  frame.set(body, bodyAt)
  return frame
}

/**
 * A command's whole frame, header included. `message` is a name or an id; `version` chooses the layout. Every field
 * must be given; ranges left out of a word of bits are zero, and a plain number sets such a word whole, reserved bits
 * included. 64-bit fields take a bigint, a number or a string; the number of entries is filled in where it is left at
 * zero. Throws RangeError naming message and field.
 */
export function encodeCommand(
  protocol: number,
  message: string | number,
  version: Version,
  value: Values = {},
  token = 0,
  entries: readonly Values[] = [],
): Uint8Array {
  const { name, message: m } = declared(protocol, message)
  const body = encodeBody(formAt(m, version).command, value, entries, name, false)
  return assemble(header(protocol, m.id, COMMAND, token), undefined, body)
}

/**
 * A response's whole frame. With a status other than SUCCESS the status word is all there is. Fields left out are
 * zero, the number of entries is filled in. Throws RangeError naming message and field.
 */
export function encodeResponse(
  protocol: number,
  message: string | number,
  version: Version,
  status: number,
  value: Values = {},
  entries: readonly Values[] = [],
  token = 0,
): Uint8Array {
  const { name, message: m } = declared(protocol, message)
  const body =
    status === SUCCESS
      ? encodeBody(formAt(m, version).response, value, entries, name, true)
      : new Uint8Array(0)
  return assemble(header(protocol, m.id, COMMAND, token), status, body)
}

/** A delayed response's whole frame, as `encodeResponse`. Throws RangeError for a message that has none. */
export function encodeDelayedResponse(
  protocol: number,
  message: string | number,
  version: Version,
  status: number,
  value: Values = {},
  entries: readonly Values[] = [],
  token = 0,
): Uint8Array {
  const { name, message: m } = declared(protocol, message)
  const { delayed } = formAt(m, version)
  if (delayed === undefined) throw new RangeError(`${name} has no delayed response`)
  const body = status === SUCCESS ? encodeBody(delayed, value, entries, name, true) : new Uint8Array(0)
  return assemble(header(protocol, m.id, DELAYED_RESPONSE, token), status, body)
}

/** A notification's whole frame. Every field must be given, the number of entries is filled in. */
export function encodeNotification(
  protocol: number,
  notification: string,
  version: Version,
  value: Values,
  entries: readonly Values[] = [],
): Uint8Array {
  const { notification: n } = declaredNotification(protocol, notification)
  const body = encodeBody(payloadAt(n, version), value, entries, notification, false)
  return assemble(header(protocol, n.id, NOTIFICATION), undefined, body)
}

const viewOf = (frame: Uint8Array): DataView => new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
const malformed = (why: string): Decoded => ({ status: COMMS_ERROR, malformed: why })

/** Why the frame is not of this type, protocol and message; undefined where it is. */
function mismatch(view: DataView, type: number, protocol: number, id: number): string | undefined {
  if (view.byteLength < headerBytes) return `${view.byteLength} bytes hold no header`
  const word = view.getUint32(0, true)
  if (messageType(word) !== type) return `message type is ${messageType(word)}, not ${type}`
  if (protocolId(word) !== protocol || messageId(word) !== id)
    return `header 0x${word.toString(16)} names another message`
  return undefined
}

function decodeBody(view: DataView, base: number, l: Layout): Omit<Decoded, 'status'> {
  const body = readBody(view, base, l)
  if (body.missing.length > 0) return { malformed: `${view.byteLength} bytes end before ${body.missing[0]}` }
  if (body.end < view.byteLength) return { malformed: `${view.byteLength - body.end} bytes too many` }
  return { value: body.value, ...(body.entries && { entries: body.entries }) }
}

/** `acceptable`: a bare SUCCESS is whole too. */
function decodeAnswer(
  frame: Uint8Array,
  type: number,
  protocol: number,
  id: number,
  l: Layout,
  acceptable: boolean,
): Decoded {
  const view = viewOf(frame)
  const wrong = mismatch(view, type, protocol, id)
  if (wrong !== undefined) return malformed(wrong)
  const bodyAt = headerBytes + statusBytes
  if (view.byteLength < bodyAt) return malformed(`${view.byteLength} bytes hold no status`)
  const status = view.getInt32(headerBytes, true)
  if (status !== SUCCESS) return { status } // what follows a failure is to be ignored
  const body = decodeBody(view, bodyAt, l)
  if (body.malformed === undefined) return { status, ...body }
  return acceptable && view.byteLength === bodyAt ? { status } : malformed(body.malformed)
}

/**
 * Reads a response's whole frame; the token is not looked at. A frame that is not this message's response, or has
 * another size than the version gives it, comes back as COMMS_ERROR with `malformed`. Where a delayed response may
 * follow, a bare SUCCESS is whole: it accepts the command, and has no `value`. Throws only for an unknown message.
 */
export function decodeResponse(
  protocol: number,
  message: string | number,
  version: Version,
  frame: Uint8Array,
): Decoded {
  const { message: m } = declared(protocol, message)
  const form = formAt(m, version)
  return decodeAnswer(frame, COMMAND, protocol, m.id, form.response, form.delayed !== undefined)
}

/** Reads a delayed response, as `decodeResponse`. Throws RangeError for a message that has none. */
export function decodeDelayedResponse(
  protocol: number,
  message: string | number,
  version: Version,
  frame: Uint8Array,
): Decoded {
  const { name, message: m } = declared(protocol, message)
  const { delayed } = formAt(m, version)
  if (delayed === undefined) throw new RangeError(`${name} has no delayed response`)
  return decodeAnswer(frame, DELAYED_RESPONSE, protocol, m.id, delayed, false)
}

/** Reads a command; `status` is SUCCESS, or COMMS_ERROR where `malformed`. */
export function decodeCommand(
  protocol: number,
  message: string | number,
  version: Version,
  frame: Uint8Array,
): Decoded {
  const { message: m } = declared(protocol, message)
  const view = viewOf(frame)
  const wrong = mismatch(view, COMMAND, protocol, m.id)
  if (wrong !== undefined) return malformed(wrong)
  const body = decodeBody(view, headerBytes, formAt(m, version).command)
  return body.malformed === undefined ? { status: SUCCESS, ...body } : malformed(body.malformed)
}

/** Reads a notification; `status` is SUCCESS, or COMMS_ERROR where `malformed`. */
export function decodeNotification(
  protocol: number,
  notification: string,
  version: Version,
  frame: Uint8Array,
): Decoded {
  const { notification: n } = declaredNotification(protocol, notification)
  const view = viewOf(frame)
  const wrong = mismatch(view, NOTIFICATION, protocol, n.id)
  if (wrong !== undefined) return malformed(wrong)
  const body = decodeBody(view, headerBytes, payloadAt(n, version))
  return body.malformed === undefined ? { status: SUCCESS, ...body } : malformed(body.malformed)
}
