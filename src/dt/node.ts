// Typed readers of device tree properties: numbers, strings, addresses. Each names file, node and property when the
// bytes are not what was asked for; what a property is for is not known here.
import type { MediatorError } from '../errors.ts'
import { malformed } from './fault.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'

/** One entry of `reg`: in the parent bus's address space, bytes. */
export interface Region {
  readonly address: bigint
  readonly size: bigint
}

/** DTB_MALFORMED for a property whose bytes are not what its reader needs. */
export const propertyFault = (node: DeviceNode, name: string, text: string): MediatorError =>
  malformed(
    node.file,
    node.path,
    node.properties.get(name)?.offset ?? node.offset,
    `property "${name}": ${text}`,
  )

/** The value as 32-bit cells; undefined when the property is absent. */
export function u32Array(node: DeviceNode, name: string): readonly number[] | undefined {
  const value = node.properties.get(name)?.value
  if (value === undefined) return undefined
  if (value.length % 4 !== 0)
    throw propertyFault(node, name, `${value.length} bytes are not a multiple of 4-byte cells`)
  const view = viewOf(value)
  return Array.from({ length: value.length / 4 }, (_, index) => view.getUint32(index * 4))
}

/** The value as exactly one cell; undefined when the property is absent. */
export function u32(node: DeviceNode, name: string): number | undefined {
  const value = node.properties.get(name)?.value
  if (value === undefined) return undefined
  if (value.length !== 4) throw propertyFault(node, name, `${value.length} bytes, one cell has 4`)
  return viewOf(value).getUint32(0)
}

/** The value as one number of one or two cells; undefined when the property is absent. */
export function u64(node: DeviceNode, name: string): bigint | undefined {
  const cells = u32Array(node, name)
  if (cells === undefined) return undefined
  if (cells.length !== 1 && cells.length !== 2)
    throw propertyFault(node, name, `${cells.length} cells, a number has one or two`)
  return cellsToNumber(cells, 0, cells.length)
}

/** The value as a list of strings, each ended by a zero byte; undefined when the property is absent. */
export function stringList(node: DeviceNode, name: string): readonly string[] | undefined {
  const value = node.properties.get(name)?.value
  if (value === undefined) return undefined
  if (value.length === 0) return []
  if (value.at(-1) !== 0) throw propertyFault(node, name, 'the string is not terminated')
  try {
    return utf8.decode(value.subarray(0, -1)).split('\0')
  } catch {
    throw propertyFault(node, name, 'the string is not UTF-8')
  }
}

/** The value as exactly one string; undefined when the property is absent. */
export function string(node: DeviceNode, name: string): string | undefined {
  const list = stringList(node, name)
  if (list === undefined) return undefined
  const [only] = list
  if (only === undefined || list.length !== 1)
    throw propertyFault(node, name, `${list.length} strings, one is expected`)
  return only
}

/** The node of the same tree that the property's only cell refers to; undefined when the property is absent. */
export function phandleTarget(tree: DeviceTree, node: DeviceNode, name: string): DeviceNode | undefined {
  const phandle = u32(node, name)
  if (phandle === undefined) return undefined
  const target = tree.phandles.get(phandle)
  if (target === undefined)
    throw propertyFault(node, name, `phandle 0x${phandle.toString(16)} is no node's in this file`)
  return target
}

/** `#address-cells` or `#size-cells` that `node` sets for its children; the standard's default where it is silent. */
export function busCells(node: DeviceNode, name: '#address-cells' | '#size-cells'): number {
  const cells = u32(node, name) ?? (name === '#address-cells' ? 2 : 1)
  if (cells > 4) throw propertyFault(node, name, `${cells} cells, at most 4 make an address`)
  return cells
}

/** `reg` by the parent's cells; undefined when absent. Sizes are 0 where the bus has no size cells. */
export function regions(node: DeviceNode): readonly Region[] | undefined {
  const bus = node.parent ?? node
  const tuples = tuplesOf(node, 'reg', [busCells(bus, '#address-cells'), busCells(bus, '#size-cells')])
  return tuples?.map(([address = 0n, size = 0n]) => ({ address, size }))
}

/** The value cut into tuples of numbers, `cells[i]` cells to the i-th; undefined when the property is absent. */
export function tuplesOf(
  node: DeviceNode,
  name: string,
  cells: readonly number[],
): readonly (readonly bigint[])[] | undefined {
  const values = u32Array(node, name)
  if (values === undefined) return undefined
  const stride = cells.reduce((sum, count) => sum + count, 0)
  if (stride === 0 ? values.length > 0 : values.length % stride !== 0)
    throw propertyFault(
      node,
      name,
      `${values.length} cells are not a multiple of ${stride} (${cells.join(' + ')})`,
    )
  const tuples: bigint[][] = []
  for (let start = 0; start < values.length; ) {
    const tuple: bigint[] = []
    for (const count of cells) {
      tuple.push(cellsToNumber(values, start, count))
      start += count
    }
    tuples.push(tuple)
  }
  return tuples
}

/** `region`, an entry of `node`'s reg, as the CPU sees it: through the `ranges` of every bus above. */
export function toPhysical(node: DeviceNode, region: Region): Region {
  let { address } = region
  for (let bus = node.parent; bus?.parent !== undefined; bus = bus.parent) {
    const child = busCells(bus, '#address-cells')
    const ranges = tuplesOf(bus, 'ranges', [
      child,
      busCells(bus.parent, '#address-cells'),
      busCells(bus, '#size-cells'),
    ])
    if (ranges === undefined)
      throw propertyFault(bus, 'ranges', `absent: the address of ${node.path} is not the CPU's`)
    if (ranges.length === 0) continue
    const window = ranges.find(
      ([start = 0n, , length = 0n]) => address >= start && address + region.size <= start + length,
    )
    if (window === undefined)
      throw propertyFault(bus, 'ranges', `no window holds 0x${address.toString(16)} of ${node.path}`)
    address = address - (window[0] ?? 0n) + (window[1] ?? 0n)
  }
  return { address, size: region.size }
}

/** The node at exactly this path; undefined when there is none. */
export function nodeAt(tree: DeviceTree, path: string): DeviceNode | undefined {
  if (!path.startsWith('/')) return undefined
  let node: DeviceNode | undefined = tree.root
  if (path !== '/') for (const name of path.slice(1).split('/')) node = node?.children.get(name)
  return node
}

/** `node` and all below it, parents first; a node that `enter` refuses is left out with all below it. */
export function* walk(
  node: DeviceNode,
  enter: (node: DeviceNode) => boolean = () => true,
): Generator<DeviceNode> {
  if (!enter(node)) return
  yield node
  for (const child of node.children.values()) yield* walk(child, enter)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function cellsToNumber(cells: readonly number[], start: number, count: number): bigint {
  let value = 0n
  for (let index = start; index < start + count; index++) value = (value << 32n) | BigInt(cells[index] ?? 0)
  return value
}
