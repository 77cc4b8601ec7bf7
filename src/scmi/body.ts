// A layout and its entries to and from bytes, by name: the part of a frame behind header and status. Checks, allocates.
import type { Field, Layout, Tail } from './schema.ts'

/** Field name to value: numbers, bigints for 64 bits, strings for names, objects of numbers for words cut in bits. */
export type Values = Readonly<Record<string, unknown>>

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
      if (!Object.hasOwn(mask, name)) throw new RangeError(`${where} has no ${name}`)
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
      if (typeof value !== 'string' || !/^(0x[0-9a-f]+|-?[0-9]+)$/i.test(value)) fault()
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
    if (!Object.hasOwn(l.fields, name)) throw new RangeError(`${where} has no field ${name}`)
  }
  for (const [name, field] of Object.entries(l.fields)) {
    const given = value[name]
    if (given === undefined && !partial) throw new RangeError(`${where} lacks ${name}`)
    setField(
      frame,
      base + (l.at[name] as number),
      field,
      given === undefined ? zero(field) : given,
      `${where}.${name}`,
    )
  }
}

const lowestBit = (mask: number): number => 31 - Math.clz32(mask & -mask)

/** The bytes of a layout and its entries; where `value` leaves the number of entries at zero, it is filled in. */
export function encodeBody(
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

/** What `readBody` found in the bytes that follow a header or a status. */
export interface Body {
  readonly value: Values
  readonly entries?: readonly Values[]
  /** Where what was read ends: the layout, its entries, their padding, or the last whole field before one that is missing. */
  readonly end: number
  /** Names of the fields that the frame was too short for; entries as `rates[2]`. */
  readonly missing: readonly string[]
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
      return { entries, end: at }
    }
    entries.push(readFields(frame, at, at + size, tail.entry, []))
    at += size
  }
  const used = at - base - l.size
  const padded = base + l.size + Math.ceil(used / tail.pad) * tail.pad
  return { entries, end: Math.min(padded, frame.byteLength) }
}

/** Reads as much of a layout as `frame` holds from byte `base` on. Never throws, never reads outside. */
export function readBody(frame: DataView, base: number, l: Layout): Body {
  const missing: string[] = []
  const value = readFields(frame, base, frame.byteLength, l, missing)
  const [first] = missing
  const end = base + (first === undefined ? l.size : (l.at[first] as number))
  if (l.tail === undefined || first !== undefined) return { value, end, missing }
  return { value, missing, ...readTail(frame, base, l, l.tail, missing) }
}
