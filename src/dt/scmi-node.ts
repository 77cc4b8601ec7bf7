// The SCMI nodes of a device tree: which they are, their doorbell, shared memory and protocols. Who uses them is
// devices.ts's.
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { propertyFault, type Region, regions, stringList, toPhysical, u32, u32Array, walk } from './node.ts'

/** Values of `compatible` that make a node an SCMI provider, as in Linux's arm,scmi binding. */
export const scmiCompatibles = [
  'arm,scmi',
  'arm,scmi-smc',
  'arm,scmi-smc-param',
  'arm,scmi-virtio',
  'linaro,scmi-optee',
  'qcom,scmi-smc',
] as const

export interface ScmiNode {
  readonly node: DeviceNode
  /** The value of `compatible` that made it one. */
  readonly compatible: string
  /** Function id of the doorbell, where the transport is an SMC or HVC. */
  readonly smcId: number | undefined
  /** Shared memory in CPU addresses: A2P first, P2A second if there is one; empty where the transport has none. */
  readonly shmem: readonly (Region & { readonly node: DeviceNode })[]
  /** Protocol number (`reg`) to its node. */
  readonly protocols: ReadonlyMap<number, DeviceNode>
  /** Below a "xen,sci" node: Xen's own, not the host kernel's. */
  readonly belongsToXen: boolean
}

/** Nodes never change, and every entry of every phandle list asks for the compatibles on the way to the root. */
const known = new WeakMap<DeviceNode, { readonly compatible: string | undefined }>()

/** The value of `compatible` that makes `node` an SCMI provider; undefined when it is none. Never throws. */
export function scmiCompatible(node: DeviceNode): string | undefined {
  let answer = known.get(node)
  if (answer === undefined) {
    answer = { compatible: findCompatible(node) }
    known.set(node, answer)
  }
  return answer.compatible
}

function findCompatible(node: DeviceNode): string | undefined {
  const list = compatibleOf(node)
  const linux = list.find(value => (scmiCompatibles as readonly string[]).includes(value))
  if (linux !== undefined) return linux
  const xens = list.find(value => value.startsWith('xen,scmi'))
  return xens !== undefined && isBelowXenSci(node) ? xens : undefined
}

/** The SCMI provider that `node` is or lies in, and the protocol child on the way; undefined when in none. */
export function scmiAround(
  node: DeviceNode,
): { readonly scmi: DeviceNode; readonly protocol: DeviceNode | undefined } | undefined {
  let below: DeviceNode | undefined
  for (let at: DeviceNode | undefined = node; at !== undefined; at = at.parent) {
    if (scmiCompatible(at) !== undefined) return { scmi: at, protocol: below }
    below = at
  }
  return undefined
}

/**
 * Every SCMI provider of the tree with what its properties say, parents first.
 * @throws MediatorError DTB_MALFORMED for a property that cannot be read, a shmem phandle that leads nowhere, or two
 * children of one protocol number
 */
export function scmiNodes(tree: DeviceTree): readonly ScmiNode[] {
  const found: ScmiNode[] = []
  for (const node of walk(tree.root)) {
    const compatible = scmiCompatible(node)
    if (compatible === undefined) continue
    found.push({
      node,
      compatible,
      smcId: u32(node, 'arm,smc-id'),
      shmem: sharedMemory(tree, node),
      protocols: protocolsOf(node),
      belongsToXen: isBelowXenSci(node),
    })
  }
  return found
}

function sharedMemory(tree: DeviceTree, node: DeviceNode): ScmiNode['shmem'] {
  return (u32Array(node, 'shmem') ?? []).map(phandle => {
    const area = tree.phandles.get(phandle)
    if (area === undefined)
      throw propertyFault(node, 'shmem', `phandle 0x${phandle.toString(16)} is no node's in this file`)
    const [region] = regions(area) ?? []
    if (region === undefined)
      throw propertyFault(area, 'reg', `absent: ${node.path} needs it as shared memory`)
    if (region.size === 0n) throw propertyFault(area, 'reg', 'shared memory of no size')
    return { node: area, ...toPhysical(area, region) }
  })
}

function protocolsOf(node: DeviceNode): ReadonlyMap<number, DeviceNode> {
  const protocols = new Map<number, DeviceNode>()
  for (const child of node.children.values()) {
    const number = u32(child, 'reg')
    if (number === undefined) continue // Linux skips such a child too
    const other = protocols.get(number)
    if (other !== undefined)
      throw propertyFault(child, 'reg', `protocol 0x${number.toString(16)} is also ${other.path}'s`)
    protocols.set(number, child)
  }
  return protocols
}

function isBelowXenSci(node: DeviceNode): boolean {
  for (let at = node.parent; at !== undefined; at = at.parent)
    if (compatibleOf(at).includes('xen,sci')) return true
  return false
}

function compatibleOf(node: DeviceNode): readonly string[] {
  try {
    return stringList(node, 'compatible') ?? []
  } catch {
    return [] // a compatible that is no string makes no node an SCMI provider
  }
}
