// The devices that Xen partial trees pass through, and what the host keeps: each with what it names of SCMI. Who may
// hold what, and whether two holders collide, is permissions/plan.ts's.
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { type Holdings, holdingsOf, type Layer, type Resource } from './holdings.ts'
import { busCells, nodeAt, string, tuplesOf, walk } from './node.ts'
import type { Report } from './problem.ts'
import { attempt } from './references.ts'
import { scmiCompatible } from './scmi-node.ts'

/** One entry of xen,reg: `size` bytes at the host's address appear to the guest at `guest`. */
export interface Mapping {
  readonly host: bigint
  readonly size: bigint
  readonly guest: bigint
}

/** A node below /passthrough that is a device: by xen,path, or because it names SCMI by itself. */
export interface PassedDevice {
  readonly node: DeviceNode
  /** xen,path as written; undefined for a device that only names SCMI. */
  readonly xenPath: string | undefined
  /** The host's node behind xen,path. */
  readonly hostNode: DeviceNode | undefined
  readonly mappings: readonly Mapping[]
  readonly forceAssignWithoutIommu: boolean
}

/** A host node outside of all passed-through ones, with what it names itself. */
export interface HostDevice extends Holdings {
  readonly node: DeviceNode
}

/**
 * The devices of one partial tree, parents first. A node inside a device is part of it unless it has a xen,path of its
 * own. Aliases are not followed in xen,path; `__symbols__` and `__local_fixups__` are ignored.
 */
export function passedDevices(
  tree: DeviceTree,
  host: DeviceTree | undefined,
  report: Report,
): readonly PassedDevice[] {
  const { children } = tree.root
  const fixups = children.get('__fixups__')
  if (fixups !== undefined) {
    const labels = [...fixups.properties.keys()].join(', ') || 'none named'
    report(
      'overlay-unresolved',
      fixups,
      `${tree.file}: __fixups__ leaves phandles open (${labels}): build the partial tree without /plugin/`,
    )
    return []
  }
  const passthrough = children.get('passthrough')
  if (passthrough === undefined) {
    report(
      'passthrough-missing',
      tree.root,
      `${tree.file}: no /passthrough node: a Xen partial device tree holds its devices below /passthrough`,
    )
    return []
  }
  for (const child of children.values()) if (child !== passthrough) reportStrays(child, report)

  const devices: PassedDevice[] = []
  const scan = (parent: DeviceNode, inDevice: boolean): void => {
    for (const node of parent.children.values()) {
      if (scmiCompatible(node) !== undefined) continue
      const isDevice = node.properties.has('xen,path') || (!inDevice && namesScmi(node, tree, host, report))
      if (isDevice) devices.push(passedDevice(node, host, report))
      scan(node, inDevice || isDevice)
    }
  }
  scan(passthrough, false)
  return devices
}

/**
 * What a passed-through device names of SCMI, its descendants included. The partial node's properties win; those it
 * lacks come from the host's node, and likewise below it for each child, also for a child that only the host has.
 * @param passed host nodes that are passed through in their own right: they belong to whom they are passed
 */
export function deviceHoldings(
  device: PassedDevice,
  tree: DeviceTree,
  host: DeviceTree | undefined,
  passed: ReadonlySet<DeviceNode>,
  report: Report,
): Holdings {
  const levels: Holdings[] = []
  for (const { own, behind } of levelsOf(device, tree, host, passed, true))
    levels.push(
      holdingsOf(
        [own, behind].filter(layer => layer !== undefined),
        report,
      ),
    )
  return joined(levels)
}

/** What a device has to do with SCMI where its partial tree has ids of its own. */
export interface DenseHoldings extends Holdings {
  /** What the partial tree names, in the guest's own ids: it grants nothing. */
  readonly references: readonly Resource[]
}

/**
 * The same for a tree with ids of its own: resources are those of the host's nodes, behind xen,path or, for a device
 * without one, `behind`, the host's nodes of its SCMI device ids. Device ids are the partial tree's, or else the host's.
 */
export function denseHoldings(
  device: PassedDevice,
  tree: DeviceTree,
  host: DeviceTree | undefined,
  passed: ReadonlySet<DeviceNode>,
  behind: (ids: readonly number[]) => readonly DeviceNode[],
  report: Report,
): DenseHoldings {
  const levels = [...levelsOf(device, tree, host, passed, false)]
  const own = joined(
    levels.flatMap(level => (level.own === undefined ? [] : holdingsOf([level.own], report))),
  )
  const ids = own.deviceIds.map(({ id }) => id)
  const further = device.hostNode === undefined ? behind(ids) : []
  const hosts = [
    ...levels,
    ...further.flatMap(hostNode => [...levelsOf({ ...device, hostNode }, undefined, host, passed, false)]),
  ]
  const theirs = joined(
    hosts.flatMap(level => (level.behind === undefined ? [] : holdingsOf([level.behind], report))),
  )
  return {
    deviceIds: own.deviceIds.length > 0 ? own.deviceIds : theirs.deviceIds,
    resources: theirs.resources,
    references: own.resources,
  }
}

const joined = (levels: readonly Holdings[]): Holdings => ({
  deviceIds: levels.flatMap(level => level.deviceIds),
  resources: levels.flatMap(level => level.resources),
})

/** A device's nodes from the top down: the partial tree's and the host's behind it, where there are. */
function* levelsOf(
  device: PassedDevice,
  tree: DeviceTree | undefined,
  host: DeviceTree | undefined,
  passed: ReadonlySet<DeviceNode>,
  fallsBack: boolean,
): Generator<{ readonly own: Layer | undefined; readonly behind: Layer | undefined }> {
  const scope = tree && { own: tree, ...(fallsBack ? { fallback: host } : {}) }
  function* visit(own: DeviceNode | undefined, behind: DeviceNode | undefined): ReturnType<typeof levelsOf> {
    yield {
      own: own && scope && { node: own, scope, inherited: false },
      behind: behind && host && { node: behind, scope: { own: host }, inherited: true },
    }
    for (const child of own?.children.values() ?? []) {
      if (child.properties.has('xen,path') || scmiCompatible(child) !== undefined) continue
      const twin = behind?.children.get(child.name)
      yield* visit(child, twin !== undefined && passed.has(twin) ? undefined : twin)
    }
    for (const child of behind?.children.values() ?? []) {
      if (own?.children.has(child.name) || passed.has(child)) continue
      if (scmiCompatible(child) === undefined && !isDisabled(child)) yield* visit(undefined, child)
    }
  }
  yield* visit(tree === undefined ? undefined : device.node, device.hostNode)
}

/**
 * What stays with the host (Dom0): every node that names SCMI and is not passed to a guest, not below one that is, not
 * disabled and not set aside by xen,passthrough. SCMI nodes themselves hold nothing.
 */
export function hostDevices(
  host: DeviceTree,
  passed: ReadonlySet<DeviceNode>,
  report: Report,
): readonly HostDevice[] {
  const stays = (node: DeviceNode): boolean =>
    !passed.has(node) &&
    !node.properties.has('xen,passthrough') &&
    scmiCompatible(node) === undefined &&
    !isDisabled(node)
  const found: HostDevice[] = []
  for (const node of walk(host.root, stays)) {
    const holdings = holdingsOf([{ node, scope: { own: host }, inherited: false }], report)
    if (holdings.deviceIds.length > 0 || holdings.resources.length > 0) found.push({ node, ...holdings })
  }
  return found
}

function passedDevice(node: DeviceNode, host: DeviceTree | undefined, report: Report): PassedDevice {
  const xenPath = attempt(node, report, () => string(node, 'xen,path'))
  const mappings = attempt(node, report, () => {
    const bus = node.parent ?? node
    const address = busCells(bus, '#address-cells')
    return tuplesOf(node, 'xen,reg', [address, busCells(bus, '#size-cells'), address])
  })
  return {
    node,
    xenPath,
    hostNode: xenPath === undefined || host === undefined ? undefined : hostNode(node, xenPath, host, report),
    mappings: (mappings ?? []).map(([from = 0n, size = 0n, guest = 0n]) => ({ host: from, size, guest })),
    forceAssignWithoutIommu: node.properties.has('xen,force-assign-without-iommu'),
  }
}

/** The node xen,path means: exactly, else without unit addresses as libfdt would find it, if only one fits. */
function hostNode(node: DeviceNode, path: string, host: DeviceTree, report: Report): DeviceNode | undefined {
  const unknown = (why: string) => {
    report('path-unknown', node, `xen,path "${path}" ${why} in the host tree ${host.file}`)
    return undefined
  }
  if (!path.startsWith('/')) return unknown('is no path (aliases are not followed) and names no node')
  if (path === '/') return unknown('is the root, not a device,')
  const exact = nodeAt(host, path)
  if (exact !== undefined) return exact
  let found = [host.root]
  for (const name of path.slice(1).split('/'))
    found = found.flatMap(parent =>
      [...parent.children.values()].filter(child => child.name === name || child.name.startsWith(`${name}@`)),
    )
  const [only] = found
  if (only === undefined) return unknown('names no node')
  if (found.length > 1)
    return unknown(`names ${found.map(each => each.path).join(' and ')}, so no single node`)
  report('path-abbreviated', node, `xen,path "${path}" is taken as ${only.path}: Xen wants the whole path`)
  return only
}

/** Whether a node without xen,path is a device all the same. Its problems are told only when it is none, once. */
function namesScmi(
  node: DeviceNode,
  tree: DeviceTree,
  host: DeviceTree | undefined,
  report: Report,
): boolean {
  const problems: Parameters<Report>[] = []
  const level = [{ node, scope: { own: tree, fallback: host }, inherited: false }]
  const { deviceIds, resources } = holdingsOf(level, (...problem) => problems.push(problem))
  if (node.properties.has('scmi_devid') || deviceIds.length > 0 || resources.length > 0) return true
  for (const problem of problems) report(...problem)
  return false
}

function reportStrays(top: DeviceNode, report: Report): void {
  for (const node of walk(top))
    for (const name of ['xen,path', 'scmi_devid'])
      if (node.properties.has(name))
        report(
          'outside-passthrough',
          node,
          `${name} at ${node.path} is not below /passthrough and is ignored`,
        )
}

function isDisabled(node: DeviceNode): boolean {
  const status = node.properties.get('status')?.value
  return status !== undefined && latin1.decode(status) === 'disabled\0'
}

const latin1 = new TextDecoder('latin1')
