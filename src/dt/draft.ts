// A device tree in the making: nodes that can still be changed, values that name other nodes. The writers
// (write-fdt.ts, write-dts.ts) make a blob or source of it.
import type { DeviceNode, Property } from './fdt.ts'

/** 32 bits: a number, or the phandle of a node. */
export type Cell = number | DraftNode

/** A property's value; an empty one is `{ bytes }` of no length. */
export type Value =
  | { readonly cells: readonly Cell[] }
  | { readonly strings: readonly string[] }
  | { readonly bytes: Uint8Array }

export interface DraftNode {
  readonly name: string
  /** What source text calls it where something refers to it. */
  label: string | undefined
  /** The phandle it must have, because bytes that nobody can read may name it; else the writer chooses one. */
  phandle: number | undefined
  readonly properties: Map<string, Value>
  /** By name, in order. */
  readonly children: Map<string, DraftNode>
}

export const flag: Value = { bytes: new Uint8Array() }
export const cells = (...values: readonly Cell[]): Value => ({ cells: values })
export const strings = (...values: readonly string[]): Value => ({ strings: values })

/** 64 bits as two cells. */
export const wide = (value: bigint): readonly [number, number] => [
  Number((value >> 32n) & 0xffff_ffffn),
  Number(value & 0xffff_ffffn),
]

/** A node without a place in a tree yet. */
export function draft(
  name: string,
  properties: Readonly<Record<string, Value>> = {},
  children: readonly DraftNode[] = [],
  label?: string,
): DraftNode {
  return {
    name,
    label,
    phandle: undefined,
    properties: new Map(Object.entries(properties)),
    children: new Map(children.map(child => [child.name, child])),
  }
}

/** The child of this name, put there as `make` gives it where there is none. */
export function childOf(
  parent: DraftNode,
  name: string,
  make: () => DraftNode = () => draft(name),
): DraftNode {
  let child = parent.children.get(name)
  if (child === undefined) {
    child = make()
    parent.children.set(name, child)
  }
  return child
}

/**
 * A copy of `node` and what `keep` takes of all below it. Values are copied as bytes; phandles stay as they are.
 * @param copies gets every copied node with its copy
 */
export function copyNode(
  node: DeviceNode,
  copies: Map<DeviceNode, DraftNode>,
  keep: (node: DeviceNode) => boolean = () => true,
): DraftNode {
  const copy = draft(node.name)
  for (const property of node.properties.values()) {
    if (property.name === 'phandle' || property.name === 'linux,phandle') copy.phandle = phandleOf(property)
    else copy.properties.set(property.name, { bytes: property.value })
  }
  copies.set(node, copy)
  for (const child of node.children.values())
    if (keep(child)) copy.children.set(child.name, copyNode(child, copies, keep))
  return copy
}

/** The reader has proven that it has four bytes. */
const phandleOf = ({ value }: Property): number =>
  new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0)

/** `root` and all below it, parents first. */
export function* allNodes(root: DraftNode): Generator<DraftNode> {
  yield root
  for (const child of root.children.values()) yield* allNodes(child)
}

/**
 * The phandle of every node that needs one: those that have one, and those that a value names. New ones are the lowest
 * free numbers from 1.
 */
export function assignPhandles(root: DraftNode): ReadonlyMap<DraftNode, number> {
  const assigned = new Map<DraftNode, number>()
  const nodes = [...allNodes(root)]
  const taken = new Set<number>()
  for (const node of nodes)
    if (node.phandle !== undefined) {
      assigned.set(node, node.phandle)
      taken.add(node.phandle)
    }
  const there = new Set(nodes)
  let next = 1
  for (const node of nodes)
    for (const value of node.properties.values())
      for (const cell of 'cells' in value ? value.cells : []) {
        if (typeof cell === 'number' || assigned.has(cell)) continue
        if (!there.has(cell)) throw new Error(`${node.name} refers to ${cell.name}, which is not in the tree`)
        while (taken.has(next)) next++
        taken.add(next)
        assigned.set(cell, next)
      }
  return assigned
}
