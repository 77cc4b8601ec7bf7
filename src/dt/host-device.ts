// Devices of a host tree as nodes of a Xen partial tree: addresses as the CPU sees them, interrupts at the guest's GIC,
// nothing that leads out of the device. What they name of SCMI is left to xen,path, which leads back to the host.
import { errorText, MediatorError } from '../errors.ts'
import {
  allNodes,
  type Cell,
  cells,
  childOf,
  copyNode,
  type DraftNode,
  draft,
  flag,
  strings,
  wide,
} from './draft.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { isConsumer } from './holdings.ts'
import { importedNode } from './imported.ts'
import { type Region, regions, stringList, toPhysical, u32, u32Array } from './node.ts'
import { phandleEntries } from './references.ts'

/** Says what could not be taken along, and where. */
export type Note = (node: DeviceNode, text: string) => void

/** The phandle that Xen gives the guest's interrupt controller; those from here on are Xen's. */
const guestGicPhandle = 65000
const pageBytes = 0x1000n

/** Lists of phandles that a device may have beside what holdings.ts reads: name or pattern, and what counts arguments. */
const otherLists: readonly (readonly [property: RegExp, cells: string | null])[] = [
  [/^iommus$/, '#iommu-cells'],
  [/^dmas$/, '#dma-cells'],
  [/^phys$/, '#phy-cells'],
  [/^mboxes$/, '#mbox-cells'],
  [/^pwms$/, '#pwm-cells'],
  [/^hwlocks$/, '#hwlock-cells'],
  [/^interconnects$/, '#interconnect-cells'],
  [/^sound-dai$/, '#sound-dai-cells'],
  [/^cooling-device$/, '#cooling-cells'],
  [/^performance-domains$/, '#performance-domain-cells'],
  [/(^|-)gpios?$/, '#gpio-cells'],
  [/^(phy-handle|memory-region|msi-parent|nvmem-cells|remote-endpoint|operating-points-v2|syscon)$/, null],
]
const namesOf: Readonly<Record<string, string>> = {
  dmas: 'dma-names',
  phys: 'phy-names',
  mboxes: 'mbox-names',
  interconnects: 'interconnect-names',
  'nvmem-cells': 'nvmem-cell-names',
  'memory-region': 'memory-region-names',
}

/**
 * A partial tree that passes `devices` of `host`, each at the addresses it has there, beside those of `partial`.
 * @throws MediatorError DTB_REFUSED for the root, a device inside another, and two that would have one name
 */
export function partialTree(
  host: DeviceTree,
  devices: readonly DeviceNode[],
  partial: DeviceTree | undefined,
  note: Note,
): DraftNode {
  const root =
    partial === undefined
      ? draft('', { '#address-cells': cells(2), '#size-cells': cells(2) })
      : copyNode(partial.root, new Map())
  const passthrough = childOf(root, 'passthrough', () =>
    draft('passthrough', {
      compatible: strings('simple-bus'),
      '#address-cells': cells(2),
      '#size-cells': cells(2),
      ranges: flag,
    }),
  )
  for (const device of new Set(devices)) {
    const outer = devices.find(other => other !== device && isInside(device, other))
    if (outer !== undefined) throw refused(device, `lies below ${outer.path}, which is passed as a whole`)
    if (device.parent === undefined) throw refused(device, 'the root is no device')
    const node = passedNode(device, host, passthrough, note)
    if (passthrough.children.has(node.name))
      throw refused(device, `another device is called ${node.name} too`)
    // The host's phandles may be the partial tree's already.
    if (partial !== undefined) for (const each of allNodes(node)) each.phandle = undefined
    passthrough.children.set(node.name, node)
  }
  return root
}

function passedNode(device: DeviceNode, host: DeviceTree, passthrough: DraftNode, note: Note): DraftNode {
  const copies = new Map<DeviceNode, DraftNode>()
  const copied = copyNode(device, copies)
  for (const [node, copy] of copies) tidy(node, copy, { device, host, copies, passthrough, note })

  const regs = attempt(() => (regions(device) ?? []).map(region => toPhysical(device, region)))
  if (typeof regs === 'string') note(device, `reg is left out: ${regs}`)
  const [first] = typeof regs === 'string' ? [] : regs
  const base = device.name.replace(/@.*/, '')
  const node = draft(first === undefined ? base : `${base}@${first.address.toString(16)}`, {}, [], base)
  node.phandle = copied.phandle
  for (const [name, child] of copied.children) node.children.set(name, child)
  const { properties } = node
  const compatible = copied.properties.get('compatible')
  if (compatible !== undefined) properties.set('compatible', compatible)
  if (typeof regs !== 'string' && regs.length > 0) {
    properties.set('reg', cells(...regs.flatMap(({ address, size }) => [...wide(address), ...wide(size)])))
    properties.set('xen,reg', cells(...regs.flatMap(pages)))
  }
  properties.set('xen,path', strings(device.path))
  if (!device.properties.has('iommus')) properties.set('xen,force-assign-without-iommu', flag)
  if (copied.properties.has('interrupts') && !copied.properties.has('interrupt-parent'))
    properties.set('interrupt-parent', cells(guestGicPhandle))
  for (const [name, value] of copied.properties)
    if (name !== 'reg' && name !== 'compatible') properties.set(name, value)
  return node
}

/** An entry of xen,reg: whole pages, where they are. */
function pages({ address, size }: Region): readonly number[] {
  const start = address & ~(pageBytes - 1n)
  const end = (address + size + pageBytes - 1n) & ~(pageBytes - 1n)
  return [...wide(start), ...wide(end - start), ...wide(start)]
}

interface Place {
  readonly device: DeviceNode
  readonly host: DeviceTree
  readonly copies: ReadonlyMap<DeviceNode, DraftNode>
  readonly passthrough: DraftNode
  readonly note: Note
}

/** Takes out of `copy` what leads out of the device, and points the rest at the copies. */
function tidy(node: DeviceNode, copy: DraftNode, place: Place): void {
  const { host, copies, passthrough, note } = place
  for (const name of ['xen,passthrough', 'status']) if (node === place.device) copy.properties.delete(name)
  for (const name of node.properties.keys()) {
    if (isConsumer(name) || name === 'access-controllers' || name === 'assigned-clock-parents') {
      copy.properties.delete(name) // comes back from the host, pointed at the guest's own nodes
      continue
    }
    const list = otherLists.find(([pattern]) => pattern.test(name))
    if (list === undefined) continue
    const entries = phandleEntries(node, name, list[1], { own: host }, () => {})
    const targets = entries.map(({ provider }) => copies.get(provider) ?? importedNode(provider, passthrough))
    if (targets.length > 0 && targets.every(target => target !== undefined)) {
      const values = entries.flatMap(({ args }, i): Cell[] => {
        const target = targets[i]
        return target === undefined ? [] : [target, ...args]
      })
      copy.properties.set(name, cells(...values))
      continue
    }
    copy.properties.delete(name)
    const names = namesOf[name]
    if (names !== undefined) copy.properties.delete(names)
    const where = entries.map(({ provider }) => provider.path).join(', ')
    if (name !== 'iommus') note(node, `${name} is left out: it leads to ${where || 'nothing known'}`)
  }
  interrupts(node, copy, place)
}

/** Interrupts stay where the guest's GIC stands for the host's, or a controller inside the device has them. */
function interrupts(node: DeviceNode, copy: DraftNode, { copies, host, note }: Place): void {
  const own = node.properties.has('interrupt-parent')
  if (own) copy.properties.delete('interrupt-parent')
  const extended = node.properties.has('interrupts-extended')
  if (extended) {
    const entries = phandleEntries(node, 'interrupts-extended', '#interrupt-cells', { own: host }, () => {})
    const values = entries.map(({ provider, args }): readonly Cell[] | undefined => {
      const inside = copies.get(provider)
      if (inside !== undefined) return [inside, ...args]
      return isGic(provider) ? [guestGicPhandle, ...args] : undefined
    })
    if (values.every(value => value !== undefined))
      copy.properties.set('interrupts-extended', cells(...values.flat()))
    else {
      copy.properties.delete('interrupts-extended')
      note(node, 'interrupts-extended is left out: not every entry leads to the GIC')
    }
  }
  if (!node.properties.has('interrupts')) return
  const parent = interruptParent(node, host)
  const inside = parent === undefined ? undefined : copies.get(parent)
  if (inside !== undefined) {
    if (own) copy.properties.set('interrupt-parent', cells(inside))
    return
  }
  if (parent !== undefined && isGic(parent)) return
  copy.properties.delete('interrupts')
  copy.properties.delete('interrupt-names')
  note(node, `interrupts is left out: its controller is ${parent?.path ?? 'not known'}, not the GIC`)
}

/** The controller that `interrupts` of this node are cut for; undefined where no node says so. */
function interruptParent(node: DeviceNode, tree: DeviceTree): DeviceNode | undefined {
  for (let at: DeviceNode | undefined = node; at !== undefined; at = at.parent) {
    const phandle = attempt(() => u32(at ?? node, 'interrupt-parent'))
    if (typeof phandle === 'number') return tree.phandles.get(phandle)
    if (at !== node && at.properties.has('interrupt-controller')) return at
  }
  return undefined
}

/** Whether a node is a GIC with the usual three cells: type, number, flags. */
function isGic(node: DeviceNode): boolean {
  const list = attempt(() => stringList(node, 'compatible'))
  const gic = Array.isArray(list) && list.some(value => /^arm,(.*-)?gic(-|$)/.test(value))
  return gic && attempt(() => u32(node, '#interrupt-cells')) === 3
}

/** Numbers of the shared peripheral interrupts that a host device raises at the GIC, as Xen counts them: from 32. */
export function sharedInterrupts(device: DeviceNode, host: DeviceTree): readonly number[] {
  const found: number[] = []
  const take = ([type, number]: readonly number[]): void => {
    if (type === 0 && number !== undefined) found.push(number + 32)
  }
  const controller = interruptParent(device, host)
  const list = attempt(() => u32Array(device, 'interrupts'))
  if (controller !== undefined && isGic(controller) && Array.isArray(list))
    for (let i = 0; i + 3 <= list.length; i += 3) take(list.slice(i, i + 3))
  for (const { provider, args } of phandleEntries(
    device,
    'interrupts-extended',
    '#interrupt-cells',
    { own: host },
    () => {},
  ))
    if (isGic(provider)) take(args)
  return found
}

const isInside = (node: DeviceNode, outer: DeviceNode): boolean => node.path.startsWith(`${outer.path}/`)

const refused = (device: DeviceNode, text: string): MediatorError =>
  new MediatorError('DTB_REFUSED', `${device.file}: ${device.path}: ${text}`, { path: device.path })

/** What `read` gives, or the text of its fault: a property that cannot be read is left out, not the device. */
function attempt<T>(read: () => T): T | string {
  try {
    return read()
  } catch (error) {
    return errorText(error)
  }
}
