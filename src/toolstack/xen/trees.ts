// The device tree that a domain asks by: the partial tree that its configuration names, or, without one, what it finds
// in its own memory.
import { maxBlobBytes } from '../../dt/fdt-header.ts'
import { MediatorError } from '../../errors.ts'
import type { Hypervisor } from './hypervisor.ts'
import { hasRun } from './known.ts'
import { readTrusted } from './trusted-file.ts'
import type { DomainConfiguration } from './userdata.ts'

/** A blob, and the file that it is from. */
export interface Tree {
  readonly dtb: Uint8Array
  readonly dtbPath?: string
}

/** The tree that a configuration names; undefined when it names none. */
export const partialTree = ({ deviceTree }: DomainConfiguration): Tree | undefined =>
  deviceTree === undefined ? undefined : { dtb: readTrusted(deviceTree, maxBlobBytes), dtbPath: deviceTree }

/** A domain's tree; undefined when it has none, or none that can be believed any more. */
export function treeOf(
  hypervisor: Hypervisor,
  domain: { readonly domid: number; readonly uuid: string },
  configuration: DomainConfiguration | undefined,
): Tree | undefined {
  const partial = configuration === undefined ? undefined : partialTree(configuration)
  if (partial !== undefined || hasRun(hypervisor, domain)) return partial
  try {
    return { dtb: hypervisor.guestTree(domain.domid) }
  } catch (error) {
    // A guest that boots without a tree asks for nothing.
    if (error instanceof MediatorError && error.code === 'DTB_REFUSED') return undefined
    throw error
  }
}
