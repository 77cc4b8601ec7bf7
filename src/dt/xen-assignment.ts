// What a Xen guest's configuration says beside its partial tree so that its devices work: dtdev, iomem, irqs. Facts from
// the trees; xl's notation is the command line's.
import type { PassedDevice } from './devices.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { sharedInterrupts } from './host-device.ts'
import { regions, toPhysical } from './node.ts'

/** Pages of the host that a guest may map, in frames of 4 KiB. */
export interface MappedFrames {
  readonly hostFrame: bigint
  readonly count: bigint
  readonly guestFrame: bigint
}

export interface XenAssignment {
  /** Host paths of devices behind an IOMMU; Xen refuses others. */
  readonly dtdev: readonly string[]
  /** Host paths of devices that no IOMMU confines. */
  readonly unconfined: readonly string[]
  readonly iomem: readonly MappedFrames[]
  /** Interrupt numbers as Xen counts them: shared peripheral interrupts from 32. */
  readonly irqs: readonly number[]
  /** Devices whose place is not known: no xen,reg, and no host node. */
  readonly unknown: readonly DeviceNode[]
}

const frameShift = 12n
const frameMask = 0xfffn

/** Where Xen's first bank of guest RAM begins and ends: GUEST_RAM0_BASE, GUEST_RAM0_SIZE of arch-arm.h. */
export const guestRam = { start: 0x4000_0000n, end: 0x1_0000_0000n } as const

/** The assignment for `devices` of one partial tree. */
export function xenAssignment(devices: readonly PassedDevice[], host: DeviceTree | undefined): XenAssignment {
  const dtdev: string[] = []
  const unconfined: string[] = []
  const iomem: MappedFrames[] = []
  const irqs = new Set<number>()
  const unknown: DeviceNode[] = []
  for (const { node, hostNode, xenPath, mappings } of devices) {
    if (xenPath === undefined) continue
    if (hostNode !== undefined) (hostNode.properties.has('iommus') ? dtdev : unconfined).push(hostNode.path)
    const windows = mappings.length > 0 ? mappings : hostWindows(node, hostNode)
    if (windows === undefined) unknown.push(node)
    for (const { host: from, size, guest } of windows ?? [])
      addFrames(iomem, {
        hostFrame: from >> frameShift,
        count: ((from & frameMask) + size + frameMask) >> frameShift,
        guestFrame: guest >> frameShift,
      })
    if (hostNode !== undefined && host !== undefined)
      for (const number of sharedInterrupts(hostNode, host)) irqs.add(number)
  }
  return { dtdev, unconfined, iomem, irqs: [...irqs], unknown }
}

/** The lowest address in Xen's first bank of guest RAM where a device stands; undefined when none does. */
export function lowestInRam(iomem: readonly MappedFrames[]): bigint | undefined {
  const inside = iomem
    .map(({ guestFrame }) => guestFrame << frameShift)
    .filter(address => address >= guestRam.start && address < guestRam.end)
  return inside.reduce<bigint | undefined>(
    (least, address) => (least === undefined || address < least ? address : least),
    undefined,
  )
}

function addFrames(list: MappedFrames[], wanted: MappedFrames): void {
  const same = (each: MappedFrames): boolean =>
    each.hostFrame === wanted.hostFrame &&
    each.count === wanted.count &&
    each.guestFrame === wanted.guestFrame
  if (wanted.count > 0n && !list.some(same)) list.push(wanted)
}

/** Without xen,reg: the host's registers, at the addresses that the partial node's reg gives them, in its order. */
function hostWindows(
  node: DeviceNode,
  hostNode: DeviceNode | undefined,
): readonly { host: bigint; size: bigint; guest: bigint }[] | undefined {
  if (hostNode === undefined) return undefined
  try {
    const guest = regions(node) ?? []
    return (regions(hostNode) ?? []).map((region, index) => {
      const { address, size } = toPhysical(hostNode, region)
      return { host: address, size, guest: guest[index]?.address ?? address }
    })
  } catch {
    return undefined
  }
}
