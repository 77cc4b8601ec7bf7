// A whole tree, such as a virtual machine monitor makes, with a guest's SCMI nodes in it: at /firmware, where Linux looks
// without being told, and with symbols, so that an overlay can point the guest's own devices at them.
import { MediatorError } from '../errors.ts'
import { allNodes, childOf, copyNode, type DraftNode, strings } from './draft.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { busCells } from './node.ts'
import type { Fragment } from './scmi-fragment.ts'
import { scmiCompatible } from './scmi-node.ts'

/**
 * `base` with the nodes of `fragment`; SCMI nodes that it has already are replaced.
 * @throws MediatorError DTB_REFUSED where shared memory would go into a root without two address and two size cells
 */
export function graftedTree(base: DeviceTree, { scmi, shmem }: Fragment): DraftNode {
  const copies = new Map<DeviceNode, DraftNode>()
  const root = copyNode(base.root, copies, node => scmiCompatible(node) === undefined)
  if (shmem !== undefined) {
    const found = [busCells(base.root, '#address-cells'), busCells(base.root, '#size-cells')]
    if (found.join() !== '2,2')
      throw new MediatorError(
        'DTB_REFUSED',
        `${base.file}: /: #address-cells and #size-cells are ${found.join(' and ')}, expected 2 and 2 for ${shmem.name}`,
        { path: base.file },
      )
    root.children.set(shmem.name, shmem)
  }
  childOf(root, 'firmware').children.set(scmi.name, scmi)
  const symbols = childOf(root, '__symbols__')
  for (const node of allNodes(scmi))
    if (node.label !== undefined) {
      node.phandle ??= freePhandle(root) // an overlay can only point at what has one
      symbols.properties.set(node.label.replace(/[^A-Za-z0-9_]/g, '_'), strings(pathOf(node, root)))
    }
  root.children.delete('__symbols__')
  root.children.set('__symbols__', symbols)
  return root
}

function freePhandle(root: DraftNode): number {
  let highest = 0
  for (const { phandle = 0 } of allNodes(root)) highest = Math.max(highest, phandle)
  return highest + 1
}

function pathOf(node: DraftNode, root: DraftNode): string {
  const search = (at: DraftNode, path: string): string | undefined => {
    if (at === node) return path
    for (const child of at.children.values()) {
      const found = search(child, `${path}/${child.name}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  return search(root, '') ?? '/'
}
