// Any bytes to what they say as an SCMI frame: for people, logs and tools. Guesses what it is not told, never throws.
import { type Body, readBody, type Values } from './body.ts'
import {
  COMMAND,
  DELAYED_RESPONSE,
  messageId,
  messageType,
  NOTIFICATION,
  protocolId,
  reservedMask,
  token,
} from './header.ts'
import { newestVersion, protocolOf } from './protocols.ts'
import {
  type AnyMessage,
  existsAt,
  formAt,
  type Layout,
  type Notification,
  type Protocol,
  payloadAt,
  type Version,
} from './schema.ts'

/** `reserved` is type 1, which nobody may send. */
export type Part = 'command' | 'response' | 'delayed' | 'notification' | 'reserved'

export interface DecodeOptions {
  /** The version in force, by protocol id; without it, or where it answers undefined, the newest form that fits. */
  readonly version?: (protocolId: number) => Version | undefined
  /** Which of the two a frame of type 0 is; without it, its length decides. */
  readonly direction?: 'command' | 'response'
}

export interface DecodedFrame {
  readonly protocolId: number
  readonly messageId: number
  readonly token: number
  readonly part: Part
  /** Nobody told whether it is a command or a response: the length did. */
  readonly guessed?: true
  /** The protocol's one word; absent where the schema does not know it. */
  readonly protocol?: string
  /** The message's or notification's name; absent where the schema does not know it. */
  readonly name?: string
  /** The version whose form was read. */
  readonly version?: Version
  readonly status?: number
  /** The fields that the frame is long enough for. */
  readonly value?: Values
  readonly entries?: readonly Values[]
  /** What the entries are: `rates`. */
  readonly list?: string
  /** Bytes that no field accounts for. */
  readonly rest: Uint8Array
  /** What is wrong with the frame, in words. */
  readonly problems: readonly string[]
}

/** One way to read the bytes behind the header. */
interface Reading {
  readonly part: Part
  readonly layout: Layout
  readonly version: Version
  readonly status?: number
  readonly body: Body
  /** Every byte is accounted for, and none is missing. */
  readonly whole: boolean
}

/** What is read of a message that the schema does not know. */
const nothing: Layout = { fields: {}, at: {}, word: {}, size: 0, encode: () => {}, decode: () => ({}) }

const headerBytes = 4
const statusBytes = 4
const hasStatus = (part: Part): boolean => part === 'response' || part === 'delayed'

/** `bareAllowed`: a SUCCESS may stand alone, as it does where it only accepts a command. */
function read(part: Part, view: DataView, layout: Layout, version: Version, bareAllowed = false): Reading {
  const base = headerBytes + (hasStatus(part) ? statusBytes : 0)
  if (view.byteLength < base) {
    const body = { value: {}, end: headerBytes, missing: ['status'] }
    return { part, layout, version, body, whole: false }
  }
  if (!hasStatus(part)) {
    const body = readBody(view, base, layout)
    return { part, layout, version, body, whole: body.missing.length === 0 && body.end === view.byteLength }
  }
  const status = view.getInt32(headerBytes, true)
  const bare = status !== 0 || (bareAllowed && view.byteLength === base) // a failure is its status alone
  const body = bare ? { value: {}, end: base, missing: [] } : readBody(view, base, layout)
  const whole = status <= 0 && body.missing.length === 0 && body.end === view.byteLength // none is positive
  return { part, layout, version, status, body, whole }
}

/** Versions whose layouts may differ, newest first; only the one that is told, if any. */
const candidates = (
  p: Protocol,
  declared: { readonly changes?: readonly { readonly since: Version }[] },
  told: Version | undefined,
): Version[] =>
  told !== undefined
    ? [told]
    : [newestVersion(p), ...(declared.changes ?? []).map(change => change.since - 1).reverse()]

/** The first reading that accounts for every byte, else the first. */
const best = (readings: readonly Reading[]): Reading | undefined =>
  readings.find(reading => reading.whole) ?? readings[0]

function readMessage(view: DataView, p: Protocol, m: AnyMessage, part: Part, told?: Version) {
  const readings = candidates(p, m, told).flatMap(version => {
    const form = formAt(m, version)
    const layout = part === 'command' ? form.command : part === 'delayed' ? form.delayed : form.response
    const bareAllowed = part === 'response' && form.delayed !== undefined
    return layout === undefined ? [] : [read(part, view, layout, version, bareAllowed)]
  })
  return best(readings)
}

function readNotification(view: DataView, p: Protocol, n: Notification, told?: Version) {
  const versions = candidates(p, n, told)
  return best(versions.map(version => read('notification', view, payloadAt(n, version), version)))
}

const isFailure = (status: number): boolean => status < 0 && status >= -0xff

/** Which of its two readings a frame of type 0 is: the one that is whole; if both are, the first word tells. */
function likelier(command?: Reading, response?: Reading): Reading | undefined {
  if (command === undefined || response?.status === undefined) return command
  if (command.whole !== response.whole) return command.whole ? command : response
  const { status, layout } = response
  const [first] = Object.values(command.layout.fields)
  if (status === -1 && first?.role === 'agent') return command // BASE_DISCOVER_AGENT asking for itself
  const nothingElse = layout.size === 0 && layout.tail === undefined
  return isFailure(status) || (status === 0 && nothingElse && response.whole) ? response : command
}

/** What is wrong with the words of the fixed fields: reserved bits anywhere, forbidden values in commands. */
function wordProblems(view: DataView, { part, layout, body }: Reading): string[] {
  const base = headerBytes + (hasStatus(part) ? statusBytes : 0)
  return Object.entries(layout.fields).flatMap(([name, field]) => {
    if (field.valid === undefined || !Object.hasOwn(body.value, name)) return []
    const word = view.getUint32(base + (layout.at[name] ?? 0), true)
    const masks = (field as { mask?: Readonly<Record<string, number>> }).mask
    const unknown =
      masks === undefined ? 0 : word & ~Object.values(masks).reduce((all, mask) => all | mask, 0)
    if (unknown !== 0) return [`${name} has reserved bits 0x${(unknown >>> 0).toString(16)}`]
    return part !== 'command' || field.valid(word) ? [] : [`${name} 0x${word.toString(16)} is not valid`]
  })
}

const dotted = (version: Version): string => `${version >>> 16}.${version & 0xffff}`

function decoded(
  bytes: Uint8Array,
  view: DataView,
  identity: Pick<DecodedFrame, 'protocolId' | 'messageId' | 'token'>,
  known: { protocol?: string; name?: string; since?: Version; told?: Version | undefined },
  reading: Reading,
  guessed: boolean,
): DecodedFrame {
  const { part, layout, body, version, status } = reading
  const { protocol, name, told, since } = known
  const problems = wordProblems(view, reading)
  if ((view.getUint32(0, true) & reservedMask) !== 0) problems.push('header has reserved bits')
  if (told !== undefined && since !== undefined && !existsAt({ since }, told))
    problems.push(`not in version ${dotted(told)}`)
  if (part === 'delayed' && layout === nothing && name !== undefined) problems.push('has no delayed response')
  if (body.missing.length > 0) problems.push(`ends before ${body.missing[0]}`)
  return {
    ...identity,
    part,
    ...(guessed && { guessed }),
    ...(protocol !== undefined && { protocol }),
    ...(name !== undefined && { name }),
    ...(layout !== nothing && { version }),
    ...(status !== undefined && { status }),
    ...(name !== undefined && { value: body.value }),
    ...(body.entries !== undefined && { entries: body.entries, list: layout.tail?.name ?? '' }),
    rest: bytes.subarray(body.end),
    problems,
  }
}

const named = <T extends { readonly id: number }>(all: Readonly<Record<string, T>> = {}, id: number) =>
  Object.entries(all).find(([, one]) => one.id === id)

/** Reads a frame as far as it goes. Undefined where the bytes are fewer than a header. */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): DecodedFrame | undefined {
  if (bytes.length < headerBytes) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const word = view.getUint32(0, true)
  const identity = { protocolId: protocolId(word), messageId: messageId(word), token: token(word) }
  const type = messageType(word)
  const p = protocolOf(identity.protocolId)
  const told = p === undefined ? undefined : options.version?.(p.id)
  const guessed = type === COMMAND && options.direction === undefined
  const finish = (reading: Reading, known: { name?: string; since?: Version } = {}) =>
    decoded(bytes, view, identity, { ...(p && { protocol: p.key }), told, ...known }, reading, guessed)

  if (type === NOTIFICATION) {
    const [name, n] = named(p?.notifications, identity.messageId) ?? []
    const reading = p && n && readNotification(view, p, n, told)
    if (reading && name && n) return finish(reading, { name, ...(n.since && { since: n.since }) })
    return finish(read('notification', view, nothing, 0))
  }
  const [name, m] = named<AnyMessage>(p?.messages, identity.messageId) ?? []
  const known = name && m ? { name, ...(m.since && { since: m.since }) } : {}
  if (type === DELAYED_RESPONSE) {
    const reading = p && m && readMessage(view, p, m, 'delayed', told)
    return finish(reading ?? read('delayed', view, nothing, 0), known)
  }
  if (type !== COMMAND) return finish(read('reserved', view, nothing, 0), known)
  const readAs = (part: 'command' | 'response'): Reading =>
    (p && m && readMessage(view, p, m, part, told)) ?? read(part, view, nothing, 0)
  const reading =
    options.direction !== undefined
      ? readAs(options.direction)
      : likelier(readAs('command'), readAs('response'))
  return finish(reading ?? readAs('command'), known)
}
