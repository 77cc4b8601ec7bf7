// A draft tree to device tree source, as people write it: labels where nodes are referred to, strings and cells where
// the bytes are such. dtc makes of it a tree with the meaning of write-fdt.ts's blob.
import { allNodes, assignPhandles, type DraftNode, type Value } from './draft.ts'
import type { MemoryReservation } from './fdt-header.ts'
import { valueBytes } from './write-fdt.ts'

/**
 * The source text.
 * @param comment lines to stand above the tree
 */
export function writeDts(
  root: DraftNode,
  comment: readonly string[] = [],
  reserved: readonly MemoryReservation[] = [],
): string {
  const phandles = assignPhandles(root)
  const labels = labelsOf(root, phandles)
  const lines: string[] = []
  if (comment.length > 0)
    lines.push('/*', ...comment.map(line => ` * ${line.replaceAll('*/', '* /')}`.trimEnd()), ' */')
  lines.push('/dts-v1/;', '')
  for (const { address, size } of reserved)
    lines.push(`/memreserve/ 0x${address.toString(16)} 0x${size.toString(16)};`, '')
  const write = (node: DraftNode, name: string, indent: string): void => {
    const label = labels.get(node)
    lines.push(`${indent}${label === undefined ? '' : `${label}: `}${name} {`)
    const inner = `${indent}\t`
    for (const [key, value] of node.properties) {
      const shown = valueText(value, labels, phandles)
      lines.push(`${inner}${key}${shown === '' ? '' : ` = ${shown}`};`)
    }
    // Only one that must stay: for the others dtc chooses.
    if (node.phandle !== undefined) lines.push(`${inner}phandle = <${hex(node.phandle)}>;`)
    for (const child of node.children.values()) {
      if (lines.at(-1)?.endsWith('{') === false) lines.push('')
      write(child, child.name, inner)
    }
    lines.push(`${indent}};`)
  }
  write(root, '/', '')
  return `${lines.join('\n')}\n`
}

/** A label for every node that something refers to, each unique. */
function labelsOf(root: DraftNode, phandles: ReadonlyMap<DraftNode, number>): ReadonlyMap<DraftNode, string> {
  const labels = new Map<DraftNode, string>()
  const taken = new Set<string>()
  for (const node of allNodes(root)) {
    if (node.label === undefined && !phandles.has(node)) continue
    const wanted = (node.label ?? node.name.replace(/@.*/, '')).replace(/[^A-Za-z0-9_]/g, '_')
    const base = /^[A-Za-z_]/.test(wanted) ? wanted : `node_${wanted}`
    let label = base
    for (let count = 1; taken.has(label); count++) label = `${base}_${count}`
    taken.add(label)
    labels.set(node, label)
  }
  return labels
}

function valueText(
  value: Value,
  labels: ReadonlyMap<DraftNode, string>,
  phandles: ReadonlyMap<DraftNode, number>,
): string {
  if ('cells' in value) {
    const shown = value.cells.map(cell => (typeof cell === 'number' ? number(cell) : `&${labels.get(cell)}`))
    return `<${shown.join(' ').replaceAll(' &', '>, <&')}>`
  }
  const bytes = valueBytes(value, phandles)
  if (bytes.length === 0) return ''
  const list = 'strings' in value ? value.strings : stringsIn(bytes)
  if (list !== undefined) return list.map(quoted).join(', ')
  if (bytes.length % 4 !== 0)
    return `[${Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ')}]`
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return `<${Array.from({ length: bytes.length / 4 }, (_, index) => number(view.getUint32(index * 4))).join(' ')}>`
}

/** The strings that bytes are, where they look like some and no empty one is among them; dtc guesses alike. */
function stringsIn(bytes: Uint8Array): readonly string[] | undefined {
  if (bytes.at(-1) !== 0) return undefined
  const list = latin1.decode(bytes.subarray(0, -1)).split('\0')
  return list.every(each => /^[\x20-\x7e]+$/.test(each)) ? list : undefined
}

const latin1 = new TextDecoder('latin1')
const hex = (value: number): string => `0x${value.toString(16)}`
const number = (value: number): string => (value < 10 ? String(value) : hex(value))

/** In dtc's escapes; bytes outside of ASCII by their number. */
function quoted(text: string): string {
  const escaped = Array.from(utf8.encode(text), byte => {
    if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`
    return byte >= 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`
  })
  return `"${escaped.join('')}"`
}
const utf8 = new TextEncoder()
