// Whole frames to and from named values, tails included. For set-up, tools and tests; the relay works on bytes instead.
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
import {
  type AnyMessage,
  type Field,
  formAt,
  type Layout,
  type Notification,
  payloadAt,
  type Tail,
  type Version,
} from './schema.ts'
import { COMMS_ERROR, SUCCESS } from './status.ts'

/** Field name to value: numbers, bigints for 64 bits, strings for names, objects of numbers for words cut in bits. */
export type Values = Readonly<Record<string, unknown>>

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
  const found = protocolOf(protocol)?.notifications[notification]
  if (found === undefined)
    throw new RangeError(`protocol 0x${protocol.toString(16)} has no notification ${notification}`)
  return { name: notification, notification: found }
}

/** The zero of a field: what is encoded for fields that a response leaves out. */
const zero = (field: Field<unknown>): unknown =>
  field.type.startsWith('char') ? '' : field.type.endsWith('int64') ? 0n : field.type === 'bits' ? {} : 0

/** Lowest and highest value of a numeric field. */
function range(type: string): readonly [bigint, bigint] {
  const width = BigInt(Number.parseInt(type.replace(/^u?int/, ''), 10))
  return type.startsWith('u') ? [0n, (1n << width) - 1n] : [-(1n << (width - 1n)), (1n << (width - 1n)) - 1n]
}

function setField(frame: DataView, at: number, field: Field<unknown>, value: unknown, where: string): void {
  const fault = (): never => {
    throw new RangeError(`${where}: ${JSON.stringify(value, plain) ?? 'nothing'} is not a ${field.type}`)
  }
  if (field.type === 'bits' && typeof value === 'object' && value !== null) {
    const mask = (field as unknown as { mask: Readonly<Record<string, number>> }).mask
    for (const [name, part] of Object.entries(value)) {
      if (mask[name] === undefined) throw new RangeError(`${where} has no ${name}`)
      if (!Number.isInteger(part)) fault()
    }
    const all = Object.fromEntries(Object.keys(mask).map(name => [name, 0]))
    field.set(frame, at, { ...all, ...value })
    const back = field.get(frame, at) as Readonly<Record<string, number>>
    for (const [name, part] of Object.entries(value)) {
      if (back[name] !== part) throw new RangeError(`${where}.${name}: ${part} does not fit`)
    }
  } else if (field.type.startsWith('char')) {
    if (typeof value !== 'string' || value.length >= field.size) fault()
    field.set(frame, at, value)
    if (field.get(frame, at) !== value) fault() // not ASCII, or a zero inside
  } else {
    if (typeof value === 'number' ? !Number.isInteger(value) : typeof value !== 'bigint') {
      if (typeof value !== 'string' || !/^-?(0x[0-9a-f]+|[0-9]+)$/i.test(value)) fault()
    }
    const number = BigInt(value as string | number | bigint)
    const [lowest, highest] = range(field.type === 'bits' ? 'uint32' : field.type)
    if (number < lowest || number > highest) fault()
    if (field.type === 'bits') frame.setUint32(at, Number(number), true)
    else field.set(frame, at, field.size === 8 ? number : Number(number))
  }
}

const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}` : value)

/** `partial`: fields left out are zero, as in placeholders; otherwise they are an error. */
function setFields(
  frame: DataView,
  base: number,
  l: Layout,
  value: Values,
  where: string,
  partial: boolean,
): void {
  for (const name of Object.keys(value)) {
    if (!(name in l.fields)) throw new RangeError(`${where} has no field ${name}`)
  }
  for (const [name, field] of Object.entries(l.fields)) {
    const given = value[name]
    if (given === undefined && !partial) throw new RangeError(`${where} lacks ${name}`)
    setField(frame, base + (l.at[name] as number), field, given ?? zero(field), `${where}.${name}`)
  }
}

const lowestBit = (mask: number): number => 31 - Math.clz32(mask & -mask)

/** The bytes of a layout and its entries; where `value` leaves the number of entries at zero, it is filled in. */
function encodeBody(
  l: Layout,
  value: Values,
  entries: readonly Values[],
  where: string,
  partial: boolean,
): Uint8Array {
  const { tail } = l
  if (tail === undefined && entries.length > 0) throw new RangeError(`${where} has no list of entries`)
  const packed = entries.map((entry, i) => {
    const bytes = new Uint8Array(tail?.entry.size ?? 0)
    const view = new DataView(bytes.buffer)
    if (tail !== undefined) setFields(view, 0, tail.entry, entry, `${where}.${tail.name}[${i}]`, true)
    return bytes.subarray(0, tail?.sizeAt?.(view, 0) ?? bytes.length)
  })
  const tailBytes = packed.reduce((sum, bytes) => sum + bytes.length, 0)
  const bytes = new Uint8Array(l.size + (tail === undefined ? 0 : Math.ceil(tailBytes / tail.pad) * tail.pad))
  const view = new DataView(bytes.buffer)
  setFields(view, 0, l, value, where, partial)
  if (tail?.count !== undefined) {
    const { word, mask } = tail.count
    const told = view.getUint32(word * 4, true)
    if ((told & mask) === 0)
      view.setUint32(word * 4, (told | (entries.length << lowestBit(mask))) >>> 0, true)
  }
  let at = l.size
  for (const entry of packed) {
    bytes.set(entry, at)
    at += entry.length
  }
  return bytes
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
 * included. 64-bit fields take a bigint, a number or a string. Throws RangeError naming message and field.
 */
export function encodeCommand(
  protocol: number,
  message: string | number,
  version: Version,
  value: Values = {},
  token = 0,
): Uint8Array {
  const { name, message: m } = declared(protocol, message)
  const body = encodeBody(formAt(m, version).command, value, [], name, false)
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

/** What `readBody` found in the bytes that follow a header or a status. */
export interface Body {
  readonly value: Values
  readonly entries?: readonly Values[]
  /** Where the layout, its entries and their padding end. */
  readonly end: number
  /** Names of the fields that the frame was too short for; entries as `rates[2]`. */
  readonly missing: readonly string[]
  /** Entries the frame tells of; absent where there is no tail or no count. */
  readonly told?: number
}

function readFields(frame: DataView, base: number, end: number, l: Layout, missing: string[]): Values {
  const value: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(l.fields)) {
    const at = base + (l.at[name] as number)
    if (at + field.size <= end) value[name] = field.get(frame, at)
    else missing.push(name)
  }
  return value
}

/** Entry sizes, and so the loop below, are at least one byte; what the firmware tells is never trusted beyond `frame`. */
function readTail(frame: DataView, base: number, l: Layout, tail: Tail, missing: string[]) {
  const told =
    tail.count === undefined || l.size + base > frame.byteLength
      ? undefined
      : (frame.getUint32(base + tail.count.word * 4, true) & tail.count.mask) >>> lowestBit(tail.count.mask)
  const entries: Values[] = []
  let at = base + l.size
  while (told === undefined ? at < frame.byteLength : entries.length < told) {
    const size = Math.max(1, tail.sizeAt?.(frame, at) ?? tail.entry.size)
    if (at + size > frame.byteLength) {
      missing.push(`${tail.name}[${entries.length}]`)
      break
    }
    entries.push(readFields(frame, at, at + size, tail.entry, []))
    at += size
  }
  const used = at - base - l.size
  const padded = base + l.size + Math.ceil(used / tail.pad) * tail.pad
  return { entries, end: Math.min(padded, frame.byteLength), told }
}

/** Reads as much of a layout as `frame` holds from byte `base` on. Never throws, never reads outside. */
export function readBody(frame: DataView, base: number, l: Layout): Body {
  const missing: string[] = []
  const value = readFields(frame, base, frame.byteLength, l, missing)
  const end = Math.min(base + l.size, frame.byteLength)
  if (l.tail === undefined || missing.length > 0) return { value, end, missing }
  const tail = readTail(frame, base, l, l.tail, missing)
  return {
    value,
    entries: tail.entries,
    end: tail.end,
    missing,
    ...(tail.told !== undefined && { told: tail.told }),
  }
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

function decodeAnswer(frame: Uint8Array, type: number, protocol: number, id: number, l: Layout): Decoded {
  const view = viewOf(frame)
  const wrong = mismatch(view, type, protocol, id)
  if (wrong !== undefined) return malformed(wrong)
  const bodyAt = headerBytes + statusBytes
  if (view.byteLength < bodyAt) return malformed(`${view.byteLength} bytes hold no status`)
  const status = view.getInt32(headerBytes, true)
  if (status !== SUCCESS) return { status } // what follows a failure is to be ignored
  const body = decodeBody(view, bodyAt, l)
  return body.malformed === undefined ? { status, ...body } : malformed(body.malformed)
}

/**
 * Reads a response's whole frame; the token is not looked at. A frame that is not this message's response, or has
 * another size than the version gives it, comes back as COMMS_ERROR with `malformed`. Throws only for an unknown message.
 */
export function decodeResponse(
  protocol: number,
  message: string | number,
  version: Version,
  frame: Uint8Array,
): Decoded {
  const { message: m } = declared(protocol, message)
  return decodeAnswer(frame, COMMAND, protocol, m.id, formAt(m, version).response)
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
  return decodeAnswer(frame, DELAYED_RESPONSE, protocol, m.id, delayed)
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
