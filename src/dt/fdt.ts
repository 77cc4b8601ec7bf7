// Flattened device tree blob (version 17) to an immutable tree of nodes. What properties mean is not known here.
import { malformed } from './fault.ts'
import { type MemoryReservation, readHeader } from './fdt-header.ts'

export interface Property {
  readonly name: string
  /** The bytes as they stand in the blob, in a copy of its own. */
  readonly value: Uint8Array
  /** Byte offset of the value in the blob, for errors. */
  readonly offset: number
}

export interface DeviceNode {
  /** With its unit address: `ethernet@e6800000`; empty for the root. */
  readonly name: string
  readonly path: string
  /** The file the node was read from, for errors. */
  readonly file: string
  readonly parent: DeviceNode | undefined
  readonly properties: ReadonlyMap<string, Property>
  /** By name, in the order of the blob. */
  readonly children: ReadonlyMap<string, DeviceNode>
  /** Byte offset of the node's FDT_BEGIN_NODE in the blob. */
  readonly offset: number
}

export interface DeviceTree {
  readonly file: string
  readonly root: DeviceNode
  readonly phandles: ReadonlyMap<number, DeviceNode>
  readonly reservations: readonly MemoryReservation[]
  readonly bootCpu: number
}

/** Far above any real tree; they keep a hostile blob from costing more than it weighs. */
export const limits = { depth: 64, nodes: 1 << 16, properties: 1 << 17, nameBytes: 255 } as const

const BEGIN_NODE = 1
const END_NODE = 2
const PROP = 3
const NOP = 4
const END = 9

type Growing = DeviceNode & {
  readonly parent: Growing | undefined
  readonly properties: Map<string, Property>
  readonly children: Map<string, DeviceNode>
}

/**
 * Reads a whole blob. Bytes behind the header's totalsize are ignored; names must be unique among siblings,
 * phandles in the tree.
 * @param file names the blob in errors
 * @throws MediatorError DTB_MALFORMED that names file, node and byte offset
 */
export function readDeviceTree(blob: Uint8Array, file: string): DeviceTree {
  const header = readHeader(blob, file)
  const bytes = new Uint8Array(blob.subarray(0, header.totalSize)) // a copy; a Buffer's slice would be none
  const view = new DataView(bytes.buffer)
  const { structure, strings } = header
  const phandles = new Map<number, DeviceNode>()
  let offset = structure.start
  let depth = 0
  let nodes = 0
  let properties = 0
  let node: Growing | undefined
  let root: DeviceNode | undefined

  const fail = (at: number, text: string) => malformed(file, node?.path, at, text)

  const word = (what: string): number => {
    if (offset + 4 > structure.end) throw fail(offset, `the structure block ends where ${what} is expected`)
    const value = view.getUint32(offset)
    offset += 4
    return value
  }

  /** A name that ends in a zero byte before `end`. */
  const nameAt = (start: number, end: number, what: string): string => {
    let stop = start
    const last = Math.min(end, start + limits.nameBytes + 1)
    while (stop < last && bytes[stop] !== 0) {
      const byte = bytes[stop] ?? 0
      if (byte <= 0x20 || byte >= 0x7f)
        throw fail(stop, `${what} has a byte 0x${byte.toString(16)} that no name may have`)
      stop++
    }
    if (stop === last)
      throw fail(
        start,
        last === end ? `${what} is not terminated` : `${what} is over ${limits.nameBytes} bytes`,
      )
    return latin1.decode(bytes.subarray(start, stop))
  }

  const beginNode = (at: number): Growing => {
    const name = nameAt(offset, structure.end, 'node name')
    offset = align4(offset + name.length + 1)
    if (node === undefined) {
      if (root !== undefined) throw fail(at, 'a second root node')
      if (name !== '') throw fail(at, `the root node is named "${name}"`)
    } else {
      if (name === '') throw fail(at, 'a child node without a name')
      if (name.includes('/')) throw fail(at, `node name "${name}" has a slash`)
      if (node.children.has(name)) throw fail(at, `two child nodes named "${name}"`)
    }
    if (++depth > limits.depth) throw fail(at, `nodes are nested more than ${limits.depth} deep`)
    if (++nodes > limits.nodes) throw fail(at, `more than ${limits.nodes} nodes`)
    const path = node === undefined ? '/' : node.parent === undefined ? `/${name}` : `${node.path}/${name}`
    const child = { name, path, file, parent: node, properties: new Map(), children: new Map(), offset: at }
    node?.children.set(name, child)
    return child
  }

  const property = (at: number, owner: Growing): void => {
    const length = word('a property length')
    const nameOffset = word('a property name offset')
    if (strings.start + nameOffset >= strings.end)
      throw fail(at, `property name offset ${nameOffset} lies outside the strings block`)
    const name = nameAt(strings.start + nameOffset, strings.end, 'property name')
    if (name === '') throw fail(at, 'a property without a name')
    if (offset + length > structure.end)
      throw fail(at, `property "${name}": ${length} bytes reach beyond the structure block`)
    if (owner.children.size > 0) throw fail(at, `property "${name}" stands behind a child node`)
    if (owner.properties.has(name)) throw fail(at, `property "${name}" stands twice`)
    if (++properties > limits.properties) throw fail(at, `more than ${limits.properties} properties`)
    const read = { name, value: bytes.subarray(offset, offset + length), offset }
    owner.properties.set(name, read)
    if (name === 'phandle' || name === 'linux,phandle') addPhandle(read, owner)
    offset = align4(offset + length)
  }

  const addPhandle = ({ name, value, offset: at }: Property, owner: Growing): void => {
    if (value.length !== 4) throw fail(at, `property "${name}" has ${value.length} bytes, a phandle has 4`)
    const phandle = view.getUint32(at)
    if (phandle === 0 || phandle === 0xffffffff)
      throw fail(at, `property "${name}" is 0x${phandle.toString(16)}, which is no phandle`)
    const other = phandles.get(phandle)
    if (other !== undefined && other !== owner)
      throw fail(at, `phandle 0x${phandle.toString(16)} is also ${other.path}'s`)
    for (const twin of ['phandle', 'linux,phandle']) {
      const twinOffset = owner.properties.get(twin)?.offset ?? at
      if (view.getUint32(twinOffset) !== phandle) throw fail(at, 'phandle and linux,phandle differ')
    }
    phandles.set(phandle, owner)
  }

  for (;;) {
    const at = offset
    const token = word('a token')
    if (token === BEGIN_NODE) {
      node = beginNode(at)
      root ??= node
    } else if (token === PROP) {
      if (node === undefined) throw fail(at, 'a property outside any node')
      property(at, node)
    } else if (token === END_NODE) {
      if (node === undefined) throw fail(at, 'FDT_END_NODE without a node')
      depth--
      node = node.parent
    } else if (token === END) {
      if (node !== undefined) throw fail(at, 'FDT_END inside a node')
      if (root === undefined) throw fail(at, 'no root node')
      return { file, root, phandles, reservations: header.reservations, bootCpu: header.bootCpu }
    } else if (token !== NOP) throw fail(at, `unknown token 0x${token.toString(16)}`)
  }
}

const latin1 = new TextDecoder('latin1')
const align4 = (offset: number): number => (offset + 3) & ~3
