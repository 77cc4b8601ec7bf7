// How the daemon must answer a guest: SUCCESS for what is its own, and for what is not, by the schema: DENIED, the
// constant placeholder, or a release without effect. It judges answers and sends nothing.
import type { Decision } from '../audit/decision.ts'
import type { ExchangeLine } from '../guest/report.ts'
import { decodeCommand, encodeResponse } from '../scmi/codec.ts'
import { token } from '../scmi/header.ts'
import { messageOf, newestVersion, protocolOf } from '../scmi/protocols.ts'
import { type AnyMessage, formAt, type Version } from '../scmi/schema.ts'
import { DENIED, NOT_FOUND, NOT_SUPPORTED, SUCCESS, statusName } from '../scmi/status.ts'

/** What became of a message, in the words that are printed. */
export type Outcome = 'allowed' | 'denied' | 'placeholder' | 'no effect'

/** A message of a guest, read back from the frames it reported. */
export interface Sent {
  readonly line: ExchangeLine
  readonly message: AnyMessage
  readonly name: string
  readonly version: Version
  /** Absent for messages about no single resource. */
  readonly resource?: number
  readonly command: Readonly<Record<string, unknown>>
}

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const headerOf = (line: ExchangeLine): number => Buffer.from(line.request, 'hex').readUInt32LE(0)

/** Reads a reported exchange with the schema; undefined for frames that are no known message. */
export function readSent(line: ExchangeLine): Sent | undefined {
  const found = messageOf(line.protocol, headerOf(line) & 0xff)
  const protocol = protocolOf(line.protocol)
  if (found === undefined || protocol === undefined) return undefined
  const version = line.version ?? newestVersion(protocol)
  const command = decodeCommand(line.protocol, found.name, version, bytesOf(line.request)).value ?? {}
  const { resource } = found.message
  return {
    line,
    message: found.message,
    name: found.name,
    version,
    command,
    ...(resource === undefined ? {} : { resource: Number(command[resource]) }),
  }
}

/** What is wrong with the answer to a message about what is the guest's own; undefined when it is right. */
export function ownFault({ line, name }: Sent): string | undefined {
  // That an optional message is not there is a true answer about the protocol.
  if (name === 'PROTOCOL_MESSAGE_ATTRIBUTES' && line.status === NOT_FOUND) return undefined
  if (line.status !== SUCCESS) return `${name} was answered ${line.statusName}`
  return line.problems === undefined ? undefined : `${name}: ${line.problems.join('; ')}`
}

/** What a list of the protocol's resources shows of those that are not the guest's; undefined when that is nothing. */
export function listFault(
  { line, message, name }: Sent,
  held: readonly { readonly protocol: number; readonly id: number }[],
): string | undefined {
  if (message.lists === undefined) return undefined
  for (const { attributes_low, attributes_high, name: called, sensor_id: id, ...more } of line.entries) {
    if (held.some(own => own.protocol === line.protocol && own.id === id)) continue
    const bits = [attributes_low, attributes_high].flatMap(word => Object.entries((word ?? {}) as object))
    const told = [...bits, ...Object.entries(more)].filter(
      ([field, value]) => field !== 'extended' && !isZero(value),
    )
    if (told.length > 0 || called !== `unused-s${id}`)
      return `${name} tells of ${id}, which is another's: ${called} ${told.map(([field]) => field).join(' ')}`
  }
  return undefined
}

const isZero = (value: unknown): boolean =>
  typeof value === 'object' && value !== null ? Object.values(value).every(isZero) : Number(value) === 0

/** What must come of a message about a resource that is not the guest's, and how the audit log must call it. */
export interface Expectation {
  readonly outcome: Exclude<Outcome, 'allowed'>
  readonly status: number
  /** The whole answer, where it is a constant. */
  readonly answer?: Uint8Array
  readonly decisions: readonly Decision[]
}

/** `holdsProtocol`: whether the guest has anything of the protocol; without, all of it is denied. */
export function foreignExpectation(sent: Sent, holdsProtocol: boolean): Expectation {
  const { message } = sent
  if (!holdsProtocol) return { outcome: 'denied', status: DENIED, decisions: ['denied'] }
  if (
    message.subscribes !== undefined ||
    message.privileged === true ||
    message.placeholder === 'not-supported'
  )
    return { outcome: 'placeholder', status: NOT_SUPPORTED, decisions: ['placeholder'] }
  if (message.effect === 'control') {
    if (isHarmlessRelease(sent)) return { outcome: 'no effect', status: SUCCESS, decisions: ['placeholder'] }
    return { outcome: 'denied', status: DENIED, decisions: ['denied'] }
  }
  return { outcome: 'placeholder', status: SUCCESS, answer: placeholderOf(sent), decisions: ['placeholder'] }
}

/** What is wrong with the answer to such a message; undefined when it is right. */
export function foreignFault(sent: Sent, expected: Expectation): string | undefined {
  const { line, name } = sent
  if (line.status !== expected.status)
    return `${name} was answered ${line.statusName}, not ${statusName(expected.status)}`
  if (expected.answer === undefined) return undefined
  const answer = Buffer.from(expected.answer).toString('hex')
  return line.response === answer
    ? undefined
    : `${name} was answered ${line.response}, not the constant ${answer}`
}

/** A disable, an OFF: it takes nothing from anybody. */
function isHarmlessRelease({ line, message, version }: Sent): boolean {
  const { votes } = message
  if (votes === undefined || !votes.harmless) return false
  const at = 4 + 4 * (formAt(message, version).command.word[votes.field] ?? 0)
  return (Buffer.from(line.request, 'hex').readUInt32LE(at) & votes.mask) >>> 0 === votes.off
}

/** The placeholder's frame, as the schema declares it. */
function placeholderOf({ line, message, name, version, resource }: Sent): Uint8Array {
  const { answer, entries = [] } = message.placeholder as Exclude<
    AnyMessage['placeholder'],
    string | undefined
  >
  const value = Object.fromEntries(
    Object.entries(answer).map(([field, told]) => [
      field,
      typeof told === 'string' ? told.replace('#', String(resource)) : told,
    ]),
  )
  const list = formAt(message, version).response.tail === undefined ? [] : entries
  return encodeResponse(line.protocol, name, version, SUCCESS, value, list, token(headerOf(line)))
}
