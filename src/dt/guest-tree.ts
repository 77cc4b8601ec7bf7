// A guest's partial tree with its own SCMI nodes: the operator's devices as they are, the SCMI nodes made anew, and what
// the devices name of SCMI pointed at them under the guest's ids. Who may hold what is not known here.
import { passedDevices } from './devices.ts'
import {
  type Cell,
  cells,
  childOf,
  copyNode,
  type DraftNode,
  draft,
  flag,
  strings,
  type Value,
} from './draft.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { consumerCells, isConsumer } from './holdings.ts'
import type { Note } from './host-device.ts'
import { importedNode } from './imported.ts'
import { stringList, u32 } from './node.ts'
import { phandleEntries, type Scope } from './references.ts'
import type { Fragment } from './scmi-fragment.ts'
import { scmiAround, scmiCompatible } from './scmi-node.ts'

export interface GuestTreeSpec {
  /** The domain's partial tree. */
  readonly partial: DeviceTree
  readonly host: DeviceTree | undefined
  readonly fragment: Fragment
  /**
   * The guest's id for what a tree calls `id`, which is the partial tree's way of counting or the host's; undefined for
   * what the guest does not hold.
   */
  readonly guestId: (protocol: number, id: number, from: 'partial' | 'host') => number | undefined
  readonly note: Note
}

/** Lists of names that go with a list of phandles. */
const companions: Readonly<Record<string, readonly string[]>> = {
  clocks: ['clock-names'],
  'power-domains': ['power-domain-names'],
  resets: ['reset-names'],
  'io-channels': ['io-channel-names'],
  'assigned-clocks': ['assigned-clock-rates', 'assigned-clock-rates-u64', 'assigned-clock-parents'],
}
const PINCTRL = 0x19
const VOLTAGE = 0x17

/** The whole partial tree, root first: what xl, Xen and `scmid` read as the guest's device_tree=. */
export function guestTree(spec: GuestTreeSpec): DraftNode {
  const { partial, host, fragment } = spec
  const copies = new Map<DeviceNode, DraftNode>()
  const keep = (node: DeviceNode): boolean => scmiCompatible(node) === undefined && !isShmem(node)
  const own = partial.root.children.get('passthrough')
  const passthrough = own === undefined ? draft('passthrough') : copyNode(own, copies, keep)
  for (const [name, value] of busOf(2))
    if (!passthrough.properties.has(name)) passthrough.properties.set(name, value)
  place(fragment, passthrough)

  const silent = (): void => {}
  const devices = passedDevices(partial, host, silent)
  const passed = new Set(devices.flatMap(({ hostNode }) => hostNode ?? []))
  for (const { node, hostNode } of devices) {
    const visit = (each: DeviceNode, behind: DeviceNode | undefined): void => {
      const copy = copies.get(each)
      if (copy === undefined) return
      point(copy, each, behind, { ...spec, copies, passthrough })
      for (const child of each.children.values()) {
        if (child.properties.has('xen,path') || scmiCompatible(child) !== undefined) continue
        const twin = behind?.children.get(child.name)
        visit(child, twin !== undefined && passed.has(twin) ? undefined : twin)
      }
    }
    visit(node, hostNode)
  }
  const root = draft('', { '#address-cells': cells(2), '#size-cells': cells(2) })
  const aliases = partial.root.children.get('aliases')
  if (aliases !== undefined) root.children.set('aliases', copyNode(aliases, copies))
  root.children.set('passthrough', passthrough)
  return root
}

/** Shared memory and SCMI node below /passthrough: libxl copies nothing else, and Linux looks into buses alone. */
function place({ shmem, scmi }: Fragment, passthrough: DraftNode): void {
  const first = new Map(passthrough.children)
  passthrough.children.clear()
  if (shmem !== undefined) passthrough.children.set(shmem.name, shmem)
  const firmware = first.get('firmware') ?? draft('firmware')
  passthrough.children.set('firmware', firmware)
  for (const [name, child] of first) passthrough.children.set(name, child)
  for (const [name, value] of busOf(2))
    if (!firmware.properties.has(name)) firmware.properties.set(name, value)
  firmware.children.set(scmi.name, scmi)
}

const busOf = (count: number): readonly (readonly [string, Value])[] => [
  ['compatible', strings('simple-bus')],
  ['#address-cells', cells(count)],
  ['#size-cells', cells(count)],
  ['ranges', flag],
]

interface Pointing extends GuestTreeSpec {
  readonly copies: ReadonlyMap<DeviceNode, DraftNode>
  readonly passthrough: DraftNode
}

/** Writes into `copy` what the partial node names, and what the host's names where the partial one is silent. */
function point(copy: DraftNode, own: DeviceNode, behind: DeviceNode | undefined, at: Pointing): void {
  const names = new Set([...own.properties.keys(), ...(behind?.properties.keys() ?? [])])
  for (const name of names) {
    if (!isConsumer(name) && name !== 'assigned-clock-parents') continue
    if (own.properties.has(name)) rewrite(copy, own, name, 'partial', at)
    else if (behind !== undefined && name !== 'assigned-clock-parents') {
      rewrite(copy, behind, name, 'host', at)
      if (!copy.properties.has(name)) continue
      for (const companion of companions[name] ?? []) inheritCompanion(copy, own, behind, companion, at)
    }
  }
  if (behind !== undefined && /^pinctrl-\d+$/m.test([...copy.properties.keys()].join('\n')))
    inheritCompanion(copy, own, behind, 'pinctrl-names', at)
  if (own.properties.has('access-controllers')) controllers(copy, own, at)
}

function inheritCompanion(
  copy: DraftNode,
  own: DeviceNode,
  behind: DeviceNode,
  name: string,
  at: Pointing,
): void {
  const value = behind.properties.get(name)?.value
  if (value === undefined || own.properties.has(name)) return
  if (name === 'assigned-clock-parents') rewrite(copy, behind, name, 'host', at)
  else copy.properties.set(name, { bytes: value })
}

/** One list of phandles. An entry that cannot be followed becomes an empty one, so that the others keep their places. */
function rewrite(
  copy: DraftNode,
  node: DeviceNode,
  name: string,
  from: 'partial' | 'host',
  at: Pointing,
): void {
  const scope: Scope =
    from === 'partial' ? { own: at.partial, fallback: at.host } : { own: at.host ?? at.partial }
  const cellsName = name === 'assigned-clock-parents' ? '#clock-cells' : (consumerCells(name) ?? null)
  const entries = phandleEntries(node, name, cellsName, scope, () => {})
  const values: (readonly Cell[])[] = []
  let found = 0
  for (const { index, provider, args, label } of entries) {
    while (values.length < index) values.push([0])
    const target = follow(provider, args, from, at)
    if (target === undefined) at.note(node, `${label} is left out: it leads to ${provider.path}`)
    else found++
    values.push(target ?? [0])
  }
  if (found > 0) copy.properties.set(name, cells(...values.flat()))
  else if (entries.length > 0) {
    copy.properties.delete(name)
    for (const companion of companions[name] ?? []) copy.properties.delete(companion)
  }
}

/** Where an entry leads in the guest's tree; undefined where it has nothing of the kind. */
function follow(
  provider: DeviceNode,
  args: readonly number[],
  from: 'partial' | 'host',
  at: Pointing,
): readonly Cell[] | undefined {
  const around = scmiAround(provider)
  if (around === undefined) {
    const target = at.copies.get(provider) ?? importedNode(provider, at.passthrough)
    return target === undefined ? undefined : [target, ...args]
  }
  const protocol = around.protocol === undefined ? undefined : number(around.protocol, 'reg')
  if (protocol === undefined) return undefined
  const own = at.fragment.providers.get(protocol)
  if (own === undefined) return undefined
  if (protocol === PINCTRL) return [importedState(provider, own)]
  if (protocol === VOLTAGE) {
    const id = number(provider, 'reg')
    const guest = id === undefined ? undefined : at.guestId(protocol, id, from)
    const regulator = guest === undefined ? undefined : at.fragment.regulators.get(guest)
    return regulator === undefined ? undefined : [regulator]
  }
  const [id, ...rest] = args
  const guest = id === undefined ? undefined : at.guestId(protocol, id, from)
  return guest === undefined ? undefined : [own, guest, ...rest]
}

/** A pin state names its groups and functions: the same names hold in the guest. */
function importedState(state: DeviceNode, protocol: DraftNode): DraftNode {
  return childOf(protocol, state.name, () => {
    const copies = new Map<DeviceNode, DraftNode>()
    const copy = copyNode(state, copies)
    for (const each of copies.values()) each.phandle = undefined
    return copy
  })
}

/** Device ids are the firmware's in every tree: only the phandle changes. */
function controllers(copy: DraftNode, own: DeviceNode, at: Pointing): void {
  const scope = { own: at.partial, fallback: at.host }
  const entries = phandleEntries(own, 'access-controllers', '#access-controller-cells', scope, () => {})
  const values = entries.flatMap(({ provider, args }): readonly Cell[] => {
    if (scmiAround(provider) !== undefined) return [at.fragment.scmi, ...args]
    const target = at.copies.get(provider)
    return target === undefined ? [] : [target, ...args]
  })
  if (values.length > 0) copy.properties.set('access-controllers', cells(...values))
  else copy.properties.delete('access-controllers')
}

const number = (node: DeviceNode, name: string): number | undefined => {
  try {
    return u32(node, name)
  } catch {
    return undefined // the plan has told it
  }
}

function isShmem(node: DeviceNode): boolean {
  try {
    return (stringList(node, 'compatible') ?? []).includes('arm,scmi-shmem')
  } catch {
    return false
  }
}
