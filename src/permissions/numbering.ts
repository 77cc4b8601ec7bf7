// A guest's own ids, 0 to n - 1, for what it may name, and the way back to the firmware's. Pure; it grants nothing: it
// numbers what was granted, in an order that survives detaching, restarts and firmware that numbers anew.
import { type Space, spaceOf } from '../scmi/space.ts'
import type { ResourceId } from './grants.ts'

/** In place of an id: what had this number is gone, or the guest has no number for it. */
export const HOLE = -1

/** One space as one guest sees it. */
export interface SpaceNumbering {
  /** Guest id to firmware id, or HOLE. As long as the guest's count. */
  readonly toFirmware: Int32Array
  /** Firmware id to guest id, or HOLE; every firmware id beyond its end has none either. */
  readonly toGuest: Int32Array
  /** Labels in guest-id order, holes' included: the next numbering takes them as its order. */
  readonly labels: readonly string[]
}

/** A guest's numberings, by space; a space that is not in it has no ids. */
export type Numbering = ReadonlyMap<Space, SpaceNumbering>

/** Names by space, then by the firmware's id; an empty text where there is none. */
export type ResourceNames = ReadonlyMap<Space, readonly string[]>

/** Labels by space, in guest-id order. */
export type LabelOrder = ReadonlyMap<Space, readonly string[]>

/**
 * What a resource is known by when numbers change: the firmware's name for it; `#12` for resource 12 where that is
 * empty, not its alone in the space, or looks like such a number itself.
 */
export function labelOf(names: ResourceNames, space: Space, id: number): string {
  const list = names.get(space)
  const name = list?.[id] ?? ''
  return list === undefined || !isLabel(name) || list.indexOf(name) !== list.lastIndexOf(name)
    ? `#${id}`
    : name
}

/**
 * Numbers `resources`, which a guest may name, densely in each space. Those in `order` (a tree's, or a former
 * numbering's labels) keep the place they have there, found by label; a place whose label is nobody's now is a hole,
 * and nothing moves up. What `order` does not have comes behind, ascending by firmware id. Of a label that `order` has
 * twice the first place counts.
 */
export function denseNumbering(
  resources: Iterable<ResourceId>,
  names: ResourceNames,
  order: LabelOrder = new Map(),
): Numbering {
  const ids = new Map<Space, Set<number>>()
  for (const { protocol, id, namespace = 0 } of resources) {
    const space = spaceOf(protocol, namespace)
    const known = ids.get(space)
    if (known === undefined) ids.set(space, new Set([id]))
    else known.add(id)
  }
  const spaces = [...new Set([...order.keys(), ...ids.keys()])].sort((a, b) => a - b)
  return new Map(
    spaces.map(space => [
      space,
      numberSpace(space, ids.get(space) ?? new Set(), names, order.get(space) ?? []),
    ]),
  )
}

function numberSpace(
  space: Space,
  ids: ReadonlySet<number>,
  names: ResourceNames,
  order: readonly string[],
): SpaceNumbering {
  const left = new Map<string, number>()
  for (const id of [...ids].sort((a, b) => a - b)) left.set(labelOf(names, space, id), id)
  const labels = [...order]
  const toFirmware = order.map((label, guest) => {
    const id = idOf(left, label)
    if (id === undefined) return HOLE
    labels[guest] = labelOf(names, space, id) // a number gives way to the name that is known now
    left.delete(labels[guest])
    return id
  })
  for (const [label, id] of left) {
    labels.push(label)
    toFirmware.push(id)
  }
  const toGuest = new Int32Array(Math.max(HOLE, ...toFirmware) + 1).fill(HOLE)
  for (const [guest, id] of toFirmware.entries()) if (id !== HOLE) toGuest[id] = guest
  return { toFirmware: Int32Array.from(toFirmware), toGuest, labels }
}

/** The resource still to be placed that `label` means: by name, or by number where it has no name of its own. */
const idOf = (left: ReadonlyMap<string, number>, label: string): number | undefined => {
  const id = left.get(label)
  if (id !== undefined || !numbered.test(label)) return id
  const number = Number(label.slice(1))
  for (const each of left.values()) if (each === number) return each
  return undefined
}

const numbered = /^#(0|[1-9]\d*)$/
/** Whether a name can stand for a resource in a tree's list. */
const isLabel = (name: string): boolean => name !== '' && !name.startsWith('#')
