// How a message is declared, and what follows from a declaration: sizes, offsets, encode, decode, checks. No protocol.

/**
 * One field at a fixed place. `get` and `set` work on the frame's DataView at a byte offset. What a mediator does with
 * the field's content is its `role`; bits of the word that a guest may never see set are its `hidden` mask.
 */
export interface Field<T> {
  readonly type: string
  /** Bytes. */
  readonly size: number
  get(frame: DataView, at: number): T
  set(frame: DataView, at: number, value: T): void
  /** Whether the standard allows this word in a command; absent where any word is. Checked before resource and capability.
   * Takes the word signed or unsigned: on the hot path a number above 2^31 would need a place on the heap. */
  readonly valid?: (word: number) => boolean
  /**
   * `agent`: an agent id, translated to the guest's view. `hidden`: blanked for guests. `resource`: a resource's id,
   * translated where the guest has ids of its own.
   */
  readonly role?: 'agent' | 'hidden' | 'resource'
  /**
   * Which namespace of the protocol a resource's id is from. Absent: the one there is, or the one that the message's
   * `selector` names. `members`: the one that members of the resource asked about are from.
   */
  readonly namespace?: number | 'members'
  /** What stands for no resource; it is no id, and shown in place of an id that the guest cannot name. */
  readonly none?: number
  /** Bits of the word that are cleared for guests. */
  readonly hidden?: number
  /** Bits that count agents: a guest, which sees itself alone, reads 1. */
  readonly agents?: number
  /** An agent's name: a guest reads its own, or the platform's. */
  readonly names?: 'agent'
  /** Bits that promise notifications or delayed responses: cleared for agents that have no way back (P2A). */
  readonly p2a?: number
}

const LE = true // DEN0056: everything on the wire is little-endian

export const uint8: Field<number> = {
  type: 'uint8',
  size: 1,
  get: (f, at) => f.getUint8(at),
  set: (f, at, v) => f.setUint8(at, v),
}
export const uint16: Field<number> = {
  type: 'uint16',
  size: 2,
  get: (f, at) => f.getUint16(at, LE),
  set: (f, at, v) => f.setUint16(at, v, LE),
}
export const uint32: Field<number> = {
  type: 'uint32',
  size: 4,
  get: (f, at) => f.getUint32(at, LE),
  set: (f, at, v) => f.setUint32(at, v, LE),
}
export const int32: Field<number> = {
  type: 'int32',
  size: 4,
  get: (f, at) => f.getInt32(at, LE),
  set: (f, at, v) => f.setInt32(at, v, LE),
}
/** Two words on the wire, low first (`…_low`, `…_high` in the standard). */
export const uint64: Field<bigint> = {
  type: 'uint64',
  size: 8,
  get: (f, at) => f.getBigUint64(at, LE),
  set: (f, at, v) => f.setBigUint64(at, v, LE),
}
export const int64: Field<bigint> = {
  type: 'int64',
  size: 8,
  get: (f, at) => f.getBigInt64(at, LE),
  set: (f, at, v) => f.setBigInt64(at, v, LE),
}
/** An agent id as the platform numbers agents: 0 is the platform itself. */
export const agentId: Field<number> = { ...uint32, role: 'agent' }
/** A resource's id. */
export const resourceId: Field<number> = { ...uint32, role: 'resource' }
/** A resource's id, with what the field alone knows of it. */
export const resourceIdOf = (
  about: Pick<Field<number>, 'namespace' | 'none'>,
  field: Field<number> = uint32,
): Field<number> => ({ ...field, role: 'resource', ...about })
/** A word or address that would lead a guest past the mediator: statistics areas, fast channels. */
export const hidden = <T>(field: Field<T>): Field<T> => ({ ...field, role: 'hidden' })
/** A word the standard restricts: `valid` decides. */
export const checked = (valid: (word: number) => boolean): Field<number> => ({ ...uint32, valid })
/** A reserved word: zero. */
export const reserved = checked(word => word === 0)

/** `[lowest bit, width]`, or `[lowest bit, width, 'signed']`. */
export type Range = readonly [number, number] | readonly [number, number, 'signed']
type Ranges = Readonly<Record<string, Range>>

const mask = (width: number): number => (width === 32 ? 0xffff_ffff : 2 ** width - 1)
const rangeMask = ([low, width]: Range): number => (mask(width) << low) >>> 0

/**
 * A word cut in named bit ranges; a bit that no range names is reserved, and a command that sets it is invalid.
 * `valid` restricts further; `hide` names ranges that guests never see set, `p2a` those that promise a message back,
 * `agents` those that count agents.
 */
export function bits<const B extends Ranges>(
  ranges: B,
  options: {
    hide?: readonly (keyof B & string)[]
    p2a?: readonly (keyof B & string)[]
    agents?: readonly (keyof B & string)[]
    valid?: (word: number) => boolean
  } = {},
): Field<{ -readonly [K in keyof B]: number }> & { readonly mask: Readonly<Record<keyof B, number>> } {
  const entries = Object.entries(ranges) as [keyof B & string, Range][]
  const known = entries.reduce((all, [, range]) => (all | rangeMask(range)) >>> 0, 0)
  const more = options.valid
  const maskOf = (names: readonly (keyof B & string)[] = []) =>
    names.reduce((all, name) => (all | rangeMask(ranges[name] as Range)) >>> 0, 0)
  return {
    type: 'bits',
    size: 4,
    valid: more === undefined ? word => (word & ~known) === 0 : word => (word & ~known) === 0 && more(word),
    hidden: maskOf(options.hide),
    p2a: maskOf(options.p2a),
    agents: maskOf(options.agents),
    mask: Object.fromEntries(entries.map(([name, range]) => [name, rangeMask(range)])) as Record<
      keyof B,
      number
    >,
    get(f, at) {
      const word = f.getUint32(at, LE)
      const read = ([low, width, signed]: Range) => {
        const value = (word >>> low) & mask(width)
        return signed === undefined ? value >>> 0 : value >= 2 ** (width - 1) ? value - 2 ** width : value
      }
      return Object.fromEntries(entries.map(([name, range]) => [name, read(range)])) as never
    },
    set(f, at, value) {
      let word = 0
      for (const [name, [low, width]] of entries) word |= (value[name] & mask(width)) << low
      f.setUint32(at, word >>> 0, LE)
    },
  }
}

/** Fixed-width ASCII, zero-terminated inside the field and zero-padded: at most `size - 1` characters. */
export const text = (size: number): Field<string> => ({
  type: `char[${size}]`,
  size,
  get(f, at) {
    let s = ''
    for (let i = 0; i < size; i++) {
      const c = f.getUint8(at + i)
      if (c === 0) break
      s += String.fromCharCode(c)
    }
    return s
  },
  set(f, at, value) {
    for (let i = 0; i < size; i++)
      f.setUint8(at + i, i < size - 1 && i < value.length ? value.charCodeAt(i) & 0x7f : 0)
  },
})

// biome-ignore lint/suspicious/noExplicitAny: a layout holds fields of every type
export type Fields = Readonly<Record<string, Field<any>>>
export type Value<F extends Fields> = { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never }

/** What may follow a layout's fixed fields: entries up to the end of the frame. */
export interface Tail<E extends Fields = Fields> {
  readonly name: string
  readonly entry: Layout<E>
  /** Where the number of entries is told: word of the layout and its bits. Absent: as many as fit. */
  readonly count?: { readonly word: number; readonly mask: number }
  /** Entries are packed and padded with zeros to this many bytes. */
  readonly pad: number
  /** Some platforms leave the padding out: such a frame is taken too. */
  readonly unpadded?: true
  /** Bytes of the entry at `at`, where entries differ in size. */
  readonly sizeAt?: (frame: DataView, at: number) => number
}

/** Fields in order, and perhaps a tail. Offsets are bytes from the layout's own start. */
export interface Layout<F extends Fields = Fields> {
  readonly fields: F
  /** Byte offset of each field. */
  readonly at: Readonly<Record<keyof F, number>>
  /** The same as an index of 32-bit words. */
  readonly word: Readonly<Record<keyof F, number>>
  /** Bytes of the fixed fields. */
  readonly size: number
  readonly tail?: Tail
  encode(frame: DataView, base: number, value: Value<F>): void
  decode(frame: DataView, base: number): Value<F>
}

export function layout<const F extends Fields>(fields: F, tail?: Tail): Layout<F> {
  const entries = Object.entries(fields)
  const at = {} as Record<keyof F, number>
  const word = {} as Record<keyof F, number>
  let size = 0
  for (const [name, field] of entries) {
    at[name as keyof F] = size
    word[name as keyof F] = size >>> 2
    size += field.size
  }
  return {
    fields,
    at,
    word,
    size,
    ...(tail && { tail }),
    encode(frame, base, value) {
      for (const [name, field] of entries)
        field.set(frame, base + at[name as keyof F], value[name as keyof F])
    },
    decode: (frame, base) =>
      Object.fromEntries(
        entries.map(([name, field]) => [name, field.get(frame, base + at[name as keyof F])]),
      ) as Value<F>,
  }
}

/**
 * Entries that follow a layout. `count` is `[word of the layout, bits that hold the number]`; without it there are as
 * many as the frame has room for.
 */
export function list<const E extends Fields>(
  name: string,
  entry: Layout<E>,
  count?: readonly [word: number, mask: number],
  options: { pad?: number; unpadded?: true; sizeAt?: (frame: DataView, at: number) => number } = {},
): Tail {
  return {
    name,
    entry: entry as unknown as Layout,
    pad: options.pad ?? 4,
    ...(count && { count: { word: count[0], mask: count[1] } }),
    ...(options.unpadded && { unpadded: options.unpadded }),
    ...(options.sizeAt && { sizeAt: options.sizeAt }),
  }
}

/** A version word as the standard writes it: major in 31:16, minor in 15:0. */
export type Version = number

/** The parts of a message that may change with the protocol's version. */
export interface Form<C extends Fields = Fields, R extends Fields = Fields> {
  readonly command: Layout<C>
  /** After the status word. */
  readonly response: Layout<R>
  /** A delayed response, after its status word. */
  readonly delayed?: Layout
}

/**
 * What a guest is told of a resource it does not own, in `identity` discovery (a constant, so that nothing leaks):
 * a status, or a SUCCESS with these fields (those left out are zero). In `name`, `#` stands for the resource id.
 */
export type Placeholder =
  | 'denied'
  | 'not-supported'
  | {
      readonly answer: Readonly<Record<string, unknown>>
      readonly entries?: readonly Readonly<Record<string, unknown>>[]
    }

export interface Message<C extends Fields = Fields, R extends Fields = Fields> extends Form<C, R> {
  readonly id: number
  readonly doc: string
  /** `control` changes something, `query` only reads: drives permission and audit. */
  readonly effect: 'query' | 'control'
  /** First protocol version that has it; 0x10000 when absent. */
  readonly since?: Version
  /** The standard lets a platform leave it out. */
  readonly optional?: true
  /** The command field that names the clock, domain, sensor … */
  readonly resource?: keyof C & string
  /** A command field that names another resource of the same protocol, which the guest must own too. */
  readonly other?: keyof C & string
  /** The bits of a command field that choose which of the protocol's `namespaces` the id in `resource` is from. */
  readonly selector?: { readonly field: keyof C & string; readonly mask: number }
  /** `other` is meant only where this command field has the bits set. */
  readonly otherIf?: { readonly field: keyof C & string; readonly mask: number }
  /** The command field that is an index into a list, and the status for one beyond its end. */
  readonly index?: { readonly field: keyof C & string; readonly beyond: number }
  /** The list runs over the protocol's own resources: its entries name them. */
  readonly lists?: 'resources'
  /**
   * Bits of a command field that ask for a delayed response; `waived`: bits that renounce it again; `only`: bits without
   * which asking means nothing.
   */
  readonly async?: {
    readonly field: keyof C & string
    readonly mask: number
    readonly waived?: number
    readonly only?: number
  }
  /**
   * Bits of a response field that tell how many members the resource has: as many as the list of them, so for a guest
   * those that it can name. `namespaceOf` tells which namespace they are from, by the resource's own and the field's
   * word; undefined for none.
   */
  readonly members?: {
    readonly field: keyof R & string
    readonly mask: number
    readonly namespaceOf: (namespace: number, word: number) => number | undefined
  }
  /** Gives back what the caller took for itself: sent in the name of a guest that loses the resource. */
  readonly returns?: true
  /** Subscribes to this notification id. */
  readonly subscribes?: number
  /** Not for guests, whatever the firmware says: DENIED, and absent from PROTOCOL_MESSAGE_ATTRIBUTES. */
  readonly privileged?: true
  /** It is there for guests, and whatever they ask by it is answered so, once it is well-formed: never forwarded. */
  readonly always?: 'denied' | 'not-supported'
  /**
   * Enables and power states: holders' requests are counted, one's release does not cut another. The request is a
   * release when the field has the value `off` under the mask. `harmless`: a release by someone who does not own the
   * resource takes nothing from anybody, and is answered SUCCESS without effect.
   */
  readonly votes?: {
    readonly field: keyof C & string
    readonly mask: number
    readonly off: number
    /** A value that neither asks nor releases. */
    readonly neutral?: number
    readonly harmless: boolean
  }
  /** Rates, levels: one holder at a time may set them. With a mask, only requests that have a bit of it set. */
  readonly exclusive?: true | { readonly field: keyof C & string; readonly mask: number }
  /** A response field that shows what this message's sibling with `votes` set: each holder sees its own request. */
  readonly view?: {
    readonly field: keyof R & string
    readonly mask: number
    readonly on: number
    readonly off: number
  }
  readonly placeholder?: Placeholder
  /** Later forms, oldest first. */
  readonly changes?: readonly (Partial<Form> & { readonly since: Version })[]
}

export const message = <const C extends Fields, const R extends Fields>(spec: Message<C, R>): Message<C, R> =>
  spec

/** What a platform sends of its own accord: type 3, no status word. */
export interface Notification<P extends Fields = Fields> {
  readonly id: number
  readonly doc: string
  readonly payload: Layout<P>
  readonly since?: Version
  readonly resource?: keyof P & string
  readonly changes?: readonly { readonly since: Version; readonly payload: Layout }[]
}

export const notification = <const P extends Fields>(spec: Notification<P>): Notification<P> => spec

// biome-ignore lint/suspicious/noExplicitAny: a protocol holds messages of every shape
export type AnyMessage = Message<any, any>

export interface Protocol {
  readonly id: number
  /** As the standard calls it: `Clock management`. */
  readonly name: string
  /** One word for tables and metrics: `clock`. */
  readonly key: string
  /** What its resources are, in one word; absent where it has none. Their number is bits 15:0 of PROTOCOL_ATTRIBUTES. */
  readonly resource?: string
  /**
   * Kinds of resources that are numbered apart, in the order of the messages' `selector`; their numbers are bits of
   * fields of PROTOCOL_ATTRIBUTES. Such a protocol has no `resource`.
   */
  readonly namespaces?: readonly {
    readonly name: string
    readonly count: { readonly field: string; readonly mask: number }
  }[]
  /** Needs dense ids: beside a resource that is another's, an agent cannot use its own. */
  readonly denseOnly?: true
  /** Version words by SCMI release, oldest first; the last is the newest known. */
  readonly versions: readonly { readonly release: string; readonly version: Version }[]
  readonly messages: Readonly<Record<string, AnyMessage>>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly notifications: Readonly<Record<string, Notification<any>>>
}

export const protocol = <const P extends Protocol>(spec: P): P => spec

/** Whether `message` exists at a protocol's `version`. */
export const existsAt = (m: { readonly since?: Version }, version: Version): boolean =>
  (m.since ?? 0x1_0000) <= version

/** The layouts in force at a protocol's `version`. */
export function formAt(m: AnyMessage, version: Version): Form {
  const form = { command: m.command, response: m.response, ...(m.delayed && { delayed: m.delayed }) } as Form
  for (const change of m.changes ?? []) if (change.since <= version) Object.assign(form, change)
  return form
}

/** The payload of a notification at a protocol's `version`. */
export function payloadAt(n: Notification, version: Version): Layout {
  let payload: Layout = n.payload
  for (const change of n.changes ?? []) if (change.since <= version) payload = change.payload
  return payload
}

/** Whether a payload of `bytes` has the size that `l` gives it: equal, or with whole entries where it has a tail. */
export function fits(l: Layout, bytes: number): boolean {
  const rest = bytes - l.size
  if (l.tail === undefined) return rest === 0
  return rest >= 0 && rest % tailStep(l.tail) === 0
}

/** Bytes that a tail grows by: whole entries, padded; or words where entries differ in size. */
export const tailStep = (tail: Tail): number =>
  tail.sizeAt !== undefined
    ? 4
    : tail.unpadded === true
      ? tail.entry.size
      : Math.max(tail.entry.size, tail.pad)
