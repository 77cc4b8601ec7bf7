// Providers without hardware of their own, which a guest's tree may have a copy of: fixed clocks, fixed regulators
// that nobody switches, tables of operating points.
import { copyNode, type DraftNode, type Value } from './draft.ts'
import type { DeviceNode } from './fdt.ts'
import { stringList } from './node.ts'

/** Copies are found again by the node they were made of. */
const origins = new WeakMap<DraftNode, DeviceNode>()

/** The copy of `node` among the children of `place`, made where there is none; undefined where it needs hardware. */
export function importedNode(node: DeviceNode, place: DraftNode): DraftNode | undefined {
  for (const child of place.children.values()) if (origins.get(child) === node) return child
  if (!isStateless(node)) return undefined
  const copies = new Map<DeviceNode, DraftNode>()
  const copy = copyNode(node, copies)
  for (const each of copies.values()) each.phandle = undefined // the host's numbers mean nothing here
  const base = node.name
  let name = base
  for (let count = 1; place.children.has(name); count++) name = `${base}-${count}`
  const named: DraftNode = { ...copy, name, label: node.name.replace(/@.*/, '') }
  place.children.set(name, named)
  origins.set(named, node)
  return named
}

const stateless: ReadonlyMap<string, RegExp> = new Map([
  // compatible, and the properties of which any one means that it does lead to something
  ['fixed-clock', /^$/],
  ['regulator-fixed', /gpio|-supply$|^(clocks|power-domains|pinctrl-\d+)$/],
  ['operating-points-v2', /^$/],
])

function isStateless(node: DeviceNode): boolean {
  let list: readonly string[]
  try {
    list = stringList(node, 'compatible') ?? []
  } catch {
    return false
  }
  const leads = list.map(value => stateless.get(value)).find(pattern => pattern !== undefined)
  if (leads === undefined) return false
  const names = [
    ...node.properties.keys(),
    ...[...node.children.values()].flatMap(child => [...child.properties.keys()]),
  ]
  return !names.some(name => leads.test(name) || name === 'required-opps')
}

/** Properties of a host's regulator that a guest's copy of it keeps: its names and limits, nothing that leads elsewhere. */
export function regulatorProperties(node: DeviceNode): ReadonlyMap<string, Value> {
  const kept = new Map<string, Value>()
  for (const { name, value } of node.properties.values())
    if (/^regulator-(?!coupled)/.test(name)) kept.set(name, { bytes: value })
  return kept
}
