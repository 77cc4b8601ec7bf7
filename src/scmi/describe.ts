// A decoded frame as one line of text that is safe to print: a guest's or firmware's bytes never reach a terminal raw.
import type { Values } from './body.ts'
import { type DecodedFrame, type DecodeOptions, decodeFrame } from './decode-frame.ts'
import { statusName } from './status.ts'

/** Entries and bytes shown of a long frame. */
const shownEntries = 32
const shownBytes = 64

const partNames = {
  command: 'command',
  response: 'response',
  delayed: 'delayed response',
  notification: 'notification',
  reserved: 'message of reserved type 1',
} as const

function hexBytes(bytes: Uint8Array): string {
  let hex = ''
  for (const byte of bytes.subarray(0, shownBytes)) hex += byte.toString(16).padStart(2, '0')
  return bytes.length > shownBytes ? `${hex}…` : hex
}

/** Names whose numbers people read in hexadecimal. */
const hexadecimal = /(^|_)(version|state|addr|address|mask|header)(_|$)|^(config|message_id|command_id)$/

const quoted = (text: string): string =>
  `"${text.replace(/[^ -~]|["\\]/g, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`

function formatValue(name: string, value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'number' && hexadecimal.test(name)) return `0x${(value >>> 0).toString(16)}`
  if (typeof value !== 'object' || value === null) return `${value}`
  const set = Object.entries(value).filter(([, part]) => part !== 0)
  return set.length === 0 ? '0' : `{${set.map(([range, part]) => `${range}=${part}`).join(' ')}}`
}

const formatFields = (value: Values): string =>
  Object.entries(value)
    .map(
      ([name, field]) =>
        `${name}=${name === 'status' ? statusName(Number(field)) : formatValue(name, field)}`,
    )
    .join(' ')

/** Entries of one field as its values, others with names. */
function formatEntries(entries: readonly Values[]): string {
  const shown = entries.slice(0, shownEntries).map(entry => {
    const fields = Object.entries(entry)
    const [only] = fields
    return fields.length === 1 && only !== undefined ? formatValue(...only) : `(${formatFields(entry)})`
  })
  if (entries.length > shownEntries) shown.push(`… ${entries.length - shownEntries} more`)
  return `[${shown.join(', ')}]`
}

const formatStatus = (status: number): string => {
  const name = statusName(status)
  return name.includes('(') ? name : `${name} (${status})`
}

/** One line: `clock CLOCK_RATE_SET command, token 3: flags=0 clock_id=7 rate=92000000`. */
function formatFrame(frame: DecodedFrame): string {
  const protocol = frame.protocol ?? `protocol 0x${frame.protocolId.toString(16)}`
  const what = frame.part === 'notification' ? 'notification' : 'message'
  const name = frame.name ?? `${what} 0x${frame.messageId.toString(16)}`
  const guess = frame.guessed ? ' (by its length)' : ''
  const said = [
    frame.status === undefined ? '' : formatStatus(frame.status),
    frame.value === undefined ? '' : formatFields(frame.value),
    frame.entries === undefined ? '' : `${frame.list}=${formatEntries(frame.entries)}`,
    frame.rest.length === 0 ? '' : `${frame.rest.length} more bytes ${hexBytes(frame.rest)}`,
    frame.problems.length === 0 ? '' : `[${frame.problems.join('; ')}]`,
  ].filter(part => part !== '')
  const head = `${protocol} ${name} ${partNames[frame.part]}${guess}, token ${frame.token}`
  return said.length === 0 ? head : `${head}: ${said.join(' ')}`
}

/** Any bytes as one line of printable text. Never throws. */
export function describe(bytes: Uint8Array, options: DecodeOptions = {}): string {
  const frame = decodeFrame(bytes, options)
  if (frame !== undefined) return formatFrame(frame)
  return `no frame: ${bytes.length} bytes, a header has 4${bytes.length === 0 ? '' : `: ${hexBytes(bytes)}`}`
}
