// What one guest may reach, as bitmaps: made on the main thread, read by the filter. Holds no policy of its own.
import { protocols } from '../scmi/protocols.ts'
import type { Protocol } from '../scmi/schema.ts'

/** One resource of the platform. */
export interface ResourceId {
  readonly protocol: number
  readonly id: number
  /** Which of the protocol's namespaces the id is from; 0 where it has one numbering. */
  readonly namespace?: number
}

/** Bitmaps of one guest's resources, by protocol id. */
export interface Grants {
  /** 1 where the guest holds the protocol. */
  readonly protocols: Uint8Array
  /** Bit set: owned. Undefined: the guest owns nothing of the protocol. */
  readonly owned: readonly (Uint32Array | undefined)[]
}

/** How many resources the platform has, by protocol id. */
export type Counts = Uint32Array

/** Protocol ids there are. */
export const protocolIds = 256

/**
 * 1 where the filter cannot tell a guest's resources from others' while ids are the platform's: protocols of several
 * numberings, which a bitmap does not tell apart, and those that a guest can only use with dense ids. Whoever names
 * such a resource gets nothing of its protocol.
 */
const ungrantable = new Uint8Array(protocolIds)
for (const { id, namespaces, denseOnly } of protocols as readonly Protocol[])
  if (namespaces !== undefined || denseOnly === true) ungrantable[id] = 1

/** Whether a guest owns every resource of the platform that can be granted: nothing is left to anybody else. */
export function ownsEverything({ owned }: Grants, counts: Counts): boolean {
  let any = false
  for (const [protocol, count] of counts.entries()) {
    if (ungrantable[protocol] !== 0) continue
    for (let id = 0; id < count; id++) if (!owns(owned[protocol], id)) return false
    any ||= count > 0
  }
  return any
}

/** A guest that may reach nothing but Base. */
export const noGrants = (): Grants => compileGrants([], new Uint32Array(protocolIds))

/**
 * Bitmaps of `resources`. Those that the platform does not have (id at or beyond its count) are left out: nothing can
 * be granted that does not exist. So are those of protocols that cannot be granted while ids are the platform's: pin
 * control, power capping. `whole` are protocols without resources that the guest holds, such as system power.
 */
export function compileGrants(
  resources: Iterable<ResourceId>,
  counts: Counts,
  whole: Iterable<number> = [],
): Grants {
  const held = new Uint8Array(protocolIds)
  const owned = new Array<Uint32Array | undefined>(protocolIds).fill(undefined)
  for (const { protocol, id } of resources) {
    const count = counts[protocol] ?? 0
    if (id >= count || ungrantable[protocol] !== 0) continue
    const bitmap = owned[protocol] ?? new Uint32Array((count + 31) >>> 5)
    bitmap[id >>> 5] = (bitmap[id >>> 5] as number) | (1 << (id & 31))
    owned[protocol] = bitmap
    held[protocol] = 1
  }
  for (const protocol of whole) held[protocol] = 1
  return { protocols: held, owned }
}

/** Whether bit `id`, signed or unsigned, is set. False beyond the bitmap and where there is none. */
export const owns = (bitmap: Uint32Array | undefined, id: number): boolean =>
  bitmap !== undefined && id >>> 5 < bitmap.length && (((bitmap[id >>> 5] as number) >>> (id & 31)) & 1) === 1
