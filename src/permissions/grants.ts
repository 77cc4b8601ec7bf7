// What one guest may reach, as bitmaps: made on the main thread, read by the filter. Holds no policy of its own.
import { protocols } from '../scmi/protocols.ts'
import type { Protocol } from '../scmi/schema.ts'
import { protocolOfSpace, type Space, spaceIds, spaceOf } from '../scmi/space.ts'
import type { Dense } from './dense.ts'

/** One resource of the platform. */
export interface ResourceId {
  readonly protocol: number
  readonly id: number
  /** Which of the protocol's namespaces the id is from; 0 where it has one numbering. */
  readonly namespace?: number
}

/** Bitmaps of one guest's resources. */
export interface Grants {
  /** 1 where the guest holds the protocol. */
  readonly protocols: Uint8Array
  /** By space; bit set: owned, by the platform's id. Undefined: the guest owns nothing there. */
  readonly owned: readonly (Uint32Array | undefined)[]
  /** The guest's own ids; undefined where it sees the platform's. */
  readonly dense?: Dense | undefined
}

/** How many resources the platform has, by space; spaces of a protocol's first namespace by protocol id. */
export type Counts = Uint32Array

/** Protocol ids there are. */
export const protocolIds = 256

/** 1 where a guest can use its own only with dense ids: beside what is another's, an agent gives up the protocol. */
const denseOnly = new Uint8Array(protocolIds)
for (const { id, denseOnly: only } of protocols as readonly Protocol[]) if (only === true) denseOnly[id] = 1

/** Whether a guest owns every resource of the platform that can be granted: nothing is left to anybody else. */
export function ownsEverything({ owned }: Grants, counts: Counts): boolean {
  let any = false
  for (const [space, count] of counts.entries()) {
    if (denseOnly[protocolOfSpace(space)] !== 0) continue
    for (let id = 0; id < count; id++) if (!owns(owned[space], id)) return false
    any ||= count > 0
  }
  return any
}

/** A guest that may reach nothing but Base. */
export const noGrants = (): Grants => compileGrants([], new Uint32Array(protocolIds))

/**
 * Grants of a guest that sees the platform's ids: `identity` discovery. Resources that the platform does not have (id
 * at or beyond its count) are left out: nothing can be granted that does not exist. So are those of protocols that a
 * guest can use with dense ids only: power capping. `whole` are protocols without resources that the guest holds, such
 * as system power.
 */
export function compileGrants(
  resources: Iterable<ResourceId>,
  counts: Counts,
  whole: Iterable<number> = [],
): Grants {
  return bitmapsOf(
    [...resources].filter(({ protocol }) => denseOnly[protocol] === 0),
    counts,
    whole,
  )
}

/** Bitmaps of what there is of `resources`, whatever a guest could do with it: a dense guest's, and the host's. */
export function bitmapsOf(
  resources: Iterable<ResourceId>,
  counts: Counts,
  whole: Iterable<number> = [],
): Grants {
  const held = new Uint8Array(protocolIds)
  const owned = new Array<Uint32Array | undefined>(spaceIds).fill(undefined)
  for (const resource of resources) {
    const space = spaceOfResource(resource)
    const { id } = resource
    const count = counts[space] ?? 0
    if (id >= count) continue
    const bitmap = owned[space] ?? new Uint32Array((count + 31) >>> 5)
    bitmap[id >>> 5] = (bitmap[id >>> 5] as number) | (1 << (id & 31))
    owned[space] = bitmap
    held[protocolOfSpace(space)] = 1
  }
  for (const protocol of whole) held[protocol] = 1
  return { protocols: held, owned }
}

/** The space that a resource is from. */
export const spaceOfResource = ({ protocol, namespace = 0 }: ResourceId): Space =>
  spaceOf(protocol, namespace)

/** Whether bit `id`, signed or unsigned, is set. False beyond the bitmap and where there is none. */
export const owns = (bitmap: Uint32Array | undefined, id: number): boolean =>
  bitmap !== undefined && id >>> 5 < bitmap.length && (((bitmap[id >>> 5] as number) >>> (id & 31)) & 1) === 1
