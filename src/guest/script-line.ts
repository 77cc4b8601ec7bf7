// One line of a script for a guest, read: a frame in hexadecimal, a message by name, or what to do. Sends nothing.
import { protocolOf, protocols } from '../scmi/protocols.ts'
import type { AnyMessage, Layout } from '../scmi/schema.ts'

/** What a line says. */
export type ScriptLine =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'frame'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'message'
      readonly protocol: number
      readonly message: string
      /** Words cut in bits are objects of their named ranges, or the whole word as a number. */
      readonly value: Readonly<Record<string, unknown>>
    }
  | { readonly kind: 'sleep'; readonly ms: number }
  | { readonly kind: 'use' | 'try'; readonly protocol: number; readonly ids: readonly number[] }
  | { readonly kind: 'discover' }
  | { readonly kind: 'mark'; readonly text: string }

/** The commands, for `help`. */
export const scriptHelp = [
  ['05500000 00000000 …', 'send a frame, header first, bytes in hexadecimal'],
  [
    'CLOCK_RATE_SET clock_id=3 rate=25000000',
    'send a message; what is not named is 0, but the resource must be',
  ],
  ['CLOCK_CONFIG_SET clock_id=3 attributes.enable=1', 'name single ranges of a word cut in bits'],
  ['clock.PROTOCOL_ATTRIBUTES', 'say which protocol, for messages that all of them have'],
  ['use clock 0,3', 'use resources as a driver would: describe, switch, set, read back'],
  ['try clock 5,6', 'send every message there is about resources that may be somebody else’s'],
  ['discover', 'look around as Linux does when it starts'],
  ['sleep 100', 'wait milliseconds'],
  ['mark TEXT', 'print the text'],
] as const

const maxSleepMs = 3_600_000
const number = /^(0x[0-9a-f]+|-?[0-9]+)$/i

/** Reads a line. Throws RangeError that says what is wrong with it. */
export function parseScriptLine(line: string): ScriptLine {
  const text = line.replace(/(^|\s)#.*$/, '').trim()
  if (text === '') return { kind: 'nothing' }
  if (/^[0-9a-f\s]+$/i.test(text) && /^[0-9a-f]{2}/i.test(text))
    return { kind: 'frame', bytes: hexBytes(text) }
  const [word = '', ...rest] = text.split(/\s+/)
  switch (word) {
    case 'sleep':
      return { kind: 'sleep', ms: wait(rest) }
    case 'use':
    case 'try':
      return { kind: word, ...resources(word, rest) }
    case 'discover':
      if (rest.length > 0) throw new RangeError('discover takes no arguments')
      return { kind: 'discover' }
    case 'mark':
      return { kind: 'mark', text: rest.join(' ') }
    default:
      return message(word, rest)
  }
}

function hexBytes(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '')
  if (digits.length % 2 !== 0) throw new RangeError(`${digits.length} hexadecimal digits are no whole bytes`)
  return Uint8Array.from(Buffer.from(digits, 'hex'))
}

function wait(rest: readonly string[]): number {
  const [ms = ''] = rest
  if (rest.length !== 1 || !/^\d+$/.test(ms) || Number(ms) > maxSleepMs)
    throw new RangeError(`sleep takes milliseconds, at most ${maxSleepMs}`)
  return Number(ms)
}

/** A protocol by its one word or its number. */
function protocolNamed(text: string): number {
  const found = protocols.find(({ key }) => key === text)?.id ?? (number.test(text) ? Number(text) : -1)
  if (protocolOf(found) === undefined)
    throw new RangeError(`no protocol ${text}; there are ${protocols.map(({ key }) => key).join(', ')}`)
  return found
}

function resources(word: string, rest: readonly string[]): { protocol: number; ids: readonly number[] } {
  const [name = '', list = ''] = rest
  const ids = list.split(',')
  if (rest.length !== 2 || ids.some(id => !/^(0x[0-9a-f]+|\d+)$/i.test(id) || Number(id) > 0xffff_ffff))
    throw new RangeError(`${word} takes a protocol and resource ids: ${word} clock 0,3`)
  return { protocol: protocolNamed(name), ids: ids.map(Number) }
}

/** All layouts that a message's command has had. */
const commandsOf = (m: AnyMessage): readonly Layout[] => [
  m.command,
  ...(m.changes ?? []).flatMap(({ command }) => (command === undefined ? [] : [command])),
]

function message(word: string, rest: readonly string[]): ScriptLine {
  const [, prefix, name = word] = /^(\w+)\.(\w+)$/.exec(word) ?? []
  const within = prefix === undefined ? protocols : protocols.filter(({ id }) => id === protocolNamed(prefix))
  const found = within.flatMap(({ id, messages }) => {
    const m = (messages as Readonly<Record<string, AnyMessage>>)[name]
    return m === undefined ? [] : [{ protocol: id, m }]
  })
  const [first] = found
  if (first === undefined) throw new RangeError(`no message ${word}, nor a command of that name`)
  if (found.length > 1) throw new RangeError(`every protocol has ${name}: say which one, as in clock.${name}`)
  const value = fields(name, first.m, rest)
  const { resource } = first.m
  if (resource !== undefined && value[resource] === undefined)
    throw new RangeError(`${name} lacks ${resource}`)
  return { kind: 'message', protocol: first.protocol, message: name, value }
}

function fields(name: string, m: AnyMessage, rest: readonly string[]): Record<string, unknown> {
  const known = new Set(commandsOf(m).flatMap(command => Object.keys(command.fields)))
  const value: Record<string, unknown> = {}
  for (const part of rest) {
    const [, field = '', range, told = ''] = /^(\w+)(?:\.(\w+))?=(.+)$/.exec(part) ?? []
    if (!number.test(told)) throw new RangeError(`${part}: expected field=number or field.range=number`)
    if (!known.has(field))
      throw new RangeError(`${name} has no field ${field}; it has ${[...known].join(', ')}`)
    const before = value[field]
    if (range === undefined ? before !== undefined : typeof before === 'bigint')
      throw new RangeError(`${field} is given twice`)
    if (range === undefined) value[field] = BigInt(told)
    else value[field] = { ...(before as object | undefined), [range]: Number(told) }
  }
  return value
}
