// Host tree and partial trees to the exact grants: which domain holds which SCMI devices and resources, who shares what,
// and what speaks against it. Pure, the same for the daemon and `scmictl plan`; nothing is granted here.
import {
  deviceHoldings,
  type HostDevice,
  hostDevices,
  type PassedDevice,
  passedDevices,
} from '../dt/devices.ts'
import type { DeviceNode, DeviceTree } from '../dt/fdt.ts'
import { type Holdings, holdingsOf, type Origin } from '../dt/holdings.ts'
import type { Report } from '../dt/problem.ts'
import { scmiCompatible } from '../dt/scmi-node.ts'
import { checkDevices, checkDomains, checkProviders, sharedResources } from './plan-checks.ts'
import { Problems } from './plan-problems.ts'
import {
  type Holder,
  hostName,
  type Plan,
  type PlanDevice,
  type PlanInput,
  type PlanOrigin,
} from './plan-shape.ts'

/**
 * The plan for `domains` on `host`. Never throws: what is wrong stands in `problems`, and a domain's errors leave the
 * other domains' plan as it is. Without a host tree nothing is inherited, xen,path is taken as written and Dom0 holds
 * nothing.
 */
export function plan(host: DeviceTree | undefined, domains: readonly PlanInput[]): Plan {
  const problems = new Problems()
  checkDomains(domains, problems)

  const found = domains.map(input => {
    const report = reporter(problems, input.name)
    return { input, report, devices: passedDevices(input.tree, host, report) }
  })
  const passed = new Set(found.flatMap(({ devices }) => devices.flatMap(device => device.hostNode ?? [])))
  const holders = found.map(({ input, report, devices }) => ({
    input,
    devices: devices.map(device => ({
      passed: device,
      holdings: deviceHoldings(device, input.tree, host, passed, report),
    })),
  }))
  const kept = host === undefined ? [] : keptByHost(host, holders, passed, problems)
  checkDevices(host, holders, problems)
  checkProviders(host, holders, kept, problems)
  const shared = sharedResources(holders, kept, problems)

  return {
    domains: holders.map(({ input, devices }) => ({
      name: input.name,
      ...(input.agentId === undefined ? {} : { agentId: input.agentId }),
      devices: devices.map(({ passed: device, holdings }) => ({
        node: device.node.path,
        ...hostNodeOf(device),
        ...toPlan(holdings, [device.node, device.hostNode]),
      })),
    })),
    problems: problems.list,
    shared,
    host: kept.map(({ node, ...holdings }) => ({ node: node.path, ...toPlan(holdings, [node]) })),
  }
}

/**
 * Dom0's nodes. A guest's device without xen,path (xl's dtdev) takes the host nodes of its SCMI device ids with it.
 * What is wrong in a node that nobody is given is only a warning: it cannot be the reason to refuse a guest.
 */
function keptByHost(
  host: DeviceTree,
  holders: readonly Holder[],
  passed: ReadonlySet<DeviceNode>,
  problems: Problems,
): readonly HostDevice[] {
  const unnamed = new Set(
    holders.flatMap(({ devices }) =>
      devices.flatMap(({ passed: device, holdings }) =>
        device.xenPath === undefined ? holdings.deviceIds.map(({ id }) => id) : [],
      ),
    ),
  )
  const silent: Report = () => {}
  const taken = hostDevices(host, passed, silent).filter(({ deviceIds }) =>
    deviceIds.some(({ id }) => unnamed.has(id)),
  )
  const away = new Set([...passed, ...taken.map(({ node }) => node)])
  return hostDevices(host, away, (code, node, text) => {
    if (code !== 'pin-states')
      problems.add(code, text, { domain: hostName, node: node.path, severity: 'warning' })
  })
}

/**
 * The devices of the host tree that `wanted` picks, each with what it and its descendants name: for giving a domain one
 * that its partial tree does not have. A device is a node that names SCMI and is not part of one that does.
 */
export function planHostDevice(
  host: DeviceTree,
  wanted: (device: PlanDevice) => boolean,
): readonly PlanDevice[] {
  const silent: Report = () => {}
  const found: PlanDevice[] = []
  const scan = (node: DeviceNode): void => {
    for (const child of node.children.values()) {
      const device = {
        node: child,
        xenPath: undefined,
        hostNode: undefined,
        mappings: [],
        forceAssignWithoutIommu: false,
      }
      const own = holdingsOf([{ node: child, scope: { own: host }, inherited: false }], silent)
      const names = own.deviceIds.length + own.resources.length > 0
      const holdings = deviceHoldings(device, host, undefined, new Set(), silent)
      const planned = { node: child.path, ...toPlan(holdings, [child]) }
      if (names && scmiCompatible(child) === undefined && wanted(planned)) found.push(planned)
      if (scmiCompatible(child) === undefined) scan(child)
    }
  }
  scan(host.root)
  return found
}

const reporter =
  (problems: Problems, domain: string): Report =>
  (code, node, text) =>
    problems.add(code, text, { domain, node: node.path })

function hostNodeOf({ hostNode, xenPath }: PassedDevice): { hostNode?: string } {
  const path = hostNode?.path ?? xenPath
  return path === undefined ? {} : { hostNode: path }
}

function toPlan(
  { deviceIds, resources }: Holdings,
  owners: readonly (DeviceNode | undefined)[],
): Omit<PlanDevice, 'node' | 'hostNode'> {
  const origin = ({ property, node, inherited }: Origin): PlanOrigin => ({
    property,
    ...(owners.includes(node) ? {} : { node: node.path }),
    ...(inherited ? { from: 'host' } : {}),
  })
  // An id that the partial tree and the host both name is the partial tree's.
  const ids = new Map<number, Origin>()
  for (const each of deviceIds) if (ids.get(each.id)?.inherited !== false) ids.set(each.id, each)
  return {
    deviceIds: [...ids.keys()],
    deviceIdOrigins: Array.from(ids, ([id, each]) => ({ id, ...origin(each) })),
    resources: resources.map(each => ({
      protocol: each.protocol,
      id: each.id,
      ...origin(each),
      ...(each.names === undefined ? {} : { names: each.names }),
    })),
  }
}
