// A draft tree to a flattened device tree blob of version 17 (devicetree specification, chapter 5). What the nodes mean
// is not known here.
import { assignPhandles, type DraftNode, type Value } from './draft.ts'
import type { MemoryReservation } from './fdt-header.ts'

const magic = 0xd00dfeed
const version = 17
const lastCompatibleVersion = 16
const headerBytes = 40
const BEGIN_NODE = 1
const END_NODE = 2
const PROP = 3
const END = 9

/** The blob; its root is `root` under an empty name. */
export function writeFdt(root: DraftNode, reserved: readonly MemoryReservation[] = []): Uint8Array {
  const phandles = assignPhandles(root)
  const structure = new Bytes()
  const names = new Names()
  const property = (name: string, value: Uint8Array): void => {
    structure.word(PROP)
    structure.word(value.length)
    structure.word(names.offsetOf(name))
    structure.padded(value)
  }
  const node = (each: DraftNode, name: string): void => {
    structure.word(BEGIN_NODE)
    structure.padded(text([name]))
    for (const [key, value] of each.properties) property(key, valueBytes(value, phandles))
    const phandle = phandles.get(each)
    if (phandle !== undefined) property('phandle', words([phandle]))
    for (const child of each.children.values()) node(child, child.name)
    structure.word(END_NODE)
  }
  node(root, '')
  structure.word(END)

  const reservations = new Uint8Array((reserved.length + 1) * 16) // the last entry, all zero, ends the list
  const view = new DataView(reservations.buffer)
  for (const [index, { address, size }] of reserved.entries()) {
    view.setBigUint64(index * 16, address)
    view.setBigUint64(index * 16 + 8, size)
  }
  const atStructure = headerBytes + reservations.length
  const atStrings = atStructure + structure.length
  const header = words([
    magic,
    atStrings + names.bytes.length,
    atStructure,
    atStrings,
    headerBytes,
    version,
    lastCompatibleVersion,
    0, // boot CPU
    names.bytes.length,
    structure.length,
  ])
  return joined([header, reservations, ...structure.parts, ...names.bytes.parts])
}

/** A value as it stands in the blob. */
export function valueBytes(value: Value, phandles: ReadonlyMap<DraftNode, number>): Uint8Array {
  if ('bytes' in value) return value.bytes
  if ('strings' in value) return text(value.strings)
  return words(value.cells.map(cell => (typeof cell === 'number' ? cell : (phandles.get(cell) ?? 0))))
}

/** Bytes that grow at their end. */
class Bytes {
  readonly parts: Uint8Array[] = []
  length = 0

  word(value: number): void {
    this.add(words([value]))
  }

  add(bytes: Uint8Array): void {
    this.parts.push(bytes)
    this.length += bytes.length
  }

  padded(bytes: Uint8Array): void {
    this.add(bytes)
    const rest = -bytes.length & 3
    if (rest > 0) this.add(new Uint8Array(rest))
  }
}

/** The strings block: property names, each once. */
class Names {
  readonly bytes = new Bytes()
  readonly #offsets = new Map<string, number>()

  offsetOf(name: string): number {
    let offset = this.#offsets.get(name)
    if (offset === undefined) {
      offset = this.bytes.length
      this.#offsets.set(name, offset)
      this.bytes.add(text([name]))
    }
    return offset
  }
}

const utf8 = new TextEncoder()
const text = (list: readonly string[]): Uint8Array => utf8.encode(list.map(each => `${each}\0`).join(''))

function words(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [index, value] of values.entries()) view.setUint32(index * 4, value)
  return bytes
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
