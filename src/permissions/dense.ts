// The grants of a guest with ids of its own: its numbering as tables, and the platform's lists of resources in its ids.
// Made on the main thread; look-ups on the message path allocate nothing.
import { protocols } from '../scmi/protocols.ts'
import { idIn, type ListMessage, listMessages, type ResourceLists } from '../scmi/resource-lists.ts'
import type { Protocol, Version } from '../scmi/schema.ts'
import { unusedSensor } from '../scmi/sensor.ts'
import { type Space, spaceIds, spaceOf } from '../scmi/space.ts'
import { NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { bitmapsOf, type Counts, type Grants, type ResourceId, spaceOfResource } from './grants.ts'
import { denseNumbering, HOLE, type LabelOrder, type Numbering, type ResourceNames } from './numbering.ts'

/** A list in a guest's ids, packed, and where each entry begins; one more says where the last ends. Bytes. */
export interface GuestList {
  readonly bytes: Uint8Array
  readonly starts: Uint32Array
  /** SUCCESS, or the platform's word for a resource that has no such list. */
  readonly status: number
}

/** A guest's own ids. */
export interface Dense {
  /** By space: guest id to the platform's, or HOLE. Undefined: the guest has no ids there. */
  readonly toPlatform: readonly (Int32Array | undefined)[]
  /** By space: the platform's id to the guest's, or HOLE. */
  readonly toGuest: readonly (Int32Array | undefined)[]
  /** By the message's place in tables, by the space and the guest id of the resource asked about (0 for all). */
  readonly lists: ReadonlyMap<number, ReadonlyMap<Space, readonly GuestList[]>>
}

/** What is known of the platform. */
export interface PlatformFacts {
  readonly counts: Counts
  readonly versions: ReadonlyMap<number, Version>
  readonly names: ResourceNames
  readonly lists: ResourceLists
}

/** How many resources a guest has in a space; a hole counts. */
export const guestCount = ({ toPlatform }: Dense, space: Space): number => toPlatform[space]?.length ?? 0

/** The platform's id for a guest's, signed or unsigned; HOLE where it stands for nothing. */
export function platformId({ toPlatform }: Dense, space: Space, id: number): number {
  const table = toPlatform[space]
  return table !== undefined && id >>> 0 < table.length ? (table[id] as number) : HOLE
}

/** The guest's id for the platform's, signed or unsigned; HOLE where it cannot name it. */
export function guestId({ toGuest }: Dense, space: Space, id: number): number {
  const table = toGuest[space]
  return table !== undefined && id >>> 0 < table.length ? (table[id] as number) : HOLE
}

/** The list of `at` about the resource that the guest calls `id`; undefined where there is none. */
export const guestList = ({ lists }: Dense, at: number, space: Space, id: number): GuestList | undefined =>
  lists.get(at)?.get(space)?.[id]

/** Grants of a guest with ids of its own, and its numbering, whose labels are the order for the next time. */
export function compileDense(
  resources: Iterable<ResourceId>,
  platform: PlatformFacts,
  order: LabelOrder = new Map(),
  whole: Iterable<number> = [],
): { readonly grants: Grants; readonly numbering: Numbering } {
  const { counts, names } = platform
  const there = [...resources].filter(each => each.id < (counts[spaceOfResource(each)] ?? 0))
  const numbering = denseNumbering(there, names, order)
  const toPlatform = new Array<Int32Array | undefined>(spaceIds).fill(undefined)
  const toGuest = new Array<Int32Array | undefined>(spaceIds).fill(undefined)
  for (const [space, numbered] of numbering) {
    if (space >= spaceIds) continue
    toPlatform[space] = numbered.toFirmware
    toGuest[space] = numbered.toGuest
  }
  const lists = guestLists(numbering, platform)
  return { grants: { ...bitmapsOf(there, counts, whole), dense: { toPlatform, toGuest, lists } }, numbering }
}

function guestLists(numbering: Numbering, { versions, lists }: PlatformFacts): Dense['lists'] {
  const found = new Map<number, ReadonlyMap<Space, readonly GuestList[]>>()
  for (const protocol of protocols as readonly Protocol[]) {
    const version = versions.get(protocol.id)
    if (version === undefined) continue
    for (const message of listMessages(protocol, version)) {
      const platforms = lists.get(message.at) ?? new Map()
      found.set(
        message.at,
        message.message.lists === 'resources'
          ? new Map([[protocol.id, [allOf(message, protocol.id, numbering, platforms)]]])
          : new Map(
              [...numbering.keys()]
                .filter(space => (space & 0xff) === protocol.id)
                .map(space => [space, eachOf(message, space, numbering, platforms)]),
            ),
      )
    }
  }
  return found
}

type BySpace = ResourceLists extends ReadonlyMap<number, infer T> ? T : never

/** The list of all of a protocol's resources: one entry for each guest id. */
function allOf(message: ListMessage, protocol: number, numbering: Numbering, platforms: BySpace): GuestList {
  const space = spaceOf(protocol)
  const entries = platforms.get(space)?.[0]?.entries ?? []
  const byId = new Map(entries.map(entry => [idIn(message, entry), entry]))
  const ids = [...(numbering.get(space)?.toFirmware ?? [])]
  return pack(ids.map((id, guest) => renamed(message, byId.get(id) ?? blank(guest), guest)))
}

/** What has to do with each of a space's resources, as far as the guest can name it. */
function eachOf(
  message: ListMessage,
  space: Space,
  numbering: Numbering,
  platforms: BySpace,
): readonly GuestList[] {
  const ids = [...(numbering.get(space)?.toFirmware ?? [])]
  return ids.map(id => {
    const list = id === HOLE ? undefined : platforms.get(space)?.[id]
    const toGuest = list === undefined ? undefined : numbering.get(list.space)?.toGuest
    return pack(
      (list?.entries ?? []).flatMap(entry => {
        const guest = toGuest?.[idIn(message, entry)] ?? HOLE
        return guest === HOLE ? [] : [renamed(message, entry, guest)]
      }),
      list?.isAbsent === true ? NOT_SUPPORTED : SUCCESS,
    )
  })
}

/** A copy of an entry with another id. */
function renamed({ idAt, idSize }: ListMessage, entry: Uint8Array, id: number): Uint8Array {
  const copy = entry.slice()
  const view = new DataView(copy.buffer)
  if (idSize === 2) view.setUint16(idAt, id, true)
  else view.setUint32(idAt, id, true)
  return copy
}

/** The descriptor of a sensor that is gone, or that the platform does not describe: no type, no range. */
function blank(id: number): Uint8Array {
  const bytes = new Uint8Array(28)
  bytes.set(
    Array.from(`${unusedSensor}${id}`, c => c.charCodeAt(0)),
    12,
  )
  return bytes
}

function pack(entries: readonly Uint8Array[], status = SUCCESS): GuestList {
  const starts = new Uint32Array(entries.length + 1)
  for (const [i, { length }] of entries.entries()) starts[i + 1] = (starts[i] as number) + length
  const bytes = new Uint8Array(starts.at(-1) ?? 0)
  for (const [i, entry] of entries.entries()) bytes.set(entry, starts[i])
  return { bytes, starts, status }
}
