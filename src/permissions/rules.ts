// The schema compiled to flat tables, one entry per (protocol, message): what the filter reads for each frame.
import { header, tableIndex, tableSize } from '../scmi/header.ts'
import { protocols } from '../scmi/protocols.ts'
import {
  type AnyMessage,
  existsAt,
  type Field,
  type Form,
  formAt,
  type Layout,
  type Protocol,
  payloadAt,
  type Version,
} from '../scmi/schema.ts'
import { DENIED, NOT_SUPPORTED } from '../scmi/status.ts'

/** Kinds of table entries. */
export const UNKNOWN_PROTOCOL = 0
/** The protocol exists, the message does not at the version in force. */
export const ABSENT = 1
/** About the protocol as a whole: VERSION, ATTRIBUTES, lists. */
export const WHOLE = 2
/** Names a resource. */
export const RESOURCE = 3

/** Flag bits of table entries. */
export const CONTROL = 0x01
export const PRIVILEGED = 0x02
export const SUBSCRIBES = 0x04
/** The response lists the protocol's resources. */
export const LISTS = 0x08
/** A release by a non-owner is answered SUCCESS. */
export const HARMLESS = 0x10
/** Other words than the resource's say which of several numberings its id is from. */
export const SELECTS = 0x20

/** A word of the command and what the standard allows in it. `word` counts from the header. */
export interface Check {
  readonly word: number
  readonly valid: (word: number) => boolean
}

/** How requests for a shared resource are counted. Words are signed, so that none needs a place on the heap. */
export interface VoteRule {
  readonly word: number
  readonly mask: number
  readonly off: number
  /** What holders who share may ask for besides `off`: other states would be decided for the others too. */
  readonly on: number
  /** Neither asks nor releases; the same as `off` where there is no such value. */
  readonly neutral: number
}

/** Where a response shows what a holder asked for. */
export interface ViewRule {
  readonly word: number
  readonly mask: number
  readonly on: number
  readonly off: number
}

/** What is checked of a notification, and whose business it is. */
export interface NotificationRule {
  readonly payload: Layout
  /** Frame word that names the resource; 0 for none. */
  readonly resource: number
  /** Told to those whose request was not followed: it would tell holders about each other. */
  readonly requested: boolean
}

/** The declaration behind an entry; for placeholders, docs and audit, not for the hot path. */
export interface Entry {
  readonly protocol: number
  readonly name: string
  readonly message: AnyMessage
  readonly form: Form
}

/** Tables indexed by `tableIndex(header)`; typed arrays so that a look-up allocates nothing. */
export interface Rules {
  readonly versions: ReadonlyMap<number, Version>
  readonly kind: Uint8Array
  readonly flags: Uint8Array
  /** Payload bytes of the command, without entries. */
  readonly size: Uint8Array
  /** Bytes of one entry behind them, 0 for none; the frame word, bits and lowest bit that tell how many there are. */
  readonly entrySize: Uint8Array
  readonly entriesWord: Uint8Array
  readonly entriesMask: Int32Array
  readonly entriesShift: Uint8Array
  /** Frame word that names the resource; 0 for none. */
  readonly resource: Uint8Array
  /** Frame word that names a second resource of the same protocol; 0 for none. */
  readonly other: Uint8Array
  /** What is answered to whatever is asked by it, once it is well-formed: a status, or 0 for what is decided. */
  readonly always: Int8Array
  /** Frame word and bits that ask for a delayed response; 0 for none. */
  readonly asyncWord: Uint8Array
  readonly asyncMask: Int32Array
  /** Frame word, bits that ask for a delayed response and bits that renounce it again; word 0 for none ever. */
  readonly delayedWord: Uint8Array
  readonly delayedMask: Int32Array
  readonly waivedMask: Int32Array
  /** Bits of that word without which asking means nothing. */
  readonly delayedOnly: Int32Array
  /** Frame word with the enable bit of a subscription; 0 for none. */
  readonly enableWord: Uint8Array
  /** By protocol and notification id. */
  readonly notifications: readonly (NotificationRule | undefined)[]
  /** Frame word and bits that make the request exclusive; word 0 for always, mask 0 for never. */
  readonly exclusiveWord: Uint8Array
  readonly exclusiveMask: Int32Array
  readonly votes: readonly (VoteRule | undefined)[]
  readonly views: readonly (ViewRule | undefined)[]
  readonly checks: readonly (readonly Check[] | undefined)[]
  /** Pairs of response word and bits to clear for every guest. */
  readonly hide: readonly (Int32Array | undefined)[]
  /** The same, for guests without a way back. */
  readonly hideP2A: readonly (Int32Array | undefined)[]
  readonly entries: readonly (Entry | undefined)[]
}

/** Frame word of a command field. */
const commandWord = (form: Form, field: string): number => 1 + (form.command.word[field] ?? 0)

/** Checks of a command: every field that restricts its word. */
const checksOf = (command: Layout): Check[] =>
  Object.entries(command.fields).flatMap(([name, field]) =>
    field.valid === undefined ? [] : [{ word: 1 + (command.word[name] ?? 0), valid: field.valid }],
  )

/** Words of a response (header, status, then the layout) with bits that `maskOf` finds in each field. */
function masksOf(response: Layout, maskOf: (field: Field<unknown>) => number): Int32Array | undefined {
  const pairs = Object.entries(response.fields).flatMap(([name, field]) => {
    const mask = maskOf(field)
    return mask === 0 ? [] : [2 + (response.word[name] ?? 0), mask]
  })
  return pairs.length === 0 ? undefined : Int32Array.from(pairs)
}

/**
 * The field with a range called `async`, and its bits. POWER_STATE_SET is one: it has no delayed response, but its
 * completion shows as a notification, which needs a way back all the same.
 */
function asyncOf(command: Layout): { field: string; mask: number } | undefined {
  for (const [field, declared] of Object.entries(command.fields)) {
    const { mask } = declared as { mask?: Readonly<Record<string, number>> }
    if (mask?.['async'] !== undefined) return { field, mask: mask['async'] }
  }
  return undefined
}

/** The value that a protocol's own views show for a resource that was asked for. */
const onOf = (protocol: Protocol): number =>
  Object.values(protocol.messages).find(({ view }) => view !== undefined)?.view?.on ?? 0

/**
 * Compiles the schema for a platform that presents `versions` (protocol id to version word; a protocol that is not in
 * it does not exist). Later versions than the schema's own are taken as the newest it knows.
 */
export function compileRules(versions: ReadonlyMap<number, Version>): Rules {
  const rules = {
    versions,
    kind: new Uint8Array(tableSize),
    flags: new Uint8Array(tableSize),
    size: new Uint8Array(tableSize),
    entrySize: new Uint8Array(tableSize),
    entriesWord: new Uint8Array(tableSize),
    entriesMask: new Int32Array(tableSize),
    entriesShift: new Uint8Array(tableSize),
    resource: new Uint8Array(tableSize),
    other: new Uint8Array(tableSize),
    always: new Int8Array(tableSize),
    asyncWord: new Uint8Array(tableSize),
    asyncMask: new Int32Array(tableSize),
    delayedWord: new Uint8Array(tableSize),
    delayedMask: new Int32Array(tableSize),
    waivedMask: new Int32Array(tableSize),
    delayedOnly: new Int32Array(tableSize),
    enableWord: new Uint8Array(tableSize),
    notifications: new Array<NotificationRule | undefined>(tableSize).fill(undefined),
    exclusiveWord: new Uint8Array(tableSize),
    exclusiveMask: new Int32Array(tableSize),
    votes: new Array<VoteRule | undefined>(tableSize).fill(undefined),
    views: new Array<ViewRule | undefined>(tableSize).fill(undefined),
    checks: new Array<readonly Check[] | undefined>(tableSize).fill(undefined),
    hide: new Array<Int32Array | undefined>(tableSize).fill(undefined),
    hideP2A: new Array<Int32Array | undefined>(tableSize).fill(undefined),
    entries: new Array<Entry | undefined>(tableSize).fill(undefined),
  }
  for (const protocol of protocols) {
    const version = versions.get(protocol.id)
    if (version === undefined) continue
    rules.kind.fill(ABSENT, protocol.id << 8, (protocol.id + 1) << 8)
    for (const [name, message] of Object.entries(protocol.messages) as [string, AnyMessage][]) {
      if (!existsAt(message, version)) continue
      const at = tableIndex(header(protocol.id, message.id))
      const form = formAt(message, version)
      rules.entries[at] = { protocol: protocol.id, name, message, form }
      rules.kind[at] = message.resource === undefined ? WHOLE : RESOURCE
      rules.flags[at] =
        (message.effect === 'control' ? CONTROL : 0) |
        (message.privileged ? PRIVILEGED : 0) |
        (message.subscribes === undefined ? 0 : SUBSCRIBES) |
        (message.lists === undefined ? 0 : LISTS) |
        (message.votes?.harmless ? HARMLESS : 0) |
        (message.selector === undefined ? 0 : SELECTS)
      rules.size[at] = form.command.size
      if (message.always !== undefined)
        rules.always[at] = message.always === 'denied' ? DENIED : NOT_SUPPORTED
      const { tail } = form.command
      if (tail?.count !== undefined) {
        rules.entrySize[at] = tail.entry.size
        rules.entriesWord[at] = 1 + tail.count.word
        rules.entriesMask[at] = tail.count.mask
        rules.entriesShift[at] = 31 - Math.clz32(tail.count.mask & -tail.count.mask)
      }
      if (message.resource !== undefined) rules.resource[at] = commandWord(form, message.resource)
      if (message.other !== undefined) rules.other[at] = commandWord(form, message.other)
      const async = asyncOf(form.command)
      if (async !== undefined) {
        rules.asyncWord[at] = commandWord(form, async.field)
        rules.asyncMask[at] = async.mask
      }
      if (message.async !== undefined && form.delayed !== undefined) {
        rules.delayedWord[at] = commandWord(form, message.async.field)
        rules.delayedMask[at] = message.async.mask
        rules.waivedMask[at] = message.async.waived ?? 0
        rules.delayedOnly[at] = message.async.only ?? 0
      }
      if (message.subscribes !== undefined) rules.enableWord[at] = message.resource === undefined ? 1 : 2
      if (message.exclusive !== undefined) {
        rules.exclusiveWord[at] = message.exclusive === true ? 0 : commandWord(form, message.exclusive.field)
        rules.exclusiveMask[at] = message.exclusive === true ? 0xffff_ffff : message.exclusive.mask
      }
      if (message.votes !== undefined) {
        const { field, mask, off, neutral = off } = message.votes
        const word = commandWord(form, field)
        rules.votes[at] = { word, mask: mask | 0, off: off | 0, on: onOf(protocol) | 0, neutral: neutral | 0 }
      }
      if (message.view !== undefined) {
        const { field, mask, on, off } = message.view
        const word = 2 + (form.response.word[field] ?? 0)
        rules.views[at] = { word, mask: mask | 0, on: on | 0, off: off | 0 }
      }
      const checks = checksOf(form.command)
      if (checks.length > 0) rules.checks[at] = checks
      rules.hide[at] = masksOf(form.response, f => (f.role === 'hidden' ? 0xffff_ffff : (f.hidden ?? 0)))
      rules.hideP2A[at] = masksOf(form.response, f => f.p2a ?? 0)
    }
    for (const [name, notification] of Object.entries(protocol.notifications)) {
      if (!existsAt(notification, version)) continue
      const payload = payloadAt(notification, version)
      rules.notifications[(protocol.id << 8) | notification.id] = {
        payload,
        resource: notification.resource === undefined ? 0 : 1 + (payload.word[notification.resource] ?? 0),
        requested: name.endsWith('_CHANGE_REQUESTED'),
      }
    }
  }
  return rules
}

/** Whether a delayed response will follow when the command is accepted. */
export function awaitsDelayed(rules: Rules, ints: Int32Array, at: number): boolean {
  const word = rules.delayedWord[at] as number
  if (word === 0) return false
  const flags = ints[word] as number
  const only = rules.delayedOnly[at] as number
  return (
    (flags & (rules.delayedMask[at] as number)) !== 0 &&
    (flags & (rules.waivedMask[at] as number)) === 0 &&
    (flags & only) === only
  )
}

/** Bytes that the command in `ints`, whose table index is `at`, should have; `length` are those it has. */
export function commandLength(rules: Rules, ints: Int32Array, at: number, length: number): number {
  const fixed = 4 + (rules.size[at] as number)
  const each = rules.entrySize[at] as number
  if (each === 0 || length < fixed) return fixed
  const told = (ints[rules.entriesWord[at] as number] as number) & (rules.entriesMask[at] as number)
  return fixed + each * (told >>> (rules.entriesShift[at] as number))
}

/** Whether every restricted word of the command in `ints` holds what the standard allows. */
export function wellFormed(checks: readonly Check[] | undefined, ints: Int32Array): boolean {
  if (checks === undefined) return true
  for (let i = 0; i < checks.length; i++) {
    const check = checks[i] as Check
    if (!check.valid(ints[check.word] as number)) return false
  }
  return true
}

/**
 * Frame words of a command that its audit record keeps: the first that names neither the resource nor, in a permission
 * command (`privileged`), an agent; and the third.
 */
export const firstArgument = (resourceWord: number, privileged: boolean): number =>
  resourceWord === 1 || (resourceWord === 0 && privileged) ? 2 : 1
export const secondArgument = 3
