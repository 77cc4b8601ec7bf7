// What one guest may reach, as bitmaps: made on the main thread, read by the filter. Holds no policy of its own.

/** One resource of the platform. */
export interface ResourceId {
  readonly protocol: number
  readonly id: number
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

/** A guest that may reach nothing but Base. */
export const noGrants = (): Grants => compileGrants([], new Uint32Array(protocolIds))

/**
 * Bitmaps of `resources`. Those that the platform does not have (id at or beyond its count) are left out: nothing can
 * be granted that does not exist. `whole` are protocols without resources that the guest holds, such as system power.
 */
export function compileGrants(
  resources: Iterable<ResourceId>,
  counts: Counts,
  whole: Iterable<number> = [],
): Grants {
  const protocols = new Uint8Array(protocolIds)
  const owned = new Array<Uint32Array | undefined>(protocolIds).fill(undefined)
  for (const { protocol, id } of resources) {
    const count = counts[protocol] ?? 0
    if (id >= count) continue
    const bitmap = owned[protocol] ?? new Uint32Array((count + 31) >>> 5)
    bitmap[id >>> 5] = (bitmap[id >>> 5] as number) | (1 << (id & 31))
    owned[protocol] = bitmap
    protocols[protocol] = 1
  }
  for (const protocol of whole) protocols[protocol] = 1
  return { protocols, owned }
}

/** Whether bit `id`, signed or unsigned, is set. False beyond the bitmap and where there is none. */
export const owns = (bitmap: Uint32Array | undefined, id: number): boolean =>
  bitmap !== undefined && id >>> 5 < bitmap.length && (((bitmap[id >>> 5] as number) >>> (id & 31)) & 1) === 1
