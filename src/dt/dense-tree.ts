// The marker of a generated guest tree: ids in it are the guest's own, and its lists of names say what they stand for.
import { type Space, spaceOf } from '../scmi/space.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { propertyFault, string, stringList } from './node.ts'
import { maxEntries } from './references.ts'
import { scmiNodes } from './scmi-node.ts'

/** In the SCMI node: how ids in this tree are meant. */
export const discoveryProperty = 'scmi-mediator,discovery'
/** Its value in generated trees. */
const denseDiscovery = 'dense'
/**
 * In a protocol node: names of its resources in guest-id order, as `labelOf` (permissions/numbering.ts) gives them. A
 * protocol that has namespaces (pin control) has one list for each, in the order of its selector.
 */
const namesProperty = 'scmi-mediator,names'
export const namesProperties: readonly string[] = [
  namesProperty,
  'scmi-mediator,group-names',
  'scmi-mediator,function-names',
]

/** What a tree with the marker says. */
export interface DenseTree {
  /** The SCMI node that carries the marker. */
  readonly scmi: DeviceNode
  /** Names in guest-id order, by space. */
  readonly names: ReadonlyMap<Space, readonly string[]>
}

/**
 * The marker of a tree; undefined where no SCMI node has it.
 * @throws MediatorError DTB_MALFORMED for a value that is neither "dense" nor "identity", a list that is no list of
 * strings or too long, and two SCMI nodes with the marker
 */
export function denseTree(tree: DeviceTree): DenseTree | undefined {
  let found: DenseTree | undefined
  for (const { node, protocols } of scmiNodes(tree)) {
    const value = string(node, discoveryProperty)
    if (value === undefined || value === 'identity') continue
    if (value !== denseDiscovery)
      throw propertyFault(node, discoveryProperty, `"${value}": expected "${denseDiscovery}" or "identity"`)
    if (found !== undefined)
      throw propertyFault(node, discoveryProperty, `also in ${found.scmi.path}: a guest has one SCMI node`)
    found = { scmi: node, names: namesOf(protocols) }
  }
  return found
}

function namesOf(protocols: ReadonlyMap<number, DeviceNode>): ReadonlyMap<Space, readonly string[]> {
  const names = new Map<Space, readonly string[]>()
  for (const [protocol, node] of protocols) {
    if (protocol > 0xff) continue // no header has room for it
    for (const [namespace, property] of namesProperties.entries()) {
      const list = stringList(node, property)
      if (list === undefined) continue
      if (list.length > maxEntries)
        throw propertyFault(node, property, `${list.length} names, at most ${maxEntries} are read`)
      names.set(spaceOf(protocol, namespace), list)
    }
  }
  return names
}
