// Every layout of the schema with its name, and values that fit it. For property tests; not a test.
import fc from 'fast-check'
import { protocols } from '../../src/scmi/protocols.ts'
import {
  type AnyMessage,
  type Field,
  formAt,
  type Layout,
  type Protocol,
  payloadAt,
  type Version,
} from '../../src/scmi/schema.ts'

export interface NamedLayout {
  readonly name: string
  readonly layout: Layout
  /** Of a command: its `valid` words are what guests are held to. */
  readonly command: boolean
}

/** Versions in which anything of a message or notification starts to differ, oldest first. */
export const startsOf = (declared: {
  readonly since?: Version
  readonly changes?: readonly { readonly since: Version }[]
}): Version[] => [declared.since ?? 0x1_0000, ...(declared.changes ?? []).map(change => change.since)]

export const allMessages = (protocols as readonly Protocol[]).flatMap(protocol =>
  Object.entries(protocol.messages).map(([name, message]) => ({
    protocol,
    name,
    message: message as AnyMessage,
  })),
)

export const allNotifications = (protocols as readonly Protocol[]).flatMap(protocol =>
  Object.entries(protocol.notifications).map(([name, notification]) => ({ protocol, name, notification })),
)

/** A layout and the layout of its entries. */
const withEntries = (name: string, layout: Layout, command: boolean): NamedLayout[] => [
  { name, layout, command },
  ...(layout.tail === undefined
    ? []
    : [{ name: `${name} ${layout.tail.name}`, layout: layout.tail.entry, command: false }]),
]

export const allLayouts: readonly NamedLayout[] = [
  ...allMessages.flatMap(({ protocol, name, message }) =>
    startsOf(message).flatMap(version => {
      const form = formAt(message, version)
      return (['command', 'response', 'delayed'] as const).flatMap(part => {
        const layout = form[part]
        const title = `${protocol.key} ${name} ${part} 0x${version.toString(16)}`
        return layout === undefined ? [] : withEntries(title, layout, part === 'command')
      })
    }),
  ),
  ...allNotifications.flatMap(({ protocol, name, notification }) =>
    startsOf(notification).flatMap(version =>
      withEntries(
        `${protocol.key} ${name} 0x${version.toString(16)}`,
        payloadAt(notification, version),
        false,
      ),
    ),
  ),
]

const word = fc.nat(0xffff_ffff)

/** Bits of each range of a word of bits; undefined for other fields. */
export const masksOf = (field: Field<unknown>): Readonly<Record<string, number>> | undefined =>
  field.type === 'bits' ? (field as unknown as { mask: Record<string, number> }).mask : undefined

/** Values of one field. A word of bits is drawn as a word: only its declared bits count. */
export function valuesOf(field: Field<unknown>): fc.Arbitrary<unknown> {
  switch (field.type) {
    case 'uint8':
      return fc.nat(0xff)
    case 'uint16':
      return fc.nat(0xffff)
    case 'uint32':
      return word
    case 'int32':
      return fc.integer()
    case 'uint64':
      return fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
    case 'int64':
      return fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })
    case 'bits':
      return word.map(drawn => {
        const frame = new DataView(new ArrayBuffer(4))
        frame.setUint32(0, drawn, true)
        return field.get(frame, 0)
      })
    default:
      return fc.string({
        unit: fc.integer({ min: 0x20, max: 0x7e }).map(c => String.fromCharCode(c)),
        maxLength: field.size - 1,
      })
  }
}

export const valuesOfLayout = (layout: Layout): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(Object.fromEntries(Object.entries(layout.fields).map(([name, field]) => [name, valuesOf(field)])))
