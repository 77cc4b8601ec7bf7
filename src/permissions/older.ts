// A guest that is shown older protocol versions than the platform has: which it can be, and what is to be changed in its
// messages. Exact or not at all. Compiled from the schema's forms by version; no frame is touched here.
import { MediatorError } from '../errors.ts'
import { base } from '../scmi/base.ts'
import { v2, v3 } from '../scmi/common.ts'
import { header, tableIndex, tableSize } from '../scmi/header.ts'
import { protocolOf, protocols, type Release, versionIn } from '../scmi/protocols.ts'
import {
  type AnyMessage,
  existsAt,
  formAt,
  type Layout,
  type Protocol,
  payloadAt,
  type Version,
} from '../scmi/schema.ts'
import { compileRules, type Rules } from './rules.ts'

/** What a domain is to be shown: an SCMI release, versions of single protocols by key (`clock`), or both. */
export interface Shown {
  readonly release?: Release
  readonly versions?: Readonly<Record<string, string>>
}

/** How messages of a guest at older versions become the platform's, and back. By table index where nothing else is said. */
export interface Older {
  /** The schema at the guest's versions: what is there, of which size, with which values. */
  readonly rules: Rules
  /** By protocol id: 1 where the guest's version, or that it has none, differs from the platform's. */
  readonly differs: Uint8Array
  /** The platform's version words, by protocol id. */
  readonly platform: Uint32Array
  /** Bytes of zeros that a command lacks at its end. */
  readonly grow: Uint8Array
  /** Bytes of a response, or a notification, that the guest is to see at most; 0 for all. */
  readonly cut: Uint16Array
  readonly cutNotification: Uint16Array
  /** Pairs of response word and bits to clear, which mean nothing yet at the guest's version. */
  readonly hide: readonly (Int32Array | undefined)[]
}

/** Bits of responses that speak of what came later; where the form itself changed, the schema says so. */
const laterBits: readonly {
  readonly protocol: number
  readonly message: string
  readonly field: string
  readonly range: string
  readonly since: Version
}[] = [
  { protocol: 0x11, message: 'POWER_DOMAIN_ATTRIBUTES', field: 'attributes', range: 'ext_name', since: v3 },
  {
    protocol: 0x11,
    message: 'POWER_DOMAIN_ATTRIBUTES',
    field: 'attributes',
    range: 'change_requested_notify',
    since: v3,
  },
]

/** Messages of one form throughout whose meaning changed: across that change there is no exact translation. */
const changedMeaning: readonly {
  readonly protocol: number
  readonly message: string
  readonly since: Version
}[] = [
  { protocol: 0x13, message: 'PROTOCOL_ATTRIBUTES', since: v3 }, // the unit of power got another bit
  { protocol: 0x15, message: 'SENSOR_DESCRIPTION_GET', since: v3 }, // extended names, in entries of any size
  { protocol: 0x18, message: 'POWERCAP_CAP_GET', since: v2 }, // 0 came to mean no cap
]

const dotted = (version: Version): string => `${version >>> 16}.${version & 0xffff}`

/**
 * The version words, by protocol id, that a domain is shown of a platform with `platform`; undefined where these are
 * the platform's own. A protocol that the release does not have is left out. CONFIG_INVALID for a protocol or a version
 * that there is not, or that is newer than the platform's.
 */
export function shownVersions(
  platform: ReadonlyMap<number, Version>,
  { release, versions = {} }: Shown,
): ReadonlyMap<number, Version> | undefined {
  const shown = new Map<number, Version>()
  const wanted = new Map(Object.entries(versions))
  for (const [id, has] of platform) {
    const protocol = protocolOf(id)
    if (protocol === undefined) continue
    const text = wanted.get(protocol.key)
    wanted.delete(protocol.key)
    const ofRelease = release === undefined ? has : versionIn(protocol, release)
    const version = text === undefined ? ofRelease : parsed(protocol, text, has)
    if (version !== undefined) shown.set(id, Math.min(version, has))
  }
  const [unknown] = wanted.keys()
  if (unknown !== undefined)
    throw new MediatorError(
      'CONFIG_INVALID',
      `the firmware has no protocol ${unknown} to be shown in another version`,
    )
  return [...platform].every(([id, version]) => shown.get(id) === version) ? undefined : shown
}

function parsed(protocol: Protocol, text: string, has: Version): Version {
  const found = protocol.versions.find(({ version }) => dotted(version) === text)
  if (found === undefined)
    throw new MediatorError(
      'CONFIG_INVALID',
      `${protocol.key} ${text}: expected ${protocol.versions.map(({ version }) => dotted(version)).join(', ')}`,
    )
  if (found.version > has)
    throw new MediatorError('CONFIG_INVALID', `${protocol.key} ${text}: the firmware has ${dotted(has)}`)
  return found.version
}

/** Throws NOT_SUPPORTED naming the message where one of the protocols that a guest holds cannot be shown exactly. */
export function refuseInexact(
  platform: ReadonlyMap<number, Version>,
  shown: ReadonlyMap<number, Version>,
  holds: (protocol: number) => boolean,
): void {
  for (const [id, version] of shown) {
    const protocol = protocolOf(id)
    const has = platform.get(id) ?? version
    if (protocol === undefined || id === base.id || version === has || !holds(id)) continue
    const message = inexact(protocol, version, has)
    if (message !== undefined)
      throw new MediatorError(
        'NOT_SUPPORTED',
        `${protocol.key} ${dotted(version)} cannot be shown of a firmware that has ${dotted(has)}: ${message} cannot be translated exactly`,
      )
  }
}

/** The first message that stands against it; undefined where all can be translated. */
function inexact(protocol: Protocol, guest: Version, platform: Version): string | undefined {
  const changed = changedMeaning.find(
    each => each.protocol === protocol.id && guest < each.since && each.since <= platform,
  )
  if (changed !== undefined) return changed.message
  for (const [name, message] of Object.entries(protocol.messages) as [string, AnyMessage][]) {
    if (!existsAt(message, guest)) continue
    const [older, newer] = [formAt(message, guest), formAt(message, platform)]
    // Without a delayed response in the guest's version there is no bit by which it could ask for one.
    const delayed =
      older.delayed === undefined || (newer.delayed !== undefined && begins(older.delayed, newer.delayed))
    if (!begins(older.command, newer.command) || !begins(older.response, newer.response) || !delayed)
      return name
    if (older.delayed !== undefined && older.delayed.size !== newer.delayed?.size) return name
  }
  for (const [name, notification] of Object.entries(protocol.notifications))
    if (
      existsAt(notification, guest) &&
      !begins(payloadAt(notification, guest), payloadAt(notification, platform))
    )
      return name
  return undefined
}

/** Whether a frame of the newer layout is one of the older with more behind it. */
function begins(older: Layout, newer: Layout): boolean {
  for (const [name, field] of Object.entries(older.fields))
    if (newer.fields[name]?.size !== field.size || newer.at[name] !== older.at[name]) return false
  if (older.tail === undefined && newer.tail === undefined) return true
  return (
    older.size === newer.size &&
    older.tail?.pad === newer.tail?.pad &&
    older.tail?.entry.size === newer.tail?.entry.size &&
    JSON.stringify(entryOf(older)) === JSON.stringify(entryOf(newer))
  )
}

const entryOf = ({ tail }: Layout): unknown =>
  Object.entries(tail?.entry.fields ?? {}).map(([name, field]) => [
    name,
    field.size,
    (field as { mask?: unknown }).mask,
  ])

/** Compiles what `refuseInexact` has let pass: from versions that a guest is shown to the platform's. */
export function compileOlder(
  platform: ReadonlyMap<number, Version>,
  shown: ReadonlyMap<number, Version>,
): Older {
  const older = {
    rules: compileRules(shown),
    differs: new Uint8Array(256),
    platform: new Uint32Array(256),
    grow: new Uint8Array(tableSize),
    cut: new Uint16Array(tableSize),
    cutNotification: new Uint16Array(tableSize),
    hide: new Array<Int32Array | undefined>(tableSize).fill(undefined),
  }
  for (const protocol of protocols as readonly Protocol[]) {
    const { id } = protocol
    const [guest, has] = [shown.get(id), platform.get(id)]
    older.platform[id] = has ?? 0
    if (id === base.id || guest === has) continue // Base is answered by whoever knows the guest's own version
    older.differs[id] = 1
    if (guest === undefined || has === undefined) continue
    for (const [name, message] of Object.entries(protocol.messages) as [string, AnyMessage][]) {
      if (!existsAt(message, guest)) continue
      const at = tableIndex(header(id, message.id))
      const [from, to] = [formAt(message, guest), formAt(message, has)]
      older.grow[at] = to.command.size - from.command.size
      if (to.response.size > from.response.size) older.cut[at] = 8 + from.response.size
      older.hide[at] = newBits(id, name, from.response, to.response, guest)
    }
    for (const notification of Object.values(protocol.notifications)) {
      if (!existsAt(notification, guest)) continue
      const [from, to] = [payloadAt(notification, guest), payloadAt(notification, has)]
      if (to.size > from.size) older.cutNotification[(id << 8) | notification.id] = 4 + from.size
    }
  }
  return older
}

const bitsIn = (field: unknown): number =>
  Object.values((field as { mask?: Readonly<Record<string, number>> } | undefined)?.mask ?? {}).reduce(
    (all, mask) => all | mask,
    0,
  )

function newBits(
  protocol: number,
  message: string,
  from: Layout,
  to: Layout,
  guest: Version,
): Int32Array | undefined {
  const pairs = Object.entries(from.fields).flatMap(([name, field]) => {
    const newer = to.fields[name]
    let mask = newer?.type === 'bits' && field.type === 'bits' ? bitsIn(newer) & ~bitsIn(field) : 0
    for (const each of laterBits)
      if (each.protocol === protocol && each.message === message && each.field === name && guest < each.since)
        mask |= (newer as unknown as { mask: Readonly<Record<string, number>> }).mask[each.range] ?? 0
    return mask === 0 ? [] : [2 + (from.word[name] ?? 0), mask]
  })
  return pairs.length === 0 ? undefined : Int32Array.from(pairs)
}
