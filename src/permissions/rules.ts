// The schema compiled to flat tables, one entry per (protocol, message): what the filter reads for each frame.
import { PROTOCOL_ATTRIBUTES } from '../scmi/common.ts'
import { header, tableIndex, tableSize } from '../scmi/header.ts'
import { protocols } from '../scmi/protocols.ts'
import { type ListMessage, listMessages } from '../scmi/resource-lists.ts'
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
import { type Space, spaceOf } from '../scmi/space.ts'
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
/** Another word than the resource's says which of several namespaces its id is from. */
export const SELECTS = 0x20
/** The response lists resources, those that the command's has to do with or all. */
export const LISTS_IDS = 0x40

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

/** A list whose entries carry ids: how it is cut into answers. Words count from the header. */
export interface ListRule {
  /** The index asked from, and the status for one beyond the end. */
  readonly indexWord: number
  readonly beyond: number
  /** Where the answer tells how many entries it has, and how many are left. */
  readonly countWord: number
  readonly returnedMask: number
  readonly returnedShift: number
  readonly remainingShift: number
  /** Bytes of the answer before the entries, header included; what it is padded to behind them. */
  readonly entriesAt: number
  readonly pad: number
  /** Pairs of entry word and bits to clear for guests without a way back. */
  readonly hideP2A: Int32Array | undefined
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
  /** Frame word, bits and lowest bit that say which namespace it is from; word 0 where the protocol has one numbering. */
  readonly selectorWord: Uint8Array
  readonly selectorMask: Int32Array
  readonly selectorShift: Uint8Array
  /** Frame word that names a second resource of the same protocol; 0 for none. */
  readonly other: Uint8Array
  /** What is answered to whatever is asked by it, once it is well-formed: a status, or 0 for what is decided. */
  readonly always: Int8Array
  /** Which space that is from; frame word and bits without which it means nothing, word 0 where it always does. */
  readonly otherSpace: Uint16Array
  readonly otherIfWord: Uint8Array
  readonly otherIfMask: Int32Array
  /** Triples of response word, space of the id in it, and what stands for none there; NO_NONE where nothing does. */
  readonly ids: readonly (Int32Array | undefined)[]
  /** Triples of response word, bits that hold a number of resources, and their space. */
  readonly counts: readonly (Int32Array | undefined)[]
  /** Response word and bits with the number of a resource's members, and the message that lists them; 0 for none. */
  readonly membersWord: Uint8Array
  readonly membersMask: Int32Array
  readonly membersList: Uint16Array
  /** Bits of the namespaces whose resources have members: a pin has none, and its number stands as it is. */
  readonly membersOf: Uint8Array
  readonly lists: readonly (ListRule | undefined)[]
  /** Table indices of messages that give back what was taken. */
  readonly returns: readonly number[]
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

/** No word means that there is none: an id of 2^31 - 1, which no protocol can count up to. */
export const NO_NONE = 0x7fff_ffff

const lowestBit = (mask: number): number => 31 - Math.clz32(mask & -mask)

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

const fieldSpace = (protocol: Protocol, field: Field<unknown> | undefined): Space =>
  spaceOf(protocol.id, typeof field?.namespace === 'number' ? field.namespace : 0)

/** Ids in the fixed part of a response. */
function idsOf(protocol: Protocol, response: Layout): Int32Array | undefined {
  const triples = Object.entries(response.fields).flatMap(([name, field]) =>
    field.role === 'resource'
      ? [2 + (response.word[name] ?? 0), fieldSpace(protocol, field), (field.none ?? NO_NONE) | 0]
      : [],
  )
  return triples.length === 0 ? undefined : Int32Array.from(triples)
}

/** Where PROTOCOL_ATTRIBUTES counts resources: bits 15:0 of its first word, or as the namespaces say. */
function countsOf(protocol: Protocol, response: Layout): Int32Array | undefined {
  if (protocol.resource !== undefined) return Int32Array.of(2, 0xffff, spaceOf(protocol.id))
  return protocol.namespaces === undefined
    ? undefined
    : Int32Array.from(
        protocol.namespaces.flatMap(({ count }, namespace) => [
          2 + (response.word[count.field] ?? 0),
          count.mask | 0,
          spaceOf(protocol.id, namespace),
        ]),
      )
}

function listRule({ name, message, form }: ListMessage): ListRule {
  const { tail } = form.response
  const { index } = message
  const { count } = tail
  const counter = Object.values(form.response.fields)[count?.word ?? 0] as Field<unknown> & {
    readonly mask?: Readonly<Record<string, number>>
  }
  const remaining = counter.mask?.['remaining']
  if (index === undefined || count === undefined || remaining === undefined)
    throw new TypeError(`${name}: a list needs an index, and the numbers of entries returned and remaining`)
  const pairs = Object.entries(tail.entry.fields).flatMap(([field, { p2a = 0 }]) =>
    p2a === 0 ? [] : [tail.entry.word[field] ?? 0, p2a],
  )
  return {
    indexWord: commandWord(form, index.field),
    beyond: index.beyond,
    countWord: 2 + count.word,
    returnedMask: count.mask,
    returnedShift: lowestBit(count.mask),
    remainingShift: lowestBit(remaining),
    entriesAt: 8 + form.response.size,
    pad: tail.pad,
    hideP2A: pairs.length === 0 ? undefined : Int32Array.from(pairs),
  }
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
    selectorWord: new Uint8Array(tableSize),
    selectorMask: new Int32Array(tableSize),
    selectorShift: new Uint8Array(tableSize),
    other: new Uint8Array(tableSize),
    always: new Int8Array(tableSize),
    otherSpace: new Uint16Array(tableSize),
    otherIfWord: new Uint8Array(tableSize),
    otherIfMask: new Int32Array(tableSize),
    ids: new Array<Int32Array | undefined>(tableSize).fill(undefined),
    counts: new Array<Int32Array | undefined>(tableSize).fill(undefined),
    membersWord: new Uint8Array(tableSize),
    membersMask: new Int32Array(tableSize),
    membersList: new Uint16Array(tableSize),
    membersOf: new Uint8Array(tableSize),
    lists: new Array<ListRule | undefined>(tableSize).fill(undefined),
    returns: [] as number[],
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
    const lists = listMessages(protocol, version)
    for (const list of lists) rules.lists[list.at] = listRule(list)
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
        (message.selector === undefined ? 0 : SELECTS) |
        (rules.lists[at] === undefined ? 0 : LISTS_IDS)
      rules.size[at] = form.command.size
      if (message.always !== undefined)
        rules.always[at] = message.always === 'denied' ? DENIED : NOT_SUPPORTED
      const { tail } = form.command
      if (tail?.count !== undefined) {
        rules.entrySize[at] = tail.entry.size
        rules.entriesWord[at] = 1 + tail.count.word
        rules.entriesMask[at] = tail.count.mask
        rules.entriesShift[at] = lowestBit(tail.count.mask)
      }
      if (message.resource !== undefined) rules.resource[at] = commandWord(form, message.resource)
      if (message.selector !== undefined) {
        rules.selectorWord[at] = commandWord(form, message.selector.field)
        rules.selectorMask[at] = message.selector.mask
        rules.selectorShift[at] = lowestBit(message.selector.mask)
      }
      if (message.other !== undefined) {
        rules.other[at] = commandWord(form, message.other)
        rules.otherSpace[at] = fieldSpace(protocol, form.command.fields[message.other])
      }
      if (message.otherIf !== undefined) {
        rules.otherIfWord[at] = commandWord(form, message.otherIf.field)
        rules.otherIfMask[at] = message.otherIf.mask
      }
      rules.ids[at] = idsOf(protocol, form.response)
      if (message.returns) rules.returns.push(at)
      if (message.id === PROTOCOL_ATTRIBUTES) rules.counts[at] = countsOf(protocol, form.response)
      const membersList = lists.find(({ namespace }) => namespace === 'members')?.at
      if (message.members !== undefined && membersList !== undefined) {
        rules.membersWord[at] = 2 + (form.response.word[message.members.field] ?? 0)
        rules.membersMask[at] = message.members.mask
        rules.membersList[at] = membersList
        const { namespaceOf } = message.members
        for (const namespace of ((protocol as Protocol).namespaces ?? []).keys())
          if (namespaceOf(namespace, 0) !== undefined)
            rules.membersOf[at] = (rules.membersOf[at] as number) | (1 << namespace)
      }
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

/** The space of the id that the command in `ints` names its resource by. */
export function spaceIn(rules: Rules, ints: Int32Array, at: number): Space {
  const word = rules.selectorWord[at] as number
  if (word === 0) return at >>> 8
  const selected = (ints[word] as number) & (rules.selectorMask[at] as number)
  return (at >>> 8) | ((selected >>> (rules.selectorShift[at] as number)) << 8)
}

/** Frame word of a second resource that the command in `ints` names; 0 for none. */
export function otherIn(rules: Rules, ints: Int32Array, at: number): number {
  const word = rules.otherIfWord[at] as number
  return word === 0 || ((ints[word] as number) & (rules.otherIfMask[at] as number)) !== 0
    ? (rules.other[at] as number)
    : 0
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
